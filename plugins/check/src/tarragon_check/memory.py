"""What earlier checks found out (ledger "checks"): which volumes were good in this round, which were not, sizes.

A round is over when every volume at the target was read in it and found good; the next sample begins another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tarragon.api import VolumeRef

    from .ranges import Place


@dataclass
class Memory:
    """The sum of all records. ``sizes`` are those of volumes whose hash was right when they were read."""

    round: int = 1
    covered: set[Place] = field(default_factory=set)
    damaged: set[Place] = field(default_factory=set)
    sizes: dict[Place, int] = field(default_factory=dict)

    def begin_round(self) -> None:
        """Forget what was covered: from now on it is read again."""
        self.round += 1
        self.covered.clear()

    def learn(self, good: Mapping[Place, int | None], bad: Iterable[Place]) -> None:
        """Take in what was read: good volumes with their sizes, and bad ones."""
        self.covered |= good.keys()
        self.damaged -= good.keys()
        self.damaged |= set(bad)
        self.covered -= self.damaged
        self.sizes.update({place: size for place, size in good.items() if size is not None})


def recalled(records: Iterable[Mapping[str, Any]]) -> Memory:
    """What the records come to. Those of other commands, and of a form that is not ours, are passed over."""
    memory = Memory()
    for record in records:
        if record.get("kind") != "check":
            continue
        try:
            good: dict[Place, int | None] = dict.fromkeys(ranges.places(record["good"]))
            sizes = {
                (key, int(number)): int(size) for key, of in record["sizes"].items() for number, size in of.items()
            }
            bad = list(ranges.places(record["bad"]))
            number = int(record["round"])
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        if number != memory.round:
            memory.round = number
            memory.covered.clear()
        memory.learn(good, bad)
        memory.sizes.update(sizes)
    return memory


def record(
    memory: Memory, mode: str, time: int, good: Iterable[VolumeRef], bad: Iterable[VolumeRef], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The line that remembers what was read. Sizes that are known already are left out."""
    sizes: dict[str, dict[str, int]] = {}
    good = list(good)
    for ref in good:
        if ref.size is not None and memory.sizes.get((ref.set_key, ref.number)) != ref.size:
            sizes.setdefault(ref.set_key, {})[str(ref.number)] = ref.size
    return {
        "kind": "check",
        "mode": mode,
        "time": time,
        "round": memory.round,
        "good": ranges.by_set((ref.set_key, ref.number) for ref in good),
        "bad": ranges.by_set((ref.set_key, ref.number) for ref in bad),
        "sizes": sizes,
        **facts,
    }
