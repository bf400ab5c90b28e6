"""Sets, rules and a time → what is kept, what is deleted, and why. No effects: the same question, the same answer."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tarragon.api import SetInfo


class Rules(NamedTuple):
    """How many sets to keep of each kind; 0 for a rule that is not used. ``since``: all sets after this second."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    since: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no rule is used, so that there is nothing to decide by."""
        return self == Rules()


class Decision(NamedTuple):
    """What happens to a set. ``reasons`` is never empty."""

    info: SetInfo
    keep: bool
    reasons: tuple[str, ...]


_Moment = time.struct_time

#: Rule → what a set's local time falls into. Of each such period the newest set counts.
_PERIODS: Mapping[str, Callable[[_Moment], tuple[int, ...]]] = {
    "daily": lambda at: (at.tm_year, at.tm_yday),
    "weekly": lambda at: date(at.tm_year, at.tm_mon, at.tm_mday).isocalendar()[:2],
    "monthly": lambda at: (at.tm_year, at.tm_mon),
    "yearly": lambda at: (at.tm_year,),
}


def decide(
    sets: Sequence[SetInfo],
    rules: Rules,
    now: int,
    *,
    pins: Collection[str] = (),
    damaged: Mapping[str, str] = {},
    doubted: Mapping[str, str] = {},
    rehearsed: Collection[str] = (),
    own: Collection[str] = (),
    local: Callable[[float], _Moment] = time.localtime,
) -> list[Decision]:
    """Decide about each of ``sets``, in their order.

    ``pins``, ``rehearsed`` and ``own``, those that this client has stored itself, are keys of sets, ``damaged`` says
    what is wrong with some, ``doubted`` why the time of some is not to be believed. A set counts for a rule when it and
    all that it needs are undamaged, and it is neither doubted nor dated after ``now``. Always kept: what kept sets
    need, pinned sets, doubted ones and those dated after ``now``, damaged sets that a rule would keep if they were
    whole, the newest set that is whole, the newest of those that is our own, and the newest that a rehearsal has
    proven. Without any whole set nothing is deleted.
    """
    harm = _inherited(sets, damaged)
    past = [each for each in sets if each.time <= now and each.key not in doubted]
    whole = [each for each in past if each.key not in harm]
    reasons: dict[str, list[str]] = defaultdict(list)
    for key, reason in _by_rule(whole, rules, local):
        reasons[key].append(reason)
    for key, reason in _by_rule(past, rules, local):
        if key in harm:
            reasons[key].append(f"{reason} if it were whole ({harm[key]}): it is not counted")
    for each in sets:
        if each.key in pins:
            reasons[each.key].append("pinned")
        if each.time > now:
            reasons[each.key].append("dated after now: neither counted nor deleted")
        elif each.key in doubted:
            reasons[each.key].append(f"{doubted[each.key]}: neither counted nor deleted")
        elif not whole:
            reasons[each.key].append("no set is known to be whole: nothing is deleted")
    _add_last_resorts(reasons, whole, rehearsed, own)
    return _with_needed(sets, reasons)


def _inherited(sets: Sequence[SetInfo], damaged: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with each set that cannot be restored whole: its own damage, or that of one it needs."""
    harm: dict[str, str] = {}
    for chain in _chains(sets):
        cause = ""
        for each in chain:
            if each.key in damaged:
                harm[each.key] = damaged[each.key]
                cause = cause or f"it needs {each.key}, which is damaged"
            elif cause:
                harm[each.key] = cause
    return harm


def _chains(sets: Sequence[SetInfo]) -> list[list[SetInfo]]:
    """The sets of each chain, oldest first: each needs all before it."""
    chains: dict[int, list[SetInfo]] = defaultdict(list)
    for each in sorted(sets, key=lambda each: each.time):
        chains[each.chain].append(each)
    return list(chains.values())


def _by_rule(sets: Sequence[SetInfo], rules: Rules, local: Callable[[float], Any]) -> Iterator[tuple[str, str]]:
    """(key, reason) for each set that a rule keeps when these sets count."""
    newest_first = sorted(sets, key=lambda each: each.time, reverse=True)
    for number, each in enumerate(newest_first[: rules.last], 1):
        yield each.key, f"last {number} of {rules.last}"
    for rule, period in _PERIODS.items():
        wanted = getattr(rules, rule)
        met: set[tuple[int, ...]] = set()
        for each in newest_first if wanted else ():
            place = period(local(each.time))
            if place not in met:
                met.add(place)
                yield each.key, f"{rule} {len(met)} of {wanted}"
            if len(met) == wanted:
                break
    for each in newest_first:
        if rules.since is not None and each.time > rules.since:
            yield each.key, "within the duration"


def _add_last_resorts(
    reasons: dict[str, list[str]], whole: Sequence[SetInfo], rehearsed: Collection[str], own: Collection[str]
) -> None:
    """Keep the newest whole set, the newest proven one and the newest of our own, where nothing else does."""
    by_age = sorted(whole, key=lambda each: each.time)
    for chosen, reason in (
        ([each for each in by_age if each.key in rehearsed], "the newest set that a rehearsal has proven"),
        ([each for each in by_age if each.key in own], "the newest set that was stored by this client"),
        (by_age, "the newest set that is whole"),
    ):
        if chosen and not reasons[chosen[-1].key]:
            reasons[chosen[-1].key].append(reason)


def _with_needed(sets: Sequence[SetInfo], reasons: Mapping[str, list[str]]) -> list[Decision]:
    """The decisions, with the chain up to each set that is kept."""
    needed: dict[str, str] = {}
    for chain in _chains(sets):
        later: list[str] = []
        for each in reversed(chain):
            if later:
                more = f" and {len(later) - 1} more" if len(later) > 1 else ""
                needed[each.key] = f"needed by {later[-1]}{more}"
            if reasons.get(each.key):
                later.append(each.key)
    decisions = []
    for each in sets:
        why = [*reasons.get(each.key, ()), *([needed[each.key]] if each.key in needed else ())]
        decisions.append(Decision(each, bool(why), tuple(why) or ("no rule keeps it, and no kept set needs it",)))
    return decisions
