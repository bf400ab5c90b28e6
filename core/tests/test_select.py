from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tarragon.api import DIR, REG, BadOption, Entry, FilterMode, Option, SelectionError, Verdict
from tarragon.source.select import Selection, selection, switches

INCLUDE, EXCLUDE, DESCEND, ENTER = Verdict.INCLUDE, Verdict.EXCLUDE, Verdict.DESCEND, Verdict.ENTER
FOLDER, FILE = Entry(b"a", DIR), Entry(b"a", REG)


class Always:
    """A filter that always says the same, and writes down that it was asked."""

    def __init__(
        self, verdict: Verdict | None, *, rank: int = 0, can_exclude: bool = True, asked: list[Always] | None = None
    ) -> None:
        self.verdict, self.rank, self.can_exclude = verdict, rank, can_exclude
        self._asked = [] if asked is None else asked

    def __call__(self, entry: Entry) -> Verdict | None:
        self._asked.append(self)
        return self.verdict


def judged(*verdicts: Verdict | None, entry: Entry = FOLDER) -> Verdict:
    return Selection(Always(verdict) for verdict in verdicts).verdict(entry)


@pytest.mark.parametrize(
    ("verdicts", "folder", "file"),
    [
        ([], INCLUDE, INCLUDE),
        ([None, None], INCLUDE, INCLUDE),
        ([None, EXCLUDE, INCLUDE], EXCLUDE, EXCLUDE),
        ([None, INCLUDE, EXCLUDE], INCLUDE, INCLUDE),
        ([DESCEND], DESCEND, EXCLUDE),
        ([DESCEND, None], DESCEND, EXCLUDE),
        ([DESCEND, EXCLUDE], DESCEND, EXCLUDE),
        ([DESCEND, EXCLUDE, INCLUDE], DESCEND, EXCLUDE),
        ([DESCEND, INCLUDE, EXCLUDE], INCLUDE, INCLUDE),
        ([EXCLUDE, DESCEND], EXCLUDE, EXCLUDE),
        ([ENTER, INCLUDE], DESCEND, EXCLUDE),
        ([DESCEND, ENTER, INCLUDE], DESCEND, EXCLUDE),
    ],
)
def test_the_first_filter_that_includes_or_excludes_decides(
    verdicts: list[Verdict | None], folder: Verdict, file: Verdict
) -> None:
    assert (folder, file) == (judged(*verdicts), judged(*verdicts, entry=FILE))


def test_the_root_is_always_included() -> None:
    assert judged(EXCLUDE, entry=Entry(b"", DIR)) is INCLUDE


def test_filters_are_asked_by_rank_and_those_in_front_last_given_first() -> None:
    asked: list[Always] = []
    given = [Always(None, rank=rank, asked=asked) for rank in (0, -1, 5, 0, -1, -2)]
    Selection(given).verdict(FILE)
    assert [given[5], given[4], given[1], given[0], given[3], given[2]] == asked


def option(flag: str, change: Mapping[str, Any] | None = None, **more: Any) -> Option:
    return Option(flag=flag, help="", action="select", const=change, **more)


SWITCHES = switches(
    [
        option("--take"),
        option("--upper", {"ignore_case": False}),
        option("--any-case", {"ignore_case": True}),
        option("--exact", {"syntax": "literal"}),
        option("--shell", {"syntax": "glob"}),
        Option(flag="--other", help="", const="x"),
    ]
)


def maker(made: list[tuple[str, str | None, FilterMode]]) -> Callable[[str, str | None, FilterMode], Always | None]:
    def make(option: str, argument: str | None, mode: FilterMode) -> Always | None:
        made.append((option, argument, mode))
        front = option == "first"
        return None if option == "nobody" else Always(None, rank=-front, can_exclude=option != "take")

    return make


def test_the_options_with_a_change_are_the_switches() -> None:
    assert sorted(SWITCHES) == ["any-case", "exact", "shell", "upper"]


def test_a_switch_holds_for_all_that_follows() -> None:
    made: list[tuple[str, str | None, FilterMode]] = []
    words = [("leave", "1"), ("exact", None), ("leave", "2"), ("any-case", None), ("shell", None), ("leave", "3")]
    selection(words, SWITCHES, maker(made), FilterMode(null_separator=True))
    modes = [
        FilterMode(null_separator=True),
        FilterMode("literal", null_separator=True),
        FilterMode("glob", ignore_case=True, null_separator=True),
    ]
    assert [("leave", str(number + 1), mode) for number, mode in enumerate(modes)] == made


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["take"], 16),
        (["leave", "take"], 16),
        (["take", "first"], 16),
        (["first", "take"], 16),
        (["exact"], 71),
        (["shell"], 71),
        (["leave", "exact"], 71),
        (["take", "any-case"], 71),
        (["shell", "leave"], 70),
        (["leave", "shell", "upper", "leave"], 70),
    ],
)
def test_selections_that_cannot_be_meant_are_refused(words: list[str], number: int) -> None:
    with pytest.raises(SelectionError) as caught:
        selection([(word, None) for word in words], SWITCHES, maker([]))
    assert number == caught.value.exit_code


@pytest.mark.parametrize(
    "words", [[], ["leave"], ["first"], ["take", "leave"], ["take", "leave", "first"], ["shell", "exact", "leave"]]
)
def test_selections_that_can_be_meant_are_taken(words: list[str]) -> None:
    assert selection([(word, None) for word in words], SWITCHES, maker([])).verdict(FILE) is INCLUDE


def test_an_option_that_nothing_answers_to_is_refused() -> None:
    with pytest.raises(BadOption):
        selection([("nobody", None)], SWITCHES, maker([]))
