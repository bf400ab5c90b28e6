#!/usr/bin/env python3
"""Make ``.venv-servers`` beside ``.venv``: servers from the package index that tests of backends start.

    servers_environment.py               makes it if it is not there, and prints the path of its programs

Quick the second time. Exit status 1, with the reason, when it cannot be had (no network); the tests that need a server
of it are then skipped and say so. ``TARRAGON_SERVERS`` names another folder of programs and leaves nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / ".venv-servers"
WANTED = HERE / "constraints-servers.txt"


def programs() -> Path:
    """The folder in which the servers' programs are, or would be."""
    return Path(os.environ.get("TARRAGON_SERVERS") or PLACE / "bin")


def path() -> str:
    """A search path for a server's script: these programs, then what the machine has."""
    return f"{programs()}:{os.environ.get('PATH', '/usr/bin:/bin')}"


def install(place: Path) -> None:
    """Make the environment; raises CalledProcessError."""
    venv.create(place, with_pip=True, clear=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "-r", str(WANTED)], check=True)


def main() -> int:
    done = PLACE / f"complete-{hashlib.sha256(WANTED.read_bytes()).hexdigest()[:16]}"
    if not os.environ.get("TARRAGON_SERVERS") and not done.exists():
        try:
            install(PLACE)
        except (subprocess.CalledProcessError, OSError) as err:
            shutil.rmtree(PLACE, ignore_errors=True)
            print(f"the servers of the package index cannot be had here: {err}", file=sys.stderr)
            return 1
        done.touch()
    print(programs())
    return 0


if __name__ == "__main__":
    sys.exit(main())
