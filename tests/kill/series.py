"""One series of the kill matrix: kills in a row, then a run that is let through, then the judges.

A plan says everything that is to happen; the same plan happens the same way but for what time and threads decide.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from stage import FIRST_TIME, Ended, Source, Stage, State, Stored, Wrong

#: Places of changes; "volume" is the moment at which a volume takes its name at the target; "time" any moment.
CLASSES = ("volume", "target", "cache", "state", "time")
ACTS = ("before", "after", "half")
#: About how many calls a run of a whole set makes, by class: what a random number is chosen from.
CALLS_OF_FULL = {"volume": 28, "target": 125, "cache": 47, "state": 42}
CALLS_OF_INCREMENT = {"volume": 16, "target": 76, "cache": 40, "state": 35}


#: What the other user of the chain does between two of our runs: stock duplicity, or a command of ours.
OTHERS = ("backup", "backup", "killed", "killed", "cleanup", "status", "retention", "our cleanup", "our retention",
          "our prune")  # fmt: skip


class Kill(NamedTuple):
    """One kill: in which class, at which of its calls (time: per mille of a whole run), and on which side of it."""

    kind: str
    at: int
    act: str = "before"


class Plan(NamedTuple):
    """What a series does."""

    seed: int
    mode: str
    base: str  # which whole sets there are: "", "full", "full+inc"
    action: str
    concurrency: int
    is_moving: bool
    kills: tuple[Kill, ...]
    steps: tuple[int, ...]  # what the clock does between two runs
    lose: tuple[str, ...]  # what is lost before each run but the first: "", "cache", "state", "both"
    others: tuple[str, ...] = ()  # what happens before each run but the first, one of OTHERS


class Outcome(NamedTuple):
    """What came of a series; ``figure`` is "" or which count it raises."""

    plan: Plan
    kills: tuple[tuple[str, str], ...]  # class, and what was hit
    figure: str
    detail: str
    leftovers: int
    temporary: int
    resumed: int
    others: tuple[str, ...] = ()
    told: int = 0  # runs that ended with the alarm that is right there

    def record(self) -> dict[str, Any]:
        """As a line of the results."""
        plan = self.plan._asdict() | {"kills": [list(kill) for kill in self.plan.kills]}
        return self._asdict() | {"plan": plan, "kills": [list(kill) for kill in self.kills]}


def random_plan(seed: int) -> Plan:
    """A plan from all classes."""
    random = Random(seed)
    mode = random.choice(("plain", "plain", "gzip", "gzip", "symmetric", "public", "signed"))
    base = random.choice(("", "full", "full", "full+inc", "full+inc"))
    action = "full" if not base or random.random() < 0.2 else random.choice(("incremental", "backup"))
    calls = CALLS_OF_FULL if action == "full" else CALLS_OF_INCREMENT
    count = random.choice((1, 1, 2, 3, 4, 5))
    kills = []
    for number in range(count):
        kind = random.choice(CLASSES)
        if kind == "time":
            kills.append(Kill(kind, random.randint(0, 1000)))
            continue
        most = calls[kind] if number == 0 else calls[kind] // 2
        kills.append(Kill(kind, random.randint(1, most), random.choice(ACTS)))
    steps = tuple(random.choice((0, 0, 1, 60, 86_400, -100)) for _ in range(count + 1))
    lose = tuple(random.choice([""] * 12 + ["cache", "state", "both"]) for _ in range(count))
    concurrency = random.choice((0, 0, 1, 4))
    return Plan(seed, mode, base, action, concurrency, random.random() < 0.5, tuple(kills), steps, lose)


def mixed_plan(seed: int) -> Plan:
    """A plan in which stock duplicity uses the chain too, between any two of our runs, killed itself or not (R71)."""
    random = Random(f"mixed {seed}")
    plan = random_plan(seed)
    base = random.choice(("full", "full+inc", "full+full", "full+inc+full+inc")) if plan.base else ""
    others = tuple(random.choice(OTHERS) for _ in plan.kills)
    lose = tuple(random.choice(["", "", "", "cache", "cache", "state", "both"]) for _ in plan.kills)
    return plan._replace(base=base, others=others, lose=lose)


def sweep_plan(action: str, at: int, act: str) -> Plan:
    """The plan that kills at one call among all changes of state, of a run in one process."""
    base = "" if action == "full" else "full"
    return Plan(1, "gzip", base, action, 0, at % 2 == 1, (Kill("all", at, act),), (60, 60), ("",))


class Series:
    """One series on a stage."""

    def __init__(self, stage: Stage, plan: Plan, *, files: int = 26, big: int = 2_400_000) -> None:
        self.stage = stage
        self.plan = plan
        self.random = Random(plan.seed * 7919 + 1)
        self.files, self.big = files, big
        self.kills: list[tuple[str, str]] = []
        self.resumed = 0
        self.others: list[str] = []
        self.told = 0
        self._is_stale = False  # a run of ours went on with a set that was begun before the source changed
        self._met: set[int] = set()  # sets that stood there at the end of a run of ours: its commit log has them

    def play(self) -> Outcome:
        """All of it; what went wrong is in the outcome."""
        figure = detail = ""
        try:
            self._play()
        except Wrong as err:
            figure, detail = err.figure, str(err)
        left = self.stage.leftovers() if self.stage.repo.exists() else []
        count = self.stage.temporary() if self.stage.repo.exists() else 0
        kills, others = tuple(self.kills), tuple(self.others)
        return Outcome(self.plan, kills, figure, detail, len(left), count, self.resumed, others, self.told)

    def _play(self) -> None:
        stage, plan = self.stage, self.plan
        source = self._prepared()
        source.change_much()
        states: list[State] = []
        started = stage.now = FIRST_TIME + 10_000
        self.before = stage.newest() if plan.base else 0
        self._met = stage.whole()
        for number, kill in enumerate(plan.kills):
            if number:
                self._between(number - 1, states, source)
            stage.now += plan.steps[number]
            states.append(stage.seen())
            ended = self._killed(kill)
            if ended.status != -signal.SIGKILL:
                self._must_be_right(ended)
                break  # it came through
            if self.random.random() < 0.12:
                stage.must_restore_earlier(self.random)
        else:
            self._between(len(plan.kills) - 1, states, source)
            stage.now += plan.steps[-1]
            states.append(stage.seen())
            self._must_be_right(self._backup(plan.action))
        made = stage.newest()
        if made <= self.before:
            raise Wrong("stuck", f"no new set: the newest is of {made}, {self.before} was there, {started} was begun")
        self._judge(states, made, source)

    # -- what there is before -----------------------------------------------------------------------------------------

    def _prepared(self) -> Source:
        """The whole sets of the plan; made once for a mode, then brought back."""
        stage, plan = self.stage, self.plan
        for folder in (stage.place, stage.state):
            shutil.rmtree(folder, ignore_errors=True)
        mode = next(name for name, mode in _modes().items() if mode == stage.mode)
        kept = stage.home.folder / "kept" / f"{mode}-{plan.base}-{self.files}"
        stage.stored = []
        if kept.exists():
            stage.bring_back(kept.name)
            stage.stored = _STORED[str(kept)].copy()
        else:
            stage.place.mkdir()
            source = Source(stage.source, Random(len(mode)), files=self.files, big=self.big)
            source.grow()
            for number, action in enumerate(plan.base.split("+") if plan.base else []):
                if number:
                    source.change_much()
                stage.now = FIRST_TIME + 100 * number
                self._must_be_right(self._backup("full" if action == "full" else "incremental"))
                stage.stored.append(Stored(stage.now, stage.seen()))
            stage.keep(kept.name)
            _STORED[str(kept)] = stage.stored.copy()
        source = Source(stage.source, self.random, files=self.files, big=0)
        source.tree.second = 1_700_000_000
        return source

    def _lose(self, what: str) -> None:
        if what in ("cache", "both"):
            shutil.rmtree(self.stage.cache, ignore_errors=True)
        if what in ("state", "both"):
            shutil.rmtree(self.stage.state, ignore_errors=True)
            self._met = set()

    def _is_told(self, ended: Ended) -> bool:
        """Whether a run ended with an alarm, and rightly: all that it remembers is gone, and what is there duplicity
        made while no run of ours came to its end: that looks like another repository (docs/architecture.md).
        """
        is_told = (
            ended.status == 102 and _STRANGER in ended.text and bool(self._met) and not self._met & self.stage.whole()
        )
        self.told += is_told
        return is_told

    # -- the other user of the chain ----------------------------------------------------------------------------------

    def _between(self, number: int, states: list[State], source: Source) -> None:
        """What happens between two of our runs. The source only changes behind what the other user does: duplicity does
        not ask whether what it goes on with is still the same.
        """
        others = self.plan.others
        first = not others or self.random.random() < 0.5
        if first:
            self._lose(self.plan.lose[number])
        if others:
            states.append(self.stage.seen())
            self._other(others[number])
        if not first:
            self._lose(self.plan.lose[number])
        if self.plan.is_moving:
            source.change_little()

    def _other(self, what: str) -> None:
        stage = self.stage
        if what in ("backup", "killed") and self._is_stale:
            what = "status"  # it would write signatures of what it sees for volumes that hold what was
        # duplicity's clock goes on: behind a leftover of its own that is newer it makes sets that it cannot restore.
        stage.now = max(stage.now, stage.latest()) + 60
        program = stage.ours if what.startswith("our") else stage.real
        if what in ("backup", "killed"):
            env = None
            if what == "killed":
                ops = "target.open,target.rename,cache.sync,cache.rename,target.unlink"
                env = stage.shim.armed(self.random.randint(1, 12), self.random.choice(("before", "after")), ops)
            ended = stage.backup(self.plan.action, program=program, env=env)
            if ended.status == 0:
                self.before = stage.newest()
                if not self.plan.is_moving:
                    stage.stored.append(Stored(self.before, stage.seen()))
        else:
            words = {
                "status": ("collection-status",),
                "cleanup": ("cleanup", "--force"),
                "our cleanup": ("cleanup", "--force"),
                "our prune": ("prune", "--keep-last", "2", "--force"),
            }.get(what, ("remove-all-but-n-full", "1", "--force"))
            ended = stage.run(*words, "--current-time", str(stage.now), *stage.options(), stage.url, program=program)
            if "retention" in what or "prune" in what:
                stage.stored = [each for each in stage.stored if stage.has_set(each.time)]
        self.others.append(what)
        if program is stage.ours and ended.status == 0:
            self._met = stage.whole()
        if program is stage.real and _REFUSED in ended.text and stage.has_stray_signatures():
            self.others[-1] = f"{what}, refused"
            return
        if program is stage.ours and self._is_told(ended):
            return
        if ended.status != 0 and not (what == "killed" and ended.status == -signal.SIGKILL):
            raise Wrong("stuck", f"'{what}' between two runs fails\n{ended}")

    # -- runs ---------------------------------------------------------------------------------------------------------

    def _backup(self, action: str, **how: Any) -> Ended:
        return self.stage.backup(action, "--concurrency", str(self.plan.concurrency), **how)

    def _killed(self, kill: Kill) -> Ended:
        """A run that is killed, if it lives until then."""
        stage, action = self.stage, self.plan.action
        if kill.kind == "time":
            ended = self._backup(action, kill_after_s=kill.at / 1000 * _PACE.get(self.plan.mode, 0.3))
            what = f"after {kill.at} per mille of a run"
        else:
            ops = "changes" if kill.kind == "all" else "target.rename" if kill.kind == "volume" else _changes(kill.kind)
            ended = self._backup(action, env=stage.shim.armed(kill.at, kill.act, ops))
            hit = stage.shim.hit()
            what = f"{kill.act} {hit.place}.{hit.op} {_kind_of(hit.path)}" if hit else "nothing"
        if ended.status == -signal.SIGKILL:
            self.kills.append((kill.kind, what))
        self._count_resumed(ended)
        self._is_stale = self.plan.is_moving and "going on with the" in ended.text
        return ended

    def _must_be_right(self, ended: Ended) -> None:
        self._count_resumed(ended)
        # What duplicity goes on with after the source has changed may hold files that its signatures do not have: then
        # we make a full set, and tell.
        is_told = ended.status == 102 and self.plan.is_moving and self.others and _UNCOVERED in ended.text
        if ended.status != 0 and not is_told and not self._is_told(ended):
            raise Wrong("stuck", f"a run that is let through fails\n{ended}")
        if ended.status == 0:
            self._met = self.stage.whole()
        _PACE[self.plan.mode] = ended.seconds

    def _count_resumed(self, ended: Ended) -> None:
        self.resumed += "going on with the" in ended.text

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self, states: list[State], made: int, source: Source) -> None:
        stage = self.stage
        for program in (stage.real, stage.ours):
            found = stage.restored(program)
            if self.plan.is_moving and len(states) > 1:
                stage.must_be_mixed(states, found, f"the newest set, restored by {program.command}")
            else:
                stage.must_equal(states[-1], found, f"the newest set, restored by {program.command}")
        stage.must_restore_earlier()
        if self.random.random() < 0.5:
            source.change_little()
        stage.now = max(stage.now, made) + 1000
        self._must_be_right(self._backup("incremental"))
        stage.must_equal(stage.seen(), stage.restored(stage.real), "the increment upon it, restored by duplicity")
        if self.random.random() < 0.3:
            found = stage.restored(stage.ours, made)
            if not self.plan.is_moving:
                stage.must_equal(states[-1], found, "the set after the increment upon it", "earlier")


#: What duplicity says when signatures of a set without a manifest stand at the target and another set is under way in
#: its cache, and `incremental` is asked for (docs/kill-matrix.md).
_REFUSED = "Old signatures not found and incremental specified"
_STRANGER = "it is not the one that was at this place before"
_UNCOVERED = "its signatures are not those of its volumes"
_STORED: dict[str, list[Stored]] = {}
#: How long the last run took that came to its end, by mode.
_PACE: dict[str, float] = {}


def _modes() -> dict[str, Any]:
    from stage import MODES

    return MODES


def _changes(place: str) -> str:
    ops = ("open", "write", "truncate", "sync", "rename", "link", "unlink", "mkdir", "chmod")
    return ",".join(f"{place}.{op}" for op in ops)


def _kind_of(path: str) -> str:
    """What an object is, without what differs between two runs."""
    name = Path(path).name
    for word in ("tarragon.tmp", "sigtar.part", "manifest.part", "sigtar", "manifest", "difftar", "journal", "commits",
                 "sums", "lockfile", "lock"):  # fmt: skip
        if word in name:
            return word
    return "folder" if "." not in name else name
