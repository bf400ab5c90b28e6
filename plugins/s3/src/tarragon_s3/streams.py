"""Bytes on their way: a part of a source going out, and the body of an answer coming in."""

from __future__ import annotations

import hashlib
import io
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any, BinaryIO

from tarragon.api import BackendError, SourceError, TarragonError

from .errors import translated

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from tarragon.api import Source

_PIECE = 1 << 20


class Part:
    """Some bytes of a source, as boto3 takes a body: read, seek and tell.

    Signing reads them too, so they come from the file at ``path`` until they go out: then from the source's own
    stream, at which the core sees them move and keeps to its limits. ``failed`` is what the source raised: boto3 wraps
    it, and would pass a broken file off as a broken connection.
    """

    def __init__(self, source: Source, path: Path, start: int, size: int) -> None:
        self.size = size
        self.failed: BaseException | None = None
        self._source, self._start, self._at = source, start, 0
        self._stream: BinaryIO = path.open("rb")
        self._stream.seek(start)

    def on_the_wire(self) -> None:
        """What is read from now on goes out."""
        self._stream.close()
        self._stream = self._source.open()
        self.seek(self._at)

    def read(self, size: int = -1) -> bytes:
        left = self.size - self._at
        try:
            data = self._stream.read(left if size < 0 else min(size, left))
        except (OSError, TarragonError) as err:
            self.failed = err
            raise
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._stream.seek(self._start + self._at)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._stream.close()


def goes_out(request: Any, **_: Any) -> None:
    """For boto3's event before-send."""
    if isinstance(request.body, Part):
        request.body.on_the_wire()


def md5_of(path: Path, start: int, size: int) -> bytes:
    """MD5 of some bytes of a file: the one checksum that every service compares."""
    digest, left = hashlib.md5(usedforsecurity=False), size
    try:
        with path.open("rb") as file:
            file.seek(start)
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                digest.update(piece)
    except OSError as err:
        raise SourceError(f"cannot read '{path}': {err.strerror}") from err
    if left:
        raise BackendError("what is to be stored has become shorter")
    return digest.digest()


def base64(digest: bytes) -> str:
    return b64encode(digest).decode("ascii")


class BodyReader(io.RawIOBase):
    """The body of an answer, from ``skip`` on and at most ``most`` bytes; raises errors of the API."""

    def __init__(self, body: Any, what: str, skip: int = 0, most: int | None = None) -> None:
        self._body, self._what, self._skip, self._left = body, what, skip, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        with translated(self._what):
            while self._skip:
                piece = self._body.read(min(self._skip, _PIECE))
                self._skip = self._skip - len(piece) if piece else 0
            wanted = len(space) if self._left is None else min(len(space), self._left)
            data = self._body.read(wanted) if wanted else b""
        space[: len(data)] = data
        if self._left is not None:
            self._left -= len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
