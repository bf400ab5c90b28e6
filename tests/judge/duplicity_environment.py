#!/usr/bin/env python3
"""Make ``.venv-duplicity`` beside ``.venv``: the real duplicity 3.2.1, which judges our archives.

    duplicity_environment.py             makes it if it is not there, and prints the path of the command

Quick the second time. Exit status 1, with the reason, when it cannot be had (no network, no compiler); the tests that
need it are then skipped and say so. ``TARRAGON_DUPLICITY`` names another duplicity and leaves nothing to do.
Only what file://, s3://, sftp:// and scp:// targets need is installed, not its other libraries. An environment that
was made from other lines of constraints-duplicity.txt is made anew.
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
PLACE = HERE.parents[1] / ".venv-duplicity"


def install(place: Path) -> None:
    """Make the environment; raises CalledProcessError."""
    venv.create(place, with_pip=True, clear=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "-r", str(HERE / "constraints-duplicity.txt")], check=True)
    subprocess.run([str(place / "bin" / "duplicity"), "--version"], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    named = os.environ.get("TARRAGON_DUPLICITY")
    command = Path(named) if named else PLACE / "bin" / "duplicity"
    wanted = (HERE / "constraints-duplicity.txt").read_bytes()
    done = PLACE / f"complete-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not named and not done.exists():
        try:
            install(PLACE)
        except (subprocess.CalledProcessError, OSError) as err:
            shutil.rmtree(PLACE, ignore_errors=True)
            print(f"duplicity 3.2.1 cannot be had here: {err}", file=sys.stderr)
            return 1
        done.touch()
    print(command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
