"""SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, over any two streams.

Below the backend, above the connection. Requests are sent ahead of their answers, so that a long way to the server
costs little; every answer is looked at, the last write's and the close's too.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = range(1, 9)
OPENDIR, READDIR, REMOVE, MKDIR = 11, 12, 13, 14
STAT, RENAME = 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201

OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE, NO_CONNECTION, CONNECTION_LOST, UNSUPPORTED = range(9)
#: Of later versions; some servers send them to clients of version 3.
NO_SUCH_PATH, EXISTS, WRITE_PROTECTED, NO_SPACE, QUOTA = 10, 11, 12, 14, 15

TO_READ, TO_WRITE, CREATE, TRUNCATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x10, 0x20

#: What every server must take, and the most we use where it tells of more.
PIECE, LARGEST_PIECE = 32768, 255 * 1024
#: How much may be under way: a line of 100 Mbit/s and 160 ms is kept busy.
WINDOW = 2 << 20
_LARGEST_PACKET = 1 << 20
_READ_AHEAD = 8


class Status(Exception):
    """The server's answer to a request was no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text or 'no reason given'} (SFTP status {code})")
        self.code = code


class Garbled(Exception):
    """What came is not SFTP."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is told of a file, as far as it is told."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None


class _Packet:
    """An answer, read from its front to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise Garbled("a packet of the server ends early")
        self._at += size
        return piece

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self._take(size), "big")

    def string(self) -> bytes:
        return self._take(self.number())

    def has_more(self) -> bool:
        return self._at < len(self._data)

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.number(8) if flags & 1 else None
        if flags & 2:
            self._take(8)
        mode = self.number() if flags & 4 else None
        modified = None
        if flags & 8:
            self._take(4)
            modified = self.number()
        if flags & 0x80000000:
            for _ in range(self.number()):
                self.string(), self.string()
        return Attributes(size, mode, modified)


def string(value: bytes) -> bytes:
    """A string as a field of a request."""
    return struct.pack(">I", len(value)) + value


def _place(handle: bytes, offset: int) -> bytes:
    return string(handle) + struct.pack(">Q", offset)


class Session:
    """A conversation with an SFTP server. To be used by one thread at a time.

    Raises Status for a refusal, Garbled for nonsense, EOFError for a connection that is closed, and what the streams
    raise. After any but Status the session is of no use.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._in, self._out = incoming, outgoing
        self._last = 0
        self._asked: dict[int, bool] = {}  # request → whether its answer is wanted
        self._early: dict[int, tuple[int, _Packet]] = {}
        self._send(INIT, struct.pack(">I", 3))
        kind, packet = self._received()
        if kind != VERSION:
            raise Garbled("the server does not speak SFTP")
        packet.number()
        self.extensions: dict[bytes, bytes] = {}
        while packet.has_more():
            name = packet.string()
            self.extensions[name] = packet.string()
        self.read_piece, self.write_piece = self._limits()

    def _limits(self) -> tuple[int, int]:
        if b"limits@openssh.com" not in self.extensions:
            return PIECE, PIECE
        try:
            packet = self.answer(self.ask(EXTENDED, string(b"limits@openssh.com")), EXTENDED_REPLY)
        except Status:
            return PIECE, PIECE
        most = packet.number(8)
        room = (most or LARGEST_PIECE) - 1024
        read, write = (min(packet.number(8) or PIECE, LARGEST_PIECE, room) for _ in range(2))
        return max(read, 1024), max(write, 1024)

    # -- requests and answers -----------------------------------------------------------------------------------------

    def ask(self, kind: int, *fields: bytes) -> int:
        """Send a request; its number."""
        self._last = (self._last + 1) & 0xFFFFFFFF
        self._asked[self._last] = True
        self._send(kind, struct.pack(">I", self._last), *fields)
        return self._last

    def answer(self, number: int, wanted: int = STATUS) -> _Packet:
        """Wait for the answer to a request, which must be of the kind ``wanted``."""
        while number not in self._early:
            self._receive()
        kind, packet = self._early.pop(number)
        if kind == STATUS:
            code = packet.number()
            if code != OK or wanted != STATUS:
                text = packet.string().decode("utf-8", "backslashreplace")[:500] if packet.has_more() else ""
                raise Status(code, "".join(c if c.isprintable() else "?" for c in text))
        elif kind != wanted:
            raise Garbled(f"the server answered a request with a packet of kind {kind}")
        return packet

    def forget(self, number: int) -> None:
        """The answer to this request is of no interest any more."""
        if self._early.pop(number, None) is None:
            self._asked[number] = False

    def _receive(self) -> None:
        kind, packet = self._received()
        number = packet.number()
        if number not in self._asked:
            raise Garbled("the server answers what nobody asked")
        if self._asked.pop(number):
            self._early[number] = (kind, packet)

    def _received(self) -> tuple[int, _Packet]:
        size = int.from_bytes(self._exactly(4), "big")
        if not 1 <= size <= _LARGEST_PACKET:
            raise Garbled("what came is not SFTP: does the login of that host print something?")
        data = self._exactly(size)
        return data[0], _Packet(data[1:])

    def _exactly(self, size: int) -> bytes:
        data = self._in.read(size)
        if data is None or len(data) != size:
            raise EOFError("the server closed the connection")
        return data

    def _send(self, kind: int, *fields: bytes) -> None:
        size = 1 + sum(map(len, fields))
        self._out.write(b"".join((struct.pack(">IB", size, kind), *fields)))

    def call(self, kind: int, *fields: bytes, wanted: int = STATUS) -> _Packet:
        """Send a request and wait for its answer."""
        return self.answer(self.ask(kind, *fields), wanted)

    # -- files --------------------------------------------------------------------------------------------------------

    def open(self, path: bytes, flags: int) -> bytes:
        """The handle of an opened file; new ones get the mode that the server's umask allows."""
        return self.call(OPEN, string(path), struct.pack(">II", flags, 0), wanted=HANDLE).string()

    def close(self, handle: bytes) -> None:
        self.call(CLOSE, string(handle))

    def ask_read(self, handle: bytes, offset: int, size: int) -> int:
        return self.ask(READ, _place(handle, offset), struct.pack(">I", size))

    def read_answer(self, number: int) -> bytes:
        """The bytes that a read request brought; none at the end of the file."""
        try:
            return self.answer(number, DATA).string()
        except Status as status:
            if status.code == EOF:
                return b""
            raise

    def ask_write(self, handle: bytes, offset: int, data: bytes) -> int:
        return self.ask(WRITE, _place(handle, offset), struct.pack(">I", len(data)), data)

    def attributes(self, kind: int, path_or_handle: bytes) -> Attributes:
        """STAT, LSTAT or FSTAT."""
        return self.call(kind, string(path_or_handle), wanted=ATTRS).attributes()

    def remove(self, path: bytes) -> None:
        self.call(REMOVE, string(path))

    def make_folder(self, path: bytes) -> None:
        self.call(MKDIR, string(path), struct.pack(">I", 0))

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename where nothing is in the way; servers of version 3 do not replace."""
        self.call(RENAME, string(old), string(new))

    def replace(self, old: bytes, new: bytes) -> None:
        """Rename, replacing what is there, in one step (posix-rename@openssh.com)."""
        self.call(EXTENDED, string(b"posix-rename@openssh.com"), string(old), string(new))

    def ask_sync(self, handle: bytes) -> int:
        """Have what was written before this written to the disk (fsync@openssh.com)."""
        return self.ask(EXTENDED, string(b"fsync@openssh.com"), string(handle))

    def free(self, path: bytes) -> tuple[int, int]:
        """How many bytes and files there is room for (statvfs@openssh.com)."""
        packet = self.call(EXTENDED, string(b"statvfs@openssh.com"), string(path), wanted=EXTENDED_REPLY)
        _, fragment, _, _, available, _, _, files = (packet.number(8) for _ in range(8))
        return fragment * available, files

    def listing(self, path: bytes) -> Iterator[tuple[bytes, Attributes]]:
        """Every entry of a folder; a few requests ahead."""
        handle = self.call(OPENDIR, string(path), wanted=HANDLE).string()
        under_way: list[int] = []
        try:
            while True:
                while len(under_way) < _READ_AHEAD:
                    under_way.append(self.ask(READDIR, string(handle)))
                try:
                    packet = self.answer(under_way.pop(0), NAME)
                except Status as status:
                    if status.code == EOF:
                        return
                    raise
                for _ in range(packet.number()):
                    name, _ = packet.string(), packet.string()
                    yield name, packet.attributes()
        finally:
            for number in under_way:
                self.forget(number)
            with suppress(OSError, EOFError):  # the connection may be gone, and with it the handle
                self.forget(self.ask(CLOSE, string(handle)))
