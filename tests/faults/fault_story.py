"""One story: full backup, increment, a kill, a resume, restores and a verify, with faults between at every step.

Each step with faults either does what it says or ends with a typed error, and then does it without faults. What comes
back is judged by compare_tree.py. Nothing may be lost, nothing wrong, and no credential may reach another host.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from fault_places import PLACES, Place

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))

import compare_tree
from programs import Household, Program, ownership
from stage import FIRST_TIME, Ended, Source, State, Wrong

#: An exception of Python's that nobody turned into a message, or only the core's last resort did.
_RAW = re.compile(
    r"did not translate|Traceback \(most|Exception ignored|Fatal Python|^[A-Za-z]*(?:Error|Exception|Iteration): ", re.M
)
#: Why what a broken run has left is not gone on with.
_NOT_GONE_ON = re.compile(r"a broken backup is not gone on with: (.*?)\. Its \d+ files")


class Outcome(NamedTuple):
    """What came of a story; ``figure`` is "" or what went wrong."""

    kind: str
    seed: int
    faults: dict[str, int]
    failed: int  # steps that ended with a typed error under faults, and well without
    killed: int
    recorded: int  # broken runs, killed or failed, that left volumes recorded at the target
    resumed: int  # of these, that the next run went on with
    concluded: int  # of these, whose manifest stood at the target already: the next run only had to conclude them
    anew: dict[str, int]  # and why it did not
    figure: str
    detail: str

    def record(self) -> dict[str, Any]:
        return self._asdict()


class Story:
    def __init__(self, place: Place, *, files: int, most: int) -> None:
        self.place, self.random, self._files, self._most = place, place.random, files, most
        self.failed = self.killed = self.recorded = self.resumed = self.concluded = 0
        self._was_committing = False
        self.anew: Counter[str] = Counter()

    def play(self) -> None:
        place = self.place
        source = Source(place.source, self.random, files=self._files, big=0)
        source.tree.make_big_file = lambda path: None  # type: ignore[method-assign]
        source.grow()
        place.now = FIRST_TIME
        self._must("full", "source", place.url)
        first = place.seen()
        source.change_much()
        place.now += 1000
        self._must("incremental", "source", place.url)
        second, middle = place.seen(), place.now
        source.change_much()
        source.add(16)
        place.now += 1000
        third = place.seen()
        ended, was_killed = place.killed(self._most, *self._words("incremental", "source", place.url))
        self.killed += was_killed
        self._must_be_typed(ended, was_killed)
        if was_killed or ended.status:
            self._is_broken()
            self._must("incremental", "source", place.url)
        self._restore(third, None)
        self._restore(*self.random.choice(((first, FIRST_TIME + 500), (second, middle + 500))))
        owner = () if ownership() == () else ("--numeric-owner",)
        self._must("verify", "--compare-data", *owner, place.url, "source")
        if any(secret.encode() in got for got in place.stolen for secret in place.secrets):
            raise Wrong("stolen", f"another host was told a secret: {place.stolen}")
        if any(b"uthorization" in got for got in place.stolen):
            raise Wrong("stolen", f"another host was told a signature: {place.stolen}")

    def _must(self, action: str, *more: str | Path) -> Ended:
        """A step with faults, and without them if it failed."""
        words = self._words(action, *more)
        before = self.resumed + self.anew.total(), self.place.recorded()
        ended = self._heard(self.place.faulted(self._most, *words))
        self._must_be_typed(ended)
        if ended.status:
            self.failed += 1
            if before != (self.resumed + self.anew.total(), self.place.recorded()):
                self._is_broken()  # else it failed before it looked at what the run before it had left
            ended = self._heard(self.place.run(*words))
            if ended.status:
                raise Wrong("stuck", f"a run without faults fails\n{ended}")
        return ended

    def _is_broken(self) -> None:
        """A run ended before its set was whole: is there anything to go on with?"""
        self.recorded += self.place.recorded() > 0
        self._was_committing = self.place.is_committing()

    def _heard(self, ended: Ended) -> Ended:
        """Count whether a run goes on with what one before it left, or why not."""
        is_resumed, anew = "going on with the" in ended.text, _NOT_GONE_ON.findall(ended.text)
        self.resumed += is_resumed
        self.anew.update(anew)
        if ended.status == 0:
            self.concluded += self._was_committing and not is_resumed and not anew
            self._was_committing = False
        return ended

    def _words(self, action: str, *more: str | Path) -> tuple[str | Path, ...]:
        """A command line; a backup is one of the stage's time, and of small volumes."""
        clock = () if action == "verify" else ("--volsize", "1", "--current-time", str(self.place.now))
        return (action, *self.place.options(), *clock, *more)

    def _must_be_typed(self, ended: Ended, was_killed: bool = False) -> None:
        if (ended.status < 0 and not was_killed) or _RAW.search(ended.text):
            raise Wrong("untyped", str(ended))
        for secret in self.place.secrets:
            if secret in ended.text:
                raise Wrong("told", f"a secret is told\n{ended}")

    def _restore(self, want: State, at: int | None) -> None:
        place = self.place
        out, cache = place.place / "out", place.place / "other-cache"
        time = () if at is None else ("--time", str(at))
        owner = () if ownership() == () else ("--no-restore-ownership",)
        for faulted in (True, False):
            for folder in (out, cache):
                shutil.rmtree(folder, ignore_errors=True)
            words = ("restore", *place.options(cache), *time, *owner, place.url, out)
            state = {"XDG_STATE_HOME": str(cache / "state")}
            if faulted:
                env = place.arm(self._most) | state
                try:
                    ended = place.run(*words, env=env)
                finally:
                    place.disarm()
            else:
                ended = place.run(*words, env=state)
            self._must_be_typed(ended)
            if ended.status == 0:
                place.must_equal(want, compare_tree.look(os.fsencode(out)), f"after {ended}")
                return
            self.failed += faulted
        raise Wrong("stuck", f"a restore without faults fails\n{ended}")


def play(kind: str, seed: int, ours: Program, *, files: int = 7, most: int = 4) -> Outcome:
    """A whole story in a home of its own."""
    figure = detail = ""
    with Household() as home:
        place = PLACES[kind](home, ours, Random(f"{kind} {seed}"))
        with place.opened():
            story = Story(place, files=files, most=most)
            try:
                story.play()
            except Wrong as err:
                figure, detail = err.figure, str(err)
    return Outcome(
        kind, seed, dict(Counter(place.done)), story.failed, story.killed, story.recorded, story.resumed,
        story.concluded, dict(story.anew), figure, detail,
    )  # fmt: skip
