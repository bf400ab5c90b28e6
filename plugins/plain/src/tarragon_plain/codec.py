"""Codecs that pass bytes on. Their streams end without closing what they write to or read from."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import Cipher, Compressor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from tarragon.api import Role


class PlainCompressor(Compressor):
    """No compression. Any bytes are a whole stream, so that nothing is ever malformed."""

    suffix = ""

    def packing(self, into: BinaryIO) -> BinaryIO:
        return cast("BinaryIO", Writer(into))

    def unpacking(self, source: BinaryIO) -> BinaryIO:
        return cast("BinaryIO", Reader(source))


class PlainCipher(Cipher):
    """No encryption, and so no protection: whoever reads the store reads the backup."""

    suffix = ""

    def sealing(self, into: BinaryIO, role: Role) -> BinaryIO:
        return cast("BinaryIO", Writer(into))

    def opening(self, source: BinaryIO, role: Role) -> BinaryIO:
        return cast("BinaryIO", Reader(source))


class Writer(io.RawIOBase):
    """Writes to another file, and leaves it open."""

    def __init__(self, into: BinaryIO) -> None:
        self._into = into

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self._into.write(data)

    def flush(self) -> None:
        self._into.flush()


class Reader(io.RawIOBase):
    """Reads from another file, and leaves it open."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._source.read(-1 if size is None else size)

    def readall(self) -> bytes:
        return self._source.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        data = self._source.read(len(space))
        space[: len(data)] = data
        return len(data)
