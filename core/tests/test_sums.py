"""Sums: what they say comes back, and whatever else stands there is refused in a typed way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import Malformed
from tarragon.run import sums
from tarragon.run.journal import Kept
from tarragon.run.memory import Thing
from tarragon.volume.name import Names, Prefixes, SetTime

OF = SetTime("inc", 100, 1700000000)
MANIFEST, SIGNATURES = Thing(10, "a" * 64, "b" * 64), Thing(20, "c" * 64, "d" * 64)
KEPT = [Kept(1, "vol1", 7, "1" * 40, "2" * 64), Kept(2, "vol2", 8, "3" * 40)]
DATA = sums.compose(OF, "f" * 64, MANIFEST, SIGNATURES, KEPT, {"tarragon-core": "0.1.0"})


@pytest.mark.requirement("R15")
@pytest.mark.requirement("R16")
def test_what_was_composed_is_read() -> None:
    assert sums.read(DATA) == sums.Sums(MANIFEST, SIGNATURES, "f" * 64, {1: ("2" * 64, 7)})


@pytest.mark.requirement("R40")
@given(st.one_of(st.binary(max_size=200), st.integers(0, len(DATA.rstrip()) - 1).map(lambda at: DATA[:at])))
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        sums.read(data)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"volumes": [[1, "x", -1]]}, {"volumes": [[True, "x", 1]]}, {"manifest": []}]
)
def test_what_breaks_the_rules_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        sums.read(json.dumps({**json.loads(DATA), **change}).encode())


@pytest.mark.requirement("R36")
def test_the_names_that_are_ours_are_told_from_all_others() -> None:
    names = Names(Prefixes(every="mine-"))
    name = names.sums(OF, ".gz")
    assert name == "mine-tarragon.sums.20231114T221320Z.json.gz"
    found = names.own(name)
    assert found is not None
    assert (found.of.time, found.suffix, names.parse(name)) == (1700000000, ".gz", None)
    assert names.lease == "mine-tarragon.lease"
    lease = names.own(names.lease)
    assert lease is not None
    assert lease.of.time == 0
    assert [names.own(each) for each in ("tarragon.lease", "mine-tarragon", "mine-duplicity-full")] == [None] * 3
