"""The commit log: what it remembers, and that it tells when it was tampered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tarragon.run.memory import ACCEPTED, REMOVED, SEEN, STORED, Memory, Remembered, Thing, chosen
from tarragon.store.state import State
from tarragon.volume.name import SetTime

FULL, INC = SetTime("full", 100, 100), SetTime("inc", 100, 200)
OTHER = SetTime("full", 300, 300)
SET = Remembered(FULL, STORED, 3, 999, Thing(10, "a" * 64, "b" * 64), Thing(20, "c" * 64, "d" * 64), "e" * 64)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def written(state: State, *sets: Remembered, name: str = "commits") -> Memory:
    memory = Memory(state, name)
    for each in sets:
        memory.learn(each)
        memory.write(1000)
    return memory


@pytest.mark.requirement("R13")
def test_a_set_is_remembered_with_all_that_is_known_of_it(state: State) -> None:
    seen = Remembered(INC, SEEN, 0, None, parent="f" * 64, gone=(2,))
    written(state, SET, seen)
    memory = Memory(state)
    assert memory.sets == {FULL: SET, INC: seen}
    assert [(each.kind, each.sets, each.when) for each in memory.commits] == [
        (STORED, (FULL.key,), 1000),
        (SEEN, (INC.key,), 1000),
    ]


@pytest.mark.parametrize("kind", [REMOVED, ACCEPTED])
def test_what_is_forgotten_need_not_be_there_but_was_known(kind: str, state: State) -> None:
    memory = written(state, SET)
    memory.forget(kind, [FULL])
    memory.write(1001)
    again = Memory(state)
    assert (again.sets, again.former, again.knows([FULL])) == ({}, {FULL}, True)


def test_a_set_that_comes_back_is_remembered_anew(state: State) -> None:
    memory = written(state, SET)
    memory.forget(REMOVED, [FULL])
    memory.learn(SET._replace(kind=SEEN))
    memory.write(1001)
    assert Memory(state).sets[FULL].kind == SEEN


@pytest.mark.requirement("R13")
@pytest.mark.parametrize("fault", ["changed", "removed", "swapped", "added", "of no sense"])
def test_a_line_that_was_tampered_with_is_told_until_it_is_accepted(fault: str, state: State) -> None:
    written(state, SET, Remembered(INC, SEEN, 1), Remembered(OTHER, SEEN, 1))
    path = state.folder / "commits.jsonl"
    head, first, second, third = path.read_text().splitlines(keepends=True)
    path.write_text(
        head
        + {
            "changed": first.replace('"volumes":3', '"volumes":2') + second + third,
            "removed": first + third,
            "swapped": second + first + third,
            "added": first + second + second + third,
            "of no sense": first + json.dumps({**json.loads(second), "set": None}) + "\n" + third,
        }[fault]
    )
    memory = Memory(state)
    assert memory.is_torn
    memory.forget(ACCEPTED, [])
    memory.write(1001)
    assert not Memory(state).is_torn


def test_two_runs_that_write_by_turns_leave_one_chain(state: State) -> None:
    one, other = Memory(state), Memory(state)
    for memory, each in ((one, SET), (other, Remembered(INC, SEEN, 1)), (one, Remembered(OTHER, SEEN, 1))):
        memory.learn(each)
        memory.write(1000)
    assert (len(Memory(state).sets), Memory(state).is_torn) == (3, False)


def test_only_what_was_learned_is_written(state: State) -> None:
    memory = written(state, SET)
    size = (state.folder / "commits.jsonl").stat().st_size
    memory.write(1001)
    assert (state.folder / "commits.jsonl").stat().st_size == size


def test_the_log_that_shares_sets_with_the_listing_is_the_one(state: State) -> None:
    assert chosen(state, [FULL])[1] is False  # nothing is remembered: not another repository
    written(state, SET)
    written(state, Remembered(OTHER, STORED, 1), name="commits-1234")
    assert [(memory.name, other) for memory, other in (chosen(state, [INC, FULL]), chosen(state, [OTHER]))] == [
        ("commits", False),
        ("commits-1234", False),
    ]
    assert chosen(state, [SetTime("full", 900, 900)])[1] is True
    assert chosen(state, [])[1] is False  # an empty target is one that has lost all, not another
