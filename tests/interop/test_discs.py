"""Backups on an ISO 9660 image: ours alone, and in turn with the real duplicity."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from programs import Household, Program, describe, judged
from sites import Site, filled

pytestmark = pytest.mark.skipif(shutil.which("xorriso") is None, reason="no program xorriso (apt-get install)")


class Disc(Site):
    """A site whose repository is a folder of an image."""

    def __init__(self, place: Path, program: Program, home: Household) -> None:
        super().__init__(place, program, home)
        self.image = place / "image.iso"
        self.image.touch()
        self.url = f"xorriso://{self.image}:/backups/of me"
        self.url = self.url.replace(" ", "%20")

    def names(self) -> list[str]:
        words = ["xorriso", "-indev", f"stdio:{self.image}", "-find", "/backups/of me", "-type", "f"]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return sorted(line.strip("'").rpartition("/")[2] for line in found.splitlines())

    def sessions(self) -> int:
        words = ["xorriso", "-indev", f"stdio:{self.image}", "-toc"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.count("ISO session")


def test_a_full_an_increment_a_restore_and_a_verify(tmp_path, ours, home):
    disc = filled(Disc(tmp_path, ours, home))
    assert disc.backup("full").status == 0
    full = disc.sessions()
    disc.write("a", b"second")
    disc.write("new", b"x")
    assert disc.backup("incremental").status == 0
    assert disc.sessions() > full
    home.forget()
    assert disc.is_restored()
    answer = disc.run("verify", "--compare-data", disc.url, disc.source)
    assert answer.status == 0, answer
    answer = disc.run("remove-all-but-n-full", "1", "--force", disc.url)
    assert answer.status == 0, answer
    assert disc.is_restored()


@pytest.mark.parametrize("begins", ["ours", "theirs"])
def test_duplicity_and_we_go_on_with_each_others_images(tmp_path, ours, real, home, begins):
    first, second = (ours, real) if begins == "ours" else (real, ours)
    disc = filled(Disc(tmp_path, first, home))
    assert disc.backup("full").status == 0
    disc.program = second
    home.forget()
    disc.write("a", b"second")
    answer = disc.backup("incremental")
    assert answer.status == 0, answer
    assert any(name.startswith("duplicity-inc.") for name in disc.names())
    describe(disc.source, tmp_path / "now.tsv")
    for program in (first, second):
        disc.program = program
        home.forget()
        answer = disc.restore()
        assert answer.status == 0, answer
        equal, difference = judged(tmp_path / "now.tsv", disc.out)
        assert equal, difference
