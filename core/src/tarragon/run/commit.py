"""Make a set visible: signatures first, the manifest last and read back (docs/format.md § 12.1, docs/architecture.md).

Until the manifest is at the target there is no set, and nothing of older sets has changed.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.backend import Role
from tarragon.api.errors import SourceError, ValidationFailed
from tarragon.api.events import SetInfo
from tarragon.store.source import FileSource
from tarragon.volume.seal import digests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api.events import StoredVolume
    from tarragon.store.archive import Archive
    from tarragon.volume.name import SetTime

    from .context import Context
    from .repository import Target

_COPY = 1 << 20


def commit(context: Context, target: Target, of: SetTime, volumes: int, leftovers: Iterable[str]) -> None:
    """Store signatures, statistics and manifest of a set whose volumes are all stored, then keep them in the cache.

    ``leftovers`` of broken runs, and volumes of this set beyond the last, are deleted once the set is whole. Raises
    ValidationFailed when the manifest does not read back as it was written.
    """
    names = context.names
    sealer = context.sealer
    archive = target.archive
    with _part(archive, names.signatures(of)) as plain:
        _store(context, plain, names.signatures(of, sealer.suffix), Role.SIGNATURES)
    for document in (sink.document() for sink in context.sinks):
        if document is not None:
            archive.store(names.stats(of, ".gz"), io.BytesIO(document), packed=True)
            _store(context, io.BytesIO(document), names.stats(of, sealer.suffix), Role.STATS)
    suffix = sealer.cipher.suffix if sealer.cipher is not None else ""
    name = names.manifest(of, suffix)
    with _part(archive, names.manifest(of)) as plain:
        stored = _store(context, plain, name, Role.MANIFEST)
    _read_back(context, name, stored)
    target.refresh()
    context.store.delete([*_surplus(target, of, volumes), *leftovers])
    archive.commit(names.manifest(of), names.signatures(of))
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


def _store(context: Context, plain: BinaryIO, name: str, role: Role) -> StoredVolume:
    """Seal a plain stream and store it; a manifest is never compressed (docs/format.md § 1.1)."""
    path = context.temp.named()
    try:
        with open(path, "r+b") as file:
            into, closing = context.sealer.writer(file, role)
            while data := plain.read(_COPY):
                into.write(data)
            for stream in closing:
                stream.close()
            size, sha1, sha256 = digests(file)
        return context.store.put(name, FileSource(path, size=size, sha1=sha1, sha256=sha256), role)
    finally:
        context.temp.discard(path)


def _read_back(context: Context, name: str, stored: StoredVolume) -> None:
    """What is at the target is what was sent: the last thing looked at before success is reported (R45)."""
    with context.temp.file() as file:
        fetched = context.store.fetch(name, file)
        found = hashlib.file_digest(fetched.file, "sha256").hexdigest()  # type: ignore[arg-type]
    if found != stored.sha256:
        raise ValidationFailed(f"manifest '{name}' does not read back as it was written", hint="run the backup again")


def set_info(of: SetTime, volumes: int, encrypted: bool, chain: int) -> SetInfo:
    """What observers are told of a committed set."""
    return SetInfo(of.key, of.kind, of.start, of.time, volumes, encrypted, True, chain)
