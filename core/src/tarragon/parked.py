"""Parked streams: many temporary files read side by side with few of them open (R62).

A chain of 500 sets is read as 500 streams; each is written out plain, once, and opened only while it is read.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from .temp import TempFolder

#: From so many streams on they are parked: below, each may keep its own file open.
MANY = 24
_OPEN = 16
_COPY = 1 << 20
#: Small on purpose: there are many of these.
_BUFFER = 1024


class Lot:
    """Where streams are parked; at most 16 of their files are open at a time."""

    def __init__(self, temp: TempFolder) -> None:
        self._temp = temp
        self._open: OrderedDict[Path, int] = OrderedDict()

    def park(self, stream: BinaryIO) -> BinaryIO:
        """The same bytes, from a file that is open only when it is read. Reads ``stream`` to its end and closes it."""
        path = self._temp.named()
        with stream, open(path, "r+b") as copy:
            while data := stream.read(_COPY):
                copy.write(data)
        return cast("BinaryIO", io.BufferedReader(_Parked(self, path), _BUFFER))

    def fd(self, path: Path) -> int:
        """A descriptor of a parked file, valid until the next call."""
        fd = self._open.get(path)
        if fd is None:
            if len(self._open) >= _OPEN:
                os.close(self._open.popitem(last=False)[1])
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._open[path] = fd
        else:
            self._open.move_to_end(path)
        return fd

    def leave(self, path: Path) -> None:
        """Remove a parked file."""
        fd = self._open.pop(path, None)
        if fd is not None:
            os.close(fd)
        self._temp.discard(path)


class _Parked(io.RawIOBase):
    def __init__(self, lot: Lot, path: Path) -> None:
        self._lot = lot
        self._path = path
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        read = os.preadv(self._lot.fd(self._path), [buffer], self._at)
        self._at += read
        return read

    def close(self) -> None:
        if not self.closed:
            self._lot.leave(self._path)
        super().close()
