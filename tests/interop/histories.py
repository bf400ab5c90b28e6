#!/usr/bin/env python3
"""Random histories of one repository, written by Tarragon and by real duplicity in turn, read by both.

    python tests/interop/histories.py --seeds 1-200 [--jobs 2] [--by-hand] [--keep]

A seed decides everything: the tree, its edits, the mode of encryption, the sizes of volumes, who writes which set, and
which older time is read. After every set both programs restore the newest time, one of them an older one (both in the
last generation), list and verify; compare_tree.py judges each restored tree against a description that it took of the
source at that time. One line per history is printed; the exit status is 1 if any history failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import programs
import records
from compare_tree import load
from programs import ENCRYPT_KEY, SIGN_KEY, Answer, Household, Program, describe, judged, ownership
from trees import Tree

BOTH_KEYS = {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"}


class Mode(NamedTuple):
    """How a history is stored: options for every action, and passphrases."""

    name: str
    options: tuple[str, ...]
    environment: dict[str, str]


MODES = (
    Mode("gzip", ("--no-encryption",), {}),
    Mode("plain", ("--no-encryption", "--no-compression"), {}),
    Mode("symmetric", (), {"PASSPHRASE": "pass phräse"}),
    Mode("symmetric-plain", ("--no-compression",), {"PASSPHRASE": "pw"}),
    Mode("public", ("--encrypt-key", ENCRYPT_KEY), {"PASSPHRASE": "encpass"}),
    Mode("hidden", ("--hidden-encrypt-key", ENCRYPT_KEY), {"PASSPHRASE": "encpass"}),
    Mode("signed", ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY), BOTH_KEYS),
    Mode("symmetric-signed", ("--sign-key", SIGN_KEY), {"PASSPHRASE": "signpass", "SIGN_PASSPHRASE": "signpass"}),
)
FIRST_TIME = 1_700_000_000


class Wrong(Exception):
    """A history that did not go as promised; the text says all that is needed to see it again."""


class Stored(NamedTuple):
    """One set of the history: its time, and the description of the source then."""

    time: int
    description: Path


class History:
    """One history in a folder of its own."""

    def __init__(
        self, seed: int, pair: tuple[Program, Program], home: Household, place: Path, mode: Mode | None
    ) -> None:
        self.random = Random(seed)
        self.pair = pair
        self.home = home
        self.place = place
        self.mode = mode or self.random.choice(MODES)
        self.volume_is_small = self.random.random() < 0.35
        big = 2_600_000 if self.volume_is_small else 0
        self.tree = Tree(place / "source", self.random, big=big)
        self.one_cache = self.random.random() < 0.5
        self.stored: list[Stored] = []
        self.writers = ""
        self.now = FIRST_TIME

    def run(self, program: Program, action: str, *words: str | Path) -> Answer:
        """Run one action; any exit status but 0 ends the history."""
        cache = "cache" if self.one_cache else f"cache-{program.letter}"
        options = (*self.mode.options, "--archive-dir", self.place / cache, "--name", "history")
        answer = self.home.run(
            program, action, *options, *words, env=self.mode.environment, cwd=self.place, records=True
        )
        if answer.status != 0:
            raise Wrong(str(answer))
        return answer

    @property
    def url(self) -> str:
        return f"file://{self.place / 'repo'}"

    def play(self, generations: int, by_hand: bool = False) -> None:
        """All of it; raises ``Wrong``."""
        self.tree.grow(self.random.randint(5, 40))
        for generation in range(generations):
            if generation:
                self.tree.edit(self.random.choice((0, 1, 3, 8, 20)))
                self.now += self.random.choice((1, 2, 60, 5000, 100000))
            self.write(is_first=generation == 0)
            self.read(is_last=generation == generations - 1)
        if by_hand:
            self.recover()

    def write(self, *, is_first: bool) -> None:
        """One of the two programs makes the next set."""
        writer = self.random.choice(self.pair)
        is_full = is_first or self.random.random() < 0.08
        options: list[str] = ["--current-time", str(self.now), "--no-print-statistics"]
        options += ["--volsize", "1"] if self.volume_is_small else []
        options += self.random.choice(([], [], ["--no-files-changed"], ["--max-blocksize", "2048"], ["--jsonstat"]))
        if writer.is_ours:
            options += self.random.choice(([], ["--concurrency", "2"]))
        if self.random.random() < 0.1:
            self.home.forget()
            for cache in self.place.glob("cache*"):
                shutil.rmtree(cache)
        description = self.place / f"{self.now}.tsv"
        describe(self.place / "source", description)
        self.writers += writer.letter.lower() if is_full else writer.letter
        self.run(writer, "full" if is_full else "incremental", *options, "source", self.url)
        self.stored.append(Stored(self.now, description))

    def read(self, *, is_last: bool) -> None:
        """Both programs restore, list and verify."""
        newest = self.stored[-1]
        older = self.random.choice(self.stored)
        for program in self.pair:
            self.restore(program, newest, ())
            if is_last or self.random.random() < 0.4:
                self.restore(program, older, ("--time", str(older.time)))
            if is_last or self.random.random() < 0.4:
                self.verify(program)
                self.list(program, self.random.choice((newest, older)))

    def restore(self, program: Program, wanted: Stored, time_options: tuple[str, ...]) -> None:
        out = self.place / "out"
        owner = () if ownership() == () else ("--no-restore-ownership",)
        answer = self.run(program, "restore", *time_options, *owner, self.url, out)
        equal, difference = judged(wanted.description, out, *ownership())
        if not equal:
            raise Wrong(f"{difference}{answer}")
        shutil.rmtree(out)

    def recover(self) -> None:
        """By hand: the recovery script restores the newest time."""
        script, out = programs.CHECKOUT / "contrib" / "recovery" / "recover.sh", self.place / "out"
        passphrase = {"PASSPHRASE": self.mode.environment["PASSPHRASE"]} if self.mode.environment else {}
        answer = self.home.run(Program(str(script), False), self.place / "repo", out, env=passphrase)
        equal, difference = judged(self.stored[-1].description, out, *ownership())
        if not equal or answer.status != 0:
            raise Wrong(f"{difference}{answer}")
        shutil.rmtree(out)

    def verify(self, program: Program) -> None:
        answer = self.run(program, "verify", "--compare-data", self.url, "source")
        if not re.search(r"\b0 difference(\(s\)|s) found", answer.text):
            raise Wrong(str(answer))

    def list(self, program: Program, wanted: Stored) -> None:
        answer = self.run(program, "list-current-files", "--time", str(wanted.time), self.url)
        found = {path: (entry.type, entry.mtime) for path, entry in records.listed(answer.records).items()}
        expected = {}
        for path, fact in load(os.fsencode(wanted.description)).items():
            if not program.is_ours and path.decode("utf-8", "ignore").encode() != path:
                found.pop(path, None)  # real duplicity's record stream loses names that are not UTF-8
            else:
                mtime = found.get(path, ("", -1))[1] if fact.mtime == "-" else int(fact.mtime)
                expected[path] = (fact.type, mtime)
        if found != expected:
            odd = sorted(set(found.items()) ^ set(expected.items()))
            raise Wrong(f"the list differs: {odd[:10]}\n{answer.words} exit status {answer.status}")


def play(
    seed: int, generations: int, mode: Mode | None = None, *, keep: bool = False, by_hand: bool = False
) -> tuple[bool, str]:
    """Play one history; was it right, and the line that reports it."""
    pair = (programs.program_under_test(), programs.duplicity())
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix=f"history-{seed}-"))
    with Household() as home:
        home.import_golden_keys()
        history = History(seed, pair, home, place, mode)
        problem = ""
        try:
            history.play(generations, by_hand)
        except Wrong as err:
            problem = f"\n{err}"
    took = time.monotonic() - began
    if not (problem and keep):
        shutil.rmtree(place)
    verdict = "WRONG" if problem else "right"
    volumes = "small volumes" if history.volume_is_small else "one volume"
    line = f"seed {seed} {history.mode.name}, {volumes}, writers {history.writers}, {took:.1f} s: {verdict}"
    return not problem, line + (f", kept in {place}" if problem and keep else "") + problem


def main() -> int:
    parser = argparse.ArgumentParser(description="Random histories, two writers, two readers, one judge")
    parser.add_argument("--seeds", default="1-20", help="a range, both ends included")
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--mode", choices=[mode.name for mode in MODES], help="this mode instead of a random one")
    parser.add_argument("--by-hand", action="store_true", help="let contrib/recovery/recover.sh restore the end too")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a history that went wrong")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    mode = next((mode for mode in MODES if mode.name == options.mode), None)
    how = {"keep": options.keep, "by_hand": options.by_hand}
    wrong = []
    with ThreadPoolExecutor(options.jobs) as pool:
        games = [pool.submit(play, seed, options.generations, mode, **how) for seed in seeds]
        for seed, game in zip(seeds, games, strict=True):
            right, line = game.result()
            print(line, flush=True)
            if not right:
                wrong.append(seed)
    print(f"{len(seeds)} histories, {len(wrong)} wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
