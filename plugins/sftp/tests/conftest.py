"""The ssh server of the tests beside it: one for the session, as it takes a second to start."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the folder of a test out of sys.path.
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "judge"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "servers"))
sys.path.insert(0, str(Path(__file__).parent))

from ssh_server import plain_sshd, sshd

__all__ = ["plain_sshd", "sshd"]
