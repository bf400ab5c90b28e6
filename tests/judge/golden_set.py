"""Read what the README of each golden repository says about it, so that a new repository needs no new line of code.

Taken from a README: the options and passphrases of its ``Made by`` commands (those that a reader needs are accepted by
every action, the others do no harm), an option in "readable only with `--option value`", the list of times, and
whether it must fail. Of an interrupted repository, the copy in ``resumed/`` is what counts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from programs import GOLDEN

MADE_BY = re.compile(r"^ {4}(.*?duplicity\S* (?:full|incremental) .*?)((?:\w+\+)?file)://repo", re.MULTILINE)
MOMENT = re.compile(r"^- `--time (\d+)` -> `(.+?)`", re.MULTILINE)
ONLY_WITH = re.compile(r"only with `(--.+?)`")
MUST_FAIL = re.compile(r"must report the hash mismatch and fail")
NOT_FOR_READING = {"--current-time": 1, "--volsize": 1, "--allow-source-mismatch": 0}


class Moment(NamedTuple):
    """A time at which a repository can be restored, and the description of what must come out."""

    time: int | None
    expected: Path

    def __str__(self) -> str:
        return "newest" if self.time is None else str(self.time)

    @property
    def options(self) -> tuple[str, ...]:
        return () if self.time is None else ("--time", str(self.time))


class Golden(NamedTuple):
    """One golden repository: where it is and how to read it."""

    name: str
    repo: Path
    scheme: str
    environment: dict[str, str]
    options: tuple[str, ...]
    moments: tuple[Moment, ...]
    set_times: tuple[int, ...]
    is_damaged: bool

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.repo}"

    def url_of(self, repo: Path) -> str:
        """The URL of a copy."""
        return f"{self.scheme}://{repo}"

    @property
    def sign_key(self) -> str | None:
        """The key that signed it, if it is signed."""
        if "--sign-key" not in self.options:
            return None
        return self.options[self.options.index("--sign-key") + 1]


def reading_options(words: list[str]) -> Iterator[str]:
    """The options of a backup command that its readers need as well."""
    rest = iter(words)
    for word in rest:
        if word in NOT_FOR_READING:
            for _ in range(NOT_FOR_READING[word]):
                next(rest)
        elif word != "src":
            yield word


def read(folder: Path) -> Golden:
    """What the README in ``folder`` says."""
    text = (folder / "README.md").read_text()
    commands = MADE_BY.findall(text)
    words = shlex.split(commands[-1][0])
    start = next(place for place, word in enumerate(words) if word.startswith("duplicity"))
    environment = dict(word.split("=", 1) for word in words[:start])
    options = [*reading_options(words[start + 2 :])]
    for extra in ONLY_WITH.findall(text):
        options += shlex.split(extra)
    moments = [Moment(int(time), folder / path) for time, path in MOMENT.findall(text)]
    repo = folder / "repo"
    times = re.findall(r"--current-time (\d+)", text)
    if (folder / "resumed").exists():
        repo = folder / "resumed" / "repo"
        moments.append(Moment(None, folder / "expected" / "resumed.tsv"))
        times = times[:-1]  # the run that resumed kept the time of the one that was killed
    return Golden(
        name=folder.name,
        repo=repo,
        scheme=commands[-1][1],
        environment=environment,
        options=tuple(options),
        moments=tuple(moments),
        set_times=tuple(int(time) for time in times),
        is_damaged=bool(MUST_FAIL.search(text)),
    )


def golden_set() -> list[Golden]:
    """Every repository of tests/golden."""
    return [read(readme.parent) for readme in sorted(GOLDEN.glob("*/README.md"))]
