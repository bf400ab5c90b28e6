"""What rehearsals have proven so far: which volumes gave files that came out right. Pure functions of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

    from tarragon.api import Entry, VolumeRef


class Share(NamedTuple):
    """How much of what stands at the target; sizes are None where the far side does not tell them all."""

    volumes: int
    of_volumes: int
    size: int | None
    of_size: int | None

    def __str__(self) -> str:
        text = f"{self.volumes} of {self.of_volumes} volumes ({_percent(self.volumes, self.of_volumes)})"
        if self.size is None or self.of_size is None:
            return f"{text}; bytes are not known, the target tells no sizes"
        return f"{text}, {self.size} of {self.of_size} bytes ({_percent(self.size, self.of_size)})"


def _percent(part: int, whole: int) -> str:
    """Never 100 % before it is all."""
    return "100 %" if part == whole else f"{min(99.9, 100 * part / whole):.1f} %"


def places(records: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """(set, number) of the volumes that rehearsals have proven. Records of another form are passed over."""
    found: set[tuple[str, int]] = set()
    for record in records:
        good = record.get("good")
        if record.get("kind") == "rehearsal" and isinstance(good, dict):
            for key, numbers in good.items():
                found |= {(key, number) for number in numbers if isinstance(number, int)}
    return found


def by_set(refs: Iterable[VolumeRef]) -> dict[str, list[int]]:
    """Volumes as a record holds them."""
    found: dict[str, list[int]] = {}
    for ref in sorted(refs, key=lambda ref: (ref.set_key, ref.number)):
        found.setdefault(ref.set_key, []).append(ref.number)
    return found


def share(
    proven: set[tuple[str, int]], volumes: Sequence[VolumeRef], present: Mapping[str, int | None], unknown: int = 0
) -> Share:
    """The part of ``volumes``, and of ``unknown`` more, that is proven and still there.

    ``present`` has the size of each object of the listing. Bytes are those of the ``volumes`` that are there.
    """
    there = [ref for ref in volumes if ref.name in present]
    good = [ref for ref in there if (ref.set_key, ref.number) in proven]
    count = len(volumes) + unknown
    if any(present[ref.name] is None for ref in there):
        return Share(len(good), count, None, None)
    size, of_size = (sum(present[ref.name] or 0 for ref in refs) for refs in (good, there))
    return Share(len(good), count, size, of_size)


def picked(entries: Iterable[Entry], kind: str, count: int, chance: random.Random) -> tuple[list[Entry], int]:
    """``count`` entries of a kind, each with the same chance, in their order; and how many there are of that kind.

    Never holds more than these.
    """
    held: list[tuple[int, Entry]] = []
    seen = 0
    for entry in entries:
        if entry.kind != kind:
            continue
        seen += 1
        if len(held) < count:
            held.append((seen, entry))
        elif (at := chance.randrange(seen)) < count:
            held[at] = seen, entry
    return [entry for _, entry in sorted(held, key=lambda pair: pair[0])], seen
