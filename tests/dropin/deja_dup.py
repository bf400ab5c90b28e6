"""Deja Dup's calls, and its reading of the records, as docs/wrappers.md § 3 tells both. Not its code: a stand-in.

It starts the program detached, throws both streams away, and knows only what comes through ``--log-fd``.
"""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import programs
from pair import DROP_IN

FIELD = re.compile(r"'((?:[^'\\]|\\.)*)'|(\S+)")


def fields(head: str) -> list[str]:
    """The words behind keyword and number; what stands in single quotes is one word, with its escapes decoded."""
    rest = head.split(" ", 2)[2] if head.count(" ") > 1 else ""
    found = []
    for quoted, plain in FIELD.findall(rest):
        unquoted = codecs.decode(quoted.encode("latin-1", "backslashreplace"), "unicode_escape")
        found.append(plain or unquoted)
    return found


@dataclass
class Heard:
    """What Deja Dup made of one run."""

    status: int = 0
    now: int = 0
    total: int = 0
    encrypted: bool | None = None
    chains: list[list[str]] = field(default_factory=list)
    handled: list[str] = field(default_factory=list)
    listed: dict[str, tuple[str, str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    not_restored: list[str] = field(default_factory=list)
    left_over: bool = False
    asks_passphrase: bool = False
    asks_about_host: tuple[str, str] | None = None
    no_backup: bool = False
    not_found: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def went_well(self) -> bool:
        return self.status == 0 and not self.errors


class DejaDup:
    """One user's Deja Dup: a home with a cache and temporary folder, and a place for the backup."""

    def __init__(self, home: programs.Household, url: str, passphrase: str | None = "secret") -> None:
        self.home = home
        self.url = url
        self.passphrase = passphrase
        self.cache = home.folder / ".cache" / "deja-dup"
        self.tempdir = home.folder / "tmp"

    def command(self, descriptor: int, action: str, *words: str) -> list[str]:
        common = ["--verbosity=9", "--timeout=120", f"--archive-dir={self.cache}", f"--tempdir={self.tempdir}"]
        plain = ["--no-encryption"] if self.passphrase == "" else []
        return [DROP_IN.command, f"--log-fd={descriptor}", action, *words, *plain, *common]

    def start(self, action: str, *words: str) -> tuple[subprocess.Popen[bytes], int]:
        """A run under way, and the end of the pipe to read."""
        for lock in self.cache.glob("*/lockfile.lock"):
            lock.unlink()
        reading, writing = os.pipe()
        env = self.home.environment()
        if self.passphrase is not None:
            env["PASSPHRASE"] = self.passphrase
        child = subprocess.Popen(
            self.command(writing, action, *words),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        return child, reading

    def run(self, action: str, *words: str) -> Heard:
        child, reading = self.start(action, *words)
        heard = Heard()
        with open(reading, encoding="utf-8") as stream:
            for block in stream.read().split("\n\n"):
                if block:
                    hear(heard, block.split("\n"))
        heard.status = child.wait(timeout=300)
        return heard

    def killed(self, action: str, *words: str, after: str) -> None:
        """A run that is ended by KILL once a record that begins so has come."""
        child, reading = self.start(action, *words)
        with open(reading, encoding="utf-8") as stream:
            for line in stream:
                if line.startswith(after):
                    break
            os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=60)

    # -- its steps ----------------------------------------------------------------------------------------------------

    def look(self) -> Heard:
        return self.run("collection-status", self.url)

    def selection(self, user: Path) -> list[str]:
        words = [f"--include={self.cache}/metadata", f"--exclude={user}/**/.cache", f"--exclude={user}/Downloads"]
        words += [f"--include={user}", "--exclude=**", "--exclude-if-present=CACHEDIR.TAG"]
        return [*words, "--exclude-if-present=.deja-dup-ignore"]

    def backup_words(self, user: Path, *more: str) -> tuple[str, ...]:
        return (*self.selection(user), *more, "--volsize=1", "/", self.url)

    def estimate(self, action: str, user: Path) -> int:
        return self.run(action, *self.backup_words(user, "--dry-run")).now

    def back_up(self, action: str, user: Path, *more: str) -> Heard:
        return self.run(action, *self.backup_words(user, *more))

    def list(self, *words: str) -> Heard:
        return self.run("list-current-files", *words, self.url)

    def restore(self, target: Path, *words: str) -> Heard:
        return self.run("restore", *words, "--no-restore-ownership", "--force", self.url, str(target))


def hear(heard: Heard, lines: list[str]) -> None:
    """One record."""
    head = lines[0]
    keyword, number = head.split()[:2]
    text = "\n".join(line[2:] for line in lines if line.startswith(". "))
    words = fields(head)
    match keyword, int(number):
        case "INFO", 2:
            heard.now, heard.total = int(words[0]), int(words[1]) if len(words) > 1 else heard.total
        case "INFO", 3:
            _status(heard, lines[1:])
        case "INFO", 4 | 5 | 6 | 7 | 8:
            heard.handled.append(words[0])
        case "INFO", 10:
            if words[1] != ".":
                heard.listed[words[1]] = (words[0], words[2])
        case "WARNING", 2 | 3 | 4 | 5 | 6:
            heard.left_over = True
        case "WARNING", 9 | 10:
            heard.unreadable.append(words[0])
        case "WARNING", 12:
            if "[Errno 1]" not in text:
                heard.not_restored.append(words[0])
        case "ERROR", _:
            _error(heard, int(number), words, text)


def _status(heard: Heard, lines: list[str]) -> None:
    heard.chains = []
    for line in lines:
        if line == "chain-complete" or line.startswith("chain-no-sig"):
            heard.chains.append([])
        elif line.startswith(" ") and heard.chains and line.split()[0] in ("full", "inc"):
            heard.chains[-1].append(line.split()[1])
            if heard.encrypted is None:
                heard.encrypted = line.split()[3] == "enc"


def _error(heard: Heard, number: int, words: list[str], text: str) -> None:
    if number == 3 and len(words) == 2:
        heard.asks_about_host = (words[0], words[1])
        return
    bad_session = any(sentence in text for sentence in ("No secret key", "Bad session key"))
    if (number == 30 and words[:1] == ["EOFError"]) or (number == 31 and bad_session):
        heard.asks_passphrase = True
        return
    heard.no_backup = heard.no_backup or words[:1] == ["CollectionsError"]
    heard.not_found = heard.not_found or number == 19
    heard.errors.append(f"{number} {' '.join(words)}: {text}")
