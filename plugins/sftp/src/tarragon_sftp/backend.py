"""The backend sftp: objects are the regular files of one folder of an SFTP server.

A put is made under a temporary name and renamed, so that whoever looks sees all of an object or nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_ISDIR, S_ISLNK, S_ISREG
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
    TarragonError,
    Unsupported,
)

from . import protocol
from .errors import translated
from .protocol import Attributes, Garbled, Session, Status
from .streams import Reader, Writer, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tarragon.api import Source

_ALWAYS = Capability.RANGES | Capability.STAT | Capability.SIZES | Capability.EXCLUSIVE_PUT
_WITH_RENAME = Capability.ATOMIC_PUT | Capability.RENAME
_MISSING = (protocol.NO_SUCH_FILE, protocol.NO_SUCH_PATH)
#: Refusals after which the object is stored under its name at once: a server may forbid to rename (R18).
_NO_RENAME = (PermissionDenied, Unsupported)


class Link(Protocol):
    """A way to the server that can open its subsystem."""

    def subsystem(self, name: str) -> tuple[BinaryIO, BinaryIO]: ...
    def logged_in(self) -> None:
        """Told when the first answer has come."""

    def reason(self) -> TarragonError | None:
        """Why the link is closed, if it knows better than what was raised."""

    def close(self) -> None: ...


class SftpBackend(Backend):
    """A folder of an SFTP server; it is made, with its parents, by the first put.

    ``folder`` is relative to the login folder, unless it begins with a slash. ``connect`` makes the way there.
    """

    max_parallel = 4  # sshd lets ten be logging in at a time

    def __init__(self, folder: str, connect: Callable[[], Link]) -> None:
        self._folder = _bytes(folder) or b"."
        self._connect = connect
        self.capabilities = _ALWAYS | _WITH_RENAME
        self._left: set[bytes] = set()  # temporary names of puts that broke
        self._open()

    def _open(self) -> None:
        self._link = self._connect()
        try:
            with translated("cannot begin an SFTP session"):
                self._session = Session(*self._link.subsystem("sftp"))
                self._link.logged_in()
        except BaseException as err:
            reason = self._link.reason() if isinstance(err, BackendError) else None
            self._link.close()
            if reason:
                raise reason from err.__cause__
            raise
        self._replaces = b"posix-rename@openssh.com" in self._session.extensions
        for path in self._left.copy():
            self._discard(path)

    def reconnect(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self._link.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        begin = _bytes(prefix)
        with translated(f"cannot list '{_text(self._folder)}'"):
            try:
                for name, attributes in self._session.listing(self._folder):
                    if name.startswith(begin) and (info := self._info(name, attributes)):
                        yield info
            except Status as status:
                if status.code not in _MISSING:
                    self._must_be_folder(self._folder)
                    raise

    def _info(self, name: bytes, attributes: Attributes) -> ObjectInfo | None:
        """What a listing tells of a file, or of what a link leads to; None for what is no file."""
        if attributes.mode is None or S_ISLNK(attributes.mode):
            try:
                attributes = self._session.attributes(protocol.STAT, self._folder + b"/" + name)
            except Status:
                return None  # a link to nowhere, or just gone
        return _described(_text(name), attributes)

    def stat(self, name: str) -> ObjectInfo:
        with translated(f"cannot look at '{name}'"):
            attributes = self._session.attributes(protocol.STAT, self._path(name))
        info = _described(name, attributes)
        if info is None:
            raise NotFound(f"'{name}' is not a file")
        return info

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        with translated(f"cannot read '{name}'"):
            handle = self._session.open(self._path(name), protocol.TO_READ)
            attributes = self._session.attributes(protocol.FSTAT, handle)
            if attributes.mode is not None and not S_ISREG(attributes.mode):
                self._session.close(handle)
                raise BackendError(f"'{name}' is not a file")
            if attributes.size is None:
                raise BackendError(f"the server does not tell the size of '{name}'")
        end = attributes.size if stop is None else min(stop, attributes.size)
        return cast("BinaryIO", Reader(self._session, handle, name, start, max(start, end)))

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, name: str, source: Source, role: Role) -> None:
        path = self._path(name)
        if Capability.ATOMIC_PUT not in self.capabilities:
            self._write(path, name, source, protocol.TRUNCATE)
            return
        temporary = self._path("tarragon.tmp-" + os.urandom(4).hex())
        self._left.add(temporary)  # until it is renamed, or removed: now, or after the next reconnect
        self._write(temporary, name, source, protocol.EXCLUSIVE)
        try:
            with translated(f"cannot store '{name}'"):
                self._move(temporary, path)
            self._left.discard(temporary)
        except _NO_RENAME:
            self._discard(temporary)
            self.capabilities = _ALWAYS
            self._write(path, name, source, protocol.TRUNCATE)
        except BackendError:
            self._discard(temporary)
            raise

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        try:
            self._write(self._path(name), name, source, protocol.EXCLUSIVE)
        except _Taken:
            return False
        return True

    def rename(self, old: str, new: str) -> None:
        before, after = self._path(old), self._path(new)
        with translated(f"cannot rename '{old}' to '{new}'"):
            self._move(before, after)

    def _move(self, before: bytes, after: bytes) -> None:
        """Rename, replacing what is there: in one step where the server can (OpenSSH's), else in two."""
        if self._replaces:
            self._session.replace(before, after)
            return
        try:
            self._session.rename(before, after)
        except Status:
            self._session.attributes(protocol.LSTAT, before)
            if not self._is_there(after):
                raise
            self._session.remove(after)
            self._session.rename(before, after)

    def delete(self, name: str) -> None:
        with translated(f"cannot delete '{name}'"):
            self._session.remove(self._path(name))

    def _write(self, path: bytes, name: str, source: Source, how: int) -> None:
        """Write a file, and see it closed; what cannot be finished is removed."""
        flags = protocol.TO_WRITE | protocol.CREATE | how
        with translated(f"cannot store '{name}'"):
            handle = self._opened(path, flags, source.size)
            written = Writer(self._session, handle)
            try:
                for piece in pieces(source, self._session.write_piece):
                    written.add(piece)
                written.finish()
            except (Status, SourceError) as err:  # after any other error there is nobody to talk to
                written.forget()
                is_full = isinstance(err, Status) and self._lacks_room(source.size - written.confirmed)
                with suppress(Status, Garbled, OSError, EOFError):
                    self._session.close(handle)
                self._discard(path)
                if is_full:
                    raise _no_room(name) from err
                raise

    def _opened(self, path: bytes, flags: int, size: int, *, again: bool = False) -> bytes:
        """The handle of a file to write; makes the folder where it is missing, and tells why it cannot be opened."""
        try:
            return self._session.open(path, flags)
        except Status as status:
            if status.code in _MISSING and not again:
                self._make_folder()
                return self._opened(path, flags, size, again=True)
            if flags & protocol.EXCLUSIVE and self._is_there(path):
                raise _Taken("the name is taken") from status
            if status.code == protocol.FAILURE:
                self._must_be_folder(self._folder)
                if self._lacks_room(size):
                    raise _no_room(_text(path)) from status
            raise

    def _discard(self, path: bytes) -> None:
        """Remove what is of no use, if the connection holds. What failed before is told, not this."""
        with suppress(Garbled, OSError, EOFError):
            with suppress(Status):
                self._session.remove(path)
            self._left.discard(path)

    def _lacks_room(self, size: int) -> bool:
        """Whether there is room for fewer than ``size`` bytes, or for no file: servers call that just a failure."""
        if b"statvfs@openssh.com" not in self._session.extensions:
            return False
        try:
            room, files = self._session.free(self._folder)
        except Status:
            return False
        return room < size or not files

    def _make_folder(self) -> None:
        path = b"/" if self._folder.startswith(b"/") else b""
        for part in self._folder.split(b"/"):
            if not part:
                continue
            path += part
            try:
                self._session.make_folder(path)
            except Status as status:  # it is there already, maybe since a moment ago; else this tells why not
                if not self._is_there(path):
                    raise status from None
                self._must_be_folder(path)
            path += b"/"

    def _must_be_folder(self, path: bytes) -> None:
        attributes = self._session.attributes(protocol.STAT, path)
        if attributes.mode is not None and not S_ISDIR(attributes.mode):
            raise BackendError(f"'{_text(path)}' is not a folder", hint="a part of the target's path is a file")

    def _is_there(self, path: bytes) -> bool:
        try:
            self._session.attributes(protocol.LSTAT, path)
        except Status:
            return False
        return True

    def _path(self, name: str) -> bytes:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise BackendError(f"'{name}' cannot be the name of an object")
        return self._folder.rstrip(b"/") + b"/" + _bytes(name)


def _no_room(what: str) -> OutOfSpace:
    return OutOfSpace(f"cannot store '{what}': no room is left at the server")


class _Taken(BackendError):
    """The name of an exclusive put is in use."""


def _described(name: str, attributes: Attributes) -> ObjectInfo | None:
    if attributes.mode is not None and not S_ISREG(attributes.mode):
        return None
    return ObjectInfo(name, attributes.size, attributes.modified)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
