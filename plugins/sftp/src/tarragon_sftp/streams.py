"""Bytes to and from an opened file of an SFTP server, some requests ahead of their answers.

Between the backend and the protocol. What is under way is bounded, so that memory is too.
"""

from __future__ import annotations

import io
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from tarragon.api import SourceError

from . import protocol
from .errors import errno_text, translated
from .protocol import Session, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api import Source

_SYNC_EVERY = 32 << 20


class Writer:
    """Writes a file from its start, some requests ahead of their answers.

    The server is asked to sync now and then, so that the last sync does not take longer than anybody waits.
    """

    def __init__(self, session: Session, handle: bytes) -> None:
        self._session, self._handle = session, handle
        self._at = self._synced = self.confirmed = 0
        self._under_way: deque[tuple[int, int]] = deque()
        self._syncs = b"fsync@openssh.com" in session.extensions

    def add(self, piece: bytes) -> None:
        self._under_way.append((self._session.ask_write(self._handle, self._at, piece), len(piece)))
        self._at += len(piece)
        if self._at - self._synced >= _SYNC_EVERY:
            self._sync()
        while self._at - self.confirmed > protocol.WINDOW:
            self._confirm()

    def finish(self) -> None:
        """Every byte is confirmed, on the disk where the server can say so, and the file is closed."""
        self._sync()
        while self._under_way:
            self._confirm()
        self._session.close(self._handle)

    def _sync(self) -> None:
        if self._syncs:
            self._under_way.append((self._session.ask_sync(self._handle), 0))
            self._synced = self._at

    def _confirm(self) -> None:
        number, size = self._under_way.popleft()
        try:
            self._session.answer(number)
        except Status as status:
            if size or status.code not in (protocol.UNSUPPORTED, protocol.DENIED):
                raise  # that it cannot sync there is no failure; that the sync failed is one
        self.confirmed += size

    def forget(self) -> None:
        for number, _ in self._under_way:
            self._session.forget(number)
        self._under_way.clear()


class Reader(io.RawIOBase):
    """The bytes of an opened file from ``start`` to before ``end``, asked for some requests ahead."""

    def __init__(self, session: Session, handle: bytes, name: str, start: int, end: int) -> None:
        self._session, self._handle, self._name = session, handle, name
        self._next, self._end = start, end
        self._under_way: deque[tuple[int, int, int]] = deque()
        self._have = b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes, and maybe fewer; none at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if self._at == len(self._have):
            with translated(f"cannot read '{self._name}'"):
                self._have, self._at = self._piece(), 0
        piece = self._have[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def readinto(self, buffer: object, /) -> int:
        space = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        piece = self.read(len(space))
        space[: len(piece)] = piece
        return len(piece)

    def _piece(self) -> bytes:
        """What comes next; none at the end."""
        size = self._session.read_piece
        while self._next < self._end and len(self._under_way) * size < protocol.WINDOW:
            wanted = min(size, self._end - self._next)
            self._ask(self._next, wanted)
            self._next += wanted
        if not self._under_way:
            return b""
        number, offset, wanted = self._under_way.popleft()
        data = self._session.read_answer(number)
        if not data or len(data) > wanted:
            raise EOFError("the server gave other than the bytes it told of")
        if len(data) < wanted:  # servers may give less than asked for: the rest comes before what is under way
            self._ask(offset + len(data), wanted - len(data))
            self._under_way.rotate(1)
        return data

    def _ask(self, offset: int, size: int) -> None:
        self._under_way.append((self._session.ask_read(self._handle, offset, size), offset, size))

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError, EOFError):  # nothing was written: what cannot be closed has no more to tell
                for number, _, _ in self._under_way:
                    self._session.forget(number)
                self._session.forget(self._session.ask(protocol.CLOSE, protocol.string(self._handle)))
        super().close()


def pieces(source: Source, size: int) -> Iterator[bytes]:
    """The bytes of a source. What goes wrong with it is not the far side's fault."""
    try:
        with source.open() as stream:
            while piece := stream.read(size):
                yield piece
    except OSError as err:
        raise SourceError(f"cannot read what is to be stored: {errno_text(err)}") from err
