"""Which times of sets are not to be believed (R17).

A set's name says when it was made, and so does whoever may write to the target. What else is known is when the far side
got it, by the far side's own clock, and in which order this client met the sets. No effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tarragon.api import Commit, ListedObject, SetInfo

DAY = 86400
#: The lease that a run which deletes has just put: its time is the far side's time.
_LEASE = "tarragon.lease"


def doubts(
    sets: Sequence[SetInfo], objects: Iterable[ListedObject], commits: Iterable[Commit], now: int
) -> dict[str, str]:
    """Set key → what contradicts its time by more than a day. Own sets are believed to be as old as they say.

    In doubt is a set that the target got before the time that it says, and one made by others that came in, or was
    first met, after sets that are newer by name: somebody has put it behind them.
    """
    got = {each.set_key: each.modified for each in objects if each.role is Role.MANIFEST and each.modified is not None}
    first, own = _first_met(commits)
    by_time = sorted(sets, key=lambda each: each.time)
    found: dict[str, str] = {}
    for each in by_time:
        first.setdefault(each.key, now)  # met in this very run
        if got.get(each.key, each.time) < each.time - DAY:
            found[each.key] = "it is dated after it was stored"
    others = {each.key for each in by_time} - own
    for key in _behind(by_time, got):
        if key in others:
            found.setdefault(key, "it was stored after newer sets")
    for key in _behind(by_time, first):
        if key in others:
            found.setdefault(key, "it was first met after newer sets")
    return found


def _first_met(commits: Iterable[Commit]) -> tuple[dict[str, float], frozenset[str]]:
    """When this client first knew of each set, and which sets it has stored itself."""
    first: dict[str, float] = {}
    own: set[str] = set()
    for commit in commits:
        for key in commit.sets:
            first.setdefault(key, commit.when)
            if commit.kind == "stored":
                own.add(key)
    return first, frozenset(own)


def _behind(by_time: Sequence[SetInfo], moments: Mapping[str, float]) -> list[str]:
    """Sets that came more than a day later than one that is newer by more than a day."""
    found = []
    earliest, at = float("inf"), len(by_time)  # among the sets that are newer by more than a day
    for each in reversed(by_time):
        while at and by_time[at - 1].time > each.time + DAY:
            at -= 1
            earliest = min(earliest, moments.get(by_time[at].key, earliest))
        if moments.get(each.key, earliest) > earliest + DAY:
            found.append(each.key)
    return found


def is_off(now: float, objects: Iterable[ListedObject]) -> bool:
    """Whether the clock here is more than a day ahead of the far side's; asked while the lease stands there."""
    leases = [each.modified for each in objects if each.name.endswith(_LEASE) and each.modified is not None]
    return bool(leases) and now > max(leases) + DAY
