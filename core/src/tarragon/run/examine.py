"""What stands at the target, looked at without restoring: volumes, manifests and signatures read to their end.

The half of ``api.Repository`` that checks use. Damage is an answer here, not an error: only what says nothing of the
object that was looked at (a wrong key, a full disk, the user) is raised.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from tarragon import tar
from tarragon.api.backend import Role
from tarragon.api.errors import (
    CollectionError,
    Interrupted,
    Malformed,
    NoTempSpace,
    PluginError,
    SourceError,
    TarragonError,
    UserError,
    WrongKey,
)
from tarragon.api.repository import Finding, ListedObject
from tarragon.delta import rsync, sigtar
from tarragon.volume import manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tarragon.api.backend import ObjectInfo
    from tarragon.store.chain import BackupSet
    from tarragon.volume.manifest import VolumeRecord
    from tarragon.volume.name import Names

    from .repository import Target

#: What is no property of the object that was looked at.
_FATAL = (WrongKey, PluginError, UserError, Interrupted, NoTempSpace, SourceError)
#: rollsum and MD4: the only kind of signature that is ever written (docs/format.md § 5.1).
_PIECE = 1 << 20


def listed(listing: list[ObjectInfo], names: Names, own_prefix: str) -> Iterator[ListedObject]:
    """What each object of a listing is. ``own_prefix`` begins the names of objects that only Tarragon reads."""
    for info in listing:
        name = names.parse(info.name)
        if name is not None:
            yield ListedObject(info.name, info.size, name.role, name.of.key, name.number, info.modified)
        else:
            role = Role.OWN if info.name.startswith(own_prefix) else None
            yield ListedObject(info.name, info.size, role, modified=info.modified)


def volume(target: Target, of: BackupSet, record: VolumeRecord) -> Finding:
    """Fetch one volume and read it to its end, as tar. Where no hash is recorded none is compared, and none named."""
    sums = target.watch.sums(of)
    is_hashed = record.sha1 is not None or (sums is not None and record.number in sums.volumes)
    compared = ("hash", "content") if is_hashed else ("content",)

    def work() -> None:
        with target.open_volume(of, record) as stream:
            target.volume_used(of, record)
            _read_tar(stream)

    return Finding(target.volume_name(of, record), compared, _problem(work), of.key)


def metadata(target: Target, of: BackupSet) -> Iterator[Finding]:
    """Fetch a set's manifest and signatures; what the cache has is compared, not used."""
    if of.manifest is not None:
        compared = ("content",) if of.local_manifest is None else ("content", "cache")
        yield Finding(of.manifest.name, compared, _problem(lambda: _manifest(target, of)), of.key)
    if of.signatures is not None:
        yield Finding(of.signatures.name, ("content",), _problem(lambda: _signatures(target, of)), of.key)


def contents(target: Target, time: int, files: Mapping[bytes, Callable[[], BinaryIO]]) -> list[Finding]:
    """Compare contents with the signatures of that time, in one pass over these."""
    findings = []
    left = dict(files)
    for known in target.known(target.collection.sets_at(time)):
        if known.entry.path in left:
            with left.pop(known.entry.path)() as content:
                findings.append(_compared(known.entry.path, known.signature(), content))
        if not left:
            break
    unknown = [Finding(os.fsdecode(path), (), "the signatures do not know it") for path in left]
    return findings + unknown


def _problem(work: Callable[[], None]) -> str:
    """What is wrong, in words; "" when nothing is."""
    try:
        work()
    except _FATAL:
        raise
    except TarragonError as err:
        return str(err)
    return ""


def _read_tar(stream: BinaryIO, seen: Callable[[tar.Member], object] = lambda member: None) -> int:
    """Read to the end, beyond that of the archive: sums of codecs stand behind it. The number of members."""
    count = 0
    for member in tar.Reader(stream):
        seen(member)
        count += 1
    while stream.read(_PIECE):
        pass
    return count


def _manifest(target: Target, of: BackupSet) -> None:
    assert of.manifest is not None
    cached = target.archive.open(of.local_manifest.name) if of.local_manifest is not None else None
    with target.fetch_plain(of.manifest) as stream:
        if cached is not None:
            with cached:
                if not _same(cached, stream):
                    raise CollectionError("it is not the one in the cache")
            cached = target.open_manifest(of)  # the same bytes, from their start
        problems = manifest.check(manifest.read(cached or stream))
    if problems:
        raise Malformed(f"it contradicts itself: {problems[0]}")


def _signatures(target: Target, of: BackupSet) -> None:
    assert of.signatures is not None
    with target.fetch_plain(of.signatures) as stream:
        count = _read_tar(stream, sigtar.path_of)
    if of.is_full and not count:
        raise Malformed("it is empty")


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    while piece := one.read(_PIECE):
        if _exactly(other, len(piece)) != piece:
            return False
    return not other.read(1)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := stream.read(size - len(found))):
        found += piece
    return found


def _compared(path: bytes, signature: bytes, content: BinaryIO) -> Finding:
    name = os.fsdecode(path)
    found = rsync.fits(signature, content)
    if found is None:
        return Finding(name, (), "")
    return Finding(name, ("signature",), "" if found else "it does not fit its signature")
