"""The decision: a pure function of sets, rules and a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tarragon.api import SetInfo
from tarragon_prune.policy import Rules, decide

DAY = 86400
START = 1_700_000_000
NO_REASON = ("no rule keeps it, and no kept set needs it",)


#: A busy machine is no fault.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def full(at: int, chain: int) -> SetInfo:
    return SetInfo(f"full-{at}", "full", at, at, 1, False, True, chain)


def inc(start: int, at: int, chain: int) -> SetInfo:
    return SetInfo(f"inc-{start}-{at}", "inc", start, at, 1, False, True, chain)


def history(gaps: list[tuple[int, bool]]) -> list[SetInfo]:
    """Sets one after the other; True begins a chain."""
    sets: list[SetInfo] = []
    at, chain = START, 0
    for gap, begins in gaps:
        before, at = at, at + gap
        chain += begins
        sets.append(full(at, chain) if begins or not sets else inc(before, at, chain))
    return sets


def verdicts(decisions) -> dict[str, bool]:
    return {decision.info.key: decision.keep for decision in decisions}


def kept(decisions) -> list[SetInfo]:
    return [decision.info for decision in decisions if decision.keep]


@st.composite
def questions(draw):
    gaps = draw(st.lists(st.tuples(st.integers(1, 40 * DAY), st.integers(0, 3).map(lambda n: n == 0)), max_size=25))
    sets = history(gaps)
    some = st.sets(st.sampled_from([each.key for each in sets])) if sets else st.just(set())
    counts = [draw(st.integers(0, 4)) for _ in range(5)]
    now = START + draw(st.integers(0, 600 * DAY))
    since = draw(st.none() | st.integers(START, now))
    how = {
        "pins": draw(some),
        "damaged": dict.fromkeys(draw(some) if draw(st.booleans()) else (), "volume 1 is not at the target"),
        "rehearsed": draw(some),
        "local": time.gmtime,
    }
    return sets, Rules(*counts, since), now, how


def harmed(sets, damaged) -> set[str]:
    """Sets that cannot be restored whole."""
    return {
        each.key
        for each in sets
        if any(other.key in damaged and other.chain == each.chain and other.time <= each.time for other in sets)
    }


@unhurried
@given(questions())
def test_what_is_deleted_is_the_end_of_a_chain_or_all_of_it(question):
    sets, rules, now, how = question
    keeps = verdicts(decide(sets, rules, now, **how))
    for each in sets:
        for later in sets:
            if later.chain == each.chain and later.time > each.time and keeps[later.key]:
                assert keeps[each.key]


@unhurried
@given(questions())
@pytest.mark.requirement("R17")
def test_the_newest_whole_set_stays_and_without_one_all_stay(question):
    sets, rules, now, how = question
    keeps = verdicts(decide(sets, rules, now, **how))
    bad = harmed(sets, how["damaged"])
    whole = [each for each in sets if each.time <= now and each.key not in bad]
    if whole:
        assert keeps[max(whole, key=lambda each: each.time).key]
    else:
        assert all(keeps.values())


@unhurried
@given(questions())
def test_pinned_sets_and_the_newest_proven_one_stay(question):
    sets, rules, now, how = question
    keeps = verdicts(decide(sets, rules, now, **how))
    bad = harmed(sets, how["damaged"])
    proven = [each for each in sets if each.key in how["rehearsed"] and each.time <= now and each.key not in bad]
    assert all(keeps[key] for key in how["pins"])
    assert all(keeps[each.key] for each in proven[-1:])


@unhurried
@given(questions(), st.integers(1, 50))
@pytest.mark.requirement("R17")
def test_sets_dated_after_now_are_never_deleted_and_change_nothing_for_the_others(question, count):
    sets, rules, now, how = question
    sets = [each for each in sets if each.time <= now]
    forged = [full(now + 1 + number, 1000 + number) for number in range(count)]
    alone = decide(sets, rules, now, **how)
    among = decide([*sets, *forged], rules, now, **how)
    assert among[: len(sets)] == alone
    assert all(decision.keep for decision in among[len(sets) :])


@pytest.mark.requirement("R17")
@unhurried
@given(questions(), st.data())
def test_doubted_sets_are_never_deleted_and_change_nothing_for_the_others(question, data):
    sets, rules, now, how = question
    chains = {each.chain for each in sets}
    strange = {chain for chain in chains if data.draw(st.booleans())}
    doubted = {each.key: "in doubt" for each in sets if each.chain in strange}
    found = verdicts(decide(sets, rules, now, doubted=doubted, **how))
    assert all(found[key] for key in doubted)
    rest = [each for each in sets if each.key not in doubted]
    alone = verdicts(decide(rest, rules, now, **how))
    assert alone == {key: keep for key, keep in found.items() if key not in doubted}


@unhurried
@given(questions())
def test_a_second_prune_finds_nothing_more_to_delete(question):
    sets, rules, now, how = question
    left = kept(decide(sets, rules, now, **how))
    assert kept(decide(left, rules, now, **how)) == left


@unhurried
@given(questions(), st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]), st.integers(1, 5))
def test_a_larger_number_never_keeps_less(question, rule, more):
    sets, rules, now, how = question
    larger = rules._replace(**{rule: getattr(rules, rule) + more})
    less = {each.key for each in kept(decide(sets, rules, now, **how))}
    assert less <= {each.key for each in kept(decide(sets, larger, now, **how))}


@unhurried
@given(questions())
def test_every_decision_has_its_reason(question):
    sets, rules, now, how = question
    decisions = decide(sets, rules, now, **how)
    assert [decision.info for decision in decisions] == sets
    for decision in decisions:
        assert decision.reasons
        assert (decision.reasons == NO_REASON) is not decision.keep


FORMS = {"daily": "%Y-%j", "weekly": "%G-%V", "monthly": "%Y-%m", "yearly": "%Y"}


def wanted(sets, rules: Rules) -> set[str]:
    """What the rules ask for, in other words than the program's: a period's newest, fewer than n later periods."""
    found = {each.key for each in sorted(sets, key=lambda each: each.time, reverse=True)[: rules.last]}
    for rule, form in FORMS.items():
        place = {each.key: datetime.fromtimestamp(each.time, UTC).strftime(form) for each in sets}
        for each in sets:
            later = [other for other in sets if other.time > each.time]
            if place[each.key] not in {place[other.key] for other in later}:
                found |= {each.key} if len({place[other.key] for other in later}) < getattr(rules, rule) else set()
    return found | {each.key for each in sets if rules.since is not None and each.time > rules.since}


@given(questions())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_rules_keep_what_they_say(question):
    sets, rules, now, how = question
    sets = [each for each in sets if each.time <= now]
    expected = wanted(sets, rules) or {each.key for each in sets[-1:]}
    needed = {
        each.key
        for each in sets
        if any(other.key in expected and other.chain == each.chain and other.time > each.time for other in sets)
    }
    decisions = decide(sets, rules, now, local=time.gmtime)
    assert {each.key for each in kept(decisions)} == expected | needed


def test_a_kept_increment_keeps_its_chain_and_the_answer_says_so():
    sets = history([(DAY, True), (DAY, False), (DAY, False), (DAY, False)])
    first, second, third, _ = decide(sets, Rules(last=1), START + 9 * DAY)
    assert first == (sets[0], True, (f"needed by {sets[3].key}",))
    pinned = decide(sets, Rules(last=1), START + 9 * DAY, pins={sets[1].key})
    assert pinned[0].reasons == (f"needed by {sets[1].key} and 1 more",)
    assert pinned[1].reasons == ("pinned", f"needed by {sets[3].key}")


def test_a_damaged_set_is_not_counted_and_stays_where_a_rule_wants_it():
    sets = history([(DAY, True), (DAY, True), (DAY, True)])
    decisions = decide(sets, Rules(last=1), START + 9 * DAY, damaged={sets[2].key: "volume 2 is empty"})
    assert [decision.keep for decision in decisions] == [False, True, True]
    assert decisions[2].reasons == ("last 1 of 1 if it were whole (volume 2 is empty): it is not counted",)


def test_what_hangs_on_a_damaged_set_is_not_counted_either():
    sets = history([(DAY, True), (DAY, True), (DAY, False)])
    decisions = decide(sets, Rules(last=1), START + 9 * DAY, damaged={sets[1].key: "volume 1 is empty"})
    assert [decision.keep for decision in decisions] == [True, True, True]
    assert f"it needs {sets[1].key}, which is damaged" in decisions[2].reasons[0]


def test_ten_years_of_daily_backups_leave_what_the_policy_says():
    """Pruned as time goes on, the sets that the policy wants of all that ever were are all still there, and no more."""
    rules = Rules(daily=7, weekly=5, monthly=12, yearly=10)
    everything: list[SetInfo] = []
    left: list[SetInfo] = []
    for day in range(3653):
        at = START + day * DAY
        made = full(at, day // 30) if day % 30 == 0 else inc(at - DAY, at, day // 30)
        everything.append(made)
        left.append(made)
        if day % 3 == 0 or day == 3652:
            left = kept(decide(left, rules, at, local=time.gmtime))
    by_policy = {each.key for each in left} & wanted(everything[-400:], rules._replace(yearly=0))
    assert by_policy == wanted(everything[-400:], rules._replace(yearly=0))
    years = {datetime.fromtimestamp(each.time, UTC).year: each.key for each in everything}
    newest_of_years = {key for year, key in sorted(years.items())[-10:]}
    assert newest_of_years <= {each.key for each in left}
    asked = wanted(everything[-400:], rules._replace(yearly=0)) | newest_of_years
    tips = {(each.chain): each.key for each in left}  # the last kept set of each chain: nothing needs it
    assert set(tips.values()) <= asked
