"""The journal gives back what was written into it: a later run goes on from exactly there."""

from __future__ import annotations

import pytest
from tarragon.api.entry import REG, Entry
from tarragon.run.build import RangeBuilt, Stand
from tarragon.run.journal import Head, Journal, Kept, Point, read
from tarragon.run.plan import Range
from tarragon.store.state import State
from tarragon.volume.manifest import VolumeRecord
from tarragon.volume.name import SetTime

HEAD = Head(SetTime("inc", 10, 20), "ab" * 32, {"source": "src", "selection": [["exclude", "**"]]}, ("left.gz",))
PART = RangeBuilt(
    Entry(b"big \xff", REG, 0o600, 1, 2, b"me", b"us", 5, 99, b"", (0, 0), 7),
    Range(0, 0, 65536, False, 512), Stand(99, 1, 2), Stand(99, 1, 2), b"\x00sig", 12, "new",
)  # fmt: skip


HELD = VolumeRecord(2, b"a/\xff", None, b"big \xff", 7, "ee")


@pytest.mark.requirement("R46")
def test_points_come_back_with_their_ranges_and_their_problems(tmp_path):
    state = State(tmp_path / "state")
    ledger = state.ledger("journal")
    journal = Journal(ledger, parts=None)
    first = Point((Kept(1, "v1", 5, "aa", "bb"),), b"a/\xff", (10, "cc"), (20, "dd"), (), 3)
    second = Point((Kept(2, "v2", 6, "ee", "ff"),), b"big \xff", (30, "gg"), (40, "hh"), (PART,), 4, (HELD,))
    journal.begin(HEAD)
    journal.again(first.volumes, first)
    journal.again(second.volumes, second)
    assert read(ledger) == (HEAD, [first, second])


def test_a_journal_that_is_not_understood_is_none(tmp_path):
    ledger = State(tmp_path / "state").ledger("journal")
    ledger.append({"set": ["full", 1]})
    assert read(ledger) is None
