from tarragon_testkit import BackendContract, PluginContract


class TestShelf(BackendContract):
    url = "shelf://{tmp}/box.db"
    many = 100  # a table's listing has no pages, and each put waits for the disk


class TestPackage(PluginContract):
    module = "tarragon_shelf.plugin"
