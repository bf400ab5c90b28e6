"""Full and incremental backups: what changed → jobs → build → number → store → commit."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from tarragon import clock
from tarragon.api.entry import REG, Entry
from tarragon.api.errors import Malformed
from tarragon.api.events import CHANGED, DELETED, NEW, FileSeen, FilesSame, Note, SetCommitted
from tarragon.api.repository import Finding
from tarragon.delta import compare, rsync
from tarragon.delta.compare import Change, Kept, Tally
from tarragon.record import NOTICE, quoted_field, source_field
from tarragon.source.content import open_file
from tarragon.source.walk import Unreadable, Walk
from tarragon.volume.name import FULL, INC, SetTime

from . import basis, commit, plan, resume
from .alarms import CLOCK
from .assemble import Assembly
from .build import Builder, Built, Problem
from .journal import Head, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from tarragon.api.executor import Executor
    from tarragon.delta.sigtar import Known
    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target

#: Old signatures beyond this wait in a file until their job is built.
SPOOL = 1 << 20
MIB = 1 << 20
DAY = 86400
#: So often sinks are told how far the walk has come.
LOOKED = 1000


class Result(NamedTuple):
    """What a backup came to."""

    problems: int
    made: SetTime | None


def backup(context: Context, target: Target) -> Result:
    """Make one set: full, or incremental upon the newest chain. Raises UserError, CollectionError, SourceError."""
    source = basis.source_of(context)
    context.must_be_handled()
    context.sealer  # noqa: B018 - a missing key or program is told before anything is looked at
    basis.require_room(context)
    with target.writing():
        if context.options.dry_run:
            return _Run(context, target, source, basis.upon(context, target, source)).dry()
        left = resume.look(context, target, source, basis.shape(context, source))
        if isinstance(left, resume.Broken):
            target.sync(left.upon)
            upon = [each for each in target.collection if each.of in {of.of for of in left.upon}]
            return _Run(context, target, source, upon, left).make()
        return _Run(context, target, source, basis.upon(context, target, source), leftovers=left.names).make()


def in_order(executor: Executor, build: Callable[[plan.Job], Built], jobs: Iterable[plan.Job]) -> Iterator[Built]:
    """Build jobs on the executor; what comes back is in the order of the jobs, width + 1 under way at most."""
    under_way: deque[Future[Built]] = deque()
    for job in jobs:
        under_way.append(executor.submit(build, job))
        if len(under_way) > executor.width:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


class _Run:
    """One set on its way."""

    def __init__(
        self,
        context: Context,
        target: Target,
        source: bytes,
        upon: list[BackupSet],
        broken: resume.Broken | None = None,
        leftovers: tuple[str, ...] = (),
    ) -> None:
        self._context = context
        self._target = target
        self._source = source
        self._upon = upon
        self._broken = broken
        self._leftovers = leftovers if broken is None else broken.head.leftovers
        self._tally = Tally()
        self.of = self._set_time() if broken is None else broken.of

    def _set_time(self) -> SetTime:
        """The set's time: the clock, but always later than any set there is (docs/format.md § 14, trap 30)."""
        newest = self._target.collection.newest
        now = self._context.now
        if newest is not None and now <= newest:
            if now < newest:
                self._context.log.warning("the newest set lies %d seconds ahead of the clock", newest - now)
            if newest - now > DAY:
                self._target.watch.alarm(Finding(CLOCK, (), "the newest set is more than a day ahead of it"))
            now = newest + 1
        if not self._upon:
            return SetTime(FULL, now, now)
        return SetTime(INC, self._upon[-1].of.time, now)

    # -- what changed -------------------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[Entry | Kept]:
        context = self._context
        selection = context.selection(self._source)
        walk = Walk(
            self._source,
            selection.verdict,
            context.owners,
            copy_links=context.options.copy_links,
            skipped=self._skipped,
        )
        for count, found in enumerate(walk):
            if count % LOOKED == LOOKED - 1:
                self._tell_sinks(Note("looked", {"entries": count + 1}))
            if self._broken is None or not self._broken.is_barred(found.path):
                yield Kept(*found) if isinstance(found, Unreadable) else found

    def _skipped(self, path: bytes) -> None:
        field = source_field(self._source, path)
        self._context.log.info("skipping socket %s", field[1:-1], extra={"number": 15, "fields": (field,)})

    def _changes(self) -> Iterator[Change | Kept]:
        known = self._target.known(self._upon) if self._upon else iter(())
        return compare.changes(
            self._entries(), known, self._context.owners, self._tally,
            readable=self._readable, stale=self._stale, spool=self._spool,
        )  # fmt: skip

    def _readable(self, path: bytes) -> bool:
        """Whether a file can be opened for reading, now."""
        with contextlib.suppress(OSError), open_file(self._source, path, follow=self._context.options.copy_links):
            return True
        return False

    def _stale(self, entry: Entry, known: Known) -> bytes | None:
        """The old signature of a file that does not fit it, although its time is what it was.

        Times are stored in whole seconds: a file written to in the second in which it was read looks the same for
        ever. So what is as young as the newest set is read again, and seconds of some file systems are two long.
        """
        if entry.kind != REG or entry.mtime < self._upon[-1].of.time - 2:
            return None
        signature = known.signature()
        try:
            with open_file(self._source, entry.path, follow=self._context.options.copy_links) as content:
                return signature if rsync.fits(signature, content) is False else None
        except (OSError, Malformed):
            return signature  # whoever stores it meets this, too, and tells it

    def _spool(self, signature: bytes) -> bytes | str:
        if len(signature) < SPOOL:
            return signature
        path = self._context.temp.named()
        path.write_bytes(signature)
        return str(path)

    # -- the set ------------------------------------------------------------------------------------------------------

    def make(self) -> Result:
        """Build, store and commit the set."""
        context = self._context
        if context.options.progress:
            self._measure()
        self._tell_sinks(Note("walk_started", {"time": time.time()}))
        changes = self._changes()
        if self._upon and context.options.skip_if_no_change and self._broken is None:
            first = next(changes, None)
            if first is None:
                self._tell_sinks(FilesSame(self._tally.same, self._tally.same_size))
                self._tell_sinks(Note("walk_ended", {"time": time.time()}))
                self._tell_sinks(Note("set", self._meta(skipped=True)))
                context.log.log(NOTICE, "nothing changed: no set is made")
                return Result(0, None)
            changes = _chained(first, changes)
        with contextlib.ExitStack() as closing:
            assembly = self._begin(closing)
            self._build(changes, assembly)
            self._tell_sinks(FilesSame(self._tally.same, self._tally.same_size))
            self._tell_sinks(Note("walk_ended", {"time": time.time()}))
            assembly.finish()
        self._commit(assembly)
        return Result(assembly.problems, self.of)

    def _measure(self) -> None:
        """A first look at the source, for those who want to know how much is left."""
        size = files = 0
        for change in self._changes():
            if isinstance(change, Change) and change.kind != compare.DELETED:
                size, files = size + change.entry.size, files + 1
        self._tally = Tally()
        self._tell_sinks(Note("total", {"bytes": size, "files": files}))

    def _begin(self, closing: contextlib.ExitStack) -> Assembly:
        """The set's files in the cache and its journal: new ones, or those of the run that was broken off."""
        context, target, broken = self._context, self._target, self._broken
        names = context.names.manifest(self.of), context.names.signatures(self.of)
        parallel = context.width != 0
        ledger = target.state.ledger("journal")
        if broken is None:
            parts = target.archive.begin(*names)
        else:
            parts = target.archive.resume(*names, broken.point.manifest[0], broken.point.signatures[0])
        closing.callback(parts.close)
        journal = Journal(ledger, parts)
        assembly = Assembly(context, self.of, parts, journal, parallel=parallel)
        closing.callback(assembly.close)
        if broken is None:
            journal.begin(Head(self.of, self._parent(), basis.shape(context, self._source), self._leftovers))
            assembly.begin(basis.hostname(), basis.local_dir(self._source))
        else:
            resume.take_up(context, target, broken, journal, assembly, basis.shape(context, self._source))
        return assembly

    def _build(self, changes: Iterator[Change | Kept], assembly: Assembly) -> None:
        context = self._context
        options = context.options
        builder = Builder(
            self._source, context.sealer, context.temp, options.volsize * MIB, options.max_blocksize, options.copy_links
        )
        begun: dict[bytes, plan.Range] = {}
        if self._broken is not None:
            begun = {part.entry.path: part.range for part in self._broken.point.ranges}
            changes = resume.beyond(changes, self._broken.point)
        volsize = options.volsize * MIB
        jobs = plan.jobs(changes, volsize, context.sealer.ratio, options.max_blocksize, self._readable, begun)
        for built in in_order(context.executor, builder, self._told(jobs, assembly)):
            assembly.take(built)

    def _told(self, jobs: Iterable[plan.Job], assembly: Assembly) -> Iterator[plan.Job]:
        """Pass jobs on, and tell of what keeps its last version."""
        for job in jobs:
            for kept in job.kept:
                assembly.tell(Problem("unreadable", kept.path, kept.reason), kept.number)
            yield job._replace(kept=())

    def _parent(self) -> str:
        """What tells the set that this one builds on: the hash of its manifest."""
        return self._target.manifest_hash(self._upon[-1]) if self._upon else ""

    def _commit(self, assembly: Assembly) -> None:
        context = self._context
        self._tell_sinks(Note("set", self._meta(skipped=False)))
        commit.commit(context, self._target, self.of, assembly.volumes, self._leftovers, self._parent())
        self._target.refresh()
        chain = max(0, len(self._target.collection.chains) - 1)
        info = next(each for each in self._target.collection if each.of == self.of).info(chain)
        self._tell_sinks(SetCommitted(info))
        context.hub.tell("set_committed", backup_set=info, context=context)

    def _meta(self, *, skipped: bool) -> dict[str, object]:
        """``backup_meta`` of the statistics object (docs/format.md § 10.2)."""
        context = self._context
        full = self._upon[0].of.time if self._upon else self.of.time
        return {
            "action": "inc" if self._upon else "full",
            "skipped_inc": skipped,
            "time_full_bkp": full,
            "time_full_bkp_str": clock.to_stamp(full),
            "no_of_inc": max(0, len(self._upon) - 1),
            "concurrency": context.options.concurrency if context.options.concurrency is not None else 0,
            "target": str(context.url),
            "source": os.fsdecode(self._source),
            "local_json_stat": [each.local_stats.name if each.local_stats else "N/A" for each in self._upon] or ["N/A"],
        }

    def _tell_sinks(self, event: FilesSame | Note | SetCommitted | FileSeen) -> None:
        for sink in self._context.sinks:
            sink.record(event)

    # -- a dry run ----------------------------------------------------------------------------------------------------

    def dry(self) -> Result:
        """Say what would be recorded, and write nothing anywhere."""
        context = self._context
        self._tell_sinks(Note("walk_started", {"time": time.time()}))
        words = {compare.ADDED: (4, "A", NEW), compare.MODIFIED: (5, "M", CHANGED), compare.DELETED: (6, "D", DELETED)}
        problems = 0
        for change in self._changes():
            if isinstance(change, Kept):
                field = source_field(self._source, change.path)
                extra = {"number": change.number, "fields": (field,)}
                context.log.warning("%s cannot be read: %s", field, change.reason, extra=extra)
                self._tell_sinks(Note("problem", Problem("unreadable", change.path, change.reason)._asdict()))
                problems += 1
                continue
            number, letter, word = words[change.kind]
            field = quoted_field(change.entry.path or b".")
            size = change.entry.size if change.kind != compare.DELETED else 0
            self._would(f"{letter} {field[1:-1]}", number, field, (change.entry, word, size))
            self._tell_sinks(FileSeen(change.entry.path, change.entry.kind, word, size))
        self._tell_sinks(FilesSame(self._tally.same, self._tally.same_size))
        self._tell_sinks(Note("walk_ended", {"time": time.time()}))
        self._tell_sinks(Note("set", self._meta(skipped=False)))
        return Result(problems, None)

    def _would(self, text: str, number: int, field: str, what: tuple[Entry, str, int]) -> None:
        """Tell of one change that a backup would store: always, but as duplicity does where it stands in for it."""
        entry, word, size = what
        if self._context.settings.compat:
            self._context.log.info("%s", text, extra={"number": number, "fields": (field,)})
            return
        about = {"path": entry.path or b".", "kind": entry.kind, "change": word, "size": size}
        self._context.log.show(text, number, (field,), about=("changes", about))


def _chained(first: Change | Kept, rest: Iterator[Change | Kept]) -> Iterator[Change | Kept]:
    yield first
    yield from rest
