"""Making a set visible, seen with the whole program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(place: Path, *words: str) -> None:
    env = {"HOME": str(place), "PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(place / "state")}
    line = [sys.executable, "-m", "tarragon", *words, "--archive-dir", str(place / "cache"), "--no-encryption"]
    subprocess.run(line, check=True, env=env, cwd=place, stdout=subprocess.DEVNULL)


def test_a_put_that_a_crash_broke_off_is_removed_by_the_next_writer(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "box").mkdir()
    torn = tmp_path / "box" / "tarragon.tmp-0123abcd"
    torn.write_bytes(b"half")
    somebody_elses = tmp_path / "box" / "tarragon.tmp-notes"
    somebody_elses.write_bytes(b"keep")
    run(tmp_path, "full", "src", "file://box")
    assert not torn.exists()
    assert somebody_elses.read_bytes() == b"keep"
