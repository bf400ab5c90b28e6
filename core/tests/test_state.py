"""The state folder: ledgers that only grow, and the lock of one writer."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from tarragon.api import Locked, SourceError, UserError
from tarragon.store.archive import Archive
from tarragon.store.state import State, state_folder


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state" / "key")


def test_what_is_added_is_read_again_in_that_order(state: State) -> None:
    ledger = state.ledger("checks")
    assert ledger.read() == []
    ledger.append({"n": 1})
    ledger.append({"n": 2}, {"n": 3})
    assert state.ledger("checks").read() == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("torn", [b'{"n":2', b'{"n":2}garbage\n', b"\xff\n", b"[1]\n"])
def test_a_torn_last_line_is_dropped_and_written_over(torn: bytes, state: State) -> None:
    state.ledger("checks").append({"n": 1})
    path = state.folder / "checks.jsonl"
    path.write_bytes(path.read_bytes() + torn)
    ledger = state.ledger("checks")
    assert ledger.read() == [{"n": 1}]
    ledger.append({"n": 3})
    assert state.ledger("checks").read() == [{"n": 1}, {"n": 3}]


def test_two_ledgers_of_one_file_lose_nothing_of_each_other(state: State) -> None:
    one, other = state.ledger("checks"), state.ledger("checks")
    one.append({"n": 1})
    other.append({"n": 2})
    one.append({"n": 3})
    assert one.read() == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.requirement("R72")
def test_a_newer_version_is_refused_and_left_alone(state: State) -> None:
    path = state.folder / "commits.jsonl"
    path.write_text('{"tarragon":"commits","version":2}\n{"n":1}\n')
    with pytest.raises(UserError, match="newer Tarragon"):
        state.ledger("commits").read()
    with pytest.raises(UserError, match="newer Tarragon"):
        state.ledger("commits").append({"n": 2})
    assert path.read_text() == '{"tarragon":"commits","version":2}\n{"n":1}\n'


@pytest.mark.requirement("R39")
def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = State(tmp_path / "a" / "b")
        state.ledger("checks").append({"n": 1})
        with state.lock(purpose="test"):
            pass
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", state.folder, *state.folder.iterdir())]
    assert modes == [0o700, 0o700, 0o600, 0o600]


@pytest.mark.requirement("R43")
def test_the_lock_names_its_holder_and_dies_with_it(state: State) -> None:
    words = f"""
import sys, os
from pathlib import Path
from tarragon.store.state import State
with State(Path({str(state.folder)!r})).lock(purpose="backup"):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=rf"process {holder.pid} \(backup\)"), state.lock(purpose="test"):
            pass
        holder.kill()
    with state.lock(purpose="test"):
        assert f"process {os.getpid()} (test)" in (state.folder / "lock").read_text()


def test_the_folder_follows_the_cache_that_it_belongs_to(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    assert state_folder(None, "key", env) == tmp_path / "tarragon" / "key"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    through = state_folder(str(tmp_path / "link"), "key", env)
    assert through == state_folder(str(tmp_path / "real"), "key", env) != state_folder(None, "key", env)


def _open_at_once(barrier: Barrier, place: Path, times: int, answers: Queue[list[str]]) -> None:
    wrong = []
    for number in range(times):
        barrier.wait()
        for make in (State, Archive):
            try:
                make(place / make.__name__ / str(number) / "tarragon" / "key").close()
            except SourceError as err:
                wrong.append(str(err))
    answers.put(wrong)


def test_runs_that_begin_at_once_all_find_their_folders(tmp_path: Path) -> None:
    barrier, answers = multiprocessing.Barrier(3), multiprocessing.Queue()
    runs = [multiprocessing.Process(target=_open_at_once, args=(barrier, tmp_path, 200, answers)) for _ in range(3)]
    for run in runs:
        run.start()
    assert [answers.get(timeout=60) for _ in runs] == [[], [], []]
    for run in runs:
        run.join()
