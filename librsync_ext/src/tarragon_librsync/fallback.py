"""The same in Python alone: for platforms without the compiled kernel. Slow, small, and right.

Everything is kept in memory until ``finish``; the kernel is there for large files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import pack, unpack_from
from typing import TYPE_CHECKING

from tarragon_librsync.blocks import MAX_BLOCK_LEN, SIGNATURE_MAGIC, check_lengths
from tarragon_librsync.errors import BadDelta, BadSignature

if TYPE_CHECKING:
    from typing_extensions import Buffer

KERNEL = "python"
_MASK = 0xFFFFFFFF
_DELTA_MAGIC = b"rs\x02\x36"  # docs/format.md § 5.3
_ROUNDS = (
    (0, (3, 7, 11, 19), tuple(range(16))),
    (0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
    (0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
)


def md4(data: bytes) -> bytes:
    """MD4 (RFC 1320); OpenSSL 3 no longer offers it."""
    padded = data + b"\x80" + b"\0" * ((55 - len(data)) % 64) + pack("<Q", 8 * len(data) & (1 << 64) - 1)
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    for at in range(0, len(padded), 64):
        words = unpack_from("<16I", padded, at)
        a, b, c, d = state
        for number, (add, turns, order) in enumerate(_ROUNDS):
            for step, word in enumerate(order):
                if number == 0:
                    mixed = (b & c) | (~b & d)
                elif number == 1:
                    mixed = (b & c) | (b & d) | (c & d)
                else:
                    mixed = b ^ c ^ d
                total = (a + mixed + words[word] + add) & _MASK
                turn = turns[step % 4]
                a, b, c, d = d, (total << turn | total >> (32 - turn)) & _MASK, b, c
        state = tuple((old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True))  # type: ignore[assignment]
    return pack("<4I", *state)


def _weak(data: bytes) -> tuple[int, int]:
    s1 = s2 = 0
    for byte in data:
        s1 += byte + 31
        s2 += s1
    return s1 & 0xFFFF, s2 & 0xFFFF


def _sign(data: bytes, block_len: int, strong_len: int, header: bool) -> bytes:
    parts = [SIGNATURE_MAGIC + pack(">II", block_len, strong_len)] if header else []
    for at in range(0, len(data), block_len):
        block = data[at : at + block_len]
        s1, s2 = _weak(block)
        parts.append(pack(">HH", s2, s1) + md4(block)[:strong_len])
    return b"".join(parts)


class _Gathered:
    read_size = 1 << 20

    def __init__(self) -> None:
        self._data = bytearray()
        self._finished = False

    def _add(self, data: Buffer) -> None:
        if self._finished:
            raise ValueError("already finished")
        self._data += memoryview(data).cast("B")

    def _whole(self) -> bytes:
        self._add(b"")
        self._finished = True
        return bytes(self._data)


class Signer(_Gathered):
    """Makes a signature; see ``native.Signer``."""

    def __init__(self, block_len: int, strong_len: int = 8, header: bool = True) -> None:
        check_lengths(block_len, strong_len)
        super().__init__()
        self._shape = block_len, strong_len, header

    def update(self, data: Buffer) -> bytes:
        """Take more content."""
        self._add(data)
        return b""

    def finish(self) -> bytes:
        """Return the signature."""
        return _sign(self._whole(), *self._shape)


class Signature:
    """A parsed signature; see ``native.Signature``."""

    def __init__(self, data: Buffer) -> None:
        raw = bytes(data)
        if len(raw) < 12:
            raise BadSignature("the signature ends inside an entry")
        if raw[:4] != SIGNATURE_MAGIC:
            raise BadSignature("not a signature of MD4 and rolling sums")
        self.block_len, self.strong_len = unpack_from(">II", raw, 4)
        if not 0 < self.block_len <= MAX_BLOCK_LEN or not 0 < self.strong_len <= 16:
            raise BadSignature("block length or sum length out of range")
        size = 4 + self.strong_len
        if (len(raw) - 12) % size:
            raise BadSignature("the signature ends inside an entry")
        entries = [raw[at : at + size] for at in range(12, len(raw), size)]
        self.blocks = len(entries)
        self.memory = len(raw)
        self.entries = entries
        self.index = {entry: number for number, entry in reversed(list(enumerate(entries)))}
        self.weak = {entry[:4] for entry in entries}

    def find(self, block: bytes, weak: bytes, expected: int) -> int | None:
        """The number of an old block with this content, ``expected`` if that is one."""
        if weak not in self.weak:
            return None
        entry = weak + md4(block)[: self.strong_len]
        if expected < self.blocks and self.entries[expected] == entry:
            return expected
        return self.index.get(entry)


class Delta(_Gathered):
    """Makes a delta; see ``native.Delta``."""

    def __init__(
        self,
        signature: Signature,
        *,
        sign_block_len: int | None = None,
        header: bool = True,
        end: bool = True,
        sign_header: bool = True,
        offset: int = 0,
    ) -> None:
        if sign_block_len is not None:
            check_lengths(sign_block_len, 8)
        super().__init__()
        self._old = signature
        self._sign_block_len, self._sign_header = sign_block_len, sign_header
        self._head, self._end = _DELTA_MAGIC * header, b"\0" * end
        self._expected = offset // signature.block_len
        self._sums = b""

    def update(self, data: Buffer) -> bytes:
        """Take more content."""
        self._add(data)
        return b""

    def finish(self) -> bytes:
        """Return the delta."""
        data = self._whole()
        if self._sign_block_len:
            self._sums = _sign(data, self._sign_block_len, 8, self._sign_header)
        return self._head + b"".join(_commands(_steps(data, self._old, self._expected))) + self._end

    @property
    def signature(self) -> bytes:
        """The new content's signature after ``finish``; taken once."""
        sums, self._sums = self._sums, b""
        return sums


def _steps(data: bytes, old: Signature, expected: int) -> Iterator[bytes | tuple[int, int]]:
    """Greedy from left to right; at the end the window shrinks, as the old last block may be short."""
    size, start, at = old.block_len, 0, 0
    s1, s2 = _weak(data[:size])
    while at < len(data) and old.blocks:
        length = min(size, len(data) - at)
        found = old.find(data[at : at + length], pack(">HH", s2, s1), expected)
        if found is not None and (length == size or found == old.blocks - 1):
            yield data[start:at]
            yield found * size, length
            expected, at = found + 1, at + length
            start = at
            s1, s2 = _weak(data[at : at + size])
            continue
        gone = data[at]
        s2 = (s2 - length * (gone + 31)) & 0xFFFF
        s1 = (s1 - gone - 31) & 0xFFFF
        if at + size < len(data):
            s1 = (s1 + data[at + size] + 31) & 0xFFFF
            s2 = (s2 + s1) & 0xFFFF
        at += 1
    yield data[start:]


def _number(value: int) -> tuple[int, bytes]:
    wide = next(i for i in range(4) if value < 1 << (8 << i))
    return wide, value.to_bytes(1 << wide, "big")


def _commands(steps: Iterator[bytes | tuple[int, int]]) -> Iterator[bytes]:
    """Commands as docs/format.md § 5.3 has them; copies that follow each other become one."""
    offset = length = 0
    for step in [*steps, (-1, 0)]:
        if isinstance(step, tuple) and length and step[0] == offset + length:
            length += step[1]
            continue
        if not step:
            continue
        if length:
            (i, first), (j, second) = _number(offset), _number(length)
            yield bytes([0x45 + 4 * i + j]) + first + second
            length = 0
        if isinstance(step, tuple):
            offset, length = step
        elif len(step) <= 0x40:
            yield bytes([len(step)]) + step
        else:
            wide, number = _number(len(step))
            yield bytes([0x41 + wide]) + number + step


class Commands:
    """The steps of a delta; see ``native.Commands``."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._want, self._literal = 4, 0
        self._started = self._ended = False

    def steps(self, data: Buffer) -> Iterator[bytes | tuple[int, int]]:
        """Yield the steps ``data`` completes."""
        raw, at = bytes(data), 0
        while at < len(raw):
            if self._literal:
                piece = raw[at : at + self._literal]
                self._literal -= len(piece)
                at += len(piece)
                yield piece
                continue
            if self._ended:
                raise BadDelta("something follows the end command")
            self._head.append(raw[at])
            at += 1
            if self._started and len(self._head) == 1:
                self._want = _command_size(self._head[0])
            if len(self._head) == self._want:
                yield from self._act()

    def _act(self) -> Iterator[tuple[int, int]]:
        head, code = bytes(self._head), self._head[0]
        self._head.clear()
        self._want = 1
        if not self._started:
            if head != _DELTA_MAGIC:
                raise BadDelta("not a delta")
            self._started = True
        elif code == 0:
            self._ended = True
        elif code <= 0x44:
            self._literal = code if code <= 0x40 else int.from_bytes(head[1:], "big")
            if not self._literal:
                raise BadDelta("a command that does not exist")
        else:
            middle = 1 + (1 << (code - 0x45) // 4)
            length = int.from_bytes(head[middle:], "big")
            if not length:
                raise BadDelta("a command that does not exist")
            yield int.from_bytes(head[1:middle], "big"), length

    def finish(self) -> None:
        """Raise BadDelta unless the end command was the last thing."""
        if not self._ended:
            raise BadDelta("the delta ends before its end command")


def _command_size(code: int) -> int:
    if code <= 0x40:
        return 1
    if code <= 0x44:
        return 1 + (1 << code - 0x41)
    if code <= 0x54:
        return 1 + (1 << (code - 0x45) // 4) + (1 << (code - 0x45) % 4)
    raise BadDelta("a command that does not exist")


def signatures(buffers: Sequence[Buffer], block_lens: Sequence[int]) -> list[bytes]:
    """The signatures of many small contents."""
    if len(buffers) != len(block_lens):
        raise ValueError("as many block lengths as buffers are needed")
    for block_len in block_lens:
        check_lengths(block_len, 8)
    return [_sign(bytes(data), block_len, 8, True) for data, block_len in zip(buffers, block_lens, strict=True)]
