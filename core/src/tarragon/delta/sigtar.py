"""Signatures ↔ sigtar members (docs/format.md § 4): what a chain knows of the tree it holds."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, BinaryIO

from tarragon import tar
from tarragon.api.entry import DIR, REG, Entry, order_key
from tarragon.api.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SIGNATURE, _SNAPSHOT, _DELETED = b"signature/", b"snapshot/", b"deleted/"


class Known:
    """What the newest set that mentions a path says of it.

    The signature can be taken, once, until the next Known is asked for.
    """

    __slots__ = ("_stream", "entry")

    def __init__(self, entry: Entry, stream: _Stream) -> None:
        self.entry = entry
        self._stream = stream

    def signature(self) -> bytes:
        """The rdiff signature of a regular file's content."""
        return self._stream.reader.data()


class _Stream:
    """One sigtar being read; ordered by the path it stands at, then newest first."""

    __slots__ = ("age", "deleted", "entry", "key", "reader")

    def __init__(self, source: BinaryIO, age: int) -> None:
        self.reader = tar.Reader(source)
        self.age = age
        self.key = b""
        self.deleted = False
        self.entry = Entry(b"", REG)

    def advance(self) -> bool:
        """Step to the next member; False at the end. Raises Malformed when the order is broken.

        A member that nobody may believe, because of its name or type, is passed over: nothing is known of it.
        """
        while (member := self.reader.next()) is not None:
            try:
                path, deleted = _path_of(member)
            except Malformed:
                continue
            if member.kind is None:
                continue
            key = order_key(path)
            if key < self.key:
                raise Malformed(f"signatures are out of order at {path!r}")
            self.key, self.deleted = key, deleted
            self.entry = Entry(
                path, member.kind, member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime,
                member.size, member.target, member.device,
            )  # fmt: skip
            return True
        return False

    def __lt__(self, other: _Stream) -> bool:
        return (self.key, self.age) < (other.key, other.age)


def _path_of(member: tar.Member) -> tuple[bytes, bool]:
    name = member.name
    if name.startswith(_SIGNATURE):
        path, gone = name[10:], False
    elif name.startswith(_SNAPSHOT):
        path, gone = name[9:], False
    elif name.startswith(_DELETED):
        path, gone = name[8:], True
    else:
        raise Malformed(f"signatures hold an entry with an unknown prefix: {name!r}")
    return safe_path(path), gone


def path_of(member: tar.Member) -> bytes:
    """The path that a member of a sigtar speaks of. Raises Malformed."""
    return _path_of(member)[0]


def safe_path(name: bytes) -> bytes:
    """An entry's path without its trailing slash; ``.`` or nothing is the root.

    Raises Malformed for anything that could leave the root: absolute names, ``.`` and ``..`` and empty components, NUL.
    """
    path = name[:-1] if name.endswith(b"/") else name
    if path in (b"", b"."):
        return b""
    if path.startswith((b"/", b"./", b"../")) or b"\0" in path or b"//" in path or b"/./" in path or b"/../" in path:
        raise Malformed(f"an entry's name could leave the tree: {name!r}")
    if path == b".." or path.endswith((b"/", b"/.", b"/..")):
        raise Malformed(f"an entry's name could leave the tree: {name!r}")
    return path


def read(sigtars: Sequence[Callable[[], BinaryIO]]) -> Iterator[Known]:
    """Merge the sigtars of a chain, given oldest first: the newest word on each path, what is deleted left out."""
    streams = []
    for age, opened in enumerate(reversed(sigtars)):
        stream = _Stream(opened(), age)
        if stream.advance():
            streams.append(stream)
    del sigtars  # each holds what it takes to open it: much, for a long chain
    if len(streams) == 1:
        yield from _of_one(streams[0])
        return
    heapq.heapify(streams)
    while streams:
        newest = streams[0]
        key = newest.key
        if not newest.deleted:
            yield Known(newest.entry, newest)
        while streams and streams[0].key == key:
            if streams[0].advance():
                heapq.heapreplace(streams, streams[0])
            else:
                heapq.heappop(streams)


def _of_one(stream: _Stream) -> Iterator[Known]:
    key = None
    more = True
    while more:
        if stream.key != key and not stream.deleted:  # a path that stands twice counts once, as between streams
            yield Known(stream.entry, stream)
        key = stream.key
        more = stream.advance()


def entries(sigtar: BinaryIO) -> Iterator[tuple[Entry, bool]]:
    """The entries of one sigtar, each with whether it says: gone."""
    with sigtar:
        stream = _Stream(sigtar, 0)
        while stream.advance():
            yield stream.entry, stream.deleted


# -- writing ------------------------------------------------------------------------------------------------------


def member(entry: Entry, signature: bytes) -> bytes:
    """The sigtar member of an entry that is there; ``signature`` is empty but for regular files."""
    if entry.kind == REG:
        head = tar.header(_SIGNATURE + entry.path, entry, len(signature))
        return head + signature + bytes(tar.pad(len(signature)))
    slash = b"/" if entry.kind == DIR and entry.path else b""
    return tar.header(_SNAPSHOT + entry.path + slash, entry, 0)


def deleted_member(path: bytes) -> bytes:
    """The sigtar member of something that is gone."""
    return tar.deleted_header(_DELETED + path)
