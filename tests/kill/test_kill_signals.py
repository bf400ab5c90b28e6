"""Ctrl-C and SIGTERM in every phase of every command: status 4, in time, nothing broken (R53)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

import preload
from programs import Household, Program
from stage import Stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not preload.is_possible(), reason="needs Linux and a C compiler"),
]
INTERRUPTED = 4
#: Within this a run that was told to stop has ended (R53).
MOST_S = 10


@pytest.fixture
def stage(home: Household, ours: Program, real: Program) -> Stage:
    """A full set and an increment."""
    return made(home, ours, real, "gzip")


def made(home: Household, ours: Program, real: Program, mode: str) -> Stage:
    if mode != "gzip":
        home.import_golden_keys()
    stage = Stage(home, ours, real, mode)
    stage.source.mkdir(parents=True)
    for action in ("full", "incremental"):
        for number in range(3):
            path = stage.source / f"f{number}"
            path.write_bytes(Random(f"{action}{number}").randbytes(700_000))
            os.utime(path, (stage.now, stage.now))
        assert stage.backup(action).status == 0
        stage.now += 100
    return stage


#: Commands, and of how many of their calls one is tried.
COMMANDS = {
    "restore": 4,
    "verify": 3,
    "check": 3,
    "collection-status": 2,
    "list-current-files": 2,
    "cleanup": 2,
    "remove-all-inc-of-but-n-full": 2,
    "prune": 2,
}


def words_of(command: str, stage: Stage) -> tuple[str | Path, ...]:
    out = stage.place / "signalled"
    shutil.rmtree(out, ignore_errors=True)
    options = stage.options()
    return {
        "restore": ("restore", *options, stage.url, out),
        "verify": ("verify", *options, stage.url, stage.source),
        "check": ("check", "--full", *options, stage.url),
        "collection-status": ("collection-status", *options, stage.url),
        "list-current-files": ("list-current-files", *options, stage.url),
        "cleanup": ("cleanup", "--force", *options, stage.url),
        "remove-all-inc-of-but-n-full": ("remove-all-inc-of-but-n-full", "1", "--force", *options, stage.url),
        "prune": ("prune", "--keep-last", "1", "--force", *options, stage.url),
    }[command]


@pytest.mark.requirement("R53")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_with_4_when_it_is_told_to_stop(command: str, stage: Stage) -> None:
    stage.keep("two sets")
    want = stage.seen()
    counted = stage.run(*words_of(command, stage), env=stage.shim.armed(ops="all"))
    assert counted.status == 0, counted
    calls = stage.shim.count
    for at in range(1, calls, max(1, calls // COMMANDS[command])):
        stage.bring_back("two sets")
        act = ("term", "int")[at % 2]
        ended = stage.run(*words_of(command, stage), env=stage.shim.armed(at, act, "all"))
        # One that has done all its work may as well come to its end.
        assert ended.status == INTERRUPTED or (ended.status == 0 and at > calls * 2 // 3), (at, act, ended)
        assert ended.seconds < MOST_S, (at, ended)
        assert "Traceback" not in ended.text, (at, ended)
        assert stage.run(*words_of(command, stage)).status == 0
    stage.must_equal(want, stage.restored(stage.real), f"after {command} was stopped")


@pytest.mark.requirement("R53")
@pytest.mark.parametrize("width", ["0", "2"])
def test_a_backup_is_stopped_while_gpg_works_for_it(width: str, home: Household, ours: Program, real: Program) -> None:
    stage = made(home, ours, real, "symmetric")
    stage.keep("two sets")
    for after_s in (0.6, 1.2):
        stage.bring_back("two sets")
        (stage.source / "f1").write_bytes(Random(after_s).randbytes(9_000_000))
        number = signal.SIGINT if after_s == 1.2 else signal.SIGTERM
        ended = stage.backup("incremental", "--concurrency", width, kill_after_s=after_s, signal_number=number)
        began = bool(ended.text)  # before that the interpreter starts, and nothing is under way
        assert ended.status in (INTERRUPTED, 0) or (ended.status == -number and not began), ended
        assert ended.seconds < after_s + MOST_S
        assert "Traceback" not in ended.text, ended
        stage.now += 100
        assert stage.backup("incremental", "--concurrency", width).status == 0
        stage.must_equal(stage.seen(), stage.restored(real), "after a stop")


@pytest.mark.requirement("R53")
@pytest.mark.requirement("R43")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_another_can_be_stopped(number: int, stage: Stage) -> None:
    words = [stage.ours.command, "full", "--volsize", "1", *map(str, stage.options()), "source", stage.url]
    environment = stage.home.environment()
    first = subprocess.Popen(words, env=environment, cwd=stage.place, start_new_session=True, stdout=subprocess.DEVNULL)
    lock = next(stage.state.glob("tarragon/*/lock"))
    until = time.monotonic() + 30
    while str(first.pid) not in lock.read_text():
        assert time.monotonic() < until and first.poll() is None, "the first run ended, or never began"
    os.killpg(first.pid, signal.SIGSTOP)
    waiting = stage.backup("full", "--lock-wait", "60", kill_after_s=3, signal_number=number)
    assert waiting.status == INTERRUPTED, waiting
    assert f"process {first.pid} (full) is writing to this repository: waiting" in waiting.text
    assert waiting.seconds < 3 + MOST_S
    os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(60) == 0
