"""Jobs: cut by the source alone, about a volume each, large files in ranges that join."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tarragon.api.entry import DIR, REG, Entry
from tarragon.delta import rsync
from tarragon.delta.compare import ADDED, DELETED, Change, Kept
from tarragon.delta.difftar import PART
from tarragon.run import plan
from tarragon.run.plan import MOST_CHANGES, jobs, ranges

MIB = 1 << 20
#: Block lengths with all kinds of common multiples with a part.
LENGTHS = [512 * blocks for blocks in (*range(1, 20), 127, 128, 129, 130, 255, 256, 2049, 6325)]


def cut_well(size, target, found, block_len):
    """What ranges promise to those who join them."""
    assert (0, size) == (found[0].start, found[-1].stop)
    assert [each.stop for each in found[:-1]] == [each.start for each in found[1:]]
    assert list(range(len(found))) == [each.ordinal for each in found]
    assert [False] * (len(found) - 1) + [True] == [each.last for each in found]
    assert all(each.start % PART == each.start % block_len == 0 for each in found)
    assert {block_len} == {each.block_len for each in found}
    assert len({each.stop - each.start for each in found[:-1]}) <= 1
    assert all(each.start < each.stop for each in found)
    step = math.lcm(PART, block_len)
    assert all(each.stop - each.start <= max(step, 1.5 * target + step) for each in found)


@settings(max_examples=300, deadline=None)
@given(st.integers(2 * PART, 1 << 45), st.integers(PART, 1 << 30), st.sampled_from([0, 1, 512, 513, 2048, 5000, 66000]))
@example(10**13, 200 * MIB, 0)
@example(3 * MIB, MIB - 51200, 0)
def test_ranges_begin_at_multiples_of_a_part_and_of_the_signatures_blocks(size, target, max_blocksize):
    if size // target > 5000:
        target = size // 5000
    cut_well(size, target, list(ranges(size, target, max_blocksize)), rsync.block_length(size, max_blocksize))


@pytest.mark.parametrize("block_len", LENGTHS)
@pytest.mark.parametrize("size", [100 * MIB, 100 * MIB + 1, 3 * MIB - 1])
def test_ranges_are_cut_well_for_every_block_length(monkeypatch, block_len, size):
    monkeypatch.setattr(rsync, "block_length", lambda size, limit: block_len)
    cut_well(size, MIB, list(ranges(size, MIB, 0)), block_len)


# -- jobs -------------------------------------------------------------------------------------------------------------


def added(path, size, kind=REG):
    return Change(ADDED, Entry(path, kind, size=size))


changes_st = st.lists(
    st.builds(
        lambda kind, size: (
            Kept(b"k", "why") if kind == "kept" else Change(kind, Entry(b"p", DIR if kind == "dir" else REG, size=size))
        ),
        st.sampled_from([ADDED, DELETED, "kept"]),
        st.integers(0, 6 * MIB) | st.integers(0, 70000),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(changes_st, st.sampled_from([1.0, 0.4]))
def test_every_change_is_in_one_job_in_order_or_its_ranges_are(changes, ratio):
    numbered = [change._replace(path=b"%d" % at) if isinstance(change, Kept) else
                change._replace(entry=change.entry._replace(path=b"%d" % at))
                for at, change in enumerate(changes)]  # fmt: skip
    found = list(jobs(numbered, MIB, ratio, 0))
    assert found
    order = []
    for job in found:
        for item in job.items:
            if item.range is None:
                order.append(item.change)
            else:
                assert len(job.items) == 1
                if item.range.last:
                    order.append(item.change)
    assert [change for change in numbered if isinstance(change, Change)] == order
    assert [change for change in numbered if isinstance(change, Kept)] == [kept for job in found for kept in job.kept]


@settings(max_examples=200, deadline=None)
@given(changes_st)
def test_a_job_is_closed_when_it_is_about_a_volume_and_not_before(changes):
    found = list(jobs([change for change in changes if isinstance(change, Change)], MIB, 1.0, 0))
    target = MIB - 51200
    for job, following in zip(found, found[1:], strict=False):
        if job.items[0].range is not None:
            continue
        cost = sum(plan._cost(item.change) for item in job.items)
        assert cost <= 1.5 * target
        assert cost >= target or cost + plan._cost(following.items[0].change) > 1.5 * target


def test_the_same_changes_make_the_same_jobs():
    changes = [added(b"%05d" % number, number * 977) for number in range(300)]
    assert list(jobs(changes, MIB, 0.5, 0)) == list(jobs(iter(changes), MIB, 0.5, 0))


def test_nothing_to_do_is_one_empty_job():
    assert [plan.Job(())] == list(jobs([], MIB, 1.0, 0))


def test_what_is_only_kept_is_told_in_a_job():
    kept = Kept(b"a", "why")
    assert [plan.Job((), (kept,))] == list(jobs([kept], MIB, 1.0, 0))


def test_a_tree_of_empty_files_is_not_one_job():
    found = list(jobs((added(b"%07d" % number, 0) for number in range(MOST_CHANGES + 10)), 10**12, 1.0, 0))
    assert len(found) == 2


def test_a_large_file_that_cannot_be_read_is_kept_and_makes_no_range():
    found = list(jobs([added(b"big", 10 * MIB)], MIB, 1.0, 0, readable=lambda path: False))
    assert [plan.Job((), (Kept(b"big", "no permission"),))] == found
