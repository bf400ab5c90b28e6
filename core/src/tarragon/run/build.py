"""What a worker does with a job: read → encode → cut → seal. It needs the job, this object, and the source tree."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.entry import REG, Entry
from tarragon.api.events import CHANGED, NEW, FileSeen
from tarragon.api.events import DELETED as GONE
from tarragon.delta import difftar, rsync, sigtar
from tarragon.delta.compare import DELETED
from tarragon.delta.difftar import DIFF, PART, SNAPSHOT
from tarragon.folders import Folders
from tarragon.owners import Owners
from tarragon.source.content import descriptor
from tarragon.source.entry import entry_of
from tarragon.source.walk import open_root
from tarragon.volume.cut import cut

from .encode import Encoder, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tarragon.block import Block
    from tarragon.delta.compare import Change
    from tarragon.temp import TempFolder
    from tarragon.volume.seal import SealedVolume, Sealer

    from .plan import Item, Job, Range

#: Signatures beyond this travel in a file.
SPOOL = 1 << 20
#: The block length of every file that fits one entry (docs/format.md § 5.2).
SMALLEST_BLOCK = 512


class Problem(NamedTuple):
    """An entry that was not stored as it is: ``kind`` is "unreadable", "changed" (while it was read) or "vanished"."""

    kind: str
    path: bytes
    reason: str


class Stand(NamedTuple):
    """What must stay the same while a file is read."""

    size: int
    mtime_ns: int
    ctime_ns: int


class RangeBuilt(NamedTuple):
    """One range of a large file: what joining the ranges needs."""

    entry: Entry
    range: Range
    before: Stand
    after: Stand
    signature: bytes
    delta_size: int
    change: str


@dataclass
class Built:
    """What came of a job: sealed volumes in order, signatures in the same order, and what is to be told."""

    volumes: list[SealedVolume] = field(default_factory=list)
    signatures: bytes | Path = b""
    seen: list[FileSeen] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    range: RangeBuilt | None = None


class _Again(Exception):
    """The job must be built again: ``path`` changed while it was read, or turned out to be unreadable half way."""

    def __init__(self, path: bytes, problem: Problem | None) -> None:
        super().__init__(path)
        self.path = path
        self.problem = problem


def stand_of(fd: int) -> Stand:
    """How a file stands now; ``fd`` is -1 when it could not be opened."""
    if fd < 0:
        return Stand(-1, 0, 0)
    st = os.fstat(fd)
    return Stand(st.st_size, st.st_mtime_ns, st.st_ctime_ns)


@dataclass(frozen=True)
class Builder:
    """Builds jobs. Picklable, so that it can work in any process that sees the source tree."""

    source: bytes
    sealer: Sealer
    temp: TempFolder
    volsize: int
    max_blocksize: int = 0
    copy_links: bool = False

    def __call__(self, job: Job) -> Built:
        """Build a job whole. A file that changes while it is read is read again, once (R52)."""
        reread: set[bytes] = set()
        unreadable: dict[bytes, Problem] = {}
        while True:
            built = Built()
            attempt = _Attempt(self, built, frozenset(reread), unreadable)
            try:
                for volume in cut(attempt.blocks(job), self.sealer, self.volsize):
                    built.volumes.append(volume)
            except _Again as again:
                self._discard(built)
                attempt.signatures.discard()
                reread.add(again.path)
                if again.problem is not None:
                    unreadable[again.path] = again.problem
                continue
            except BaseException:
                self._discard(built)
                raise
            built.signatures = attempt.signatures.taken()
            return built

    def _discard(self, built: Built) -> None:
        for volume in built.volumes:
            self.temp.discard(volume.path)


class _Spool:
    """Bytes that are collected, in a file once they are many."""

    def __init__(self, temp: TempFolder) -> None:
        self._temp = temp
        self._held = bytearray()
        self._path: Path | None = None

    def append(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > SPOOL:
            self._path = self._path or self._temp.named()
            with self._path.open("ab") as file:
                file.write(self._held)
            self._held = bytearray()

    def taken(self) -> bytes | Path:
        """All of it: as it is, or the name of the file that has it."""
        if self._path is None:
            return bytes(self._held)
        with self._path.open("ab") as file:
            file.write(self._held)
        return self._path

    def discard(self) -> None:
        if self._path is not None:
            self._temp.discard(self._path)


class _Attempt:
    """One attempt at a job."""

    def __init__(
        self, builder: Builder, built: Built, reread: frozenset[bytes], unreadable: dict[bytes, Problem]
    ) -> None:
        self._builder = builder
        self._built = built
        self._reread = reread
        self._unreadable = unreadable
        self._owners = Owners()
        self.signatures = _Spool(builder.temp)

    def blocks(self, job: Job) -> Iterator[Block]:
        """The blocks of all items, in order."""
        root_fd, _ = open_root(self._builder.source)
        if root_fd < 0:
            for item in job.items:
                yield from self._item(None, item)
            return
        with Folders(root_fd, follow=self._builder.copy_links) as folders:
            for item in job.items:
                yield from self._item(folders, item)

    def _item(self, folders: Folders | None, item: Item) -> Iterator[Block]:
        change = item.change
        entry = change.entry
        if change.kind == DELETED:
            yield difftar.deleted_block(entry.path)
            self.signatures.append(sigtar.deleted_member(entry.path))
            self._built.seen.append(FileSeen(entry.path, change.was, GONE))
        elif entry.kind != REG:
            yield difftar.entry_block(entry)
            self.signatures.append(sigtar.member(entry, b""))
            self._built.seen.append(FileSeen(entry.path, entry.kind, NEW, entry.size))
        elif entry.path in self._unreadable:
            self._built.problems.append(self._unreadable[entry.path])
        else:
            yield from self._regular(folders, item)

    def _regular(self, folders: Folders | None, item: Item) -> Iterator[Block]:
        path = item.change.entry.path
        try:
            fd = descriptor(self._builder.source, folders, path, follow=self._builder.copy_links)
        except OSError as err:
            gone = isinstance(err, FileNotFoundError)
            self._problem("vanished" if gone else "unreadable", path, err.strerror or str(err))
            if item.range is not None:
                yield from self._range(-1, item.change.entry, item.change, item.range)
            return
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                self._problem("changed", path, "it is no regular file any more")
                if item.range is not None:
                    yield from self._range(-1, item.change.entry, item.change, item.range)
                return
            entry = entry_of(path, st, self._owners)
            if item.range is not None:
                yield from self._range(fd, entry, item.change, item.range)
            elif st.st_size < PART:
                yield from self._small(fd, entry, item.change)
            else:
                yield from self._large(fd, entry, item.change)
        finally:
            os.close(fd)

    def _problem(self, kind: str, path: bytes, reason: str) -> None:
        self._built.problems.append(Problem(kind, path, reason))

    def _small(self, fd: int, entry: Entry, change: Change) -> Iterator[Block]:
        """A file that fits one entry: read whole before anything is written, so that a second reading costs nothing."""
        settled = True
        try:
            before = stand_of(fd)
            data = _read_all(fd, min(before.size, PART))  # it may have grown to any size by now
            if stand_of(fd) != before or len(data) != before.size:
                entry = entry_of(entry.path, os.fstat(fd), self._owners)  # before it is read: never newer than its data
                before = stand_of(fd)
                data = _read_all(fd, min(before.size, PART - 1))
                settled = stand_of(fd) == before and len(data) == before.size
        except OSError as err:
            self._problem("unreadable", entry.path, err.strerror or str(err))
            return
        signature = rsync.signatures([data], self._builder.max_blocksize)[0]
        what = SNAPSHOT
        stored = data
        if change.signature is not None:
            what = DIFF
            delta = rsync.delta(self._old(change), SMALLEST_BLOCK)
            stored = delta.update(data) + delta.finish()
        yield from difftar.data_blocks(what, entry, [stored])
        self._stored(entry, signature, what, len(stored), settled=settled)

    def _old(self, change: Change) -> rsync.Old:
        signature = change.signature
        if isinstance(signature, str):
            with open(signature, "rb") as file:
                return rsync.signature_of(file.read())
        assert signature is not None
        return rsync.signature_of(signature)

    def _large(self, fd: int, entry: Entry, change: Change) -> Iterator[Block]:
        before = stand_of(fd)
        block_len = rsync.block_length(before.size, self._builder.max_blocksize)
        reading = Reading(fd, 0, before.size, pad=False)
        encoder = Encoder(self._old(change) if change.signature is not None else None, block_len)
        try:
            yield from difftar.data_blocks(encoder.what, entry, encoder.encode(reading))
        except OSError as err:
            raise _Again(entry.path, Problem("unreadable", entry.path, err.strerror or str(err))) from err
        settled = stand_of(fd) == before and not reading.short
        if not settled and entry.path not in self._reread:
            raise _Again(entry.path, None)
        self._stored(entry, encoder.signature, encoder.what, encoder.written, settled=settled)

    def _range(self, fd: int, entry: Entry, change: Change, part: Range) -> Iterator[Block]:
        """One range of a large file; NULs where it cannot be read, because other ranges are stored already."""
        before = stand_of(fd)
        reading = Reading(fd, part.start, part.stop, pad=True)
        old = self._old(change) if change.signature is not None else None
        first = part.ordinal == 0
        tail = bytes.fromhex(part.tail)
        encoder = Encoder(
            old, part.block_len, first=first, last=part.last, offset=part.start, owed=part.owed, tail=tail
        )
        length = part.stop - part.start if not part.last else part.start // max(1, part.ordinal)
        # A delta is as long as it comes out: room for twice the range keeps the numbers rising (§ 3.3).
        number = (part.start // PART if encoder.what == SNAPSHOT else part.ordinal * (2 * length // PART + 2)) + 1
        yield from difftar.data_blocks(
            encoder.what, entry, encoder.encode(reading), first_part=number, first=first, last=part.last
        )
        after = stand_of(-1 if reading.short else fd)  # what was made up never agrees with other ranges
        done = part._replace(owed=-1, tail="")
        self._built.range = RangeBuilt(
            entry, done, before, after, encoder.signature, encoder.written, CHANGED if old else NEW
        )

    def _stored(self, entry: Entry, signature: bytes, what: str, written: int, *, settled: bool) -> None:
        if not settled:
            self._problem("changed", entry.path, "it changed while it was read, twice")
        self.signatures.append(sigtar.member(entry if settled else unsettled(entry), signature))
        change = CHANGED if what == DIFF else NEW
        self._built.seen.append(FileSeen(entry.path, REG, change, entry.size, written))


def _read_all(fd: int, size: int) -> bytes:
    """Up to ``size`` bytes from the start of a file."""
    data = os.pread(fd, size, 0) if size else b""
    while len(data) < size and (more := os.pread(fd, size - len(data), len(data))):
        data += more
    return data


def unsettled(entry: Entry) -> Entry:
    """An entry whose signature must not look settled: one second off, so that the next increment reads it again."""
    return entry._replace(mtime=entry.mtime - 1 if entry.mtime > 1 else entry.mtime + 1)
