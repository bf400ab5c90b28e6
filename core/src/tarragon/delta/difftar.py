"""Change ↔ difftar members (docs/format.md § 3): what is put into volumes, and read out of them."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias

from tarragon import tar
from tarragon.api.entry import DIR, REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed
from tarragon.block import Block

from .sigtar import safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Data are split into parts of this size; a file that reaches it has a last, shorter part (§ 3.3).
PART = 65536

SNAPSHOT, DIFF, GONE, LOST = "snapshot", "diff", "deleted", "lost"
_MULTIVOL = b"multivol_"
_WHAT = {b"snapshot": SNAPSHOT, b"diff": DIFF, b"deleted": GONE}


# -- writing ------------------------------------------------------------------------------------------------------


def entry_block(entry: Entry) -> Block:
    """An entry without data: a folder, a link, a device. The root folder is ``snapshot/./`` here (trap 9)."""
    name = b"snapshot/" + (entry.path or (b"." if entry.kind == DIR else b""))
    return Block(tar.header(name + b"/" if entry.kind == DIR else name, entry, 0), entry.path)


def deleted_block(path: bytes) -> Block:
    """The entry of something that is gone."""
    return Block(tar.deleted_header(b"deleted/" + path), path)


def data_blocks(
    what: str, entry: Entry, data: Iterable[bytes], *, first_part: int = 1, first: bool = True, last: bool = True
) -> Iterator[Block]:
    """The entries of a regular file's content or delta: one when it is shorter than a part, else its parts (§ 3.3).

    For a range of a large file ``first_part`` is the number of its first part; a range that is not the ``last`` ends
    with its last byte, without the short part that ends a file.
    """
    prefix = b"%b/" % what.encode()
    whole = first and last
    number = first_part
    for piece, ends in _pieces(data, short_end=last):
        if ends and whole and number == first_part:
            yield Block(_filed(prefix + entry.path, entry, piece), entry.path)
            return
        name = _MULTIVOL + prefix + (entry.path or b".") + b"/%d" % number
        yield Block(_filed(name, entry, piece), entry.path, None if ends else number)
        number += 1


def _filed(name: bytes, entry: Entry, data: bytes) -> bytes:
    return b"".join((tar.header(name, entry, len(data)), data, bytes(tar.pad(len(data)))))


def _pieces(data: Iterable[bytes], *, short_end: bool) -> Iterator[tuple[bytes, bool]]:
    """Parts of exactly PART bytes; with ``short_end`` a last one that is shorter, maybe empty, marked True."""
    held = bytearray()
    for chunk in data:
        if not held and len(chunk) == PART:
            yield chunk, False
            continue
        held += chunk
        if len(held) >= PART:
            view = memoryview(held)
            whole = len(held) - len(held) % PART
            pieces = [bytes(view[at : at + PART]) for at in range(0, whole, PART)]
            view.release()
            del held[:whole]
            for piece in pieces:
                yield piece, False
    if short_end:
        yield bytes(held), True
    elif held:
        yield bytes(held), False  # the delta of a range ends where it ends; readers join parts (§ 3.3)


# -- reading ------------------------------------------------------------------------------------------------------


class OpenVolume(NamedTuple):
    """A volume ready to be read: the paths of its first and last entry, and its tar; None with a reason when lost."""

    first: bytes
    last: bytes
    stream: BinaryIO | None
    reason: str = ""


class Patch(NamedTuple):
    """What one set says of one path.

    ``what`` is SNAPSHOT, DIFF or GONE, or LOST for an entry that stood in a volume that cannot be read. ``entry.size``
    is that of the first part. Taking ``data`` raises Malformed when a part of it is lost.
    """

    what: str
    entry: Entry
    data: Iterator[bytes]
    reason: str = ""


class Part(NamedTuple):
    """One member: an entry, or with ``split`` a part of its content."""

    what: str
    split: bool
    entry: Entry


#: The entries that a set's signatures have between two paths, each with whether it is deleted there.
Mentioned: TypeAlias = "Callable[[bytes, bytes], Iterable[tuple[Entry, bool]]]"


def decode(
    volumes: Iterable[OpenVolume],
    mentioned: Mentioned = lambda first, last: (),
    refused: Callable[[str], None] = lambda reason: None,
) -> Iterator[Patch]:
    """The patches of one set, in archive order, read from its volumes in order of their numbers.

    Parts of one file are joined, also across volumes (§ 3.3). A patch's data must be taken before the next patch is
    asked for; what is left is skipped. For a lost volume, and for the rest of one that breaks the grammar, there is a
    LOST patch for each entry that the set's signatures have between two paths, but for what they know to be GONE.
    An entry that nobody may apply, because of its name, its type or its place, is passed over: ``refused`` is told why.
    """
    return _Decoder(volumes, mentioned, refused)


class _Decoder:
    """The patches of one set. An iterator without frames of its own: a long chain has hundreds side by side."""

    __slots__ = (
        "_at", "_data_left", "_key", "_lost", "_losing", "_mentioned", "_part", "_reader", "_refused", "_started",
        "_void", "_volume", "_volumes",
    )  # fmt: skip

    def __init__(self, volumes: Iterable[OpenVolume], mentioned: Mentioned, refused: Callable[[str], None]) -> None:
        self._volumes = iter(volumes)
        self._mentioned = mentioned
        self._refused = refused
        self._void = b""  # order key up to which entries are told as lost
        self._volume: OpenVolume | None = None
        self._reader = tar.Reader(io.BytesIO())
        self._part: Part | None = None
        self._lost: OpenVolume | None = None
        self._key: bytes | None = None  # order key of the newest patch given
        self._at = b""  # path of the newest member, at the start of a volume the first that it should hold
        self._started = False
        self._data_left: Iterator[bytes] | None = None  # that of the newest patch given
        self._losing: Iterator[Patch] | None = None

    def __iter__(self) -> _Decoder:
        return self

    def __next__(self) -> Patch:
        self._skip_data()
        while True:
            if self._lost is not None:
                self._losing = self._losing or self._losses(self._lost)
                patch = next(self._losing, None)
                if patch is not None:
                    return patch
                self._losing = None
            elif (part := self._part) is None:
                raise StopIteration
            elif self._is_new(part.entry.path):
                self._data_left = self._data(part)
                return Patch(part.what, part.entry, self._data_left)
            else:  # the rest of something lost, or twice, or out of order: never applied (§ 3.2)
                if order_key(part.entry.path) > self._void:
                    self._refused(f"an entry stands twice or out of order: {part.entry.path[:80]!r}")
                self._advance()

    def _skip_data(self) -> None:
        """What was not taken of the newest patch; at the start, step to the first."""
        if not self._started:
            self._started = True
            self._advance()
        left, self._data_left = self._data_left, None
        if left is not None:
            with contextlib.suppress(Malformed):  # a loss was told to whoever took the data
                for _ in left:
                    pass

    def _is_new(self, path: bytes) -> bool:
        key = order_key(path)
        if self._key is not None and key <= self._key:
            return False
        self._key = key
        return True

    def _losses(self, lost: OpenVolume) -> Iterator[Patch]:
        for entry, gone in self._mentioned(lost.first, lost.last):
            if self._is_new(entry.path):
                yield Patch(GONE if gone else LOST, entry, iter(()), "" if gone else lost.reason)
        if self._key is None or self._key < order_key(lost.last):
            self._key = order_key(lost.last)
        self._void = self._key
        self._lost = None
        self._advance()

    def _data(self, part: Part) -> Iterator[bytes]:
        path = part.entry.path
        while True:
            try:
                yield from self._reader.chunks(PART)
            except Malformed as err:
                self._give_up(path, str(err))
                raise
            self._advance()
            # A whole part is never the last one. The manifest of a resumed set may begin one entry late (trap 33).
            goes_on = part.split and self._lost is not None and (self._lost.first == path or part.entry.size == PART)
            if self._lost is not None and goes_on:
                raise Malformed(f"a part of it is lost: {self._lost.reason}")
            following = self._part
            if not part.split or following is None or not following.split or following.entry.path != path:
                return
            if following.what != part.what:
                raise Malformed("parts of a snapshot and of a diff are mixed")
            part = following

    def _advance(self) -> None:
        """Step to the next member, in the next volume if this one is at its end; or to a loss."""
        self._part = None
        while self._lost is None:
            if self._volume is None:
                self._volume = next(self._volumes, None)
                if self._volume is None:
                    return
                if self._volume.stream is None:
                    self._lost, self._volume = self._volume, None
                    return
                self._reader = tar.Reader(self._volume.stream)
                self._at = self._volume.first
            try:
                member = self._reader.next()
            except Malformed as err:
                self._give_up(self._at, str(err))
                continue
            if member is None:
                self._volume = None
                continue
            try:
                self._part = part_of(member)
            except Malformed as err:  # the tar is sound, this one entry is not
                self._refused(str(err))
                continue
            self._at = self._part.entry.path
            return

    def _give_up(self, path: bytes, reason: str) -> None:
        """Count the rest of a volume whose grammar is broken behind ``path`` as lost."""
        assert self._volume is not None
        self._lost = OpenVolume(path, self._volume.last, None, reason)
        self._volume = None


def part_of(member: tar.Member) -> Part:
    """What a member of a volume is. Raises Malformed for one that nobody may apply."""
    prefix, slash, name = member.name.partition(b"/")
    split = prefix.startswith(_MULTIVOL)
    what = _WHAT.get(prefix.removeprefix(_MULTIVOL), "")
    if not slash or not what or (split and what == GONE):
        raise Malformed(f"a volume holds an entry with an unknown prefix: {member.name[:80]!r}")
    if split:
        name, _, number = name.rpartition(b"/")
        if not number.isdigit():
            raise Malformed(f"a volume holds a part without a number: {member.name[:80]!r}")
    path = safe_path(name)
    if member.kind is None or (split or what == DIFF) and member.kind != REG:
        raise Malformed(f"a volume holds an entry of the wrong type at {path!r}")
    target = member.target if member.kind == SYM else b""
    entry = Entry(
        path, member.kind, member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime, member.size,
        target, member.device,
    )  # fmt: skip
    return Part(what, split, entry)
