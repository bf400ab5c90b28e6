"""What scripts in the field rely on, though no manual promises it (docs/wrappers.md § 4, docs/drop-in.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
from pair import DROP_IN, Observed, Side

PLAIN = ["--no-encryption", "--concurrency=0"]


class Script:
    """A home, a source, and lines run in it."""

    def __init__(self, home: programs.Household, place: Path) -> None:
        self.side = Side(DROP_IN, home)
        self.place = place
        (place / "src").mkdir()
        (place / "src" / "file").write_text("one")

    def run(self, *words: str) -> Observed:
        return self.side.run([*words, *PLAIN], self.place, {})

    def heads(self, *words: str) -> list[str]:
        return [record.head.rstrip() for record in self.run(*words).records]


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with programs.Household() as home:
        yield Script(home, tmp_path)


def test_an_increment_that_may_become_full_is_full_where_there_is_none(script):
    assert script.run("incr", "src", "file://@to").status == 17
    assert script.run("incr", "src", "file://@to", "--full-if-older-than", "1M").status == 0
    assert list(script.side.to.glob("duplicity-full.*.manifest"))


def test_options_of_other_targets_may_be_there_and_empty(script):
    assert script.run("full", "--ssh-options", "", "--rsync-options=", "--mf-purge", "src", "file://@to").status == 23
    assert (
        script.run("full", "--ssh-options", "", "--rsync-options=", "--imap-mailbox=", "src", "file://@to").status == 0
    )


def test_a_restore_with_force_writes_into_a_folder_that_is_not_empty(script):
    assert script.run("full", "src", "file://@to").status == 0
    out = script.side.home.folder / "out"
    out.mkdir()
    (out / "mine").write_text("stays")
    (out / "file").write_text("goes")
    assert script.run("restore", "file://@to", "@out").status == 11
    assert script.run("restore", "--force", "file://@to", "@out").status == 0
    assert [(out / name).read_text() for name in ("mine", "file")] == ["stays", "one"]


def test_what_belongs_to_no_set_has_the_numbers_that_programs_clean_up_on(script):
    assert script.run("full", "src", "file://@to").status == 0
    to = script.side.to
    (to / "duplicity-new-signatures.20200101T000000Z.to.20200102T000000Z.sigtar.gz").write_bytes(b"")
    (to / "duplicity-inc.20210101T000000Z.to.20210102T000000Z.manifest").write_bytes(b"Hostname x\nLocaldir y\n")
    heads = script.heads("collection-status", "file://@to")
    assert [head for head in heads if head.startswith("WARNING")] == ["WARNING 2", "WARNING 6"]


def test_the_status_comes_before_an_action_for_those_who_ask_for_detail(script):
    assert script.run("full", "src", "file://@to").status == 0
    assert "INFO 3" in script.heads("list-current-files", "-v8", "file://@to")
    assert "INFO 3" not in script.heads("list-current-files", "-v7", "file://@to")


def test_an_empty_exclude_file_selects_everything(script):
    (script.place / "exclude").touch()
    assert script.run("full", "--exclude-filelist", "exclude", "src", "file://@to").status == 0
    assert any("'file'" in head for head in script.heads("list-current-files", "file://@to"))
