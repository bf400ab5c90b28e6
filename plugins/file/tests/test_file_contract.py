from tarragon_testkit import BackendContract


class TestFileBackend(BackendContract):
    url = "file://{tmp}/not/yet/there"
    many = 100  # a folder's listing has no pages
