"""A repository to be mistreated: a source that can be brought back, runs that can be killed, and restores that judge.

Everything is done by command line. What is right is decided by compare_tree.py and by the real duplicity, never by us.
"""

from __future__ import annotations

import calendar
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import compare_tree
from compare_tree import Facts
from preload import Shim
from programs import ENCRYPT_KEY, SIGN_KEY, Household, Program, ownership
from trees import Tree

FIRST_TIME = 1_700_000_000
_MANIFEST = re.compile(
    r"duplicity-(?:full|inc\.\d{8}T\d{6}Z\.to)\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.manifest(?:\.gpg)?"
)

State = dict[bytes, Facts]


class Mode(NamedTuple):
    """How a repository is stored."""

    options: tuple[str, ...]
    environment: dict[str, str]


MODES = {
    "plain": Mode(("--no-encryption", "--no-compression"), {}),
    "gzip": Mode(("--no-encryption",), {}),
    "symmetric": Mode((), {"PASSPHRASE": "pass phrase"}),
    "public": Mode(("--encrypt-key", ENCRYPT_KEY), {"PASSPHRASE": "encpass"}),
    "signed": Mode(
        ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY), {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"}
    ),
}


def code() -> str:
    """Which code is under test: the commit of the checkout, and whether it has been changed since."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=7"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


class Ended(NamedTuple):
    """How a run ended: exit status (negative: the signal), what it said, how long it took."""

    words: tuple[str, ...]
    status: int
    text: str
    seconds: float

    def __str__(self) -> str:
        return f"$ {' '.join(self.words)}\nexit status {self.status}\n{self.text[-3000:]}"


class Wrong(Exception):
    """What must not be. ``figure`` says which count it goes to: tree, earlier, stuck."""

    def __init__(self, figure: str, text: str) -> None:
        super().__init__(text)
        self.figure = figure


class Stored(NamedTuple):
    """A whole set: its time, and what the source was."""

    time: int
    state: State


class Stage:
    """Source, target, cache and state of one repository, in the home of one worker."""

    def __init__(self, home: Household, ours: Program, real: Program, mode: str) -> None:
        self.home, self.ours, self.real, self.mode = home, ours, real, MODES[mode]
        self.place = home.folder / "stage"
        self.source, self.repo, self.cache = self.place / "source", self.place / "repo", self.place / "cache"
        self.state = home.folder / "state"
        self.now = FIRST_TIME
        self.stored: list[Stored] = []
        self.shim = Shim(home.folder, {"target": self.repo, "cache": self.cache, "state": self.state})
        self._restores = 0
        self._restored: dict[object, State] = {}

    # -- source -------------------------------------------------------------------------------------------------------

    def seen(self) -> State:
        """What the source is now."""
        return compare_tree.look(os.fsencode(self.source))

    # -- runs ---------------------------------------------------------------------------------------------------------

    def run(
        self,
        *words: str | Path,
        env: dict[str, str] | None = None,
        kill_after_s: float | None = None,
        wait_s: float = 240,
        program: Program | None = None,
        signal_number: int = signal.SIGKILL,
    ) -> Ended:
        """Run a program in a process group of its own; the whole group is killed after ``kill_after_s``.

        A run that does not end at all is stuck.
        """
        program = program or self.ours
        given = (program.command, *(str(word) for word in words))
        out = self.home.folder / "out.txt"
        started = time.monotonic()
        with out.open("wb") as sink:
            process = subprocess.Popen(
                given,
                env=self.home.environment() | self.mode.environment | (env or {}),
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(wait_s if kill_after_s is None else kill_after_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal_number if kill_after_s is not None else signal.SIGKILL)
                try:
                    status = process.wait(wait_s)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    status = process.wait()
                if kill_after_s is None:
                    raise Wrong("stuck", f"no end after {wait_s} s: {given}") from None
        text = out.read_bytes().decode("utf-8", "backslashreplace")
        return Ended(given, status, text, time.monotonic() - started)

    def options(self, cache: Path | None = None) -> tuple[str | Path, ...]:
        return (*self.mode.options, "--archive-dir", cache or self.cache, "--name", "kill")

    @property
    def url(self) -> str:
        return f"file://{self.repo}"

    def backup(self, action: str, *words: str | Path, program: Program | None = None, **how: object) -> Ended:
        """One run of a backup action, at the stage's time."""
        options = ("--volsize", "1", "--current-time", str(self.now), *self.options(), *words)
        return self.run(action, *options, "source", self.url, program=program, **how)  # type: ignore[arg-type]

    def newest(self) -> int:
        """The time of the newest set whose manifest is at the target."""
        return max(self.whole())

    def whole(self) -> set[int]:
        """The times of the sets whose manifests are at the target."""
        found = map(_MANIFEST.fullmatch, os.listdir(self.repo) if self.repo.exists() else [])
        return {_seconds(*map(int, match.groups())) for match in found if match}

    def has_stray_signatures(self) -> bool:
        """Whether signatures are at the target whose manifest is not."""
        return any(".sigtar" in name for name in self.leftovers())

    def latest(self) -> int:
        """The newest time in any name at the target, of a whole set or not."""
        names = os.listdir(self.repo) if self.repo.exists() else []
        stamps = {stamp for name in names for stamp in re.findall(r"\d{8}T\d{6}Z", name)}
        return max((calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) for stamp in stamps), default=0)

    def has_set(self, at: int) -> bool:
        """Whether the manifest of the set of that time is at the target."""
        return at in self.whole()

    # -- judging ------------------------------------------------------------------------------------------------------

    def restored(self, program: Program, at: int | None = None) -> State:
        """What a program restores, with an empty cache and a state of its own. Raises Wrong.

        It is not asked twice what the same objects, byte for byte, are at that time: it has nothing else to go by.
        """
        image = (program.command, at, self.image(also_ours=program.is_ours))
        if image not in self._restored:
            self._restored[image] = self._restore(program, at)
        return self._restored[image]

    def image(self, *, also_ours: bool) -> frozenset[tuple[str, str]]:
        """The objects at the target that a restore may read; what only Tarragon reads only where it is asked for."""
        files = [path for path in self.repo.iterdir() if path.is_file() and "jsonstat" not in path.name]
        read = [path for path in files if also_ours or not path.name.startswith("tarragon.")]
        return frozenset((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in read)

    def _restore(self, program: Program, at: int | None) -> State:
        self._restores += 1
        out, cache = self.place / "out", self.place / f"cache-{self._restores}"
        shutil.rmtree(out, ignore_errors=True)
        time_options = () if at is None else ("--time", str(at))
        owner = () if ownership() == () else ("--no-restore-ownership",)
        state = {"XDG_STATE_HOME": str(self.place / f"state-{self._restores}")}
        options = (*time_options, *owner, *self.options(cache))
        ended = self.run("restore", *options, self.url, out, program=program, env=state)
        if ended.status != 0:
            raise Wrong("tree", f"restore fails\n{ended}")
        found = compare_tree.look(os.fsencode(out))
        for leftover in (out, cache, Path(state["XDG_STATE_HOME"])):
            shutil.rmtree(leftover, ignore_errors=True)
        return found

    def must_equal(self, want: State, found: State, what: str, figure: str = "tree") -> None:
        """Raises Wrong unless two trees are equal."""
        skipped = frozenset(() if ownership() == () else ("uid", "gid"))
        lines = list(compare_tree.differences(want, found, skipped))
        if lines:
            raise Wrong(figure, f"{what}:\n" + "\n".join(lines[:20]))

    def must_be_mixed(self, states: list[State], found: State, what: str) -> None:
        """Raises Wrong unless every entry is as it was at one of several times, and none that always was is missing."""
        lines = []
        for path in found:
            known = [state[path] for state in states if path in state]
            if not any(not list(compare_tree.unequal(one, found[path], frozenset())) for one in known):
                lines.append(f"{path!r}: {found[path]} is none of {known}")
        always = set.intersection(*(set(state) for state in states))
        lines += [f"{path!r} is missing" for path in always - set(found)]
        if lines:
            raise Wrong("tree", f"{what}:\n" + "\n".join(lines[:20]))

    def must_restore_earlier(self, random: Random | None = None) -> None:
        """All whole sets of before restore to what they were; by the real duplicity, or one of them by both."""
        chosen = self.stored if random is None else random.sample(self.stored, min(1, len(self.stored)))
        for stored in chosen:
            try:
                found = self.restored(self.real, stored.time)
                self.must_equal(stored.state, found, f"the set of {stored.time}", "earlier")
            except Wrong as err:
                raise Wrong("earlier", str(err)) from err

    def leftovers(self) -> list[str]:
        """Names at the target that belong to no whole set."""
        stems = {name.partition(".manifest")[0] for name in os.listdir(self.repo) if ".manifest" in name}
        known = stems | {stem.replace("duplicity-full.", "duplicity-full-signatures.") for stem in stems}
        known |= {stem.replace("duplicity-inc.", "duplicity-new-signatures.") for stem in stems}
        rest = [name for name in os.listdir(self.repo) if not any(name.startswith(stem + ".") for stem in known)]
        return sorted(name for name in rest if not name.startswith("tarragon."))

    def temporary(self) -> int:
        """How many unfinished files stand at the target."""
        return sum(name.startswith("tarragon.tmp-") for name in os.listdir(self.repo))

    # -- keeping ------------------------------------------------------------------------------------------------------

    def keep(self, name: str) -> None:
        """Remember everything under a name."""
        kept = self.home.folder / "kept" / name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        self.state.mkdir(exist_ok=True)
        _copy(self.place, kept / "stage")
        _copy(self.state, kept / "state")

    def bring_back(self, name: str) -> None:
        """Make everything as it was when it was kept."""
        kept = self.home.folder / "kept" / name
        for here, there in ((self.place, kept / "stage"), (self.state, kept / "state")):
            shutil.rmtree(here, ignore_errors=True)
            _copy(there, here)


def _copy(what: Path, into: Path) -> None:
    subprocess.run(["cp", "-a", str(what), str(into)], check=True)


def _seconds(*fields: int) -> int:
    return calendar.timegm((*fields, 0, 0, 0))


class Source:
    """The tree of a stage, and what may happen to it."""

    def __init__(self, root: Path, random: Random, *, files: int, big: int) -> None:
        self.random = random
        self.tree = Tree(root, random, big=big)
        self._files = files

    def grow(self) -> None:
        """Odd entries, one file of several volumes, and many that compress badly."""
        self.tree.grow(10)
        self._fill(range(self._files))

    def change_much(self) -> None:
        """As between two backups: about half of the bulk is new."""
        self.tree.edit(8)
        self._fill(self.random.sample(range(self._files), self._files // 2))
        big = max(self.tree.files(), key=os.path.getsize)
        with open(big, "rb") as file:
            data = file.read()
        half = len(data) // 2
        self.tree.write(big, data[:half] + self.random.randbytes(1_200_000) + data[half + 600_000 :])

    def add(self, files: int) -> None:
        """New files in bulk, about a volume of 1 MB for each four of them."""
        self._fill(range(self._files, self._files + files))
        self._files += files

    def change_little(self) -> None:
        """As between two runs of which one was killed."""
        self.tree.edit(self.random.choice((1, 2, 4)))
        self._fill(self.random.sample(range(self._files), 2))
        if self.random.random() < 0.2:
            big = max(self.tree.files(), key=os.path.getsize)
            self.tree.write(big, self.random.randbytes(1_700_000))

    def _fill(self, numbers: object) -> None:
        for number in numbers:  # type: ignore[attr-defined]
            folder = os.path.join(self.tree.root, b"bulk-%d" % (number % 5))
            if not os.path.isdir(folder):
                if os.path.lexists(folder):
                    continue
                os.mkdir(folder)
            path = os.path.join(folder, b"%d.bin" % number)
            if not os.path.isdir(path):
                if os.path.lexists(path):
                    os.unlink(path)
                self.tree.write(path, self.random.randbytes(self.random.randint(60_000, 400_000)))
