"""Manifests and signature files: from the cache where it can be believed, else from the target (R11, R44)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.backend import Role
from tarragon.api.codec import Cipher
from tarragon.api.entry import order_key
from tarragon.api.errors import BadSignature
from tarragon.delta import sigtar
from tarragon.store.archive import cached_name
from tarragon.store.sync import sync_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tarragon.api.codec import Compressor
    from tarragon.store.chain import BackupSet
    from tarragon.volume.name import ObjectName

    from .context import Context
    from .repository import Target


def covers(target: Target, of: BackupSet) -> bool:
    """Whether a set's signatures speak of what its volumes begin and end with, and of nothing behind it (R47)."""
    volumes = target.manifest(of).volumes
    wanted = {path for volume in volumes for path in (volume.first, volume.last)}
    last: bytes | None = None
    for entry, _ in sigtar.entries(target.open_signatures(of)):
        last = entry.path
        wanted.discard(last)
    if last is None:
        return not of.is_full and wanted <= {b""}  # nothing has changed: a volume without entries
    return not wanted and volumes != () and last == max((volume.last for volume in volumes), key=order_key)


class Metadata:
    """The cache of a target. A file is used when it is what the commit log says; at first sight it is believed."""

    def __init__(self, context: Context, target: Target) -> None:
        self._context = context
        self._target = target
        self._good: set[str] = set()  # checked, or fetched, in this run

    def sync(self, wanted: Sequence[BackupSet]) -> bool:
        """Bring the cache in line with the target, which rules (docs/format.md § 11.2); whether it has changed.

        Fetches what ``wanted`` lacks, or all sets lack with ``--metadata-sync-mode full``, and what cannot be used.
        What this very run misses at the target stays: it may be all that is left of it (R14).
        """
        options, archive, watch = self._context.options, self._target.archive, self._target.watch
        if not options.check_remote:
            return False
        everything = options.metadata_sync_mode == "full"
        local = [name for name in map(self._context.names.parse, archive.names()) if name is not None]
        plan = sync_plan(self._target.collection, local, None if everything else {each.of for each in wanted})
        drop = [name.name for name in local if name.name in plan.drop and watch.has_forgotten(name.of)]
        for gone in drop:
            self._context.log.info("removing '%s' from the cache: the target has it no more", gone)
        archive.remove(drop)
        fetch = [*plan.fetch, *self._doubted(wanted)]
        for name in fetch:
            self._context.log.info("copying '%s' to the cache", name.name)
            with self._target.fetch_plain(name) as plain:
                archive.store(cached_name(name), plain, packed=name.role is Role.SIGNATURES)
            if self.demands_signatures:
                self._good.add(cached_name(name))
        return bool(fetch or drop)

    def _doubted(self, wanted: Iterable[BackupSet]) -> list[ObjectName]:
        """What the cache has of these sets, and cannot be used."""
        both = [((of.manifest, of.local_manifest), (of.signatures, of.local_signatures)) for of in wanted]
        pairs = [(stored, local) for two in both for stored, local in two if stored is not None and local is not None]
        return [stored for stored, local in pairs if not self._is_good(local)]

    def opened(self, name: ObjectName | None) -> BinaryIO | None:
        """The plain bytes of a file in the cache; None when it is not there or cannot be used."""
        return self._target.archive.open(name.name) if name is not None and self._is_good(name) else None

    def _is_good(self, name: ObjectName) -> bool:
        """Whether a file is what the log says, and was signed where that is asked for."""
        if name.name in self._good:
            return True
        watch = self._target.watch
        found = self._target.archive.open(name.name)
        if found is None:
            return False
        with found:
            good = (not self.demands_signatures or watch.is_own(name.of)) and watch.fits(name, found)
        if good:
            self._good.add(name.name)
        else:
            self._context.log.info("'%s' in the cache cannot be used", name.name)
        return good

    @property
    def demands_signatures(self) -> bool:
        """Whether all that is read must be signed: not what a backup builds upon, which may be older than the key."""
        options = self._context.options
        reads = self._context.action not in ("backup", "full", "incremental")
        return bool(reads and options.encryption and "sign_key" in options and options.sign_key)

    def must_be_signed(self, name: ObjectName, layers: Iterable[Cipher | Compressor]) -> None:
        """Raise BadSignature for an object that no cipher speaks for, where signatures are asked for."""
        is_sealed = any(isinstance(one, Cipher) for one in layers)
        if self.demands_signatures and name.role is not Role.STATS and not is_sealed:
            raise BadSignature(f"'{name.name}' is not signed", hint="it was not stored by who signs here")
