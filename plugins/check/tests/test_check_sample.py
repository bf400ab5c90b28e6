"""Which volumes are read when, and what is remembered of it: pure functions."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import VolumeRef
from tarragon_check import memory, ranges, sample

sizes = st.lists(st.integers(0, 1000) | st.none(), min_size=1, max_size=60)


def refs(found) -> list[VolumeRef]:
    return [VolumeRef(f"full-{n // 7}", n % 7 + 1, f"v{n}", "0" * 40, b"", b"", size) for n, size in enumerate(found)]


@given(st.sets(st.integers(1, 10**6)))
def test_ranges_stand_for_the_numbers_they_were_made_of(numbers):
    assert sorted(ranges.from_text(ranges.to_text(numbers))) == sorted(numbers)


def test_neighbours_make_one_range():
    assert ranges.to_text([3, 1, 2, 7]) == "1-3,7"


def run(present, known, percent, bad=()):
    """One run as the command does it; the volumes that it read."""
    if known.covered >= {sample.place(ref) for ref in present}:
        known.begin_round()
    read = sample.chosen(present, known.covered, known.damaged, percent)
    good = [ref for ref in read if sample.place(ref) not in bad]
    known.learn({sample.place(ref): ref.size for ref in good}, [sample.place(ref) for ref in read if ref not in good])
    return read


@given(sizes, st.floats(0.5, 100))
def test_a_round_reads_everything_once_in_as_many_runs_as_were_stated(found, percent):
    present, known = refs(found), memory.Memory()
    read = run(present, known, percent)
    runs = 1
    left = sample.runs_left(present, known.covered, percent)
    assert left <= math.ceil(100 / percent)
    while known.covered < {sample.place(ref) for ref in present}:
        read += run(present, known, percent)
        runs += 1
    assert runs <= left + 1
    assert runs <= math.ceil(100 / percent)
    assert sorted(ref.name for ref in read) == sorted(ref.name for ref in present)
    assert known.round == 1


@given(sizes, st.floats(5, 100))
def test_a_run_reads_its_share_or_all_that_is_left(found, percent):
    present, known = refs(found), memory.Memory()
    while known.covered < {sample.place(ref) for ref in present}:
        read = run(present, known, percent)
        weight = dict(zip((ref.name for ref in present), sample.weights(present), strict=True))
        share = sum(weight[ref.name] for ref in read) / sum(weight.values()) * 100
        assert share >= percent - 1e-6 or known.covered == {sample.place(ref) for ref in present}


@given(sizes, st.floats(5, 100), st.data())
def test_what_was_damaged_is_read_again_in_each_run(found, percent, data):
    present, known = refs(found), memory.Memory()
    bad = data.draw(st.sets(st.sampled_from([sample.place(ref) for ref in present]), min_size=1))
    for _ in range(math.ceil(100 / percent) + 1):
        run(present, known, percent, bad)
    assert known.damaged == bad
    assert bad <= {sample.place(ref) for ref in run(present, known, percent, bad)}


def test_a_volume_that_turns_out_damaged_counts_as_good_no_more():
    present, known = refs([10] * 4), memory.Memory()
    run(present, known, 50)
    known.learn({}, [sample.place(present[0])])
    assert known.covered == {sample.place(present[1])}


def test_a_volume_that_was_mended_counts_again():
    present, known = refs([10]), memory.Memory()
    run(present, known, 100, bad={sample.place(present[0])})
    assert known.damaged
    run(present, known, 100)
    assert (known.damaged, known.covered) == (set(), {sample.place(present[0])})


def test_a_volume_that_is_added_is_read_in_the_same_round():
    known = memory.Memory()
    run(refs([10] * 10), known, 50)
    read = run(refs([10] * 12), known, 100)
    assert [ref.name for ref in read] == [f"v{n}" for n in range(5, 12)]


@given(st.lists(st.tuples(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)), st.booleans()), max_size=8))
def test_records_come_to_what_was_learned(runs):
    present, known, lines = refs([5] * 21), memory.Memory(), []
    for good, bad, begins in runs:
        if begins:
            known.begin_round()
        chosen = [present[n] for n in sorted(good - bad)], [present[n] for n in sorted(bad)]
        lines.append(json.loads(json.dumps(memory.record(known, "sample", 1, *chosen, {"problems": {}}))))
        known.learn({sample.place(ref): ref.size for ref in chosen[0]}, map(sample.place, chosen[1]))
    again = memory.recalled(lines)
    assert (again.damaged, again.sizes) == (known.damaged, known.sizes)
    assert again.covered == known.covered or not lines
    assert not lines or again.round == known.round


def test_records_of_others_and_of_no_form_are_passed_over():
    odd = [{"kind": "rehearsal"}, {"kind": "check"}, {"kind": "check", "round": 1, "good": 3, "bad": {}, "sizes": {}}]
    assert memory.recalled(odd) == memory.Memory()
