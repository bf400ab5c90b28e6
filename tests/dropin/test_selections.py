"""Whole backups with corners of the selection rules, and with generated selections, beside the real duplicity.

A sample; ``compare_selections.py --count 300 --seed N`` is the long run. TARRAGON_SELECTIONS is the number of generated
ones (5), TARRAGON_SELECTION_SEED the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from compare_selections import differences
from pair import Pair
from programs import Program
from selections import CORNERS, Generator, grow

pytestmark = pytest.mark.slow
COUNT = int(os.environ.get("TARRAGON_SELECTIONS", "5"))
SEED = int(os.environ.get("TARRAGON_SELECTION_SEED", "1000"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, real: Program) -> Iterator[Pair]:
    place = tmp_path_factory.mktemp("selections")
    grow(place)
    with Pair(place, real) as found:
        yield found


@pytest.mark.parametrize("number", range(0, len(CORNERS), 3))
def test_a_corner_of_the_rules_is_backed_up_as_by_duplicity(number, pair):
    assert differences(CORNERS[number], pair, f"corner{number}") == []


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_a_generated_selection_is_backed_up_as_by_duplicity(seed, pair):
    assert differences(Generator(seed).case(), pair, f"seed{seed}") == []
