"""Make a set visible: signatures first, the manifest last and read back (docs/format.md § 12.1, docs/architecture.md).

Until the manifest is at the target there is no set, and nothing of older sets has changed.
"""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.backend import Capability, Role
from tarragon.api.errors import SourceError, ValidationFailed
from tarragon.store.source import FileSource
from tarragon.volume.seal import digests

from . import journal, sums
from .memory import STORED, Remembered, Thing, record_of, remembered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tarragon.store.archive import Archive
    from tarragon.store.chain import BackupSet
    from tarragon.volume.name import SetTime

    from .context import Context
    from .repository import Target

_COPY = 1 << 20
_UNFINISHED = re.compile(r"tarragon\.tmp-[0-9a-f]{8}\Z")


def commit(context: Context, target: Target, of: SetTime, volumes: int, leftovers: Iterable[str], parent: str) -> None:
    """Store signatures, statistics, sums and manifest of a set whose volumes are all stored, then keep them here.

    ``leftovers`` of broken runs, and volumes of this set beyond the last, are deleted once the set is whole. ``parent``
    is the plain hash of the manifest of the set it builds on, "" for none. Raises ValidationFailed when the manifest
    does not read back as it was written.
    """
    names, sealer, archive = context.names, context.sealer, target.archive
    part = _part(archive, names.signatures(of))
    with part, _sealed(context, part, Role.SIGNATURES) as (source, signatures):
        context.store.put(names.signatures(of, sealer.suffix), source, Role.SIGNATURES)
    for document in (sink.document() for sink in context.sinks):
        if document is not None:
            archive.store(names.stats(of, ".gz"), io.BytesIO(document), packed=True)
            with _sealed(context, io.BytesIO(document), Role.STATS) as (source, _):
                context.store.put(names.stats(of, sealer.suffix), source, Role.STATS)
    name = names.manifest(of, sealer.cipher.suffix if sealer.cipher is not None else "")
    part = _part(archive, names.manifest(of))
    with part, _sealed(context, part, Role.MANIFEST) as (source, manifest):
        ledger = target.state.ledger("journal")
        found = journal.read(ledger)
        kept = [volume for point in found[1] for volume in point.volumes] if found is not None else []
        written = sums.compose(of, parent, manifest, signatures, kept, _versions(context))
        with _sealed(context, io.BytesIO(written), Role.OWN) as (own, own_sums):
            context.store.put(names.sums(of, sealer.suffix), own, Role.OWN)
        size = sum(volume.size for volume in kept)
        was = Remembered(of, STORED, volumes, size, manifest, signatures, own_sums.stored, parent)
        ledger.append({"commit": record_of(was)})
        context.store.put(name, source, Role.MANIFEST)
    if target.stored_hash(name) != manifest.stored:
        raise ValidationFailed(f"manifest '{name}' does not read back as it was written", hint="run the backup again")
    target.refresh()
    conclude(context, target, was, [*_surplus(target, of, volumes), *_unfinished(context, target), *leftovers])


def _unfinished(context: Context, target: Target) -> list[str]:
    """Puts that a crash broke off. Only where the lease says that nobody else is putting anything now."""
    if Capability.EXCLUSIVE_PUT not in context.store.capabilities:
        return []
    return [info.name for info in target.listing if _UNFINISHED.search(info.name)]


def conclude(context: Context, target: Target, was: Remembered, doomed: Iterable[str]) -> None:
    """The manifest is at the target and read back: what is left to do, in an order that a crash cannot hurt."""
    names = context.names
    context.store.delete(doomed)
    target.archive.commit(names.manifest(was.of), names.signatures(was.of))
    target.watch.stored(was)
    target.state.ledger("journal").remove()


def finish(context: Context, target: Target, each: BackupSet, leftovers: Iterable[str]) -> None:
    """Go on with a commit that was broken off after the manifest was stored. It is ours if it reads back as ours."""
    names = context.names
    record = journal.committing(target.state.ledger("journal"))
    target.archive.commit(names.manifest(each.of), names.signatures(each.of))
    target.refresh()
    each = next(now for now in target.collection if now.of == each.of)
    assert each.manifest is not None
    was = remembered(record) if record is not None else None
    if was is not None and was.manifest.stored == target.stored_hash(each.manifest.name):
        surplus = [info.name for number, info in each.volumes.items() if number > was.volumes]
        conclude(context, target, was, [*surplus, *leftovers])
        return
    target.watch.adopt(each, target.sizes)
    target.watch.memory.write(context.now)  # before the journal forgets it: a log that knows nothing of it would alarm
    surplus = [each.volumes[number].name for number in each.surplus(target.manifest(each))]
    context.store.delete([*surplus, *leftovers])
    target.state.ledger("journal").remove()


def _surplus(target: Target, of: SetTime, volumes: int) -> list[str]:
    """Volumes beyond the last one: an earlier attempt at this set had more of them."""
    listed = [each for each in target.collection if each.of == of]
    return [info.name for each in listed for number, info in each.volumes.items() if number > volumes]


def _part(archive: Archive, name: str) -> BinaryIO:
    """One of the two files of the set under way."""
    found = archive.open(name + ".part")
    if found is None:
        raise SourceError(f"'{name}.part' has vanished from the cache", hint="run the backup again")
    return found


@contextmanager
def _sealed(context: Context, plain: BinaryIO, role: Role) -> Iterator[tuple[FileSource, Thing]]:
    """A plain stream sealed and ready to be stored; a manifest is never compressed (docs/format.md § 1.1)."""
    path = context.temp.named()
    plain_hash = hashlib.sha256()
    try:
        with open(path, "r+b") as file:
            into, closing = context.sealer.writer(file, role)
            while data := plain.read(_COPY):
                plain_hash.update(data)
                into.write(data)
            for stream in closing:
                stream.close()
            size, sha1, sha256 = digests(file)
        yield FileSource(path, size=size, sha1=sha1, sha256=sha256), Thing(size, sha256, plain_hash.hexdigest())
    finally:
        context.temp.discard(path)


def _versions(context: Context) -> dict[str, str]:
    """The packages that made this set, as far as their names are those of their modules, and their versions."""
    from importlib.metadata import PackageNotFoundError, version  # the entry points have loaded it

    found = {}
    for name in ["tarragon-core", *(module.partition(".")[0].replace("_", "-") for module in context.hub.modules())]:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
