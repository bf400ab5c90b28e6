"""The backend scp: bytes go through the remote program scp, the rest through the remote shell.

For servers that let their users run scp but have no SFTP. Every word of a remote command is quoted.
"""

from __future__ import annotations

import io
import re
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    NotFound,
    ObjectInfo,
    OutOfSpace,
    PermissionDenied,
    Role,
    SourceError,
    Transient,
)

from .errors import translated
from .streams import pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tarragon.api import Source

#: mode, links, owner, group, size, date in two or three words, name: ``ls -ln`` of POSIX, and of GNU's other styles.
_LINE = re.compile(
    rb"-\S{9}\S?\s+\d+\s+\S+\s+\S+\s+(\d+)\s+(?:[A-Z]\S+\s+\d+\s+[\d:]+|\d+\s+\S+\s+[\d:]+|\d+-\d+-\d+\s+[\d:.]+(?:\s[+-]\d{4})?)\s(.*)",
    re.DOTALL,
)
_PIECE = 1 << 16
_LONGEST_ANSWER = 1 << 12


class Running(Protocol):
    """A remote command under way."""

    out: BinaryIO
    into: BinaryIO

    def ended(self) -> tuple[int, str]: ...
    def close(self) -> None: ...


class Shell(Protocol):
    """A way to the server that can run commands there."""

    def run(self, command: str) -> Running: ...
    def close(self) -> None: ...


class ScpBackend(Backend):
    """A folder at the other side; it is made, with its parents, by the first put of a connection.

    ``folder`` is relative to the login folder, unless it begins with a slash. ``connect`` makes the way there.
    """

    capabilities = Capability.SIZES | Capability.STAT | Capability.RENAME
    max_parallel = 4

    def __init__(self, folder: str, connect: Callable[[], Shell]) -> None:
        self._folder = folder if folder.startswith("/") else f"./{folder}".rstrip("/")
        self._connect = connect
        self._shell = connect()
        self._is_made = False

    def reconnect(self) -> None:
        self.close()
        self._shell = self._connect()

    def close(self) -> None:
        self._shell.close()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        what = f"cannot list '{self._folder}'"
        with self._running(what, "ls", "-lnA", f"{self._folder}/") as command:
            for line in command.out:
                found = _LINE.fullmatch(line.rstrip(b"\n"))
                name = found.group(2).decode("utf-8", "surrogateescape") if found else ""
                if found and name.startswith(prefix):
                    yield ObjectInfo(name, int(found.group(1)))
            status, said = command.ended()
        if status and self._is_folder():
            raise _error(what, status, said)

    def stat(self, name: str) -> ObjectInfo:
        path = self._path(name)
        with self._running(f"cannot look at '{name}'", "ls", "-ln", path) as command:
            found = _LINE.fullmatch(command.out.read(_LONGEST_ANSWER).rstrip(b"\n"))
            status, said = command.ended()
        if status == 0 and found:
            return ObjectInfo(name, int(found.group(1)))
        if status == 0 or not self._is(path, "-e"):
            raise NotFound(f"no file '{name}'")
        raise _error(f"cannot look at '{name}'", status, said)

    def put(self, name: str, source: Source, role: Role) -> None:
        what = f"cannot store '{name}'"
        self._path(name)
        if not self._is_made:
            self._answer(what, "mkdir", "-p", self._folder)
            self._is_made = True
        self._send(what, name, source)

    def _send(self, what: str, name: str, source: Source) -> None:
        # With a slash: where no folder is, scp would take its name for that of the file.
        with self._running(what, "scp", "-t", f"{self._folder.rstrip('/')}/") as command:
            _heard(command, what)
            command.into.write(b"C0644 %d %s\n" % (source.size, name.encode("utf-8", "surrogateescape")))
            _heard(command, what)
            sent = 0
            for piece in pieces(source, _PIECE):
                sent += len(piece)
                command.into.write(piece)
            if sent != source.size:
                raise SourceError(f"what is to be stored has {sent} bytes, not {source.size}")
            command.into.write(b"\0")
            _heard(command, what)
            status, said = command.ended()
        if status:
            raise _error(what, status, said)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        what, path = f"cannot read '{name}'", self._path(name)
        with translated(what):
            command = self._shell.run(shlex.join(["scp", "-f", path]))
            try:
                command.into.write(b"\0")
                line = command.out.readline(_LONGEST_ANSWER)
                found = re.fullmatch(rb"C[0-7]{4} (\d+) ([^/\n]+)\n", line)
                if not found:
                    command.close()
                    if not self._is(path, "-e"):
                        raise NotFound(f"no file '{name}'")
                    raise _error(what, 1, _plain(line))
                command.into.write(b"\0")
            except BaseException:
                command.close()
                raise
        return cast("BinaryIO", io.BufferedReader(_Reader(command, what, int(found.group(1))), _PIECE))

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            self._answer(f"cannot delete '{name}'", "rm", path)
        except BackendError as err:
            if not isinstance(err.__cause__, Exception) and not self._is(path, "-e"):
                raise NotFound(f"no file '{name}'") from err
            raise

    def rename(self, old: str, new: str) -> None:
        before, after = self._path(old), self._path(new)
        try:
            self._answer(f"cannot rename '{old}' to '{new}'", "mv", "-f", before, after)
        except BackendError as err:
            if not isinstance(err.__cause__, Exception) and not self._is(before, "-e"):
                raise NotFound(f"no file '{old}'") from err
            raise

    # -- the remote shell ---------------------------------------------------------------------------------------------

    @contextmanager
    def _running(self, what: str, *words: str) -> Iterator[Any]:
        with translated(what):
            command = self._shell.run(shlex.join(words))
            try:
                yield command
            finally:
                command.close()

    def _answer(self, what: str, *words: str) -> None:
        """Run a command that must succeed."""
        with self._running(what, *words) as command:
            status, said = command.ended()
        if status:
            raise _error(what, status, said)

    def _is(self, path: str, kind: str) -> bool:
        with self._running(f"cannot look at '{path}'", "test", kind, path) as command:
            status, _ = command.ended()
        return bool(status == 0)

    def _is_folder(self) -> bool:
        return self._is(f"{self._folder}/", "-d")

    def _path(self, name: str) -> str:
        if name in ("", ".", "..") or any(c in name for c in "/\0\n\r"):
            raise BackendError(f"'{name}' cannot be the name of an object")
        return f"{self._folder.rstrip('/')}/{name}"


class _Reader(io.RawIOBase):
    """The bytes that ``scp -f`` sends; that it sent all of them is known at their end."""

    def __init__(self, command: Running, what: str, size: int) -> None:
        self._command, self._what, self._left, self._is_over = command, what, size, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        space = memoryview(buffer).cast("B")[: self._left]
        with translated(self._what):
            if not self._left:
                self._end()
                return 0
            data = self._command.out.read(len(space))
            if len(data) != len(space):
                raise EOFError("the connection was closed before the end of the file")
        space[:] = data
        self._left -= len(data)
        return len(data)

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            _heard(self._command, self._what)
            self._command.into.write(b"\0")
            self._command.ended()

    def close(self) -> None:
        if not self.closed:
            self._command.close()
        super().close()


def _heard(command: Running, what: str) -> None:
    """Take the answer of the remote scp: a zero byte, or 1 or 2 and a line that says why not."""
    answer = command.out.read(1)
    if answer == b"\0":
        return
    if answer not in (b"\1", b"\2"):
        _, said = command.ended()
        raise _error(what, 1, said or _plain(answer + command.out.readline(_LONGEST_ANSWER)))
    raise _error(what, 1, _plain(command.out.readline(_LONGEST_ANSWER)))


def _error(what: str, status: int, said: str) -> BackendError:
    """The error for what a remote program said. The words are those of Unix systems in English."""
    text = f"{what}: {said or f'the remote command ended with status {status}'}"
    lowered = said.lower()
    if "no space left" in lowered or "quota exceeded" in lowered:
        return OutOfSpace(text)
    if "permission denied" in lowered or "read-only" in lowered or "not permitted" in lowered:
        return PermissionDenied(text)
    if status == 127:
        return BackendError(text, hint="sftp:// needs no program there")
    if (
        "file exists" in lowered
        or "not a directory" in lowered
        or "is a directory" in lowered
        or "file name too long" in lowered
    ):
        return BackendError(text, hint="a part of the target's path is a file")
    return Transient(text)


def _plain(line: bytes) -> str:
    return "".join(c if c.isprintable() else " " for c in line.decode("utf-8", "replace")).strip()
