"""From names to sets and chains: what belongs together, what a restore needs, and what an increment may build upon."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import CollectionError, NoManifest, ObjectInfo
from tarragon.store.chain import Collection, collect
from tarragon.volume.manifest import Manifest, VolumeRecord
from tarragon.volume.name import Names, Prefixes, SetTime

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
NAMES = Names()
DAY = 86400
T0 = 1700000000


def full(day: int) -> SetTime:
    return SetTime("full", T0 + day * DAY, T0 + day * DAY)


def inc(start: int, day: int) -> SetTime:
    return SetTime("inc", T0 + start * DAY, T0 + day * DAY)


def time(day: float) -> int:
    return T0 + int(day * DAY)


def stored(of: SetTime, volumes: int = 1, without: str = "", suffix: str = ".gz") -> list[str]:
    """The names of a set at the target; ``without`` leaves out "manifest" or "signatures"."""
    names = [NAMES.volume(of, number, suffix) for number in range(1, volumes + 1)]
    if without != "signatures":
        names.append(NAMES.signatures(of, suffix))
    if without != "manifest":
        names.append(NAMES.manifest(of, suffix if suffix == ".gpg" else ""))
    return names


def collected(*objects: list[str], local: list[str] | None = None, names: Names = NAMES) -> Collection:
    return collect([ObjectInfo(name) for each in objects for name in each], local or [], names)


def keys(found: Collection, at: float) -> list[SetTime]:
    return [each.of for each in found.sets_at(time(at))]


TWO_CHAINS = [stored(full(0)), stored(inc(0, 1)), stored(inc(1, 2)), stored(full(7)), stored(inc(7, 8))]


# which sets a time needs (docs/format.md § 7.1)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (-1, [full(0)]),
        (0, [full(0)]),
        (0.5, [full(0)]),
        (1, [full(0), inc(0, 1)]),
        (2, [full(0), inc(0, 1), inc(1, 2)]),
        (5, [full(0), inc(0, 1), inc(1, 2)]),
        (7, [full(7)]),
        (99, [full(7), inc(7, 8)]),
    ],
)
def test_a_time_needs_a_full_and_the_increments_up_to_it(day: float, expected: list[SetTime]) -> None:
    assert keys(collected(*TWO_CHAINS), day) == expected


def test_a_time_before_the_first_backup_is_told() -> None:
    found = collected(*TWO_CHAINS)
    assert [found.at(time(day)).too_early for day in (-1, 0, 5)] == [True, False, False]


def test_of_two_chains_that_cover_a_time_the_later_is_used_and_said_so() -> None:
    choice = collected(stored(full(0)), stored(inc(0, 9)), stored(full(5)), stored(inc(5, 8))).at(time(8))
    assert [each.of for each in choice.sets] == [full(5), inc(5, 8)]
    assert "several chains" in choice.warnings[0]


def test_nothing_at_the_target_is_an_error_of_its_own() -> None:
    with pytest.raises(CollectionError):
        collected().at(time(0))


def test_the_order_of_a_listing_does_not_matter() -> None:
    assert collected(*TWO_CHAINS[::-1]).chains == collected(*TWO_CHAINS).chains


# what is not whole


def test_a_partial_set_takes_no_part_in_a_restore() -> None:
    of = inc(0, 1)
    local = [NAMES.manifest(of, ".part"), NAMES.signatures(of, ".part")]
    found = collected(stored(full(0)), [NAMES.volume(of, 1, ".gz"), NAMES.volume(of, 2, ".gz")], local=local)
    choice = found.at(time(9))
    assert [each.of for each in choice.sets] == [full(0)]
    assert [(each.of, each.partial) for each in found.incomplete] == [(of, True)]
    assert [part.name for part in found.incomplete[0].parts] == local
    assert choice.warnings == (f"set {of.key} is not complete and is left out",)


def test_a_partial_full_does_not_hide_the_chain_before_it() -> None:
    found = collected(stored(full(0)), [NAMES.volume(full(1), 1, ".gz")], local=[NAMES.manifest(full(1), ".part")])
    assert keys(found, 9) == [full(0)]
    assert found.newest == time(1)


def test_a_set_whose_manifest_is_at_the_target_is_whole_even_if_its_part_was_left() -> None:
    found = collected(stored(full(0)), local=[NAMES.manifest(full(0), ".part")])
    assert (found.incomplete, found.chains[0].sets[0].partial) == ((), False)


def test_volumes_without_a_manifest_are_an_incomplete_set() -> None:
    found = collected(stored(full(0)), stored(inc(0, 1), without="manifest"))
    assert [(each.of, each.partial) for each in found.incomplete] == [(inc(0, 1), False)]


def test_a_set_behind_a_lost_manifest_is_not_restored_silently() -> None:
    found = collected(stored(full(0)), stored(inc(0, 1), without="manifest"), stored(inc(1, 2)))
    assert keys(found, 1.5) == [full(0)]
    with pytest.raises(NoManifest):
        found.at(time(2))
    assert found.basis() is None


def test_increments_on_a_full_without_a_manifest_are_orphans() -> None:
    found = collected(stored(full(0), without="manifest"), stored(inc(0, 1)))
    assert (found.chains, [each.of for each in found.orphans]) == ((), [inc(0, 1)])


def test_a_new_increment_takes_the_place_of_one_that_was_broken_off() -> None:
    found = collected(stored(full(0)), stored(inc(0, 1), without="manifest"), stored(inc(0, 2)), stored(inc(2, 3)))
    assert keys(found, 9) == [full(0), inc(0, 2), inc(2, 3)]
    assert [each.of for each in found.incomplete] == [inc(0, 1)]


def test_of_two_increments_on_one_set_the_later_counts() -> None:
    found = collected(stored(full(0)), stored(inc(0, 1)), stored(inc(0, 2)))
    assert (keys(found, 9), [each.of for each in found.orphans]) == ([full(0), inc(0, 2)], [inc(0, 1)])


def test_a_set_without_a_manifest_takes_no_place_of_a_whole_one() -> None:
    found = collected(stored(full(0)), stored(inc(0, 1)), stored(inc(0, 2), without="manifest"))
    assert keys(found, 9) == [full(0), inc(0, 1)]


@pytest.mark.parametrize("of", [inc(3, 2), inc(2, 2), inc(5, 6)])
def test_an_increment_that_fits_nowhere_is_an_orphan(of: SetTime) -> None:
    found = collected(stored(full(2)), stored(inc(2, 3)), stored(of))
    assert [each.of for each in found.orphans] == [of]
    assert keys(found, 9) == [full(2), inc(2, 3)]


# two objects for one thing, strays, strangers


@pytest.mark.requirement("R36")
@pytest.mark.parametrize("manifest", ["", ".gpg"])
def test_of_two_objects_for_one_volume_the_one_that_fits_the_manifest_is_used(manifest: str) -> None:
    both = [NAMES.volume(full(0), 1, ".gz"), NAMES.volume(full(0), 1, ".gpg"), NAMES.manifest(full(0), manifest)]
    found = collected(both)
    used, left = (both[1], both[0]) if manifest else (both[0], both[1])
    assert found.chains[0].sets[0].volumes[1].name == used
    assert [name.name for name in found.strays] == [left]
    assert left in found.warnings[0]


def test_an_encrypted_manifest_is_not_overruled_by_a_plain_one() -> None:
    found = collected(stored(full(0), suffix=".gpg"), [NAMES.manifest(full(0))])
    manifest = found.chains[0].sets[0].manifest
    assert manifest and manifest.name == NAMES.manifest(full(0), ".gpg")


def test_an_object_that_is_listed_twice_is_one_object() -> None:
    found = collected(stored(full(0)), stored(full(0)))
    assert (found.strays, found.warnings) == ((), ())


@pytest.mark.requirement("R36")
def test_files_of_others_are_counted_and_nothing_else() -> None:
    found = collected(stored(full(0)), ["photo.jpg", NAMES.manifest(full(0)) + ".par2", "tarragon.lease", "vol0"])
    assert (found.foreign, found.strays, len(found.chains)) == (3, (), 1)


@pytest.mark.requirement("R36")
def test_a_prefix_hides_the_sets_of_others() -> None:
    mine = Names(Prefixes(every="mine-"))
    found = collected(stored(full(0)), [mine.manifest(full(1)), mine.volume(full(1), 1, "")], names=mine)
    assert ([each.of for each in found], found.foreign) == ([full(1)], 3)


def test_signatures_without_a_set_and_parts_at_the_target_are_strays() -> None:
    names = {NAMES.signatures(full(1), ".gz"), NAMES.manifest(full(2), ".part")}
    assert {name.name for name in collected(stored(full(0)), list(names)).strays} == names


def test_what_is_only_in_the_cache_is_no_set() -> None:
    found = collected(local=[NAMES.manifest(full(0)), NAMES.signatures(full(0), ".gz")])
    assert list(found) == []


def test_volumes_are_compared_with_the_manifest() -> None:
    records = tuple(VolumeRecord(n, b"", None, b"", None, None) for n in (1, 2, 3, 10))
    each = collected(stored(full(0), volumes=11)[1:]).chains[0].sets[0]
    manifest = Manifest(b"", b"", records)
    assert (each.missing(manifest), each.surplus(manifest)) == ([1], [4, 5, 6, 7, 8, 9, 11])


def test_a_set_is_deleted_from_its_manifest_on() -> None:
    each = collected(stored(full(0), volumes=10)).chains[0].sets[0]
    assert each.names == [NAMES.manifest(full(0)), NAMES.signatures(full(0), ".gz")] + [
        NAMES.volume(full(0), number, ".gz") for number in range(1, 11)
    ]


def test_a_set_is_told_by_a_key_that_stays() -> None:
    found = collected(stored(full(0), suffix=".gpg"), stored(inc(0, 1), suffix=".gpg"))
    assert [each.key for each in found] == ["full-20231114T221320Z", "inc-20231114T221320Z-20231115T221320Z"]
    info = found.chains[0].sets[1].info(chain=3)
    assert (info.key, info.volumes, info.encrypted, info.chain) == (found.chains[0].sets[1].key, 1, True, 3)


# what an increment may build upon


def test_the_basis_is_the_chain_that_ends_last() -> None:
    found = collected(stored(full(0)), stored(inc(0, 9)), stored(full(5)))
    chain = found.basis()
    assert chain and chain.sets[-1].of == inc(0, 9)


def test_a_chain_without_all_signatures_is_no_basis() -> None:
    bare = stored(inc(0, 1), without="signatures")
    assert collected(stored(full(0)), bare, stored(inc(1, 2))).basis() is None
    cached = collected(stored(full(0)), bare, stored(inc(1, 2)), local=[NAMES.signatures(inc(0, 1), ".gz")])
    assert cached.basis() is cached.chains[0]


def test_the_reason_why_there_is_no_basis_names_the_set() -> None:
    chain = collected(stored(full(0), without="signatures")).latest_chain()
    assert chain and chain.problem == f"the signatures of set {full(0).key} are missing"


def test_an_older_chain_is_no_basis_when_the_newest_is_broken() -> None:
    assert collected(stored(full(0)), stored(full(1), without="signatures")).basis() is None


# golden repositories


def golden(folder: str, separator: str = ":") -> Collection:
    def names(below: str) -> list[str]:
        place = GOLDEN / folder / below
        return sorted(each.name for each in place.iterdir()) if place.is_dir() else []

    prefixes = Prefixes("all-", "arch_", "m.", "S", "j-") if folder == "prefix" else Prefixes()
    return collected(names("repo"), local=names("archive"), names=Names(prefixes, separator))


@pytest.mark.requirement("R73")
@pytest.mark.parametrize(
    ("folder", "chains", "orphans", "incomplete"),
    [
        ("two-chains", [3, 2], 0, 0),
        ("clock-back", [2], 1, 0),
        ("interrupted-inc", [1], 0, 1),
        ("interrupted-full", [], 0, 1),
        ("interrupted-full/resumed", [1], 0, 0),
        ("legacy-short", [2], 0, 0),
        ("prefix", [2], 0, 0),
        ("par2", [2], 0, 0),
        ("gpg-symmetric-signed", [2], 0, 0),
        ("empty-volume", [3], 0, 0),
    ],
)
def test_golden_repositories_fall_into_their_chains(
    folder: str, chains: list[int], orphans: int, incomplete: int
) -> None:
    found = golden(folder)
    assert [len(chain.sets) for chain in found.chains] == chains
    assert (len(found.orphans), len(found.incomplete)) == (orphans, incomplete)
    assert found.strays == ()


@pytest.mark.requirement("R73")
def test_a_set_with_two_spellings_of_its_time_is_one_set() -> None:
    assert [len(chain.sets) for chain in golden("legacy-separator", "_").chains] == [2]
    assert golden("legacy-separator").chains == ()


# any listing

set_times = st.builds(full, st.integers(0, 4)) | st.builds(inc, st.integers(0, 4), st.integers(0, 5))
suffixes = st.sampled_from(["", ".gz", ".gpg", ".odd", ".gz.par2", ".part"])
any_name = (
    st.builds(NAMES.volume, set_times, st.integers(1, 3), suffixes)
    | st.builds(NAMES.manifest, set_times, suffixes)
    | st.builds(NAMES.signatures, set_times, suffixes)
    | st.builds(NAMES.stats, set_times, suffixes)
    | st.text(max_size=5)
)


@pytest.mark.requirement("R40")
@given(st.lists(any_name, max_size=40), st.lists(any_name, max_size=10), st.integers(-1, 6))
def test_any_listing_falls_into_sets_each_once(remote: list[str], local: list[str], day: int) -> None:
    found = collected(remote, local=local)
    sets = list(found)
    assert len(sets) == len({each.of for each in sets})
    for chain in found.chains:
        assert chain.sets[0].is_full
        assert all(each.is_whole for each in chain.sets + chain.beyond)
        assert all(b.of.start == a.of.time for a, b in zip(chain.sets, chain.sets[1:], strict=False))
    used = [name for each in sets for name in each.names] + [name.name for name in found.strays]
    assert sorted(used) == sorted({name for name in remote if NAMES.parse(name)})
    try:
        assert all(each.is_whole for each in found.sets_at(time(day)))
    except CollectionError:
        assert not found.chains or any(chain.beyond for chain in found.chains)
    found.basis()
