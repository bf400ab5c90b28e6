"""Parked streams: many temporary files read side by side with few of them open (R62).

A chain of 500 sets is read as 500 streams; each is written out plain, once, and opened only while it is read. There are
many of these objects at a time, so they hold next to nothing: no buffer, no path, no descriptor.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from .temp import TempFolder

#: From so many streams on they are parked: below, each may keep its own file open.
MANY = 24
_OPEN = 16
_COPY = 1 << 16


class Lot:
    """Where streams are parked; at most 16 of their files are open at a time."""

    def __init__(self, temp: TempFolder) -> None:
        self._temp = temp
        self._open: OrderedDict[str, int] = OrderedDict()

    def park(self, stream: BinaryIO) -> BinaryIO:
        """The same bytes, from a file that is open only when it is read. Reads ``stream`` to its end and closes it."""
        path = self._temp.named()
        with stream, open(path, "r+b") as copy:
            while data := stream.read(_COPY):
                copy.write(data)
        return cast("BinaryIO", _Parked(self, path.name))

    def fd(self, name: str) -> int:
        """A descriptor of a parked file, valid until the next call."""
        fd = self._open.get(name)
        if fd is None:
            if len(self._open) >= _OPEN:
                os.close(self._open.popitem(last=False)[1])
            fd = os.open(self._temp.place / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._open[name] = fd
        else:
            self._open.move_to_end(name)
        return fd

    def leave(self, name: str) -> None:
        """Remove a parked file."""
        fd = self._open.pop(name, None)
        if fd is not None:
            os.close(fd)
        self._temp.discard(self._temp.place / name)


class _Parked:
    """What readers of a tar need of a stream: ``read`` of so many bytes, and an end to it."""

    __slots__ = ("_at", "_lot", "_name")

    def __init__(self, lot: Lot, name: str) -> None:
        self._lot = lot
        self._name = name
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, fewer only at the end; all that is left without a size."""
        fd = self._lot.fd(self._name)
        if size < 0:
            size = max(0, os.fstat(fd).st_size - self._at)
        data = os.pread(fd, size, self._at) if size else b""
        self._at += len(data)
        return data

    def close(self) -> None:
        """Remove the file; may be called twice."""
        name, self._name = self._name, ""
        if name:
            self._lot.leave(name)

    def __enter__(self) -> _Parked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(OSError):  # the temporary folder may have gone before, with all in it
            self.close()
