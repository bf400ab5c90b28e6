"""Ctrl-C and SIGTERM end a run whatever hangs at the far side (R53, R64), and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

import fault_places
import fault_proxy
from http_proxy import Seen
from programs import Household, Program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]

#: What hangs: the first request of all, or the upload of a volume, for which another thread waits.
HANGS = {"connecting": lambda seen: True, "uploading": lambda seen: seen.method == "PUT" and ".vol" in seen.path}


class Hanging(fault_proxy.HttpFaults):
    """Lets a kind of request hang for as long as anybody waits."""

    hangs = ""

    def kind_for(self, seen: Seen) -> str:
        if not self.is_on or not self.hangs or not HANGS[self.hangs](seen):
            return ""
        self.done["stall"] += 1
        return "stall"


@pytest.mark.requirement("R53")
@pytest.mark.requirement("R64")
@pytest.mark.parametrize(("number", "hangs"), [(signal.SIGINT, "uploading"), (signal.SIGTERM, "connecting")])
def test_a_signal_ends_a_run_that_hangs(
    number: signal.Signals, hangs: str, ours: Program, home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := fault_places.missing("s3"):
        pytest.skip(reason)
    monkeypatch.setattr(fault_places, "HttpFaults", Hanging)
    place = fault_places.S3(home, ours, Random(1))
    place.source.mkdir()
    (place.source / "file").write_bytes(Random(2).randbytes(2_500_000))
    with place.opened():
        place.proxy.stall_s = 600
        place.arm(most=100)
        place.tcp.is_on = False
        place.proxy.hangs = hangs
        words = ("full", *place.options(), "--volsize", "1", "--concurrency", "2", "--timeout", "600")
        process = subprocess.Popen(
            (ours.command, *map(str, words), "source", place.url), env=home.environment() | place.mode.environment,
            cwd=place.place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        until = time.monotonic() + 60
        while not place.proxy.done["stall"]:
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=30)  # the promise is 10 s; machines of tests are slow
        assert process.returncode == 4, out
        assert b"Traceback" not in out
        place.disarm()
        ended = place.run("full", *place.options(), "--volsize", "1", "source", place.url)
        assert ended.status == 0, ended
