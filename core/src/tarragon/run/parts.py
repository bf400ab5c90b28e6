"""Points read out of the two ``.part`` files, where there is no journal: duplicity's, or ours without its state.

A point is the end of a volume with which an entry ends, as far as the signatures go (docs/architecture.md, every file
we own). Blocks of the manifest stand in for the journal; the caller hashes every volume again.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon import tar
from tarragon.api.entry import order_key
from tarragon.api.errors import Malformed
from tarragon.delta import sigtar
from tarragon.volume import manifest

from .journal import Kept, Point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.store.archive import Archive
    from tarragon.store.chain import BackupSet
    from tarragon.volume.manifest import Manifest, VolumeRecord
    from tarragon.volume.name import Names


class Unusable(Exception):
    """Why a broken set cannot be gone on with."""


class Cut(NamedTuple):
    """A file of which the last volumes hold the beginning only.

    ``volumes`` are those behind the last point, which ends with the entry ``after``. Signatures go up to the entry
    ``before`` the file. None stands for no entry.
    """

    path: bytes
    volumes: tuple[Kept, ...]
    manifest: tuple[int, str]
    signatures: tuple[int, str]
    before: bytes | None
    after: bytes | None


def points_of(archive: Archive, names: Names, partial: BackupSet) -> tuple[list[Point], Cut | None]:
    """The points of a set that was broken off, and the file that it broke off in. Raises Unusable."""
    first = archive.open(names.manifest(partial.of) + ".part")
    second = archive.open(names.signatures(partial.of) + ".part")
    if first is None or second is None:
        raise Unusable("the cache has lost one of its files")
    with first, second:
        data = first.read()
        try:
            found = manifest.read(io.BytesIO(data))
        except Malformed as err:
            raise Unusable(f"its manifest cannot be read: {err}") from err
        blocks = list(_blocks(data, found))
        if len(blocks) > 1 and _is_empty(blocks[-1][0], blocks[-2][0]):
            blocks.pop()  # behind it, duplicity would read no other volume
        last = blocks[-1][0].last if blocks else b""
        ends, before, signatures = _ends(second, {record.last for record, _ in blocks}, last)
    points: list[Point] = []
    waiting: list[Kept] = []
    cut = None
    for place, (record, size) in enumerate(blocks):
        info = partial.volumes.get(record.number)
        if info is None or record.sha1 is None or info.size is None:
            break
        waiting.append(Kept(record.number, info.name, info.size, record.sha1))
        goes_on = place + 1 < len(blocks) and blocks[place + 1][0].first == record.last
        mark = (size, hashlib.sha256(data[:size]).hexdigest())
        if record.last_part is None and not goes_on and record.last in ends:
            points.append(Point(tuple(waiting), record.last, mark, ends[record.last]))
            waiting = []
        elif record.last_part is not None and place + 1 == len(blocks):
            after = points[-1].last if points else None
            cut = Cut(record.last, tuple(waiting), mark, signatures, before, after)
    return points, cut


def origin_of(archive: Archive, names: Names, partial: BackupSet) -> tuple[bytes, bytes]:
    """Host and source of a set that was broken off. Raises Unusable."""
    first = archive.open(names.manifest(partial.of) + ".part")
    if first is None:
        raise Unusable("the cache has lost one of its files")
    with first:
        try:
            found = manifest.read(first)
        except Malformed as err:
            raise Unusable(f"its manifest cannot be read: {err}") from err
    return found.host, found.source


def are_whole(archive: Archive, names: Names, stored: BackupSet) -> bool:
    """Whether those of the two files that are here are what a set that is stored has: nothing is cut off."""
    first = archive.open(names.manifest(stored.of) + ".part")
    if first is not None:
        with first:
            try:
                found = manifest.read(first)
            except Malformed:
                return False
        if {record.number for record in found.volumes} != set(stored.volumes):
            return False
    second = archive.open(names.signatures(stored.of) + ".part")
    if second is None:
        return True
    with second:
        size = second.seek(0, io.SEEK_END)
        second.seek(max(0, size - 2 * tar.BLOCK))
        return size > 0 and not any(second.read())  # the two zero blocks at the end


def _blocks(data: bytes, found: Manifest) -> Iterator[tuple[VolumeRecord, int]]:
    """The blocks that stand in order at the beginning of a manifest, each with its end.

    Found by writing it again: what repeats or is cut off does not come out the same.
    """
    copy = io.BytesIO()
    writer = manifest.Writer(copy, found.host, found.source)
    for number, record in enumerate(found.volumes, 1):
        writer.add(record)
        if record.number != number or not data.startswith(copy.getvalue()):
            return
        yield record, copy.tell()


def _is_empty(record: VolumeRecord, before: VolumeRecord) -> bool:
    """Whether it is the empty volume at the end of a set (see ``Assembly``): it begins with what is whole already."""
    return (
        (record.first, record.first_part, record.last_part)
        == (before.last, None, None)
        == (record.last, before.last_part, None)
    )


class _Counted:
    """A stream being read, and the hash of what was."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def mark(self) -> tuple[int, str]:
        return self.size, self._hash.hexdigest()


def _ends(
    stream: BinaryIO, wanted: set[bytes], last: bytes
) -> tuple[dict[bytes, tuple[int, str]], bytes | None, tuple[int, str]]:
    """Where the members of these paths end in a sigtar that may be cut anywhere; and the newest one before ``last``,
    with its end.
    """
    counted = _Counted(stream)
    reader = tar.Reader(counted)  # type: ignore[arg-type]
    ends: dict[bytes, tuple[int, str]] = {}
    before, mark = None, counted.mark()
    try:
        while (member := reader.next()) is not None:
            reader.skip()
            path = sigtar.path_of(member)
            if path in wanted:
                ends[path] = counted.mark()
            if order_key(path) < order_key(last):
                before, mark = path, counted.mark()
    except Malformed:
        pass  # cut off: what was whole before stands
    return ends, before, mark
