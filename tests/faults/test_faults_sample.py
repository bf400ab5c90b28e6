"""A sample of the stories with faults, for every run of the tests (the long run: run_faults.py, docs/faults.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

import fault_places
import fault_story
from programs import Program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]


@pytest.mark.requirement("R33")
@pytest.mark.requirement("R35")
@pytest.mark.requirement("R49")
@pytest.mark.requirement("R64")
@pytest.mark.parametrize("kind", fault_places.PLACES)
def test_with_faults_between_nothing_is_lost_nothing_wrong_and_nothing_told(kind: str, ours: Program) -> None:
    if reason := fault_places.missing(kind):
        pytest.skip(reason)
    outcome = fault_story.play(kind, 1, ours, files=3, most=2)
    assert not outcome.figure, outcome.detail
    assert sum(outcome.faults.values()) > 0
    answered = outcome.resumed + outcome.concluded + sum(outcome.anew.values())
    assert answered >= outcome.recorded, "what was stored is gone on with, or it is said why not"
