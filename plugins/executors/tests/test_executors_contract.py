from tarragon_testkit import ExecutorContract


class TestInline(ExecutorContract):
    name = "inline"
    is_parallel = False


class TestThreads(ExecutorContract):
    name = "threads"


class TestProcesses(ExecutorContract):
    name = "processes"
