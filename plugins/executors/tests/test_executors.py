from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from tarragon.api import Interrupted, PluginError, TarragonError
from tarragon_executors import plugin
from tarragon_executors.processes import Processes

KILLED = """
import sys, time
from tarragon_executors.processes import Processes
pool = Processes(3)
from os import getpid
print(*[worker.process.pid for worker in pool._workers], flush=True)
pool.submit(time.sleep, 60)
time.sleep(60)
"""


@pytest.fixture
def pool():
    pool = Processes(2)
    yield pool
    pool.close(cancel=True)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(holds, seconds=5):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


def test_it_makes_what_it_is_asked_for_and_leaves_the_rest_to_others():
    made = [plugin.make_executor(name, 2, None) for name in ("inline", "threads", "processes", "dask")]
    assert [getattr(one, "width", None) for one in made] == [1, 2, 2, None]
    for one in made[:3]:
        one.close()


def test_a_worker_that_dies_is_a_typed_error_for_its_call_and_for_all_that_follow(pool):
    lost = pool.submit(die)
    with pytest.raises(TarragonError, match=r"died \(signal 9\)"):
        lost.result(5)
    with pytest.raises(TarragonError, match="died"):
        pool.submit(abs, 1).result(5)


def test_work_runs_in_other_processes_all_started_before_the_work(pool):
    pids = {pool.submit(os.getpid).result(5) for _ in range(10)}
    assert pids <= {worker.process.pid for worker in pool._workers}
    assert os.getpid() not in pids


def test_an_interrupt_from_the_keyboard_does_not_reach_the_work(pool):
    busy = pool.submit(time.sleep, 0.3)
    assert until(busy.running)
    for worker in pool._workers:
        os.kill(worker.process.pid, signal.SIGINT)
    assert busy.result(5) is None


@pytest.mark.requirement("R53")
def test_cancelling_stops_work_that_has_begun(pool):
    busy = [pool.submit(time.sleep, 60) for _ in range(3)]
    assert until(busy[0].running)
    began = time.monotonic()
    pool.close(cancel=True)
    assert time.monotonic() - began < 1
    with pytest.raises(Interrupted):
        busy[0].result(1)
    assert busy[2].cancelled()


def test_closing_leaves_no_process_behind(pool):
    pids = [worker.process.pid for worker in pool._workers]
    pool.submit(abs, 1)
    pool.close()
    assert [is_alive(pid) for pid in pids] == [False, False]


def test_workers_end_when_their_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    pids = parent.stdout.readline().split()
    assert all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.communicate()
    assert until(lambda: not any(is_alive(pid) for pid in pids))


def test_an_error_tells_where_in_the_worker_it_came_from(pool):
    with pytest.raises(ZeroDivisionError) as caught:
        pool.submit(divmod, 1, 0).result(5)
    assert "in a worker process" in caught.value.__notes__[0]


@pytest.mark.parametrize(("work", "args"), [(Unreadable, ()), (open, (os.devnull,))])
def test_an_answer_that_cannot_travel_is_an_error_and_the_pool_goes_on(pool, work, args):
    with pytest.raises((PluginError, TypeError)):
        pool.submit(work, *args).result(5)
    assert pool.submit(abs, -1).result(5) == 1


def test_the_entry_module_is_light():
    code = "import sys, tarragon_executors.plugin as p; print('multiprocessing' in sys.modules, 'queue' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]
