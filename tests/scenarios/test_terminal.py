"""What a person sees in a terminal of 80 columns (docs/terminal.md has more of it)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import terminal
from programs import Household, Program
from tarragon.cli.in_use import InUse
from tarragon.plugin.hub import Hub


@pytest.fixture
def place(ours: Program, home: Household) -> Path:
    if not terminal.is_possible():
        pytest.skip("tmux is not installed")
    terminal.place(home.folder)
    return home.folder


@pytest.fixture
def session(place: Path, ours: Program) -> Iterator[terminal.Session]:
    with terminal.Session(place, Path(ours.command).parent) as made:
        yield made


def test_a_passphrase_is_asked_for_and_not_shown_and_a_wrong_one_is_called_that(session: terminal.Session) -> None:
    screen = session.run("tarragon backup papers file://disk", "open sesame", "open sesame")
    assert "Errors 0" in screen
    assert "sesame" not in screen
    session.run("clear")
    screen = session.run("tarragon restore file://disk again", "open says me")
    assert "the passphrase is wrong" in screen
    assert "hint: " in screen
    assert "says me" not in screen
    assert not [line for line in screen.splitlines() if len(line) >= terminal.COLUMNS], "no word is cut at the edge"


def test_a_line_shows_how_far_a_backup_has_come_and_leaves_nothing_behind(session: terminal.Session) -> None:
    line = "tarragon full --no-encryption --volsize 4 --progress --limit-upload 24000 films file://disk"
    screen = session.while_running(line, " left")
    assert " of 137 MB new, " in screen
    screen = session.until(terminal._is_back)
    assert " left" not in screen
    assert "Errors 0" in screen


def test_without_a_terminal_there_is_no_line(place: Path, ours: Program, home: Household) -> None:
    answer = home.run(ours, "full", "--no-encryption", place / "papers", f"file://{place}/disk", env={"TERM": "xterm"})
    assert b"\x1b" not in answer.out + answer.err
    assert b"\r" not in answer.out + answer.err


@pytest.mark.parametrize(
    "page", ["--help", "--help-urls", "backup --help", "restore --help", "check-backend --help", "prune -h"]
)
def test_help_fits(place: Path, ours: Program, home: Household, page: str) -> None:
    answer = home.run(ours, *page.split())
    assert answer.status == 0, answer
    lines = answer.out.decode().splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > terminal.COLUMNS] == []


def test_every_action_that_a_package_brings_is_described_within_a_line() -> None:
    in_use = InUse(Hub(), logging.getLogger("actions"))
    in_use.ask_all()
    for word, (action, owner) in in_use.actions().items():
        assert owner.startswith("tarragon-"), word
        assert len(f"  tarragon [options] {word} {action.words}") <= terminal.COLUMNS, word


def test_the_page_holds_what_it_says() -> None:
    """It is made by hand, on a quiet machine: it must at least be there whole."""
    text = terminal.PAGE.read_text(encoding="utf-8")
    assert text.count("```text") > 12
    assert not [line for line in text.splitlines() if len(line) > 160]
    assert os.path.expanduser("~") not in text or os.path.expanduser("~") == "/"
