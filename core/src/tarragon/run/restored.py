"""The entries of a time, as they were: joined, patched, and checked against the signatures that were made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tarragon import clock
from tarragon.api.entry import DIR, REG, order_key
from tarragon.api.errors import (
    BackendError,
    BadSignature,
    ColdObject,
    Interrupted,
    Malformed,
    MissingVolume,
    NoTempSpace,
    NotFound,
    PluginError,
    TarragonError,
    UserError,
    WrongKey,
)
from tarragon.api.events import Note
from tarragon.delta import patch, rsync
from tarragon.delta.compare import is_at_or_below
from tarragon.delta.patch import RestoredEntry
from tarragon.record import NOTICE, quoted_field

from .tree import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tarragon.api.entry import Entry
    from tarragon.delta.sigtar import Known
    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target
    from .restart import Standing

#: A file may be so much larger than its signature allows before it counts as made to fill the disk (R42).
_LEEWAY = 1 << 24
#: What ends a restore at once: no other volume would fare better.
_FATAL = (WrongKey, BadSignature, PluginError, UserError, Interrupted, NoTempSpace)


class LostPath(NamedTuple):
    """An entry that cannot be had: why, and the time of the newest version that is whole (None: there is none)."""

    path: bytes
    reason: str
    newest_intact: int | None


@dataclass
class Damage:
    """What could not be had.

    ``first`` is the first error met in what is stored: duplicity's exit status is made of it. Of what the target folder
    refuses it makes 0.
    """

    paths: list[LostPath] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    first: TarragonError | None = None
    unlike: int = 0  # entries that were restored, but whose owner could not be set

    def meet(self, err: TarragonError) -> None:
        if not isinstance(err, Refused):
            self.first = self.first or err


def sets_at(context: Context, target: Target) -> list[BackupSet]:
    """The sets that the wanted time needs, with their metadata in the cache. Raises CollectionError without any."""
    time = context.options.restore_time
    time = context.now if time is None else time
    choice = target.collection.at(time)
    target.sync(choice.sets)
    choice = target.collection.at(time)
    for warning in choice.warnings:
        context.log.warning("%s", warning)
    target.watch.must_be_bound(choice.sets, fetch=True)
    if choice.too_early:
        stamp = clock.to_stamp(choice.chain.start)
        message = "there is no backup as old as %s: the oldest one is used"
        context.log.warning(message, clock.pretty(time), extra={"number": 11, "fields": (stamp,)})
    return list(choice.sets)


def tell_missing(context: Context, target: Target, sets: Sequence[BackupSet], path: bytes | None) -> list[str]:
    """The volumes that manifests name and the target lacks, before anything is done: reading them has told of it."""
    names = []
    for of in sets:
        for record in target.manifest(of).volumes_for(path):
            if record.number not in of.volumes:
                names.append(target.volume_name(of, record))
    return names


def must_be_warm(context: Context, target: Target, sets: Sequence[BackupSet], path: bytes | None) -> None:
    """Raise ColdObject where some volumes cannot be read yet, before anything is done that would stop half way."""
    needed = [target.volume_name(of, record) for of in sets for record in target.manifest(of).volumes_for(path)]
    cold = context.store.cold(needed)
    if cold:
        size = sum(target.sizes.get(name) or 0 for name in cold)
        raise ColdObject(
            f"{len(cold)} of the {len(needed)} volumes that are needed lie in an archive ({size} bytes)",
            hint="'tarragon thaw [--time …] [--path …] URL FOLDER' asks for just these, waits, and restores",
        )


class Restoring:
    """A pass over all entries of a time, at or below ``path``, in archive order."""

    def __init__(
        self,
        context: Context,
        target: Target,
        sets: Sequence[BackupSet],
        path: bytes | None,
        standing: Standing | None = None,
    ) -> None:
        """What is ``standing`` already is left out, but for folders: they come with what signatures know of them."""
        self._standing = standing
        self._passed: list[Entry] = []
        self._context = context
        self._target = target
        self._sets = sets
        self._path = path
        self._volumes_read = 0
        self.damage = Damage()
        target.volume_read = self._volume_read

    def _volume_read(self) -> None:
        self._volumes_read += 1
        fields = (str(self._volumes_read), str(self._volumes))
        self._context.log.info("volume %s of %s is done", *fields, extra={"number": 2, "fields": fields})
        for sink in self._context.sinks:
            sink.record(Note("volume", {"done": self._volumes_read, "of": self._volumes}))

    @cached_property
    def _volumes(self) -> int:
        """How many volumes are read in all."""
        return sum(len(list(self._target.manifest(of).volumes_for(self._path))) for of in self._sets)

    def __iter__(self) -> Iterator[RestoredEntry]:
        """Entries that can be had. Taking an entry's data raises Malformed when they cannot: then say ``give_up``."""
        witness = _Witness(self._known(), self._missed)
        standing = self._standing
        spared = [standing.spares] if standing is not None else []
        for sequence in self._target.sequences(self._sets, self._path, self._lost_volume, *spared):
            known = witness.of(sequence.path)
            yield from self._folders()
            if standing is not None and known is not None and known.entry.kind != DIR and standing.holds(sequence.path):
                continue
            restored = patch.apply(sequence, self._context.temp.file)
            if restored is None:
                continue
            if restored.lost:
                self.give_up(restored, Malformed(restored.lost))
            elif restored.entry.kind == REG and known is not None and known.entry.kind == REG:
                yield restored._replace(data=self._checked(restored, self._signature(known)))
            else:
                yield restored
        witness.end()
        yield from self._folders()

    def _folders(self) -> Iterator[RestoredEntry]:
        """Folders that were passed and stand already."""
        passed, self._passed = self._passed, []
        for entry in passed:
            yield RestoredEntry(entry, iter(()))

    def _known(self) -> Iterator[Known]:
        """What the signatures know; nothing where they are missing: they are a witness, not needed."""
        if not all(of.has_signatures for of in self._sets):
            self._context.log.log(NOTICE, "signatures are missing: what is restored cannot be checked against them")
            return
        try:
            for known in self._target.known(self._sets):
                if self._path is None or is_at_or_below(known.entry.path, self._path):
                    yield known
        except Malformed as err:
            self._doubt(err)

    def _signature(self, known: Known) -> bytes:
        """A file's signature; none where it cannot be read."""
        try:
            return known.signature()
        except Malformed as err:
            self._doubt(err)
            return b""

    def _doubt(self, err: Malformed) -> None:
        message = "signatures cannot be read: %s; what is restored from here on cannot be checked against them"
        self._context.log.warning(message, err)

    def _checked(self, restored: RestoredEntry, signature: bytes) -> Iterator[bytes]:
        """Pass content on, and compare it with its signature at its end.

        What deltas gave must fit, or a wrong basis was patched (R41). A whole file was hashed with its volume;
        duplicity may have made its signature of a later state (docs/format.md § 19, trap 33): that is a warning.
        """
        comparison = rsync.comparison(signature)
        if comparison is None:
            yield from restored.data
            return
        most = 2 * rsync.size_range(signature)[1] + _LEEWAY
        size = 0
        for data in restored.data:
            size += len(data)
            if size > most:
                raise Malformed("it is far larger than its signature says")
            comparison.update(data)
            yield data
        if not comparison.fits():
            if restored.patched and not self._context.options.ignore_errors:
                raise Malformed("what its deltas give does not fit its signature")
            field = quoted_field(restored.entry.path)
            self._context.log.warning("%s does not fit its signature; it is restored as it was stored", field)

    # -- losses -------------------------------------------------------------------------------------------------------

    def _lost_volume(self, of: BackupSet, name: str, err: TarragonError) -> None:
        ends_all = isinstance(err, BackendError) and not isinstance(err, NotFound)
        if isinstance(err, _FATAL) or ends_all:
            raise err
        self.damage.volumes.append(name)
        self.damage.meet(err)
        if not isinstance(err, MissingVolume):  # those were told at the start
            self._context.log.error("%s", err, extra={"number": err.exit_code})

    def _missed(self, entry: Entry) -> None:
        if self._standing is not None and self._standing.holds(entry.path):
            self._passed += [entry] if entry.kind == DIR else []
            return
        self._lose(entry.path, "its signature is there, its content is in no volume", None)

    def give_up(self, restored: RestoredEntry, err: TarragonError) -> None:
        """Note that an entry cannot be had. What would end it for every other, too, is raised."""
        if isinstance(err, _FATAL):
            raise err
        self.damage.meet(err)
        intact = restored.newest_intact
        self._lose(restored.entry.path, str(err), None if intact is None else self._sets[intact].of.time)

    def _lose(self, path: bytes, reason: str, newest_intact: int | None) -> None:
        self.damage.paths.append(LostPath(path, reason, newest_intact))
        field = quoted_field(path or b".")
        intact = "no older version is whole"
        if newest_intact is not None:
            intact = f"the newest whole version is that of {clock.to_stamp(newest_intact)}"
        extra = {"number": 12, "fields": (field,)}
        self._context.log.warning("%s cannot be restored: %s (%s)", field, reason, intact, extra=extra)


class _Witness:
    """The signatures' view of the tree, read beside the volumes'. What only it knows is missing from the volumes."""

    def __init__(self, known: Iterator[Known], missed: Callable[[Entry], None]) -> None:
        self._known = known
        self._missed = missed
        self._next = next(known, None)
        self._met = False  # whether the volumes hold the present one

    def of(self, path: bytes) -> Known | None:
        """What the signatures say of ``path``; its signature can be taken until the next one is asked for.

        Paths must come in archive order.
        """
        key = order_key(path)
        while self._next is not None and order_key(self._next.entry.path) < key:
            self._step()
        if self._next is None or self._next.entry.path != path:
            return None
        self._met = True
        return self._next

    def _step(self) -> None:
        assert self._next is not None
        if not self._met:
            self._missed(self._next.entry)
        self._next, self._met = next(self._known, None), False

    def end(self) -> None:
        """No more paths come."""
        while self._next is not None:
            self._step()
