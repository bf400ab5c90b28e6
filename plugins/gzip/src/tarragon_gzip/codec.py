"""Gzip streams in members of at most 1 MiB of plain bytes, each whole in itself.

Independent members let libdeflate work, which knows whole buffers only, and let a reader begin at any of them; every
gzip reader takes several members for one stream (docs/format.md § 8.2).
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tarragon.api import Compressor, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer, WriteableBuffer

MEMBER = 1 << 20
_PIECE = 1 << 16
# Deflate, no flags, no time (the same bytes come out when a volume is built again), level and system not told.
_HEADER = bytes.fromhex("1f8b 0800 00000000 00ff")
_GZIP = 16 + zlib.MAX_WBITS


class Gzip(Compressor):
    """The compressor: libdeflate packs and ISA-L expands where they are installed, zlib where they are not."""

    suffix = ".gz"
    ratio = 0.5

    def __init__(self, level: int = 6) -> None:
        self.level = level

    def packing(self, into: BinaryIO) -> BinaryIO:
        return cast("BinaryIO", Packer(into, self.level))

    def unpacking(self, source: BinaryIO) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(Unpacker(source), _PIECE))


class Packer(io.RawIOBase):
    """A writer of members. flush() ends the member under way; an empty stream is one empty member."""

    def __init__(self, into: BinaryIO, level: int) -> None:
        self._into = into
        self._deflated, self._crc = _packing_calls(level)
        self._plain = bytearray()
        self._has_member = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            taken = rest[: MEMBER - len(self._plain)]
            self._plain += taken
            rest = rest[len(taken) :]
            if len(self._plain) == MEMBER:
                self._end_member()
        return size

    def flush(self) -> None:
        if self._plain:
            self._end_member()
        self._into.flush()

    def close(self) -> None:
        if self.closed:
            return
        if not self._has_member and not self._plain:
            self._end_member()
        super().close()  # flushes

    def _end_member(self) -> None:
        plain, self._plain = bytes(self._plain), bytearray()
        self._into.write(_HEADER)
        self._into.write(self._deflated(plain))
        self._into.write(self._crc(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little"))
        self._has_member = True


class Unpacker(io.RawIOBase):
    """A reader of any gzip stream: one member or several, zero padding behind them. Expands only what is asked for."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._expander, self._errors = _expanding_calls()
        self._member: Any = self._expander(_GZIP)
        self._packed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        while space:
            plain = self._expand(len(space))
            if plain:
                space[: len(plain)] = plain
                return len(plain)
            if self._member.eof and not self._next_member():
                return 0
        return 0

    def _expand(self, size: int) -> bytes:
        """Up to ``size`` bytes of the member under way; none means that it has ended or that more input is needed."""
        if self._member.eof:
            return b""
        # What the expander holds back (output for which there was no room) needs no new input.
        packed = self._packed or self._source.read(_PIECE)
        try:
            plain: bytes = self._member.decompress(packed, size)
        except self._errors as err:
            raise Malformed(f"not a gzip stream, or damaged: {err}") from err
        self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        if not plain and not packed and not self._member.eof:
            raise Malformed("the gzip stream ends in the middle of a member")
        return plain

    def _next_member(self) -> bool:
        """Begin the member behind the one that has ended, if there is one; zeros between them are padding."""
        packed = self._packed.lstrip(b"\0")
        while not packed:
            piece = self._source.read(_PIECE)
            if not piece:
                return False
            packed = piece.lstrip(b"\0")
        self._packed = packed
        self._member = self._expander(_GZIP)
        return True


def _packing_calls(level: int) -> tuple[Callable[[bytes], ReadableBuffer], Callable[[bytes], int]]:
    """What deflates a buffer, and what sums it."""
    try:
        import deflate  # twice as fast as zlib
    except ImportError:
        return lambda plain: _zlib_deflated(plain, level), zlib.crc32
    return lambda plain: deflate.deflate_compress(plain, level), deflate.crc32


def _zlib_deflated(plain: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(plain) + packer.flush()


def _expanding_calls() -> tuple[Callable[[int], Any], tuple[type[Exception], ...]]:
    """What makes an expander, and what it raises for input that it cannot expand."""
    try:
        from isal import isal_zlib  # optional, and twice as fast as zlib
    except ImportError:
        return zlib.decompressobj, (zlib.error,)
    return isal_zlib.decompressobj, (cast("type[Exception]", isal_zlib.error),)
