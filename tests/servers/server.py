"""Run one of the server scripts beside this module for a test.

    with running("sshd.sh") as server:
        server["TB_SSH_PORT"]

Each script starts its server on 127.0.0.1 with all of its state below one folder, waits until it answers, and stops it.
What a script needs and is not installed is a skip with the reason, never a silent pass.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(script: str, **env: str) -> Iterator[Mapping[str, str]]:
    """The server of ``script``; what it tells of itself. ``env`` are variables for the script."""
    # Not below pytest's folder: that one is closed to other users, and servers change to them.
    place = Path(tempfile.mkdtemp(prefix="tg-server-"))
    place.chmod(0o755)
    command = ["bash", str(HERE / script)]
    try:
        for _ in range(3):  # another process may take the port first
            words = [*command, "start", str(place), str(free_port())]
            started = subprocess.run(words, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)
            if started.returncode in (0, 2):
                break
        if started.returncode == 2:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stderr
        text = (place / "env").read_text()
        yield {**dict(re.findall(r"^export (\w+)='(.*)'$", text, re.MULTILINE)), "PLACE": str(place)}
    finally:
        subprocess.run([*command, "stop", str(place)], capture_output=True, timeout=60, check=False)
        shutil.rmtree(place, ignore_errors=True)
