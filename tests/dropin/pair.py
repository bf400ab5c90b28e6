"""The same command line on the real duplicity 3.2.1 and on ours, in equal sandboxes.

Each side has a home of its own (cache, state, temporary files, key ring) and a target of its own; the source tree and
the working folder are shared. ``--current-time`` gives both the same clock, so that even stored names must be equal.
In words, ``@to`` is the target's folder, ``@out`` the folder to restore into, ``@home`` the side's home.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import programs

DROP_IN = programs.Program(str(Path(sys.executable).parent / "duplicity"), True)
Made = TypeVar("Made")
START = 1_700_000_000


class Record(NamedTuple):
    """One machine-readable record: its keyword line, its data lines, and the text."""

    head: str
    data: tuple[str, ...]
    text: str

    @property
    def keyword(self) -> str:
        return self.head.split()[0]

    @property
    def number(self) -> int:
        return int(self.head.split()[1])


class Observed(NamedTuple):
    """What a run came to, as far as programs look at it."""

    status: int
    records: tuple[Record, ...]
    stored: tuple[str, ...]
    out: str
    err: str


def parsed(raw: bytes) -> tuple[Record, ...]:
    """The records of a log."""
    found = []
    for block in raw.decode("utf-8", "surrogateescape").split("\n\n"):
        if not block:
            continue
        head, *lines = block.split("\n")
        data = tuple(line for line in lines if not line.startswith(". "))
        found.append(Record(head, data, "\n".join(line[2:] for line in lines if line.startswith(". "))))
    return tuple(found)


class Side:
    """One program with its home."""

    def __init__(self, program: programs.Program, home: programs.Household) -> None:
        self.program = program
        self.home = home
        self.prefix: tuple[str, ...] = ()
        self.to = home.folder / "to"

    def worded(self, word: str) -> str:
        """A word of a command line with this side's places filled in."""
        folder = str(self.home.folder)
        for name, value in (("@to", str(self.to)), ("@out", f"{folder}/out"), ("@home", folder)):
            word = word.replace(name, value)
        return word

    def run(self, words: list[str], cwd: Path, env: dict[str, str]) -> Observed:
        log = self.home.folder / "records.log"
        log.unlink(missing_ok=True)
        log.touch()
        ended = subprocess.run(
            [*self.prefix, self.program.command, *(self.worded(word) for word in words), f"--log-file={log}"],
            env=self.home.environment() | env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )
        raw = log.read_bytes().replace(str(self.home.folder).encode(), b"@home")
        stored = tuple(sorted(path.name for path in self.to.glob("*"))) if self.to.is_dir() else ()
        out, err = (stream.decode("utf-8", "replace") for stream in (ended.stdout, ended.stderr))
        return Observed(ended.returncode, parsed(raw), stored, out, err)


class Pair:
    """Both sides over one place."""

    def __init__(self, place: Path, theirs: programs.Program, ours: programs.Program = DROP_IN) -> None:
        self.place = place
        self.sides = [Side(program, programs.Household()) for program in (theirs, ours)]
        self.now = START

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for side in self.sides:
            side.home.close()

    def run(self, *words: str, clock: bool = True, **env: str) -> tuple[Observed, Observed]:
        """Run a line on both, side by side; what duplicity's came to stands first."""
        self.now += 100
        given = [*words, f"--current-time={self.now}"] if clock else list(words)
        return self.both(lambda side: side.run(given, self.place, env))

    def both(self, what: Callable[[Side], Made]) -> tuple[Made, Made]:
        """Do something for both sides at once: they have nothing in common but what they read."""
        with ThreadPoolExecutor(2) as pool:
            theirs, ours = pool.map(what, self.sides)
        return theirs, ours


#: Data lines that show the insides of the program: docs/cli.md § 11, deviations.
_INSIDES = re.compile(r"(backend|archive-dir) ")
#: Without a number of their own: for people.
_FREE = {1}


def told(run: Observed) -> list[str]:
    """The records that programs read, one line each, without what is for people or about the machine.

    Progress (``INFO 2``, ``NOTICE 16``) depends on time and is looked at elsewhere. The status is compared once, where
    it is the answer: duplicity tells it, at verbosity 8, twice then, and elsewhere even before an error.
    """
    found: list[str] = []
    failed = any(record.keyword == "ERROR" for record in run.records)
    status: Record | None = None
    for record in run.records:
        if (record.keyword, record.number) in (("INFO", 2), ("NOTICE", 16)):
            continue
        if (record.keyword, record.number) == ("INFO", 3):
            if failed or record == status:
                continue
            status = record
        if record.number in _FREE and record.keyword != "ERROR":
            continue
        if "\\udc" in record.head:
            continue  # of names that are not UTF-8 duplicity sends no record, ours escapes them (docs/drop-in.md)
        if record.keyword == "ERROR" and record.head.rstrip() in found[-1:]:
            continue  # said twice
        found.append(record.head.rstrip())
        found += [line for line in record.data if not _INSIDES.match(line)]
    return found


def stored(run: Observed) -> list[str]:
    """The names at the target that duplicity knows; ours beside them are additions (docs/architecture.md)."""
    return [name for name in run.stored if not name.startswith("tarragon.")]
