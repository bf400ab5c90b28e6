from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tarragon.api import BLK, CHR, DIR, FIFO, REG, SYM, BadOption, Entry, FilterMode, SelectionError, Verdict
from tarragon.source.select import Selection
from tarragon_select import plugin

if TYPE_CHECKING:
    from tarragon.api import Filter

INCLUDE, EXCLUDE, DESCEND, ENTER = Verdict.INCLUDE, Verdict.EXCLUDE, Verdict.DESCEND, Verdict.ENTER
GLOB = FilterMode()
NUL = FilterMode(null_separator=True)


def make(option: str, argument: str | None = None, root: bytes = b"src", mode: FilterMode = GLOB) -> Filter:
    context = SimpleNamespace(log=logging.getLogger("select"), now=1_700_000_000, parse_time=int)
    made = plugin.make_filter(option, argument, mode, root, context)
    assert made is not None
    return made


def made_of(folder: Path, option: str, text: bytes, mode: FilterMode = GLOB) -> Filter:
    """The filter of a list in a file."""
    (folder / "list").write_bytes(text)
    return make(option, str(folder / "list"), mode=mode)


def said(judge: Filter, *paths: str, kind: str = DIR) -> list[Verdict | None]:
    return [judge(Entry(os.fsencode(path), kind)) for path in paths]


def test_every_option_is_found_by_its_name() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    names = project["entry-points"]["tarragon.filter"]
    assert {one.flag[2:] for one in plugin.options()} == set(names)
    assert {"tarragon_select.plugin"} == set(names.values())


def test_options_without_a_value_take_no_word() -> None:
    no_value = {one.flag for one in plugin.options() if one.action == "select" and not one.nargs}
    switches = {one.flag for one in plugin.SWITCHES}
    assert switches | {"--exclude-device-files", "--exclude-other-filesystems"} == no_value


@pytest.mark.parametrize("option", ["filter-globbing", "filter-ignorecase", "null-separator", "restrict", "includes"])
def test_a_word_that_is_no_condition_makes_no_filter(option: str) -> None:
    assert plugin.make_filter(option, None, FilterMode(), b"src", SimpleNamespace()) is None


@pytest.mark.parametrize(
    "option", ["include", "exclude-regexp", "exclude-if-present", "files-from", "exclude-filelist"]
)
def test_an_empty_value_is_refused(option: str) -> None:
    with pytest.raises(BadOption):
        make(option, "")


@pytest.mark.parametrize("root", [b"src/b", b"src/b/", b"./src/b", b"src//b", b"src/./b/."])
def test_patterns_see_the_source_as_typed_without_what_means_nothing(root: bytes) -> None:
    assert said(make("exclude", "src/b/c", root), "c", "b/c") == [EXCLUDE, None]


@pytest.mark.parametrize(("root", "glob"), [(b".", "./c"), (b"/", "/c"), (b"/a/..", "/a/../c"), (b"//a/", "/a/c")])
def test_patterns_begin_as_the_source_does(root: bytes, glob: str) -> None:
    assert said(make("exclude", glob, root), "c", "cc") == [EXCLUDE, None]


def test_names_that_are_not_utf_8_are_matched() -> None:
    judge = make("exclude", os.fsdecode(b"src/a\xe9"))
    assert [judge(Entry(b"a\xe9", REG)), judge(Entry(b"a\xe8", REG))] == [EXCLUDE, None]


def test_regexp_options_obey_the_case_switch_only() -> None:
    judge = make("exclude-regexp", "^SRC/a$", mode=FilterMode(syntax="literal", ignore_case=True))
    assert said(judge, "a", "a/b") == [EXCLUDE, None]


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_filelist_skips_empty_lines_and_comments_and_trims_blanks(tmp_path: Path) -> None:
    judge = made_of(tmp_path, "exclude-filelist", b"\n  \t\n# src/b\n  #src/c\n \tsrc/d \n''\nsrc/e\r\n")
    assert said(judge, "b", "c", "d", "e") == [None, None, EXCLUDE, EXCLUDE]


def test_a_line_of_a_filelist_can_turn_its_sense(tmp_path: Path) -> None:
    judge = made_of(tmp_path, "exclude-filelist", b"+ src/b/c\n- src/b/d\nsrc/b\n")
    assert said(judge, "b/c", "b/d", "b/x", "b") == [INCLUDE, EXCLUDE, EXCLUDE, ENTER]


def test_quotes_keep_blanks_and_signs(tmp_path: Path) -> None:
    judge = made_of(tmp_path, "exclude-filelist", b"'src/a '\n+ \"src/+ b\"\n")
    assert said(judge, "a ", "a", "+ b") == [EXCLUDE, None, INCLUDE]


def test_a_plus_without_a_blank_is_part_of_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(SelectionError) as caught:
        made_of(tmp_path, "exclude-filelist", b"+src/a\n")
    assert caught.value.exit_code == 14


def test_lists_are_split_at_nul_when_told(tmp_path: Path) -> None:
    judge = made_of(tmp_path, "exclude-filelist", b"src/a\0src/b\nc\0", NUL)
    assert said(judge, "a", "b\nc", "b") == [EXCLUDE, EXCLUDE, None]


@pytest.mark.parametrize("option", ["exclude-filelist", "include-filelist", "files-from"])
def test_a_list_that_is_missing_is_a_bad_option(option: str, tmp_path: Path) -> None:
    for name in (str(tmp_path / "missing"), str(tmp_path), "\0"):
        with pytest.raises(BadOption) as caught:
            make(option, name)
        assert caught.value.exit_code == 23


def test_the_last_line_of_a_filelist_says_whether_it_can_exclude(tmp_path: Path) -> None:
    can = [
        made_of(tmp_path, "exclude-filelist", text).can_exclude
        for text in (b"src/a\n+ src/b\n", b"+ src/b\nsrc/a\n", b"", b"+ **")
    ]
    assert can == [False, True, True, False]


def test_a_filelist_without_a_pattern_does_not_count_as_the_last_condition(tmp_path: Path) -> None:
    filters = [make("include", "src/a"), made_of(tmp_path, "exclude-filelist", b"#\n\n")]
    assert Selection(filters).ends_with_include
    assert not Selection(filters[1:]).ends_with_include


def test_the_order_of_a_filelist_holds_for_plain_and_wild_patterns_alike(tmp_path: Path) -> None:
    lines = b"- src/a/x\n+ src/a/*\n- src/a\n- src/b*\n+ src/bb\n+ src/c/d/e\n- src/c\n"
    judge = made_of(tmp_path, "include-filelist", lines)
    assert said(judge, "a/x", "a/y", "a", "bb", "b/c") == [EXCLUDE, INCLUDE, ENTER, EXCLUDE, EXCLUDE]
    assert said(judge, "c", "c/d/e/f", "c/e", "d") == [ENTER, INCLUDE, EXCLUDE, None]


def test_a_filelist_that_only_leads_into_a_folder_leaves_the_rest_to_later_options(tmp_path: Path) -> None:
    assert said(made_of(tmp_path, "exclude-filelist", b"+ src/a/b\n- src/c\n"), "a", "d") == [DESCEND, None]


def test_a_long_filelist_costs_no_more_per_entry_than_a_short_one(tmp_path: Path) -> None:
    lines = b"".join(b"src/folder%d/sub/name\n" % number for number in range(5000))
    judge = made_of(tmp_path, "exclude-filelist", lines)
    asked = [Entry(b"folder%d/sub/name/below" % number, REG) for number in range(0, 5000, 10)]
    assert {EXCLUDE} == {judge(entry) for entry in asked * 20}  # 10,000 × 5,000 comparisons would take minutes


def test_files_from_lets_through_what_is_listed_and_the_folders_above_it(tmp_path: Path) -> None:
    judge = made_of(tmp_path, "files-from", b"a/b/c\n\n#d\n e \n./f//g/\n")
    assert said(judge, "", "a", "a/b", "a/b/c", "#d", " e ", "f/g") == [None] * 7
    assert said(judge, "a/b/c/d", "a/x", "e", "d") == [EXCLUDE] * 4


@pytest.mark.parametrize(
    ("text", "number"), [(b"a\n/abs\n", 72), (b"a/../../x\n", 72), (b"..", 72), (b"", 73), (b"\n\n", 73)]
)
def test_files_from_refuses_what_is_not_below_the_source(text: bytes, number: int, tmp_path: Path) -> None:
    with pytest.raises(SelectionError) as caught:
        made_of(tmp_path, "files-from", text)
    assert number == caught.value.exit_code


# -- other conditions -------------------------------------------------------------------------------------------------


def test_device_files_are_block_and_character_devices() -> None:
    judge = make("exclude-device-files")
    assert [judge(Entry(b"x", kind)) for kind in (BLK, CHR, REG, DIR, FIFO)] == [EXCLUDE, EXCLUDE, None, None, None]


def test_older_than_is_about_regular_files_changed_before_that_second() -> None:
    judge = make("exclude-older-than", "1000")
    old, same, folder = Entry(b"a", REG, mtime=999), Entry(b"a", REG, mtime=1000), Entry(b"a", DIR, mtime=999)
    assert [judge(old), judge(same), judge(folder)] == [EXCLUDE, None, None]


def test_another_file_system_is_another_device_than_that_of_the_source(tmp_path: Path) -> None:
    judge = make("exclude-other-filesystems", root=os.fsencode(tmp_path))
    here = tmp_path.stat().st_dev
    assert [judge(Entry(b"a", DIR, on_device=number)) for number in (here, here + 1)] == [None, EXCLUDE]


@pytest.mark.parametrize("marker", ["file", "folder", "link"])
def test_a_folder_that_holds_a_marker_of_any_kind_is_left_out(marker: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.symlink("nowhere", tmp_path / "in" / "link")
    (tmp_path / "in" / "file").touch()
    (tmp_path / "in" / "folder").mkdir()
    (tmp_path / "out" / "deep" / marker).mkdir(parents=True)
    judge = make("exclude-if-present", marker, os.fsencode(tmp_path))
    assert said(judge, "in", "out", "out/deep") == [EXCLUDE, None, EXCLUDE]
    assert said(judge, "in", kind=SYM) == [None]


@pytest.mark.parametrize("name", [".", "..", "a/b", "/", "\0"])
def test_a_marker_that_is_no_name_is_in_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    assert said(make("exclude-if-present", name, os.fsencode(tmp_path)), "in") == [None]


def test_a_folder_that_cannot_be_looked_into_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    judge = make("exclude-if-present", "x" * 300, os.fsencode(tmp_path))  # too long for any file system
    (tmp_path / "it's").mkdir()
    assert said(judge, "it's") == [None]
    (record,) = caplog.records
    expected = (10, (f"'{tmp_path}/it\\x27s'",), logging.WARNING)
    assert expected == (vars(record)["number"], vars(record)["fields"], record.levelno)


def test_markers_and_devices_go_before_patterns_and_a_list_of_files_before_all(tmp_path: Path) -> None:
    ranks = [
        made_of(tmp_path, "files-from", b"a").rank,
        make("exclude-if-present", "x").rank,
        make("exclude", "src/a").rank,
    ]
    assert sorted(set(ranks)) == ranks
    assert make("exclude-device-files").rank == ranks[1]


@pytest.mark.parametrize(
    ("option", "argument"), [("exclude-if-present", "x"), ("exclude-other-filesystems", None), ("files-from", "x")]
)
def test_conditions_that_need_a_source_are_refused_on_restore(option: str, argument: str | None) -> None:
    with pytest.raises(BadOption):
        make(option, argument, b"", FilterMode(for_archive=True))


def test_on_restore_the_root_of_the_archive_is_where_patterns_begin(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"./b/c\n")
    judges = [make("exclude", "./b/c", b"", FilterMode(for_archive=True))]
    judges.append(make("exclude-filelist", str(tmp_path / "list"), b"", FilterMode(for_archive=True)))
    assert [said(judge, "", "b/c", "c") for judge in judges] == [[None, EXCLUDE, None]] * 2
