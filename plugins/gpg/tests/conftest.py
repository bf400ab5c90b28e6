"""Fixtures of gpg_keyring for the tests beside it, which import its names, too."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the folder of a test out of sys.path.
sys.path.insert(0, str(Path(__file__).parent))

from gpg_keyring import fresh, golden, keyring, nothing_left

__all__ = ["fresh", "golden", "keyring", "nothing_left"]
