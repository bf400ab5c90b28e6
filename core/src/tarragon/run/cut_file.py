"""A file that a broken run stored the beginning of, and no journal tells how: what stands, compared with the source.

Where the file still is what was stored of it, byte for byte, the set is gone on with behind those bytes; any doubt
makes a new set (docs/architecture.md, every file we own). duplicity leaves such sets: its volumes end anywhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon import tar
from tarragon.api.entry import REG, Entry
from tarragon.api.errors import TarragonError
from tarragon.api.events import CHANGED, NEW
from tarragon.delta import difftar, rsync
from tarragon.delta.difftar import DIFF, PART, SNAPSHOT
from tarragon.source.entry import entry_of

from .build import RangeBuilt, stand_of
from .journal import Point
from .parts import Cut, Unusable
from .plan import Range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target

_MAGIC = bytes.fromhex("72730236")  # of a delta (docs/format.md § 5.3)
_CHANGED = "the file that was being stored has changed"
_PIECE = 1 << 20


class _Stored(NamedTuple):
    """What volumes hold of the file: which kind of parts, their bytes in ``file``, and the entry before it."""

    what: str
    entry: Entry
    file: BinaryIO
    parts: int
    before: bytes | None


def point_at(context: Context, target: Target, source: bytes, cut: Cut, upon: Sequence[BackupSet]) -> Point:
    """The point from which a set is gone on with behind the bytes of the cut file that are stored. Raises Unusable."""
    try:
        stored = _stored(context, target, cut)
    except TarragonError as err:
        raise Unusable(f"what it holds cannot be read: {err}") from err
    if stored.before != cut.before:
        raise Unusable("signatures of what it holds are lost")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if context.options.copy_links else os.O_NOFOLLOW)
    try:
        now = open(os.open(os.path.join(source, cut.path) if cut.path else source, flags), "rb")
    except OSError as err:
        raise Unusable(_CHANGED) from err
    with now, stored.file:
        stand = stand_of(now.fileno())
        entry = entry_of(cut.path, os.fstat(now.fileno()), context.owners)
        if any(getattr(entry, word) != getattr(stored.entry, word) for word in ("kind", "mode", "uid", "gid", "mtime")):
            raise Unusable(_CHANGED)
        block_len = rsync.block_length(stand.size, context.options.max_blocksize)
        same = _Same(stored.file, now, rsync.signer(block_len))
        old = next((known.signature() for known in target.known(upon) if known.entry.path == cut.path), b"")
        if (stored.what == DIFF) != bool(old):
            raise Unusable("it was built upon something else")
        owed = same.diff(old) if old else same.snapshot()
        if same.at + max(0, owed) > stand.size or stand_of(now.fileno()) != stand:
            raise Unusable(_CHANGED)
        tail = os.pread(now.fileno(), same.at % block_len, same.at - same.at % block_len).hex()
        signature = same.signature(whole=not tail)
    part = Range(stored.parts - 1, 0, same.at, False, block_len, owed, tail)
    change = CHANGED if old else NEW
    built = RangeBuilt(entry, part, stand, stand, signature, stored.parts * PART, change)
    return Point(cut.volumes, cut.path, cut.manifest, cut.signatures, (built,))


def _stored(context: Context, target: Target, cut: Cut) -> _Stored:
    what, entry, parts, before = SNAPSHOT, None, 0, cut.after
    file = context.temp.file()
    for kept in cut.volumes:
        name = context.names.parse(kept.name)
        assert name is not None
        with target.fetch_plain(name, sha1=kept.sha1) as stream:
            reader = tar.Reader(stream)
            for member in reader:
                part = difftar.part_of(member)
                if part.entry.path != cut.path:
                    before = part.entry.path
                    continue
                what, entry, parts = part.what, entry or part.entry, parts + 1
                if not part.split or part.entry.size != PART:
                    raise Unusable("it was not written as duplicity writes")
                file.writelines(reader.chunks())
    if entry is None or entry.kind != REG:
        raise Unusable("its manifest is not that of its volumes")
    file.seek(0)
    return _Stored(what, entry, file, parts, before)


class _Same:
    """Stored bytes and those of the file as it is, side by side; ``at`` is how much of the file has been seen."""

    def __init__(self, stored: BinaryIO, now: BinaryIO, signer: rsync.Signing) -> None:
        self._stored = stored
        self._now = now
        self._signer = signer
        self._sums: list[bytes] = []
        self.at = 0

    def signature(self, *, whole: bool) -> bytes:
        """That of all whole blocks seen; ``whole`` tells that the last one is."""
        sums = b"".join([*self._sums, self._signer.finish()])
        return sums if whole else sums[: -4 - rsync.STRONG_LEN]

    def _taken(self, size: int) -> Iterator[bytes]:
        """The next bytes of the file, exactly so many."""
        while size:
            data = self._now.read(min(size, _PIECE))
            if not data:
                raise Unusable(_CHANGED)
            self._sums.append(self._signer.update(data))
            self.at += len(data)
            size -= len(data)
            yield data

    def _exactly(self, size: int) -> bytes:
        data = self._stored.read(size)
        if len(data) < size:
            raise Unusable("its last volume ends within a command")
        return data

    def snapshot(self) -> int:
        """Compare stored content. Nothing is owed."""
        self._literal(self._left())
        return -1

    def _left(self) -> int:
        here = self._stored.tell()
        size = self._stored.seek(0, os.SEEK_END) - here
        self._stored.seek(here)
        return size

    def _literal(self, size: int) -> None:
        for data in self._taken(size):
            if self._exactly(len(data)) != data:
                raise Unusable(_CHANGED)

    def diff(self, old: bytes) -> int:
        """Compare what the beginning of a delta makes; how many bytes its last command still owes."""
        block_len, sum_len = int.from_bytes(old[4:8], "big"), 4 + int.from_bytes(old[8:12], "big")
        if self._exactly(len(_MAGIC)) != _MAGIC or sum_len != 4 + rsync.STRONG_LEN:
            raise Unusable("it was not written as duplicity writes")
        owed = 0
        while left := self._left():
            command = self._exactly(1)[0]
            if 0x45 <= command <= 0x54:
                start, size = (int.from_bytes(self._exactly(1 << width), "big") for width in divmod(command - 0x45, 4))
                signer = rsync.signer(block_len, header=False)
                sums = b"".join([*map(signer.update, self._taken(size)), signer.finish()])
                place = rsync.HEADER_SIZE + start // block_len * sum_len
                if start % block_len or old[place : place + len(sums)] != sums:
                    raise Unusable(_CHANGED)
                continue
            if not 0 < command < 0x45:
                raise Unusable("its delta ends, and its file does not")
            size = command if command <= 0x40 else int.from_bytes(self._exactly(1 << command - 0x41), "big")
            left = min(size, self._left())
            self._literal(left)
            owed = size - left
        return owed
