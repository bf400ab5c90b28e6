"""Target: the sets, entries and volumes of one target. What the core's own actions, and every command, work on."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.backend import Role
from tarragon.api.entry import Entry
from tarragon.api.errors import (
    CollectionError,
    IntegrityError,
    MissingVolume,
    NoTempSpace,
    TarragonError,
)
from tarragon.api.repository import Commit, Deletion, Finding, ListedObject, VolumeRef
from tarragon.delta import patch, sigtar
from tarragon.delta.compare import is_at_or_below
from tarragon.parked import MANY, Lot
from tarragon.store.archive import Archive
from tarragon.store.chain import BackupSet, Collection, collect
from tarragon.store.state import Ledger, State
from tarragon.volume import manifest
from tarragon.volume.unseal import check_hash, unseal

from . import examine, lease, single, status
from .alarms import Watch
from .metadata import Metadata
from .one_set import AHEAD, OneSet
from .places import archive_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tarragon.api.backend import ObjectInfo
    from tarragon.api.events import SetInfo
    from tarragon.delta.sigtar import Known
    from tarragon.volume.manifest import Manifest, VolumeRecord
    from tarragon.volume.name import ObjectName, SetTime

    from .context import Context
    from .one_set import Lost, Spared


class Target:
    """One target and its cache. Implements ``api.Repository``; the rest is for the core's own actions."""

    def __init__(self, context: Context, archive: Archive | None = None) -> None:
        self._context = context
        self._manifests: dict[SetTime, Manifest] = {}
        self._fetched: set[str] = set()
        self.volume_read: Callable[[], None] = lambda: None  # a restore counts them
        if archive is not None:
            self.__dict__["archive"] = archive

    def close(self) -> None:
        """Let go of the folders of this client; volumes that nobody came for are not fetched any more."""
        if "_beside" in self.__dict__:
            self._beside.shutdown(wait=False, cancel_futures=True)
        for folder in (self.__dict__.get("archive"), self.__dict__.get("state")):
            if folder is not None:
                folder.close()

    # -- what there is ------------------------------------------------------------------------------------------------

    @cached_property
    def archive(self) -> Archive:
        """The cache folder of this target."""
        return archive_of(self._context)

    @cached_property
    def state(self) -> State:
        """What this client remembers of this target."""
        return state_of(self._context)

    def ledger(self, name: str) -> Ledger:
        return self.state.ledger(name)

    @cached_property
    def listing(self) -> list[ObjectInfo]:
        """What the target holds."""
        return self._context.store.list()

    @cached_property
    def collection(self) -> Collection:
        """Sets and chains, from one listing of the target and the names in the cache."""
        collection = collect(self.listing, self.archive.names(), self._context.names)
        self.watch.meet(collection, self.sizes)
        status.met(self._context, self.archive.folder, collection)
        return collection

    @cached_property
    def watch(self) -> Watch:
        """What is remembered of this target, and what is not as it was."""
        return Watch(self._context, self)

    @property
    def sizes(self) -> dict[str, int | None]:
        return {info.name: info.size for info in self.listing}

    def refresh(self) -> None:
        """List again at the next question."""
        self.__dict__.pop("collection", None)
        self.__dict__.pop("listing", None)

    def sync(self, wanted: Sequence[BackupSet]) -> None:
        """Bring the cache in line with the target, which rules (docs/format.md § 11.2).

        Fetches manifests and signatures of ``wanted``, or of all sets with ``--metadata-sync-mode full``.
        """
        if self.metadata.sync(wanted):
            self.refresh()

    @cached_property
    def metadata(self) -> Metadata:
        return Metadata(self._context, self)

    # -- objects ------------------------------------------------------------------------------------------------------

    def fetch_plain(
        self, name: ObjectName, *, sha1: str | None = None, sha256: str | None = None, size: int | None = None
    ) -> BinaryIO:
        """An object of the target, hashed, decrypted and expanded.

        On a hash that is wrong it is fetched again, up to ``--num-retries`` times (docs/format.md § 7.4).
        """
        tries = max(1, self._context.options.num_retries)
        while True:
            strong = sha256 is not None or name.role in (Role.MANIFEST, Role.SIGNATURES, Role.OWN)
            fetched = self._context.store.fetch(name.name, self._context.temp.file(), size=size, strong=strong)
            try:
                check_hash(name.name, sha256 if strong else sha1, fetched.sha256 or fetched.sha1)
                break
            except IntegrityError as err:
                fetched.file.close()
                tries -= 1
                if not tries:
                    raise
                self._context.log.warning("%s; fetching it again", err)
        self.watch.fetched(name, fetched.sha256)
        layers = self._context.codecs.layers(name.suffix)
        self.metadata.must_be_signed(name, layers)
        return unseal(fetched.file, layers, name.role, self._context.temp.file)

    def manifest(self, of: BackupSet) -> Manifest:
        """A set's manifest, from the cache where it is, else from the target. Raises Malformed, NoManifest."""
        if of.of not in self._manifests:
            with self.open_manifest(of) as stream:
                found = manifest.read(stream)
            problems = manifest.check(found)
            if problems:
                raise CollectionError(f"the manifest of set {of.key} contradicts itself: {problems[0]}")
            self._manifests[of.of] = found
            self.watch.counted(of, len(found.volumes))
        return self._manifests[of.of]

    def open_manifest(self, of: BackupSet) -> BinaryIO:
        """The bytes of a set's manifest."""
        cached = self.metadata.opened(of.local_manifest)
        if cached is not None:
            return cached
        if of.manifest is None:
            raise CollectionError(f"set {of.key} has no manifest")
        return self.fetch_plain(of.manifest)

    def manifest_hash(self, of: BackupSet) -> str:
        """SHA-256 of a set's manifest, plain."""
        if of.of in self.watch.manifests:
            return self.watch.manifests[of.of]
        with self.open_manifest(of) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]

    def stored_hash(self, name: str) -> str:
        """SHA-256 of an object as it is stored."""
        with self._context.temp.file() as file:
            return self._context.store.fetch(name, file, strong=True).sha256

    def open_signatures(self, of: BackupSet) -> BinaryIO:
        """The sigtar of a set, expanded."""
        cached = self.metadata.opened(of.local_signatures)
        if cached is not None:
            return cached
        if of.signatures is None:
            raise CollectionError(f"set {of.key} has no signatures")
        return self.fetch_plain(of.signatures)

    # -- streams ------------------------------------------------------------------------------------------------------

    def known(self, sets: Sequence[BackupSet]) -> Iterator[Known]:
        """What the signatures of these sets, oldest first, know together."""
        lot = Lot(self._context.temp)

        def opened(number: int, of: BackupSet) -> Callable[[], BinaryIO]:
            park = len(sets) > MANY and number > 0
            return lambda: lot.park(self.open_signatures(of)) if park else self.open_signatures(of)

        return sigtar.read([opened(number, of) for number, of in enumerate(sets)])

    def sequences(
        self, sets: Sequence[BackupSet], path: bytes | None, lost: Lost, spared: Spared = lambda first, last: False
    ) -> Iterator[patch.PatchSequence]:
        """What the volumes of these sets, oldest first, say of each path at or below ``path``.

        Volumes of which nothing is wanted, from the last path of the one before to their own, are ``spared``. A volume
        that cannot be had costs only what is in it: ``lost`` is told the set, the volume's name and why.
        """
        lot = Lot(self._context.temp) if len(sets) > MANY else None
        return patch.merge([OneSet(self, of, path, lost, lot, spared).patches() for of in sets])

    def cannot_name_losses(self, of: BackupSet, err: TarragonError) -> None:
        self._context.log.warning("what set %s has lost cannot be told by name: %s", of.key, err)

    def volume_name(self, of: BackupSet, record: VolumeRecord) -> str:
        """The name of a volume, as listed; as it should be, where it is not there."""
        info = of.volumes.get(record.number)
        return info.name if info is not None else self._context.names.volume(of.of, record.number, "")

    def open_volume(self, of: BackupSet, record: VolumeRecord) -> BinaryIO:
        """A volume's tar, hashed, decrypted and expanded. Raises MissingVolume, HashMismatch, CipherError …"""
        info = of.volumes.get(record.number)
        if info is None:
            raise MissingVolume(f"volume {record.number} of set {of.key} is not at the target")
        name = self._context.names.parse(info.name)
        assert name is not None
        sums = self.watch.sums(of)
        sha256 = sums.volumes.get(record.number, (None,))[0] if sums is not None else None
        return self.fetch_plain(name, sha1=record.sha1, sha256=sha256, size=info.size)

    def volume_used(self, of: BackupSet, record: VolumeRecord) -> None:
        """A volume was opened not only ahead: it counts as read."""
        self._fetched.add(self.volume_name(of, record))

    def volume_ahead(self, of: BackupSet, record: VolumeRecord, room: int) -> Callable[[], BinaryIO | None]:
        """Open a volume beside what is being read, where that is wanted and ``room`` bytes are free; asks for it.

        None: it is to be opened when its turn comes, as there is too little room for several.
        """
        if not self._context.width:
            return lambda: None

        def opened() -> BinaryIO | None:
            with suppress(NoTempSpace):
                self._context.temp.require(room)
                return self.open_volume(of, record)
            return None

        return self._beside.submit(opened).result

    @cached_property
    def _beside(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(min(AHEAD, self._context.width), "volume ahead")

    # -- api.Repository -----------------------------------------------------------------------------------------------

    def sets(self) -> Sequence[SetInfo]:
        found = [each.info(number) for number, chain in enumerate(self.collection.chains) for each in chain.sets]
        return sorted(found, key=lambda info: info.time)

    def at(self, time: int) -> Sequence[SetInfo]:
        return [each.info() for each in self.collection.sets_at(time)]

    def _named(self, key: str) -> BackupSet:
        for each in self.collection:
            if each.key == key:
                return each
        raise CollectionError(f"there is no set {key}")

    def volumes(self, of: SetInfo, path: bytes | None = None) -> Sequence[VolumeRef]:
        found = self._named(of.key)
        refs = []
        for record in self.manifest(found).volumes_for(path):
            name = self.volume_name(found, record)
            size = info.size if (info := found.volumes.get(record.number)) is not None else None
            refs.append(VolumeRef(found.key, record.number, name, record.sha1, record.first, record.last, size))
        return refs

    def entries(self, time: int, path: bytes = b"") -> Iterator[Entry]:
        sets = self.collection.sets_at(time)
        for known in self.known(sets):
            if is_at_or_below(known.entry.path, path):
                yield known.entry._replace(size=0)

    def open(self, path: bytes, time: int) -> BinaryIO:
        return single.opened(self._context, self, path, time)

    def objects(self) -> Sequence[ListedObject]:
        prefix = self._context.options.file_prefix or ""
        return list(examine.listed(self.listing, self._context.names, f"{prefix}tarragon."))

    def check(self, ref: VolumeRef) -> Finding:
        of = self._named(ref.set_key)
        record = next(each for each in self.manifest(of).volumes if each.number == ref.number)
        return examine.volume(self, of, record)

    def check_set(self, of: SetInfo) -> Sequence[Finding]:
        return list(examine.metadata(self, self._named(of.key)))

    def compare(self, time: int, files: Mapping[bytes, Callable[[], BinaryIO]]) -> Sequence[Finding]:
        return examine.contents(self, time, files)

    @property
    def fetched(self) -> frozenset[str]:
        return frozenset(self._fetched)

    @contextmanager
    def afresh(self, time: int) -> Iterator[Target]:
        with Archive(self._context.temp.place / f"cache-{token_hex(8)}") as archive:
            fresh = Target(self._context, archive)
            fresh.__dict__["watch"] = self.watch
            fresh.sync(fresh.collection.sets_at(time))
            yield fresh
            archive.remove(archive.names())

    def delete(self, sets: Sequence[SetInfo], *, dry_run: bool) -> Deletion:
        going = [self._named(info.key) for info in sets]
        orphaned = self.collection.orphaned_without({each.key for each in going})
        if orphaned is not None:
            raise CollectionError(f"set {orphaned.key} depends on one that is to be deleted")
        if not dry_run:
            self.discard(going)
        names = tuple(name for each in going for name in each.names)
        return Deletion(names, tuple(each.key for each in going), dry_run)

    def discard(self, sets: Iterable[BackupSet]) -> None:
        """Remove sets, each before those that it depends on, here after it is gone at the target."""
        going = sorted(sets, key=lambda each: each.of.time, reverse=True)
        self.watch.removing([each.of for each in going])
        for each in going:
            self._context.store.delete(each.names)
            self.forget_cached(each)
        self.refresh()

    def forget_cached(self, each: BackupSet) -> None:
        """Remove what the cache has of a set."""
        local = (each.local_manifest, each.local_signatures, each.local_stats)
        self.archive.remove([name.name for name in local if name is not None])

    def commits(self) -> Sequence[Commit]:
        return self.watch.memory.commits

    def alarms(self) -> Sequence[Finding]:
        self.sync([each for each in self.collection if each.local_manifest or each.local_signatures])
        return tuple(self.watch.alarms)

    def accept(self, loss: Finding) -> None:
        self.watch.accept(loss)

    def cold(self, refs: Sequence[VolumeRef]) -> frozenset[str]:
        return self._context.store.cold(ref.name for ref in refs)

    def warm_up(self, refs: Sequence[VolumeRef]) -> frozenset[str]:
        return self._context.store.warm_up(ref.name for ref in refs)

    def restore(self, into: bytes) -> int:
        return single.restored(self._context, self, into)

    @contextmanager
    def writing(self) -> Iterator[None]:
        with lease.writing(self._context, self.state, self.archive):
            yield
