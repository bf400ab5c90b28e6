"""A few random histories with two writers and two readers; histories.py plays as many as one likes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from programs import Program

SPEC = importlib.util.spec_from_file_location("histories", Path(__file__).with_name("histories.py"))
assert SPEC is not None
assert SPEC.loader is not None
histories = importlib.util.module_from_spec(SPEC)
sys.modules["histories"] = histories
SPEC.loader.exec_module(histories)


@pytest.mark.requirement("R70")
@pytest.mark.requirement("R71")
@pytest.mark.parametrize("mode", histories.MODES, ids=[mode.name for mode in histories.MODES])
def test_two_writers_and_two_readers_agree(mode: object, program: Program, real: Program) -> None:
    seed = 9000 + histories.MODES.index(mode)
    right, report = histories.play(seed, generations=5, mode=mode)
    assert right, report
