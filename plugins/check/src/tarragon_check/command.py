"""The command: the listing always, then as much of the contents as was asked for; and what exactly was compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tarragon.api import BackendError, BadOption, CipherError, CollectionError, IntegrityError, WrongKey

from . import memory, sample
from .listing import Problem, survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tarragon.api import Context, Finding, Repository, SetInfo, VolumeRef

    from .listing import Survey
    from .memory import Memory

#: Exit status when damage was found: that of a restore that could not give everything.
DAMAGE = 101
#: Output: shown at every verbosity.
_SHOW = 60


class Check:
    """``tarragon check [--quick | --sample PERCENT | --full] URL``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._problems: list[Problem] = []
        self._alarms = 0

    def __call__(self, words: Sequence[str]) -> int:
        mode = self._mode(words)
        repository = self._context.repository
        sets = repository.sets()
        self._alarms = len(repository.alarms())  # the core has told each, and makes an exit status of them
        if not sets and not self._alarms:
            raise CollectionError("there is nothing to check: no backup sets found")
        known = memory.recalled(repository.ledger("checks").read())
        found = survey(sets, _volumes(repository, sets), repository.objects(), known.sizes)
        self._tell_listing(found, len(sets))
        if mode == "quick":
            self._say("no volume was fetched: hashes and contents were not compared")
        else:
            self._read(repository, sets, found, known, mode)
        return self._verdict(mode)

    def _mode(self, words: Sequence[str]) -> str:
        options = self._context.options
        given = [mode for mode in ("quick", "sample", "full") if getattr(options, mode)]
        if len(given) > 1:
            raise BadOption(f"--{given[0]} and --{given[1]} do not go together")
        if words:
            raise BadOption(f"'check' takes a target URL only, not '{words[0]}'")
        return given[0] if given else "quick"

    def _say(self, text: str, *values: object) -> None:
        self._context.log.log(_SHOW, text, *values)

    def _tell(self, problem: Problem) -> None:
        self._problems.append(problem)
        self._context.log.error("damage: '%s': %s", problem.name, problem.problem)

    # -- the listing --------------------------------------------------------------------------------------------------

    def _tell_listing(self, found: Survey, sets: int) -> None:
        for problem in found.problems:
            self._tell(problem)
        for note in found.notes:
            self._context.log.warning("%s", note)
        self._say(
            "compared with the listing: %d of %d volumes of %d sets are there; the sizes of %d are known from checks",
            len(found.present), found.total, sets, found.sized,
        )  # fmt: skip
        listing = {"sets": sets, "volumes": found.total, "present": len(found.present), "sizes": found.sized}
        self._context.facts.update(listing=listing, notes=list(found.notes))

    # -- contents -----------------------------------------------------------------------------------------------------

    def _read(self, repository: Repository, sets: Sequence[SetInfo], found: Survey, known: Memory, mode: str) -> None:
        present = found.present
        if mode == "sample" and known.covered >= {sample.place(ref) for ref in present}:
            known.begin_round()
        refs = list(present)
        if mode == "sample":
            refs = sample.chosen(present, known.covered, known.damaged, self._context.options.sample)
        if self._context.options.dry_run:
            for ref in refs:
                self._say("would read %s", ref.name)
            self._context.facts["dry_run"] = True
            return
        refs = self._warm_of(repository, refs)
        done: list[tuple[VolumeRef, Finding]] = []
        try:
            for ref in refs:
                done.append((ref, self._heard(repository.check(ref))))
        finally:  # what was read is remembered, also when the user has enough
            self._remember(repository, known, mode, done)
        self._tell_read(done, found)
        self._read_metadata(repository, _of_volumes(sets, present, refs, mode))
        if mode == "sample":
            self._tell_round(found, known)

    def _warm_of(self, repository: Repository, refs: Sequence[VolumeRef]) -> list[VolumeRef]:
        """The volumes that can be read now. The others are told, not asked for: that may cost money."""
        cold = repository.cold(refs) if refs else frozenset()
        if cold:
            self._say("%d volumes lie in an archive and were not read: 'thaw' asks for them", len(cold))
        self._context.facts["cold"] = sorted(cold)
        return [ref for ref in refs if ref.name not in cold]

    def _heard(self, finding: Finding) -> Finding:
        known = {problem.name for problem in self._problems if "content" in problem.compared}
        if finding.problem and finding.name not in known:
            self._tell(Problem(finding.name, finding.set_key, finding.problem, finding.compared))
        return finding

    def _remember(
        self, repository: Repository, known: Memory, mode: str, done: Sequence[tuple[VolumeRef, Finding]]
    ) -> None:
        if not done:
            return
        good = [ref for ref, finding in done if not finding.problem]
        bad = [ref for ref, finding in done if finding.problem]
        problems = {finding.name: finding.problem for _, finding in done if finding.problem}
        line = memory.record(known, mode, self._context.now, good, bad, {"problems": problems})
        repository.ledger("checks").append(line)
        known.learn({sample.place(ref): ref.size for ref in good}, map(sample.place, bad))

    def _tell_read(self, done: Sequence[tuple[VolumeRef, Finding]], found: Survey) -> None:
        good = [(ref, finding.compared) for ref, finding in done if not finding.problem]
        hashed = [ref for ref, compared in good if "hash" in compared]
        rest = [ref for ref, compared in good if "hash" not in compared]
        read = "fetched, hashed as recorded, decrypted and expanded as their names say, read to the end"
        self._say("%s: %s", read, shares(hashed, found))
        if rest:
            self._say("the same without a hash, because none is recorded: %s", shares(rest, found))
        if len(good) < len(done):
            self._say("fetched and not good: %d volumes", len(done) - len(good))
        self._context.facts.update(
            hash=figures(hashed, found), content=figures([ref for ref, _ in good], found), fetched=len(done)
        )

    def _read_metadata(self, repository: Repository, sets: Sequence[SetInfo]) -> None:
        findings = [self._heard(finding) for of in sets for finding in repository.check_set(of)]
        cached = sum("cache" in finding.compared for finding in findings)
        self._say(
            "manifests and signature files fetched and read to the end: %d, of %d sets; %d compared with the cache",
            len(findings), len(sets), cached,
        )  # fmt: skip
        self._context.facts["metadata"] = {"objects": len(findings), "sets": len(sets), "cache": cached}

    def _tell_round(self, found: Survey, known: Memory) -> None:
        present = found.present
        percent = self._context.options.sample
        covered = [ref for ref in present if sample.place(ref) in known.covered]
        left = sample.runs_left(present, known.covered, percent)
        self._say("round %d: good so far are %s", known.round, shares(covered, found))
        self._say("more runs that cover the rest, at %g %% a run and if no volumes are added: %d", percent, left)
        self._context.facts["round"] = {"number": known.round, "runs_left": left, **figures(covered, found)}

    # -- the end ------------------------------------------------------------------------------------------------------

    def _verdict(self, mode: str) -> int:
        count = len(self._problems)
        self._context.facts.update(mode=mode, problems=[problem._asdict() for problem in self._problems])
        if self._alarms:
            self._say("it is not as this client remembers it: %d alarms; 'accept-loss' ends them", self._alarms)
        self._say("%s", f"{count} problems found" if count else "no damage found in what was compared")
        return DAMAGE if count else 0


def _volumes(repository: Repository, sets: Sequence[SetInfo]) -> dict[str, Sequence[VolumeRef] | str]:
    """The volumes of each set as its manifest has them, or what is wrong with the manifest."""
    found: dict[str, Sequence[VolumeRef] | str] = {}
    for of in sets:
        try:
            found[of.key] = repository.volumes(of)
        except WrongKey:
            raise  # no manifest would fare better
        except (IntegrityError, CollectionError, CipherError, BackendError) as err:
            found[of.key] = f"its manifest cannot be read: {err}"
    return found


def _of_volumes(
    sets: Sequence[SetInfo], present: Sequence[VolumeRef], refs: Sequence[VolumeRef], mode: str
) -> list[SetInfo]:
    """The sets whose manifests are read along: all, or in a sample those whose first volume is."""
    if mode == "full":
        return list(sets)
    first: dict[str, str] = {}
    for ref in present:
        first.setdefault(ref.set_key, ref.name)
    names = {ref.name for ref in refs}
    return [of for of in sets if first.get(of.key) in names]


def figures(refs: Iterable[VolumeRef], of: Survey) -> dict[str, Any]:
    """How many volumes and bytes, of how many: all volumes that should be there, and the bytes of those that are."""
    refs = list(refs)
    size = sum(ref.size or 0 for ref in refs)
    return {
        "volumes": len(refs),
        "of_volumes": of.total,
        "bytes": None if of.size is None else size,
        "of_bytes": of.size,
    }


def shares(refs: Iterable[VolumeRef], of: Survey) -> str:
    """The same in words."""
    found = figures(refs, of)
    text = f"{found['volumes']} of {found['of_volumes']} volumes ({_percent(found['volumes'], found['of_volumes'])})"
    if found["bytes"] is None:
        return f"{text}; bytes are not known, the target tells no sizes"
    return f"{text}, {found['bytes']} of {found['of_bytes']} bytes ({_percent(found['bytes'], found['of_bytes'])})"


def _percent(part: int, whole: int) -> str:
    """Never 100 % before it is all."""
    return "100 %" if part == whole else f"{min(99.9, 100 * part / whole):.1f} %"
