"""Which times are in doubt: pure questions."""

from __future__ import annotations

import pytest
from tarragon.api import Commit, ListedObject, Role, SetInfo
from tarragon_prune.doubt import DAY, doubts, is_off

NOW = 1_700_000_000


def full(at: int) -> SetInfo:
    return SetInfo(f"full-{at}", "full", at, at, 1, False, True, 0)


def manifest(of: SetInfo, modified: float | None) -> ListedObject:
    return ListedObject(f"{of.key}.manifest", 1, Role.MANIFEST, of.key, 0, modified)


def stored_at(*moments: tuple[int, float | None]) -> tuple[list[SetInfo], list[ListedObject]]:
    sets = [full(at) for at, _ in moments]
    return sets, [manifest(of, modified) for of, (_, modified) in zip(sets, moments, strict=True)]


@pytest.mark.requirement("R17")
def test_sets_that_came_in_their_order_are_believed() -> None:
    sets, objects = stored_at(*[(NOW + n * DAY, NOW + n * DAY + 3600) for n in range(20)])
    met = [Commit("seen", (of.key,), of.time + 7200) for of in sets]
    assert doubts(sets, objects, met, NOW + 100 * DAY) == {}


@pytest.mark.requirement("R17")
def test_a_copied_repository_whose_objects_all_came_at_once_is_believed() -> None:
    sets, objects = stored_at(*[(NOW + n * DAY, NOW + 99 * DAY + n % 7 * 3600) for n in range(20)])
    assert doubts(sets, objects, [Commit("seen", tuple(of.key for of in sets), NOW + 99 * DAY)], NOW + 100 * DAY) == {}


@pytest.mark.requirement("R17")
def test_a_target_that_tells_no_times_leaves_the_order_in_which_sets_were_met() -> None:
    sets, objects = stored_at((NOW, None), (NOW + 2 * DAY, None), (NOW + 4 * DAY, None))
    met = [Commit("seen", (sets[number].key,), NOW + day * DAY) for number, day in ((0, 0), (2, 4), (1, 8))]
    assert list(doubts(sets, objects, met, NOW + 100 * DAY)) == [sets[1].key]


@pytest.mark.requirement("R17")
@pytest.mark.parametrize("kind", ["stored", "seen"])
def test_a_set_that_was_stored_before_its_own_time_is_in_doubt_whoever_made_it(kind: str) -> None:
    sets, objects = stored_at((NOW, NOW), (NOW + 3 * DAY, NOW + DAY))
    found = doubts(sets, objects, [Commit(kind, (of.key,), NOW + 5 * DAY) for of in sets], NOW + 100 * DAY)
    assert list(found) == [sets[1].key]


@pytest.mark.requirement("R17")
@pytest.mark.parametrize(("kind", "is_doubted"), [("stored", False), ("seen", True)])
def test_a_set_that_was_put_behind_newer_ones_is_in_doubt_unless_it_is_ours(kind: str, is_doubted: bool) -> None:
    sets, objects = stored_at((NOW, NOW + 9 * DAY), (NOW + 3 * DAY, NOW + 3 * DAY))
    found = doubts(sets, objects, [Commit(kind, (of.key,), NOW + 10 * DAY) for of in sets], NOW + 100 * DAY)
    assert (sets[0].key in found) == is_doubted
    assert sets[1].key not in found


@pytest.mark.requirement("R17")
def test_the_clock_is_off_only_against_a_lease_that_tells_the_time() -> None:
    lease = ListedObject("prefix-tarragon.lease", 1, Role.OWN, modified=NOW)
    assert is_off(NOW + 2 * DAY, [lease])
    assert not is_off(NOW + DAY, [lease])
    assert not is_off(NOW - 9 * DAY, [lease])
    assert not is_off(NOW + 2 * DAY, [manifest(full(NOW), NOW), ListedObject("tarragon.lease")])
