"""Which volumes to read this time: a pure function, so that what it promises can be shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tarragon.api import VolumeRef

    from .ranges import Place


def place(ref: VolumeRef) -> Place:
    """By what a record knows a volume."""
    return ref.set_key, ref.number


def weights(present: Sequence[VolumeRef]) -> list[int]:
    """What each volume counts: its bytes; 1 each where the far side does not tell all sizes."""
    if all(ref.size is not None for ref in present):
        return [max(1, ref.size or 0) for ref in present]
    return [1] * len(present)


def chosen(
    present: Sequence[VolumeRef], covered: Collection[Place], damaged: Collection[Place], percent: float
) -> list[VolumeRef]:
    """The next volumes that are not covered, until they are ``percent`` of all; those known as damaged besides.

    So a round over volumes that stay the same takes at most ``ceil(100 / percent)`` runs.
    """
    wanted = percent / 100 * sum(weights(present))
    found, weight = [], 0
    for ref, heavy in zip(present, weights(present), strict=True):
        if place(ref) in damaged:
            found.append(ref)
        elif place(ref) not in covered and weight < wanted:
            found.append(ref)
            weight += heavy
    return found


def runs_left(present: Sequence[VolumeRef], covered: Collection[Place], percent: float) -> int:
    """How many more such runs cover the rest, if the volumes stay the same."""
    left = sum(heavy for ref, heavy in zip(present, weights(present), strict=True) if place(ref) not in covered)
    return math.ceil(left / (percent / 100 * sum(weights(present)))) if left else 0
