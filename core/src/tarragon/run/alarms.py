"""What the remote holds, against what this client remembers: alarms, and which sets can be trusted (R13, R44).

An alarm never stops a backup and never deletes anything. It is said in every run, and the exit status tells of it,
until ``accept-loss`` (docs/architecture.md, every file we own).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.backend import Role
from tarragon.api.errors import CollectionError, IntegrityError, Locked, SourceError, TarragonError
from tarragon.api.repository import Finding
from tarragon.record import NOTICE
from tarragon.volume.name import FULL, INC

from . import journal, memory, sums
from .memory import ACCEPTED, LISTED, REMOVED, SEEN, STORED, Memory, Remembered, Thing
from .metadata import covers

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from tarragon.store.chain import BackupSet, Collection
    from tarragon.volume.name import ObjectName, SetTime

    from .context import Context
    from .repository import Target
    from .sums import Sums

#: Names of findings that are of no object.
REPOSITORY, LOG, CLOCK = "repository", "commit log", "clock"
Sizes = dict[str, int | None]
#: A repository that has vanished need not be told set by set.
MOST_TOLD = 20


def compare(
    sets: Mapping[SetTime, Remembered], whole: Mapping[SetTime, BackupSet], sizes: Sizes
) -> tuple[list[Finding], list[SetTime]]:
    """What is not as it was remembered, and the sets that somebody's retention has removed.

    Only the oldest chains, or all increments of the older ones, with all else unchanged, count as retention.
    """
    changed = [finding for of, was in sets.items() if of in whole for finding in _changes(was, whole[of], sizes)]
    gone = [of for of in sets if of not in whole]
    if not changed and _is_retention(sets, set(gone)):
        return [], gone
    lost = "it was at the target, and is not there any more"
    return changed + [Finding(f"set {of.key}", ("listing",), lost, of.key) for of in gone], []


def _is_retention(sets: Iterable[SetTime], gone: set[SetTime]) -> bool:
    links: list[list[SetTime]] = []
    ending: dict[int, list[SetTime]] = {}
    for of in sorted(sets, key=lambda of: (of.time, of.kind == INC)):
        link = ending.pop(of.start, []) if of.kind == INC else []
        if not link:
            links.append(link)
        link.append(of)
        ending[of.time] = link
    stage = 0  # 0: gone, 1: only its full set is there, 2: untouched; never less for a younger chain
    for link in sorted(links, key=lambda link: link[0].time):
        left = [of for of in link if of not in gone]
        if left == link:
            found = max(stage, 1) if len(link) == 1 else 2
        elif left == link[:1] and link[0].kind == FULL:
            found = 1
        else:
            found = 0
        if found < stage or (found == 0 and left):
            return False
        stage = found
    return bool(links) and links[-1][0] not in gone and links[-1][-1] not in gone


def _changes(was: Remembered, now: BackupSet, sizes: Sizes) -> Iterator[Finding]:
    key = now.key
    for thing, name in ((was.manifest, now.manifest), (was.signatures, now.signatures)):
        if name is None and thing.size is not None:
            yield Finding(f"set {key}", ("listing",), "its signatures are not at the target any more", key)
        elif name is not None and None not in (sizes[name.name], thing.size) and sizes[name.name] != thing.size:
            yield Finding(name.name, ("listing",), f"it has {sizes[name.name]} bytes, it had {thing.size}", key)
    if was.sums and now.sums is None:
        yield Finding(f"set {key}", ("listing",), "its SHA-256 sums are not at the target any more", key)
    missing = [number for number in range(1, was.volumes + 1) if number not in now.volumes]
    for number in missing:
        if number not in was.gone:
            yield Finding(f"volume {number} of set {key}", ("listing",), "it is not at the target any more", key)
    size = total(now, was.volumes)
    if set(missing) <= set(was.gone) and None not in (size, was.size) and size != was.size:
        yield Finding(f"set {key}", ("listing",), f"its volumes have {size} bytes, they had {was.size}", key)


def total(of: BackupSet, volumes: int) -> int | None:
    """Bytes of all volumes together, of the first ``volumes`` if their number is known; None where sizes are not."""
    listed = [info.size for number, info in of.volumes.items() if not volumes or number <= volumes]
    return None if None in listed else sum(size or 0 for size in listed)


class Watch:
    """One run's look at its target. ``alarms`` grows as more of the target is seen."""

    def __init__(self, context: Context, target: Target) -> None:
        self._context = context
        self._target = target
        self._distrusted: set[SetTime] = set()
        self._hashes: dict[str, str] = {}
        self._sums: dict[SetTime, Sums | None] = {}
        self._is_other = False
        self.unproven: set[SetTime] = set()  # sets whose signatures were met in this run, and believed
        self.manifests: dict[SetTime, str] = {}  # hashes of manifests of the cache that are as remembered
        self.alarms: list[Finding] = []
        self._memory: Memory | None = None

    @property
    def memory(self) -> Memory:
        """The log of this repository: which one it is, the first listing tells."""
        if self._memory is None:
            self._target.collection  # noqa: B018 - meets the listing
        assert self._memory is not None
        return self._memory

    def alarm(self, finding: Finding) -> None:
        """Say what is wrong, once a run."""
        if finding in self.alarms:
            return
        self.alarms.append(finding)
        self._distrusted |= {of for of in self.memory.sets if of.key == finding.set_key}
        if len(self.alarms) > MOST_TOLD:
            return
        log = self._context.log.warning if self._context.settings.compat else self._context.log.error
        number = 5 if finding.name.startswith("volume ") else 1
        log("ALARM: %s: %s", finding.name, finding.problem, extra={"number": number})

    # -- the listing --------------------------------------------------------------------------------------------------

    def meet(self, found: Collection, sizes: Sizes) -> None:
        """Compare the first listing of a run with the log; what is new there is remembered, and said once."""
        if self._memory is not None:
            return
        whole = {each.of: each for each in found if each.is_whole}
        begun = self._begun(whole)
        self._memory, is_other = memory.chosen(self._target.state, list(whole))
        self._is_other = is_other and not begun
        if self.memory.is_torn:
            self.alarm(Finding(LOG, (), f"'{self.memory.name}.jsonl' is not as it was written"))
        findings, retired = ([], []) if self._is_other else compare(begun | self.memory.sets, whole, sizes)
        for finding in findings:
            self.alarm(finding)
        if len(findings) > MOST_TOLD:
            self._context.log.error("and %d alarms more", len(findings) - MOST_TOLD)
        if retired:
            self._context.log.log(NOTICE, "sets that others have removed as the oldest: %d", len(retired))
            self.memory.forget(REMOVED, retired, by="others")
        if self._is_other or not self.memory.accepted:
            self.alarm(Finding(REPOSITORY, ("listing",), "it is not the one that was at this place before"))
            return
        for of, was in self.memory.sets.items():
            if of in whole:
                self._tell_wrong(was, whole[of])
        self.adopt_new(whole.values(), sizes, begun)

    def _begun(self, whole: Mapping[SetTime, BackupSet]) -> dict[SetTime, Remembered]:
        """Sets whose commit was broken off between their manifest and the log: not remembered before the cache has
        followed. Until then duplicity takes them for broken off, removes them, and begins anew.
        """
        under_way = journal.read(self._target.state.ledger("journal"))
        ours = under_way[0].of if under_way is not None else None
        return {of: Remembered(of, SEEN, 0) for of, each in whole.items() if of == ours or each.is_under_way}

    def adopt_new(self, whole: Iterable[BackupSet], sizes: Sizes, begun: Container[SetTime] = ()) -> None:
        """Remember those that are whole and not known yet, and say so."""
        new = [each for each in whole if each.of not in self.memory.sets and each.of not in begun]
        known_none = self.memory.is_empty
        for each in new:
            self.adopt(each, sizes)
        if new and known_none:
            message = "nothing is remembered of this repository: its sets (%d) are taken as they are"
            self._context.log.log(NOTICE, message, len(new))
        elif new:
            self._context.log.log(NOTICE, "sets that were written by others since: %d", len(new))

    def adopt(self, each: BackupSet, sizes: Sizes) -> None:
        """Remember a set as it stands, with what can be known of it without fetching anything."""
        heads = (each.manifest, each.signatures)
        manifest, signatures = (Thing(sizes.get(name.name) if name is not None else None) for name in heads)
        sums_seen = LISTED if each.sums is not None else ""
        self.memory.learn(Remembered(each.of, SEEN, 0, total(each, 0), manifest, signatures, sums_seen))
        if each.local_manifest is not None:
            with suppress(TarragonError):  # it says so when it is used
                self._target.manifest(each)

    def counted(self, each: BackupSet, volumes: int) -> None:
        """A set's manifest says how many volumes it has."""
        was = self.memory.sets.get(each.of)
        if was is not None and not was.volumes:
            gone = tuple(number for number in range(1, volumes + 1) if number not in each.volumes)
            was = was._replace(volumes=volumes, gone=gone, size=total(each, volumes))
            self.memory.learn(was)
            self._tell_wrong(was, each)

    def _tell_wrong(self, was: Remembered, each: BackupSet) -> None:
        """A volume that is not there, or one too many, is reported wherever the target is listed (R57)."""
        log = self._context.log
        for number in was.gone:
            log.warning("volume %d of set %s is not at the target", number, each.key, extra={"number": 5})
        for number in sorted(each.volumes) if was.volumes else ():
            if number > was.volumes:
                log.warning("volume %d is in no manifest of set %s", number, each.key, extra={"number": 6})

    # -- contents -----------------------------------------------------------------------------------------------------

    def fetched(self, name: ObjectName, sha256: str) -> None:
        """A manifest or a signature file came in: it must be what was stored, or what was first seen."""
        if name.role is Role.OWN:
            self._hashes[name.name] = sha256
        was = self.memory.sets.get(name.of) if name.role in (Role.MANIFEST, Role.SIGNATURES) else None
        if was is None:
            return
        thing = was.manifest if name.role is Role.MANIFEST else was.signatures
        if thing.stored not in ("", sha256):
            self.alarm(Finding(name.name, ("hash",), "its content is not what it was", name.of.key))
        elif not thing.stored:
            self._learn(was, name.role, thing._replace(stored=sha256))

    def fits(self, name: ObjectName, plain: BinaryIO) -> bool:
        """Whether a file of the cache is what the log says it is (R44); the first time it is believed."""
        was = self.memory.sets.get(name.of)
        if was is None:
            return True
        try:
            found = hashlib.file_digest(plain, "sha256").hexdigest()  # type: ignore[arg-type]
        except IntegrityError:
            return False
        thing = was.manifest if name.role is Role.MANIFEST else was.signatures
        if not thing.plain:
            self._learn(was, name.role, thing._replace(plain=found))
            self.unproven |= {name.of} if name.role is Role.SIGNATURES else set()
        if name.role is Role.MANIFEST and thing.plain in ("", found):
            self.manifests[name.of] = thing.plain or found
        return thing.plain in ("", found)

    def _learn(self, was: Remembered, role: Role, thing: Thing) -> None:
        self.memory.learn(was._replace(manifest=thing) if role is Role.MANIFEST else was._replace(signatures=thing))

    def is_own(self, of: SetTime) -> bool:
        """Whether we stored this set ourselves, so that what fits our log needs no signature."""
        was = self.memory.sets.get(of)
        return was is not None and was.kind == STORED

    def sums(self, of: BackupSet) -> Sums | None:
        """A set's sums, fetched once; None where there are none that are valid for its manifest."""
        if of.sums is not None and of.of not in self._sums:
            self._sums[of.of] = self._fetched_sums(of, of.sums)
        return self._sums.get(of.of)

    def _fetched_sums(self, of: BackupSet, name: ObjectName) -> Sums | None:
        was = self.memory.sets.get(of.of)
        try:
            wanted = was.sums if was is not None and was.sums not in ("", LISTED) else None
            with self._target.fetch_plain(name, sha256=wanted) as stream:
                found = sums.read(sums.taken(stream))
        except IntegrityError as err:
            self.alarm(Finding(name.name, ("hash",), str(err), of.key))
            return None
        if found.manifest.plain != self._target.manifest_hash(of):
            self._context.log.log(NOTICE, "'%s' is of another manifest than the one that stands there", name.name)
            return None
        if was is not None and was.signatures.stored not in ("", found.signatures.stored):
            self.alarm(Finding(f"set {of.key}", ("hash",), "its signatures are not those of its sums", of.key))
        if was is not None and wanted is None:
            self.memory.learn(was._replace(sums=self._hashes.get(name.name, ""), parent=found.parent))
        return sums.shared(found, was) if was is not None else found

    # -- what follows from it -----------------------------------------------------------------------------------------

    def must_be_bound(self, sets: Sequence[BackupSet], *, fetch: bool) -> None:
        """Raise CollectionError when log or sums prove that these sets do not build upon each other (R16)."""
        for below, each in pairwise(sets):
            was = self.memory.sets.get(each.of)
            parents = {was.parent if was is not None else ""}
            found = self.sums(each) if fetch else None
            parents |= {found.parent if found is not None else ""}
            if parents != {""} and parents - {"", self._target.manifest_hash(below)}:
                raise CollectionError(
                    f"set {each.key} was not made upon set {below.key} as it stands: the chain is spliced",
                    hint="restore a time before it",
                )

    def trusts(self, sets: Sequence[BackupSet]) -> bool:
        """Whether an increment may be built upon these sets; their metadata are in the cache."""
        try:
            self.must_be_bound(sets, fetch=False)
        except CollectionError as err:
            self.alarm(Finding(f"set {sets[-1].key}", ("hash",), str(err), sets[-1].key))
        for each in sets:
            if each.of in self.memory.sets and not self._is_covered(each):
                problem = "its signatures are not those of its volumes"
                self.alarm(Finding(f"set {each.key}", ("content",), problem, each.key))
                was = self.memory.sets[each.of]
                self._learn(was, Role.SIGNATURES, was.signatures._replace(plain=""))
        return all(each.of in self.memory.sets and each.of not in self._distrusted for each in sets)

    def _is_covered(self, each: BackupSet) -> bool:
        """Whether its signatures are those of its volumes: looked at once, when they are first met (R47)."""
        was = self.memory.sets.get(each.of)
        try:
            if was is not None and not was.signatures.plain:
                self._target.open_signatures(each).close()  # hashed on the way
            return each.of not in self.unproven or covers(self._target, each)
        except IntegrityError:
            return False

    def remembers(self, name: ObjectName | BackupSet) -> bool:
        """Whether this object is of a set that should be whole: it is evidence, and not to be cleaned up."""
        return any(of.time == name.of.time for of in self.memory.sets)

    def has_forgotten(self, of: SetTime) -> bool:
        """Whether an earlier run has seen that a set is gone, and nothing of it need be kept."""
        return of in self.memory.former and not self.memory.is_dirty

    # -- what is written ----------------------------------------------------------------------------------------------

    def stored(self, was: Remembered) -> None:
        """A set of ours is whole: the log's line. The lock must be held."""
        self._own_log().learn(was)
        self._own_log().write(self._context.now)

    def removing(self, sets: Iterable[SetTime]) -> None:
        """We are about to delete sets. The lock must be held."""
        known = [of for of in sets if of in self.memory.sets]
        if known:
            self.memory.forget(REMOVED, known)
            self.memory.write(self._context.now)

    def accept(self, loss: Finding) -> None:
        """Take what an alarm is about as it stands, from now on. The lock must be held."""
        if loss.name == CLOCK:
            raise CollectionError("the clock can only be set right, not accepted")
        log = self._own_log()
        lost = [of for of in log.sets if of.key == loss.set_key]
        log.forget(ACCEPTED, lost, problem=f"{loss.name}: {loss.problem}")
        log.accepted, log.is_torn, self._is_other = True, False, False
        self._distrusted -= set(lost)
        self.alarms = [each for each in self.alarms if each.set_key != loss.set_key or each.name == CLOCK]
        for each in self._target.collection:
            if each.is_whole and each.of not in log.sets:
                self._target.forget_cached(each)  # what was kept as evidence
                self.adopt(each, self._target.sizes)
        log.write(self._context.now)

    def _own_log(self) -> Memory:
        """The log to write to: one of its own for a repository that shares nothing with what was here before."""
        if self._is_other and self.memory.name == memory.NAME:
            oldest = min((each for each in self._target.collection if each.is_whole), key=lambda each: each.of.time)
            assert oldest.manifest is not None
            mark = self._target.stored_hash(oldest.manifest.name)[:16]
            self._memory = Memory(self._target.state, f"{memory.NAME}-{mark}")
        return self.memory

    def settle(self) -> None:
        """At the end of a run: write down what was learned, unless another run is writing."""
        if self._memory is None or not self._memory.is_dirty or self._context.options.dry_run:
            return
        try:
            with self._target.state.lock(purpose=""):
                self.memory.write(self._context.now)
        except Locked:
            return
        except SourceError as err:
            self._context.log.warning("what was seen cannot be written down: %s", err)
