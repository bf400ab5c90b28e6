"""For all tests: the real duplicity that ``make test`` has put beside the checkout is the one to compare with."""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE = Path(__file__).with_name(".venv-duplicity") / "bin" / "duplicity"

if _BESIDE.exists():  # before any test module asks; absent, comparisons skip and say so
    os.environ.setdefault("TARRAGON_DUPLICITY", str(_BESIDE))
