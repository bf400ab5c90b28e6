"""``tarragon check-backend URL``: the promises of a backend, asked of a user's own store, which stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTY = """
from tarragon.api import Capability, NotFound, hookimpl
from tarragon_testkit import MemoryBackend
TARRAGON_API = (0, 1)
OBJECTS = {}

class KeepsDeleted(MemoryBackend):
    def delete(self, name):
        self._data(name)

@hookimpl
def open_backend(url):
    if url.scheme == "acme":
        return KeepsDeleted(OBJECTS)
"""


def check(place, *words):
    env = {**os.environ, "PYTHONPATH": str(place), "HOME": str(place)}
    line = [sys.executable, "-m", "tarragon", "check-backend", *words]
    return subprocess.run(line, env=env, capture_output=True, text=True)


@pytest.mark.requirement("R69")
def test_a_good_store_keeps_every_promise_and_stays_as_it_was(tmp_path):
    box = tmp_path / "box"
    box.mkdir()
    (box / "duplicity-full.20231114T221320Z.manifest").write_bytes(b"somebody's")
    ended = check(tmp_path, "--small", f"file://{box}")
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ok      every byte comes back as it was" in lines
    assert " 0 broken, " in lines[-1]
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert [path.name for path in box.iterdir()] == ["duplicity-full.20231114T221320Z.manifest"]
    assert (box / "duplicity-full.20231114T221320Z.manifest").read_bytes() == b"somebody's"


@pytest.mark.requirement("R69")
def test_a_broken_promise_is_named_with_the_line_that_does_not_hold_and_the_status_tells(tmp_path):
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tarragon.backend]\nacme = acme_plugin\n")
    (tmp_path / "acme_plugin.py").write_text(FAULTY)
    ended = check(tmp_path, "--small", "acme://box")
    lines = ended.stdout.splitlines()
    assert ended.returncode == 1
    at = lines.index("BROKEN  what is deleted is gone")
    assert "does not hold: assert h.eventually(lambda: name not in h.names())" in lines[at + 1]


def test_it_needs_a_url(tmp_path):
    assert check(tmp_path).returncode == 23
