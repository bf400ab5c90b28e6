"""Action, path and URL out of what is left of a line (docs/cli.md § 1, § 2)."""

from __future__ import annotations

import pytest
from tarragon.api import BadOption
from tarragon.cli.words import ALIASES, Line, read

NOW = 1_700_000_000
URL = "file:///box"


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "inc").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["backup", "src", URL], Line("backup", b"src", URL)),
        (["bu", "src/", URL], Line("backup", b"src/", URL)),
        (["restore", URL, "to/x"], Line("restore", b"to/x", URL)),
        (["vb", URL, "src"], Line("verify", b"src", URL)),
        (["list-current-files", URL], Line("list-current-files", None, URL)),
        (["ro", "3D", URL], Line("remove-older-than", None, URL, (str(NOW - 3 * 86400),))),
        (["ra", " 4", URL], Line("remove-all-but-n-full", None, URL, ("4",))),
        (["ri", "0", URL], Line("remove-all-inc-of-but-n-full", None, URL, ("0",))),
    ],
)
def test_each_action_gets_its_words(here, words, line):
    assert line == read(words, NOW)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_action(here, alias):
    action = ALIASES[alias]
    before = {"verify": [URL, "src"], "restore": [URL, "src"], "remove-older-than": ["now", URL]}
    words = before.get(action, ["3", URL] if action.startswith("remove") else ["src", URL])
    words = [URL] if action in ("list-current-files", "collection-status", "cleanup") else words
    assert action == read([alias, *words], NOW).action


def test_two_words_imply_backup_or_restore_with_a_notice(here):
    backup, restore = read(["src", URL], NOW), read([URL, "src"], NOW)
    assert backup[:3] == ("backup", b"src", URL)
    assert restore[:3] == ("restore", b"src", URL)
    assert backup.notice and restore.notice


def test_a_folder_called_like_an_action_is_written_with_a_slash(here):
    assert read(["inc/", URL], NOW)[:3] == ("backup", b"inc/", URL)
    with pytest.raises(BadOption, match="got 1"):
        read(["inc", URL], NOW)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [""],
        ["src"],
        ["src", "src"],
        [URL, URL],
        ["src", "src", URL],
        ["FULL", "src", URL],
        ["ful", "src", URL],
        ["replicate", URL, URL],
        ["full", "src"],
        ["full", "src", URL, "more"],
        ["full", "nothing", URL],
        ["full", "", URL],
        ["full", URL, "src"],
        ["full", "src", "box"],
        ["full", "src", "file:///a\nb"],
        ["restore", "src", URL],
        ["restore", URL, URL],
        ["cleanup"],
        ["ro", "yesterday", URL],
        ["ra", "1.5", URL],
        ["--what", "full", "src", URL],
        ["full", "--what", "src", URL],
        ["src", URL, "--what"],
        ["--short-filenames", "full", "src", URL],
        ["--short-filenames", URL],
    ],
)
def test_everything_else_ends_with_23(here, words):
    with pytest.raises(BadOption) as caught:
        read(words, NOW)
    assert caught.value.exit_code == 23


def test_an_unknown_option_is_named_with_what_it_may_have_meant(here):
    with pytest.raises(BadOption, match="no option --volsiz") as caught:
        read(["full", "--volsiz", "src", URL], NOW)
    assert "--volsize" in caught.value.hint


def test_a_removed_option_says_so(here):
    with pytest.raises(BadOption, match="--short-filenames was removed"):
        read(["full", "src", URL, "--short-filenames"], NOW)


def test_an_action_of_a_plugin_gets_its_words_and_the_first_url_is_its_target():
    assert Line("check", None, URL, ("all", "file:///b")) == read(
        ["check", "all", URL, "file:///b"], NOW, commands=["check"]
    )
    assert Line("check") == read(["check"], NOW, commands=["check"])


def test_without_the_plugin_its_word_is_a_folder(here):
    with pytest.raises(BadOption, match="'check' does not exist"):
        read(["check", URL], NOW)


def test_a_name_that_is_not_utf8_keeps_its_bytes(here):
    assert read(["restore", URL, "\udce9"], NOW).source == b"\xe9"
