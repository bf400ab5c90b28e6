"""What counts as an alarm, and what as somebody's retention: the rules alone, without a target."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tarragon.api import ObjectInfo
from tarragon.run.alarms import compare
from tarragon.run.memory import STORED, Remembered, Thing
from tarragon.store.chain import BackupSet, collect
from tarragon.volume.name import Names, SetTime

NAMES = Names()


def full(day: int) -> SetTime:
    return SetTime("full", day * 86400, day * 86400)


def inc(start: int, day: int) -> SetTime:
    return SetTime("inc", start * 86400, day * 86400)


THREE = [full(1), inc(1, 2), inc(2, 3), full(4), inc(4, 5), full(6), inc(6, 7), inc(7, 8)]


def objects(sets: Iterable[SetTime]) -> list[ObjectInfo]:
    return [
        ObjectInfo(name, size)
        for of in sets
        for name, size in (
            (NAMES.manifest(of), 10),
            (NAMES.signatures(of, ".gz"), 20),
            (NAMES.sums(of, ".gz"), 30),
            (NAMES.volume(of, 1, ".gz"), 100),
            (NAMES.volume(of, 2, ".gz"), 50),
        )
    ]


def remembered(sets: Iterable[SetTime]) -> dict[SetTime, Remembered]:
    return {of: Remembered(of, STORED, 2, 150, Thing(10, "m"), Thing(20, "s"), "sums") for of in sets}


def met(listing: list[ObjectInfo], sets: Iterable[SetTime] = THREE) -> tuple[list[str], list[SetTime]]:
    whole: dict[SetTime, BackupSet] = {each.of: each for each in collect(listing, [], NAMES) if each.is_whole}
    findings, retired = compare(remembered(sets), whole, {info.name: info.size for info in listing})
    return sorted({finding.set_key for finding in findings}), retired


def without(*gone: SetTime) -> list[ObjectInfo]:
    return objects([of for of in THREE if of not in gone])


def test_what_is_as_it_was_is_no_news() -> None:
    assert met(objects(THREE)) == ([], [])


@pytest.mark.requirement("R13")
@pytest.mark.parametrize(
    "gone",
    [
        THREE[:3],  # remove-older-than, remove-all-but-n-full
        THREE[:5],
        [inc(1, 2), inc(2, 3)],  # remove-all-inc-of-but-n-full
        [inc(1, 2), inc(2, 3), inc(4, 5)],
        [*THREE[:3], inc(4, 5)],  # one after the other
    ],
)
def test_retention_of_others_is_no_alarm(gone: list[SetTime]) -> None:
    assert met(without(*gone)) == ([], gone)


@pytest.mark.requirement("R13")
@pytest.mark.parametrize(
    "gone",
    [
        [inc(7, 8)],  # the newest set
        [inc(6, 7)],  # a hole
        [inc(6, 7), inc(7, 8)],  # the increments of the newest chain
        [full(6), inc(6, 7), inc(7, 8)],  # an older state
        [full(4), inc(4, 5)],  # a chain in the middle
        [inc(4, 5)],  # increments of a chain, and not those of an older one
        [inc(2, 3)],  # the end of an old chain
        [full(1)],  # a full set without its increments
        THREE,
    ],
)
def test_anything_else_that_is_gone_is_an_alarm(gone: list[SetTime]) -> None:
    assert met(without(*gone)) == (sorted(of.key for of in gone), [])


def test_retention_beside_a_change_is_an_alarm_too() -> None:
    listing = [info for info in without(*THREE[:3]) if info.name != NAMES.volume(full(6), 2, ".gz")]
    assert met(listing) == (sorted(of.key for of in [*THREE[:3], full(6)]), [])


@pytest.mark.requirement("R13")
@pytest.mark.requirement("R15")
@pytest.mark.requirement("R57")
@pytest.mark.parametrize(
    "name",
    [NAMES.volume(full(4), 2, ".gz"), NAMES.sums(full(4), ".gz"), NAMES.signatures(full(4), ".gz")],
    ids=["volume", "sums", "signatures"],
)
def test_an_object_of_a_set_that_is_gone_is_an_alarm(name: str) -> None:
    assert met([info for info in objects(THREE) if info.name != name]) == ([full(4).key], [])


@pytest.mark.requirement("R13")
@pytest.mark.parametrize(
    "name",
    [NAMES.volume(full(4), 2, ".gz"), NAMES.manifest(full(4)), NAMES.signatures(full(4), ".gz")],
    ids=["volume", "manifest", "signatures"],
)
def test_another_size_is_an_alarm_and_no_size_is_none(name: str) -> None:
    def sized(size: int | None) -> list[ObjectInfo]:
        return [ObjectInfo(name, size) if info.name == name else info for info in objects(THREE)]

    assert met(sized(9)) == ([full(4).key], [])
    assert met(sized(None)) == ([], [])


def test_a_volume_too_many_is_no_alarm() -> None:
    assert met([*objects(THREE), ObjectInfo(NAMES.volume(full(4), 3, ".gz"), 5)]) == ([], [])
