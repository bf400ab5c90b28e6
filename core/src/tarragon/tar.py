"""Tar headers: the one grammar that difftars and sigtars share (docs/format.md § 3.4, 3.5).

A leaf: values and grammar, no effects. Written is POSIX pax as duplicity writes it; read is pax and GNU, by a parser
that gives an entry or Malformed for any bytes whatever, in bounded memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SYM
from tarragon.api.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api.entry import Entry

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
#: A name, a link target or a pax record beyond this is no path of any system we know.
LONGEST_EXTENSION = 1 << 20
#: The most that is asked of a stream at a time.
_READ = 1 << 20

_TYPE_OF = {REG: b"0", DIR: b"5", SYM: b"2", FIFO: b"6", CHR: b"3", BLK: b"4"}
_KIND_OF = {
    b"0": REG, b"\0": REG, b"7": REG, b"5": DIR, b"2": SYM, b"6": FIFO, b"3": CHR, b"4": BLK
}  # fmt: skip
_PAX_TEXTS = {b"path": "name", b"linkpath": "target", b"uname": "uname", b"gname": "gname"}
_PAX_NUMBERS = (b"uid", b"gid", b"size", b"mtime")
_PAX_KEYS = frozenset((*_PAX_TEXTS, *_PAX_NUMBERS))
_MAX_ID = 0o7777777
_MAX_OCTAL_11 = 0o77777777777
_FIELDS = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000%b%b%b%b"


class Member(NamedTuple):
    """One entry of a tar as its header tells it. ``kind`` is None for a type that nobody should have written."""

    name: bytes
    kind: str | None
    size: int
    mode: int
    uid: int
    gid: int
    uname: bytes
    gname: bytes
    mtime: int
    target: bytes
    device: tuple[int, int]


def pad(size: int) -> int:
    """How many NUL bytes follow ``size`` bytes of data."""
    return -size % BLOCK


def header(name: bytes, entry: Entry, size: int) -> bytes:
    """The header of ``entry`` under ``name`` (prefix and all), with ``size`` bytes of data to follow."""
    kind = entry.kind
    target = entry.target if kind == SYM else b""
    device = b"%07o\0%07o\0" % entry.device if kind in (CHR, BLK) else bytes(16)
    return _header(
        name, _TYPE_OF[kind], 0o777 if kind == SYM else entry.mode, entry.uid, entry.gid, entry.uname, entry.gname,
        entry.mtime, size, target, device,
    )  # fmt: skip


def deleted_header(name: bytes) -> bytes:
    """The header of an entry that says: gone. All its fields are zero."""
    return _header(name, b"0", 0, 0, 0, b"", b"", 0, 0, b"", bytes(16))


def _header(
    name: bytes, type_flag: bytes, mode: int, uid: int, gid: int, uname: bytes, gname: bytes, mtime: int, size: int,
    target: bytes, device: bytes,
) -> bytes:  # fmt: skip
    plain = name.isascii() and target.isascii() and uname.isascii() and gname.isascii()
    fits = len(name) <= 100 and len(target) <= 100 and len(uname) <= 32 and len(gname) <= 32
    if plain and fits and uid <= _MAX_ID and gid <= _MAX_ID and mtime <= _MAX_OCTAL_11 and size <= _MAX_OCTAL_11:
        return _packed(name, type_flag, mode, uid, gid, uname, gname, mtime, size, target, device)
    records = _pax_records(name, uid, gid, uname, gname, mtime, size, target)
    return records + _packed(
        _plain(name)[:100], type_flag, mode, uid if uid <= _MAX_ID else 0, gid if gid <= _MAX_ID else 0,
        _plain(uname)[:32], _plain(gname)[:32], mtime if mtime <= _MAX_OCTAL_11 else 0,
        size if size <= _MAX_OCTAL_11 else 0, _plain(target)[:100], device,
    )  # fmt: skip


def _packed(
    name: bytes, type_flag: bytes, mode: int, uid: int, gid: int, uname: bytes, gname: bytes, mtime: int, size: int,
    target: bytes, device: bytes,
) -> bytes:  # fmt: skip
    raw = _FIELDS % (
        name.ljust(100, b"\0"), mode & 0o7777, uid, gid, size, mtime, type_flag, target.ljust(100, b"\0"),
        uname.ljust(32, b"\0"), gname.ljust(32, b"\0"), device, bytes(167),
    )  # fmt: skip
    return b"%b%06o\0%b" % (raw[:148], sum(raw), raw[155:])


def _plain(text: bytes) -> bytes:
    """ASCII for the plain header: one ``?`` for each character, or undecodable byte, that is not (§ 3.4)."""
    return text.decode("utf-8", "surrogateescape").encode("ascii", "replace")


def _pax_records(
    name: bytes, uid: int, gid: int, uname: bytes, gname: bytes, mtime: int, size: int, target: bytes
) -> bytes:
    """The extended header for whatever does not fit the plain one."""
    texts = []
    for key, value, room in ((b"path", name, 100), (b"linkpath", target, 100), (b"uname", uname, 32),
                             (b"gname", gname, 32)):  # fmt: skip
        if len(value) > room or not value.isascii():
            texts.append((key, value))
    records = [(b"hdrcharset", b"BINARY")] if any(not _is_utf8(value) for _, value in texts) else []
    records += texts
    records += [(key, b"%d" % value) for key, value, limit in (
        (b"uid", uid, _MAX_ID), (b"gid", gid, _MAX_ID), (b"size", size, _MAX_OCTAL_11), (b"mtime", mtime, _MAX_OCTAL_11)
    ) if value > limit]  # fmt: skip
    if not records:
        return b""
    body = b"".join(_pax_record(key, value) for key, value in records)
    head = _packed(b"././@PaxHeader", b"x", 0, 0, 0, b"", b"", 0, len(body), b"", bytes(16))
    return head + body + bytes(pad(len(body)))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _pax_record(key: bytes, value: bytes) -> bytes:
    """``LEN KEY=VALUE\\n``, where LEN counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def end_of_archive(written: int) -> bytes:
    """What follows the last entry: NULs to a multiple of 10240, at least one block of them (§ 3.5)."""
    return bytes(10240 - written % 10240)


# -- reading ------------------------------------------------------------------------------------------------------


class Reader:
    """Members of a tar stream, one after the other.

    Ends at the first zero block, or at the end of the data at a block boundary, whichever comes first (§ 3.5, trap 1);
    never reads behind that. Raises Malformed for anything else that is not a tar.
    """

    __slots__ = ("_left", "_padding", "_stream")  # a long chain has hundreds of them side by side

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        while (member := self.next()) is not None:
            yield member

    def next(self) -> Member | None:
        """The next member, skipping what was not read of the one before; None at the end."""
        self.skip()
        extended: dict[bytes, bytes] = {}
        while True:
            raw = self._exactly(BLOCK, may_end=True)
            if not raw or raw == ZERO_BLOCK:
                if extended:
                    raise Malformed("a tar ends behind an extended header")
                return None
            type_flag = raw[156:157]
            if type_flag in b"xgLK" and type_flag:
                extended.update(self._extension(type_flag, raw))
                continue
            member = _parse(raw, extended)
            self._left = member.size
            self._padding = pad(member.size)
            return member

    def data(self, size: int = -1) -> bytes:
        """Bytes of the present member: all that are left, or at most ``size``."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._exactly(wanted)
        self._left -= wanted
        return data

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        """The present member's data in pieces of at most ``size`` bytes."""
        while self._left:
            yield self.data(size)

    def _extension(self, type_flag: bytes, raw: bytes) -> dict[bytes, bytes]:
        _check(raw)
        size = _number(raw[124:136])
        if size > LONGEST_EXTENSION:
            raise Malformed(f"a tar header is extended by {size} bytes")
        body = self._exactly(size)
        self._exactly(pad(size))
        if type_flag == b"x":
            return _parse_pax(body)
        if type_flag == b"L":
            return {b"path": body.rstrip(b"\0")}
        if type_flag == b"K":
            return {b"linkpath": body.rstrip(b"\0")}
        return {}  # "g": a global header describes nothing that we use

    def skip(self) -> None:
        """Read the present member to its end, padding included."""
        while self._left:
            self.data(1 << 20)
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _exactly(self, size: int, *, may_end: bool = False) -> bytes:
        # Never asked for at once: room would be made for a size that lies (R40).
        data = self._stream.read(min(size, _READ)) if size else b""
        if len(data) == size:
            return data
        pieces = [data]
        missing = size - len(data)
        while missing:
            piece = self._stream.read(min(missing, _READ))
            if not piece:
                if may_end and missing == size:
                    return b""
                raise Malformed("a tar ends in the middle of an entry")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def _parse(raw: bytes, extended: dict[bytes, bytes]) -> Member:
    _check(raw)
    name, _, _ = raw[:100].partition(b"\0")
    if raw[257:263] == b"ustar\0" and raw[345] and b"path" not in extended:
        name = raw[345:500].partition(b"\0")[0] + b"/" + name
    kind = _KIND_OF.get(raw[156:157])
    is_device = kind in (CHR, BLK)
    member = Member(
        name=name,
        kind=kind,
        size=_number(raw[124:136]),
        mode=_number(raw[100:108]) & 0o7777,
        uid=_number(raw[108:116]),
        gid=_number(raw[116:124]),
        uname=_text(raw[265:297]),
        gname=_text(raw[297:329]),
        mtime=_number(raw[136:148]),
        target=raw[157:257].partition(b"\0")[0],
        device=(_number(raw[329:337]), _number(raw[337:345])) if is_device else (0, 0),
    )
    if extended:
        member = _with_pax(member, extended)
    return member if kind in (REG, None) else member._replace(size=0)


def _check(raw: bytes) -> None:
    """The checksum counts its own field as blanks."""
    if _number(raw[148:156]) != sum(raw) - sum(raw[148:156]) + 256:
        raise Malformed("not a tar header: the checksum is wrong")


@lru_cache(maxsize=256)
def _text(field: bytes) -> bytes:
    """What stands before the first NUL. Owners repeat: one object serves all entries."""
    return field.partition(b"\0")[0]


@lru_cache(maxsize=4096)
def _number(field: bytes) -> int:
    """Octal, or base 256 as GNU tar writes large numbers."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            return 0  # a negative time: 0 in this format (§ 3.4)
        return value
    text = field.strip(b" \0")
    if not text:
        return 0
    if not text.isdigit():
        raise Malformed("not a tar header: a number is not octal")
    try:
        return int(text, 8)
    except ValueError as err:
        raise Malformed("not a tar header: a number is not octal") from err


def _parse_pax(body: bytes) -> dict[bytes, bytes]:
    """``LEN KEY=VALUE\\n`` records that we use; values are raw bytes whatever hdrcharset says (trap 12)."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(body) and body[position] != 0:
        space = body.find(b" ", position, position + 20)
        digits = body[position:space]
        if space < 0 or not digits.isdigit():
            raise Malformed("an extended tar header is garbled")
        end = position + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or end <= space or body[end - 1 : end] != b"\n":
            raise Malformed("an extended tar header is garbled")
        if key in _PAX_KEYS:
            records[key] = value
        position = end
    return records


def _with_pax(member: Member, records: dict[bytes, bytes]) -> Member:
    changes: dict[str, bytes | int] = {}
    for key, field in _PAX_TEXTS.items():
        if key in records:
            changes[field] = records[key]
    for key in _PAX_NUMBERS:
        if key in records:
            changes[key.decode()] = _pax_number(records[key])
    return member._replace(**changes)  # type: ignore[arg-type]


def _pax_number(value: bytes) -> int:
    """A decimal; a fraction of a second is dropped, a time before 1970 is 0."""
    whole = value.partition(b".")[0]
    if whole[:1] == b"-" and whole[1:].isdigit():
        return 0
    if not whole.isdigit() or len(whole) > 20:
        raise Malformed("a number in an extended tar header is garbled")
    return int(whole)
