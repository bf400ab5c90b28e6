"""Behind par2+ and multi:// two programs share one repository too: each extends, lists, verifies and restores it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from programs import Answer, Household, Program, judged, ownership

T0 = 1_700_000_000
pytestmark = [pytest.mark.slow, pytest.mark.requirement("R70")]
NO_PAR2 = pytest.mark.skipif(shutil.which("par2") is None, reason="the program par2 is not installed")


class Shared:
    """A source, and a repository that both programs use, each with a cache of its own."""

    def __init__(self, home: Household, place: Path, url: str) -> None:
        self.home, self.place, self.url = home, place, url
        self.source = place / "source"
        self.source.mkdir(parents=True)
        (self.source / "kept").write_bytes(bytes(range(256)) * 3000)
        self.time = T0

    def run(self, program: Program, action: str, *words: str | Path) -> Answer:
        cache = ("--archive-dir", self.place / f"cache-{program.letter}", "--name", "shared")
        answer = self.home.run(program, action, "--no-encryption", *cache, *words)
        assert answer.status == 0, answer
        return answer

    def back_up(self, program: Program, action: str) -> None:
        self.time += 1000
        (self.source / f"by {program.letter} at {self.time}").write_bytes(b"%d" % self.time * 700)
        with (self.source / "kept").open("ab") as file:
            file.write(program.letter.encode() * 99)
        os.utime(self.source / "kept", (self.time - 500,) * 2)  # duplicity sees no change within a second
        self.run(program, action, "--allow-source-mismatch", "--current-time", str(self.time), self.source, self.url)

    def check(self, program: Program) -> None:
        into = self.place / "restored"
        shutil.rmtree(into, ignore_errors=True)
        answer = self.run(program, "restore", self.url, into)
        equal, difference = judged(*ownership(), self.source, into)
        assert equal, f"{difference}\n{answer}"


def play(shared: Shared, first: Program, second: Program) -> None:
    """A full by one, increments by the other and by the first again; both read every state."""
    for program, action in ((first, "full"), (second, "incremental"), (first, "incremental")):
        shared.back_up(program, action)
        for reader in (first, second):
            shared.check(reader)
    for reader in (first, second):
        shared.run(reader, "verify", "--compare-data", shared.url, shared.source)
        shared.run(reader, "collection-status", shared.url)


def ordered(program: Program, real: Program, begins: str) -> tuple[Program, Program]:
    return (program, real) if begins == "ours" else (real, program)


@NO_PAR2
@pytest.mark.parametrize("begins", ["ours", "duplicitys"])
def test_a_repository_with_recovery_files_is_shared(
    begins: str, ours: Program, real: Program, home: Household, tmp_path: Path
) -> None:
    shared = Shared(home, tmp_path, f"par2+file://{tmp_path / 'repo'}")
    first, second = ordered(ours, real, begins)
    play(shared, first, second)
    names = {path.name for path in (tmp_path / "repo").iterdir()}
    assert {f"{name}.par2" for name in names if not name.endswith(".par2")} <= names
    shared.run(real, "remove-all-but-n-full", "1", "--force", shared.url)
    shared.back_up(second, "full")
    shared.run(first, "remove-all-but-n-full", "1", "--force", shared.url)
    left = {path.name for path in (tmp_path / "repo").iterdir() if "tarragon." not in path.name}
    stamp = "20231114T232000Z"
    assert left
    assert [name for name in left if stamp not in name] == []


@pytest.mark.parametrize(
    ("query", "begins"), [("", "ours"), ("?mode=mirror&onfail=abort&subpath=%2Fdeep", "duplicitys")]
)
def test_a_repository_of_several_stores_is_shared(
    query: str, begins: str, ours: Program, real: Program, home: Household, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    (tmp_path / "config.json").write_text(json.dumps([{"url": f"file://{folder}"} for folder in folders]))
    shared = Shared(home, tmp_path, f"multi://{tmp_path / 'config.json'}{query}")
    play(shared, *ordered(ours, real, begins))
    one, two = ({path.name for path in (folder / ("deep" if query else "")).glob("dupl*")} for folder in folders)
    assert one == two if query else one and two and not one & two
