from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.api import FilterMode, SelectionError, Verdict
from tarragon_select.glob import DEEP, STAR, Automaton, One, matcher, tokens
from tarragon_select.patterns import pattern

INCLUDE, EXCLUDE, DESCEND = Verdict.INCLUDE, Verdict.EXCLUDE, Verdict.DESCEND
GLOB = FilterMode()


def says(
    glob: str, path: str, *, verdict: Verdict = INCLUDE, folder: bool = True, mode: FilterMode = GLOB
) -> Verdict | None:
    return pattern(glob, mode, verdict, "src")(path, folder)


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("src/a", "src/a", INCLUDE),
        ("src/a", "src/a/below", INCLUDE),
        ("src/a", "src/ab", None),
        ("src/a", "src/a\n", None),
        ("src/*", "src/a", INCLUDE),
        ("src/*/x", "src/a/b/x", None),
        ("src/?", "src/é", INCLUDE),
        ("src/?", "src/ab", None),
        ("src/a?b", "src/a/b", None),
        ("src/**/x", "src/a/b/x", INCLUDE),
        ("**x", "src/a/b/x", INCLUDE),
        ("src/***x", "src/a/x", INCLUDE),
        ("src/[ab]", "src/b", INCLUDE),
        ("src/[a-c]", "src/b", INCLUDE),
        ("src/[!ab]", "src/b", None),
        ("src/[^ab]", "src/c", INCLUDE),
        ("src/[]a]", "src/]", INCLUDE),
        ("src/[!]a]", "src/]", None),
        ("src/[a-]", "src/-", INCLUDE),
        ("src/[a-c-e]", "src/d", None),
        ("src/[\\d]", "src/1", None),
        ("src/[\\d]", "src/\\", INCLUDE),
        ("src/a[/]b", "src/a/b", INCLUDE),
        ("src/a[!x]b", "src/a/b", INCLUDE),
        ("src/[[]", "src/[", INCLUDE),
        ("src/[?]", "src/a", None),
        ("src/[*]", "src/*", INCLUDE),
        ("src/[a", "src/[a", INCLUDE),
        ("src/[]", "src/[]", INCLUDE),
        ("src/\\*", "src/\\a", INCLUDE),
        ("src/{a,b}", "src/a", None),
        ("**.x", "src/a\nb.x", INCLUDE),
        ("src/\udcff", "src/\udcff", INCLUDE),
        ("src/?", "src/\udcff", INCLUDE),
    ],
)
def test_a_glob_takes_what_the_rules_say_and_all_below_it(glob: str, path: str, expected: Verdict | None) -> None:
    assert expected == says(glob, path)


@pytest.mark.parametrize("glob", ["ignorecase:SRC/É", "IgnoreCase:src/é", "iGNORECASE:**é"])
def test_ignorecase_in_front_folds_the_letters_of_any_script(glob: str) -> None:
    assert says(glob, "src/É") is INCLUDE


def test_a_slash_at_the_end_asks_for_a_folder_but_not_of_what_is_below() -> None:
    answers = [says("src/a/", "src/a"), says("src/a/", "src/a", folder=False), says("src/a/", "src/a/x", folder=False)]
    assert answers == [INCLUDE, None, INCLUDE]


def test_a_slash_alone_is_everything_below_an_absolute_source() -> None:
    assert pattern("/", GLOB, EXCLUDE, "/home/me")("/home/me/x", False) is EXCLUDE


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("src/b/c/d", "src/b", DESCEND),
        ("src/b/c/d", "src/b/c", DESCEND),
        ("src/b/c/d", "src/b/x", None),
        ("src/b/c/d", "src/bb", None),
        ("src/b*/c", "src/bb", DESCEND),
        ("src/b/**/x", "src/b/1/2", DESCEND),
        ("src/b/**/x", "src/c", None),
        ("src/b**d/e", "src/bb/c", DESCEND),
        ("src/b**d", "src/bb/c", DESCEND),
        ("src/**", "src/b", INCLUDE),
        ("ignorecase:SRC/B/c", "src/b", DESCEND),
        ("src/[a/b]x/y", "src/[a", DESCEND),
    ],
)
def test_an_including_glob_looks_into_the_folders_that_can_lead_to_a_match(
    glob: str, path: str, expected: Verdict | None
) -> None:
    assert expected == says(glob, path)


def test_an_excluding_glob_never_says_look_inside() -> None:
    assert says("src/b/**/d", "src/b", verdict=EXCLUDE) is None


@pytest.mark.parametrize(
    ("glob", "number"),
    [("other", 14), ("/src/a", 14), ("sr", 14), ("./src/a", 14), ("/", 14), ("src//a", 15), ("src/[z-a]", 30)],
)
def test_a_glob_that_can_match_nothing_is_refused(glob: str, number: int) -> None:
    with pytest.raises(SelectionError) as caught:
        says(glob, "src/a")
    assert number == caught.value.exit_code


@pytest.mark.parametrize("verdict", [INCLUDE, EXCLUDE])
@pytest.mark.parametrize("glob", ["src", "**", "*", "s*/x", "src/x/y", "ignorecase:SRC/x", "s[qrs]c/x"])
def test_a_glob_that_leads_to_the_source_is_taken(glob: str, verdict: Verdict) -> None:
    assert pattern(glob, GLOB, verdict, "src") is not None


LITERAL = FilterMode(syntax="literal")


def test_a_literal_path_takes_stars_as_they_are() -> None:
    assert [says("src/*", "src/*", mode=LITERAL), says("src/*", "src/a", mode=LITERAL)] == [INCLUDE, None]


def test_a_literal_path_loses_one_slash_at_its_end_and_matches_files_too() -> None:
    assert says("src/a/", "src/a", folder=False, mode=LITERAL) is INCLUDE


def test_a_literal_path_includes_what_is_below_and_looks_into_what_is_above() -> None:
    answers = [says("src/a/b", path, mode=LITERAL) for path in ("src/a", "src/a/b", "src/a/b/c", "src/a/c")]
    assert answers == [DESCEND, INCLUDE, INCLUDE, None]


def test_a_literal_path_ignores_case_when_told_and_ignorecase_is_no_prefix() -> None:
    assert says("SRC/ÉS", "src/éſ", mode=LITERAL._replace(ignore_case=True)) is INCLUDE
    with pytest.raises(SelectionError):
        says("ignorecase:src/a", "src/a", mode=LITERAL)


def test_a_regular_expression_is_searched_in_the_whole_path_and_nothing_more() -> None:
    mode = FilterMode(syntax="regexp")
    answers = [says("^src/a$", path, mode=mode) for path in ("src/a", "src/a/b", "src")]
    assert answers == [INCLUDE, None, None]


def test_a_bad_regular_expression_ends_with_30() -> None:
    with pytest.raises(SelectionError) as caught:
        says("[", "src/a", mode=FilterMode(syntax="regexp"))
    assert caught.value.exit_code == 30


def test_within_an_archive_patterns_are_relative_to_its_root() -> None:
    answers = [
        pattern(text, GLOB, EXCLUDE, None)("b", True) for text in ("b", "./b", "././b", "ignorecase:./B", "**/b")
    ]
    assert answers == [EXCLUDE, EXCLUDE, EXCLUDE, EXCLUDE, None]


@pytest.mark.parametrize("mode", [GLOB, LITERAL])
@pytest.mark.parametrize("text", ["/b", "b/../a", ".", "a/./b", "..", "/"])
def test_a_pattern_that_leaves_the_archive_is_refused(text: str, mode: FilterMode) -> None:
    with pytest.raises(SelectionError) as caught:
        pattern(text, mode, EXCLUDE, None)
    assert caught.value.exit_code == 14


# -- for every glob ---------------------------------------------------------------------------------------------------


def slowly(parts: list[One | str], path: str, *, below: bool) -> bool:
    """What a glob means, tried in every way."""

    @cache
    def matches(part: int, at: int) -> bool:
        if part == len(parts):
            return at == len(path) or (below and path[at] == "/")
        one = parts[part]
        if isinstance(one, str):
            takes = at < len(path) and (one == DEEP or path[at] != "/")
            return matches(part + 1, at) or (takes and matches(part, at + 1))
        return at < len(path) and Automaton([one], 0, below=False).matches(path[at]) and matches(part + 1, at + 1)

    return matches(0, 0)


GLOBS = st.lists(
    st.sampled_from(["*", "**", "?", "a", "b", "/", "[!a]", "[a/]", "[/]", "[b]", "[^/]", "[", "aa", "ab"]), max_size=9
).map("".join)
PATHS = st.text("aab/", max_size=12)


@settings(max_examples=600, deadline=None)
@given(GLOBS, PATHS, st.booleans())
def test_a_glob_finds_a_match_if_any_way_to_match_exists(glob: str, path: str, below: bool) -> None:
    parts = tokens(glob)
    assert slowly(parts, path, below=below) == bool(matcher(parts, below=below, ignore_case=False)(path))


@settings(max_examples=300, deadline=None)
@given(GLOBS, PATHS, st.booleans())
def test_the_automaton_and_the_regular_expression_agree(glob: str, path: str, below: bool) -> None:
    parts = [part for part in tokens(glob) if isinstance(part, str) or not part.is_open]
    assert Automaton(parts, 0, below=below).matches(path) == bool(matcher(parts, below=below, ignore_case=False)(path))


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.text(max_size=30), st.text("[]!^*?/-a.\\{}()|+$", max_size=20)),
    st.sampled_from(["glob", "literal", "regexp"]),
    st.booleans(),
    st.sampled_from(["src", "/", None]),
)
def test_any_string_is_a_pattern_or_a_selection_error(
    text: str, syntax: str, ignore_case: bool, root: str | None
) -> None:
    for verdict in (INCLUDE, EXCLUDE):
        try:
            found = pattern(text, FilterMode(syntax=syntax, ignore_case=ignore_case), verdict, root)
        except SelectionError:
            continue
        assert found("src/a\n\udcff/é", True) in (verdict, DESCEND, None)


@pytest.mark.parametrize(
    "glob",
    [
        "**a**a**a**a**a**a**b",
        "**a*a*a*a*a*a*a*a**b",
        "*a*a*a*a*a*a*a*a*a*b",
        "**[!b]**[!b]**[!b]**[!b]**b",
        "src/*[!x]*[!x]*[!x]*[!x]*[!x]*b",
        "**?**?**?**?**?**b/",
        "ignorecase:**A**A**A**A**B",
        "**a**a**/**a**/**a**b/x",
    ],
)
def test_no_glob_takes_long_over_a_path_that_nearly_matches(glob: str) -> None:
    path = "src/" + "/".join(["a" * 250] * 15)
    judge = pattern(glob, GLOB, INCLUDE, None)
    before = time.process_time()
    judge(path, False)
    assert time.process_time() - before < 1.0


def test_runs_of_stars_are_one_part() -> None:
    assert [DEEP, One("a", "a"), STAR] == tokens("*****a*")
