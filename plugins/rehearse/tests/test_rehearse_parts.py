"""Choosing, comparing with the source, and the share that is proven."""

from __future__ import annotations

import io
import os
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import DIR, REG, Entry, VolumeRef
from tarragon_rehearse import live, proven

MADE = 1_700_000_000


@given(st.lists(st.sampled_from([REG, DIR]), max_size=50), st.integers(1, 60), st.integers())
def test_as_many_files_are_picked_as_wanted_in_their_order(kinds, count, seed):
    entries = [Entry(b"%03d" % number, kind) for number, kind in enumerate(kinds)]
    found, seen = proven.picked(iter(entries), REG, count, random.Random(seed))
    assert seen == kinds.count(REG)
    assert len(found) == min(count, seen)
    assert found == [entry for entry in entries if entry in found]
    assert {entry.kind for entry in found} <= {REG}


def test_every_file_has_the_same_chance():
    entries = [Entry(b"%d" % number, REG) for number in range(10)]
    counts = Counter(
        entry.path for seed in range(3000) for entry in proven.picked(entries, REG, 3, random.Random(seed))[0]
    )
    assert all(800 < counts[entry.path] < 1000 for entry in entries)


def ref(number, size=10):
    return VolumeRef("full-1", number, f"v{number}", "0" * 40, b"", b"", size)


def test_only_what_still_stands_at_the_target_is_proven():
    records = [
        {"kind": "rehearsal", "good": {"full-1": [1, 2], "full-0": [1]}},
        {"kind": "check", "good": {"full-1": "3"}},
        {"kind": "rehearsal", "good": "?"},
    ]
    places = proven.places(records)
    assert places == {("full-1", 1), ("full-1", 2), ("full-0", 1)}
    share = proven.share(places, [ref(1), ref(2), ref(3)], {"v1": 10, "v3": 30}, unknown=1)
    assert share == (1, 4, 10, 40)
    assert str(share) == "1 of 4 volumes (25.0 %), 10 of 40 bytes (25.0 %)"
    assert proven.share(places, [ref(1)], {"v1": None}) == (1, 1, None, None)


def test_almost_all_is_not_said_to_be_all():
    assert str(proven.Share(9999, 10000, None, None)).startswith("9999 of 10000 volumes (99.9 %)")


@pytest.fixture
def source(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    os.utime(tmp_path / "file", (MADE - 100, MADE - 100))
    return os.fsencode(tmp_path)


ENTRY = Entry(b"file", REG, mtime=MADE - 100)


@pytest.mark.parametrize(("content", "answer"), [(b"content", live.SAME), (b"rotten!", live.DIFFERENT)])
def test_an_unchanged_file_of_the_source_is_compared(source, content, answer):
    assert live.compared(source, ENTRY, MADE, io.BytesIO(content)) == answer
    assert live.compared(source + b"/file", ENTRY._replace(path=b""), MADE, io.BytesIO(content)) == answer


def test_a_file_that_may_have_changed_since_is_not_compared(source):
    path = os.path.join(source, b"file")
    assert live.compared(source, ENTRY, MADE - 100, io.BytesIO(b"x")) == live.CHANGED  # written as the backup began
    assert live.compared(source, ENTRY._replace(mtime=MADE - 99), MADE, io.BytesIO(b"x")) == live.CHANGED
    os.rename(path, path + b"2")
    assert live.compared(source, ENTRY, MADE, io.BytesIO(b"x")) == live.CHANGED
    os.symlink(path + b"2", path)
    assert live.compared(source, ENTRY, MADE, io.BytesIO(b"x")) == live.CHANGED
    os.unlink(path)
    os.mkfifo(path)
    assert live.compared(source, ENTRY, MADE, io.BytesIO(b"x")) == live.CHANGED


def test_comparing_leaves_no_trace_in_the_source(source):
    path = os.path.join(source, b"file")
    os.utime(path, (0, MADE - 100))
    live.compared(source, ENTRY, MADE, io.BytesIO(b"content"))
    assert os.stat(path).st_atime == 0
