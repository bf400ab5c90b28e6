"""The listing against the manifests: what is missing, empty, short or in nobody's manifest. Nothing is fetched here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tarragon.api import ListedObject, SetInfo, VolumeRef

    from .ranges import Place


class Problem(NamedTuple):
    """Damage: the object, the set it belongs to, what is wrong, and what was compared when it was found."""

    name: str
    set_key: str
    problem: str
    compared: tuple[str, ...] = ("listing",)


@dataclass
class Survey:
    """What a listing shows. ``present`` are the volumes that are there, oldest set first, of ``total`` that should be.

    Of a set whose manifest cannot be read, those that are there count in ``total``, and none of them in ``present``.
    ``size`` is that of all volumes that are there, None where the far side does not tell all sizes. ``sized`` counts
    the volumes whose size could be compared with a known one. ``notes`` are no damage.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    present: list[VolumeRef] = field(default_factory=list)
    total: int = 0
    size: int | None = 0
    sized: int = 0


def survey(
    sets: Sequence[SetInfo],
    volumes: Mapping[str, Sequence[VolumeRef] | str],
    objects: Sequence[ListedObject],
    sizes: Mapping[Place, int],
) -> Survey:
    """Compare ``objects`` with the ``volumes`` of each set; a text in their place says why they are not known.

    ``sizes`` are those known from elsewhere.
    """
    found = Survey()
    by_name = {each.name: each for each in objects}
    named: set[str] = set()
    for of in sets:
        refs = volumes[of.key]
        if isinstance(refs, str):
            found.problems.append(Problem(_manifest_name(objects, of), of.key, refs, ("content",)))
            continue
        for ref in refs:
            found.total += 1
            named.add(ref.name)
            _one_volume(found, ref, by_name.get(ref.name), sizes.get((of.key, ref.number)))
    unread = {key for key, refs in volumes.items() if isinstance(refs, str)}
    lone = [each for each in objects if each.role is Role.VOLUME and each.set_key in unread]
    found.total += len(lone)
    there = [by_name[ref.name].size for ref in found.present] + [each.size for each in lone]
    found.size = None if None in there else sum(size or 0 for size in there)
    _metadata(found, sets, objects)
    _others(found, {of.key for of in sets}, objects, named, unread)
    return found


def _manifest_name(objects: Sequence[ListedObject], of: SetInfo) -> str:
    return next((each.name for each in objects if each.role is Role.MANIFEST and each.set_key == of.key), of.key)


def _one_volume(found: Survey, ref: VolumeRef, listed: ListedObject | None, known: int | None) -> None:
    def tell(problem: str) -> None:
        found.problems.append(Problem(ref.name, ref.set_key, problem))

    if listed is None:
        tell(f"volume {ref.number} is not at the target")
        return
    found.present.append(ref)
    if listed.size is None:
        return
    found.sized += known is not None
    if listed.size == 0:
        tell(f"volume {ref.number} is empty")
    elif known is not None and listed.size < known:
        tell(f"volume {ref.number} is short: {listed.size} of {known} bytes")
    elif known is not None and listed.size > known:
        tell(f"volume {ref.number} has grown: {listed.size} bytes, it had {known}")


def _metadata(found: Survey, sets: Sequence[SetInfo], objects: Sequence[ListedObject]) -> None:
    """Each set's signatures must be there, and neither they nor its manifest empty."""
    signed = {each.set_key for each in objects if each.role is Role.SIGNATURES}
    for of in sets:
        if of.key not in signed:
            found.problems.append(Problem(of.key, of.key, "its signatures are not at the target"))
    keys = {of.key for of in sets}
    for each in objects:
        if each.set_key in keys and each.size == 0 and each.role in (Role.MANIFEST, Role.SIGNATURES):
            found.problems.append(Problem(each.name, each.set_key, "it is empty"))


def _others(found: Survey, keys: set[str], objects: Sequence[ListedObject], named: set[str], unread: set[str]) -> None:
    """What no manifest names: sets that hang on nothing are damage, all else is said and left alone."""
    foreign = 0
    leftovers: dict[str, int] = {}
    whole = {each.set_key for each in objects if each.role is Role.MANIFEST}
    for each in objects:
        if each.role is None:
            foreign += 1
        elif each.set_key and each.set_key not in keys and each.set_key in whole:
            if each.role is Role.MANIFEST:
                found.problems.append(Problem(each.name, each.set_key, "a set that it builds on is missing"))
        elif each.set_key and each.set_key not in keys:
            leftovers[each.set_key] = leftovers.get(each.set_key, 0) + 1
        elif each.role is Role.VOLUME and each.name not in named and each.set_key not in unread:
            found.notes.append(f"'{each.name}' is in no manifest")
    for key, count in leftovers.items():
        found.notes.append(
            f"{count} objects are of set {key}, which has no manifest: a run that was broken off, or a loss"
        )
    if foreign:
        found.notes.append(f"{foreign} objects are not of a backup")
