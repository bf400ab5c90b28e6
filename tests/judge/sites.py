"""A source, a repository and a program that is run on them: what most scenarios begin with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

from programs import Answer, Household, Program, describe, judged


class Site:
    """A source, a repository and a way to run the program on them; the clock goes on a second a run."""

    def __init__(self, place: Path, program: Program, home: Household) -> None:
        self.place, self.program, self.home = place, program, home
        self.source, self.repo, self.out = place / "source", place / "repo", place / "out"
        self.options: tuple[str, ...] = ("--no-encryption",)
        self.environment: dict[str, str] = {}
        self.prefix: tuple[str, ...] = ()
        self.now = 1_700_000_000
        self.url = f"file://{self.repo}"

    def run(self, action: str, *words: str | Path) -> Answer:
        return self.home.run(
            self.program, action, *self.options, *words, env=self.environment, prefix=self.prefix, wait_s=120
        )

    def backup(self, action: str = "full", *words: str) -> Answer:
        self.now += 1
        return self.run(action, "--current-time", str(self.now), *words, self.source, self.url)

    def restore(self, *words: str) -> Answer:
        shutil.rmtree(self.out, ignore_errors=True)
        return self.run("restore", *words, self.url, self.out)

    def write(self, name: str, data: bytes) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.now += 1
        os.utime(path, (self.now, self.now))
        return path

    def volume(self, pattern: str) -> Path:
        return next(self.repo.glob(pattern))

    def names(self) -> list[str]:
        return sorted(os.listdir(self.repo)) if self.repo.exists() else []

    def is_restored(self) -> bool:
        """Restore, and compare with the source as it is now."""
        answer = self.restore()
        describe(self.source, self.place / "now.tsv")
        equal, difference = judged(self.place / "now.tsv", self.out, *(() if not self.prefix else ("--no-owner",)))
        assert answer.status == 0, answer
        assert equal, difference
        return True


def filled(site: Site) -> Site:
    """The same site, with a small source."""
    site.write("a", b"first")
    site.write("folder/b", Random(1).randbytes(70000))
    site.write("z", b"last")
    return site
