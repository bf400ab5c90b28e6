"""The backend file: objects are the regular files of one folder.

A put is made under a temporary name, synced and renamed, so that whoever looks sees all of an object or nothing.
"""

from __future__ import annotations

import errno
import io
import os
from contextlib import contextmanager, suppress
from stat import S_IMODE, S_ISREG
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    NotFound,
    ObjectInfo,
    OutOfSpace,
    Pace,
    PermissionDenied,
    Role,
    Transient,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from tarragon.api import Source

_PIECE = 1 << 24
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: dict[int, type[BackendError]] = {
    errno.ENOENT: NotFound,
    errno.ENOSPC: OutOfSpace,
    errno.EDQUOT: OutOfSpace,
    errno.EFBIG: OutOfSpace,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.EIO: Transient,
    errno.ESTALE: Transient,
    errno.ETIMEDOUT: Transient,
    errno.EAGAIN: Transient,
}
_HINTS = {
    errno.ENOTDIR: "a part of the target's path is a file",
    errno.EEXIST: "is the target a file, or a link to what is not there?",
    errno.EROFS: "the file system is mounted read-only",
    errno.EFBIG: "choose a smaller --volsize",
}
#: What a file system answers that cannot do it this way, as opposed to one that fails.
_OTHER_WAY = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.ETXTBSY}


class FileBackend(Backend):
    """A folder; it is made, with its parents, by the first put. Files and folders get the modes the umask allows."""

    capabilities = (
        Capability.ATOMIC_PUT
        | Capability.RANGES
        | Capability.STAT
        | Capability.SIZES
        | Capability.RENAME
        | Capability.BULK_DELETE
        | Capability.THREADS
        | Capability.EXCLUSIVE_PUT
    )

    upload_pace = Pace.OWN

    def __init__(self, folder: str, *, is_limited: bool = False) -> None:
        """With ``is_limited`` nothing is linked or copied by the system: all bytes pass the core's limit."""
        self.folder = os.path.abspath(folder)  # once: the current folder may change
        self._is_limited = is_limited

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with _translated(f"cannot list '{self.folder}'"):
            try:
                entries = os.scandir(self.folder)
            except FileNotFoundError:
                if os.path.islink(self.folder):
                    raise
                return
            with entries:
                for entry in entries:
                    if entry.name.startswith(prefix) and (info := _info(entry)):
                        yield info

    def put(self, name: str, source: Source, role: Role) -> None:
        with self._new_file(source, role) as temporary, _translated(f"cannot store '{name}'"):
            os.replace(temporary, self._path(name))
            self._sync()

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        with self._new_file(source, role) as temporary, _translated(f"cannot store '{name}'"):
            try:
                os.link(temporary, self._path(name))
            except FileExistsError:
                return False
            except OSError as err:
                if err.errno in _OTHER_WAY | {errno.EPERM}:
                    raise Unsupported(f"'{self.folder}' is on a file system without hard links") from err
                raise
            self._sync()
            return True

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        with _translated(f"cannot read '{name}'"):
            # Not blocking: a FIFO under that name would wait for a writer.
            fd = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            reader = _Reader(fd, name, start, stop)
            if not S_ISREG(os.fstat(fd).st_mode):
                reader.close()
                raise BackendError(f"'{name}' is not a file")
            return cast("BinaryIO", io.BufferedReader(reader, 1 << 16))

    def delete(self, name: str) -> None:
        with _translated(f"cannot delete '{name}'"):
            os.unlink(self._path(name))
            self._sync()

    def stat(self, name: str) -> ObjectInfo:
        with _translated(f"cannot look at '{name}'"):
            figures = os.stat(self._path(name))
        if not S_ISREG(figures.st_mode):
            raise NotFound(f"'{name}' is not a file")
        return ObjectInfo(name, figures.st_size, figures.st_mtime)

    def delete_many(self, names: Iterable[str]) -> None:
        for name in names:
            with _translated(f"cannot delete '{name}'"), suppress(FileNotFoundError):
                os.unlink(self._path(name))
        if os.path.isdir(self.folder):
            self._sync()

    def rename(self, old: str, new: str) -> None:
        with _translated(f"cannot rename '{old}' to '{new}'"):
            os.replace(self._path(old), self._path(new))
            self._sync()

    def _path(self, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise BackendError(f"'{name}' cannot be the name of an object")
        return os.path.join(self.folder, name)

    @contextmanager
    def _new_file(self, source: Source, role: Role) -> Iterator[str]:
        """The bytes of ``source``, synced, under a temporary name that is gone afterwards."""
        temporary = self._path(_temporary_name())
        try:
            with source.as_file() as path, _translated(f"cannot write to '{self.folder}'"):
                self._make_folder()
                fd = os.open(temporary, _NEW, 0o666)
                try:
                    if self._is_limited:
                        _drip(source, fd)
                    # Only volumes are files of nobody else's: a cached manifest must keep its private mode.
                    elif role is not Role.VOLUME or not _linked(path, temporary, os.fstat(fd)):
                        _copy(path, fd)
                        os.fsync(fd)
                finally:
                    os.close(fd)
            yield temporary
        finally:
            # Also after a rename: between two names of one file it does nothing.
            with suppress(OSError):
                os.unlink(temporary)

    def _make_folder(self) -> None:
        missing = []
        folder = self.folder
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            try:
                os.mkdir(folder)
            except FileExistsError:
                if not os.path.isdir(folder):  # a file or a dangling link, not another run that was quicker
                    raise
            _sync_folder(os.path.dirname(folder))

    def _sync(self) -> None:
        _sync_folder(self.folder)


class _Reader(io.RawIOBase):
    """A range of an opened file; what goes wrong while reading is an error of the backend too."""

    def __init__(self, fd: int, name: str, start: int, stop: int | None) -> None:
        self._fd, self._name, self._at, self._stop = fd, name, start, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        if self._stop is not None:
            space = space[: max(0, self._stop - self._at)]
        with _translated(f"cannot read '{self._name}'"):
            size = os.preadv(self._fd, [space], self._at) if space else 0
        self._at += size
        return size

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        number = err.errno or 0
        kind = _KINDS.get(number, BackendError)
        raise kind(f"{what}: {err.strerror}", hint=_HINTS.get(number, "")) from err


def _temporary_name() -> str:
    return "tarragon.tmp-" + os.urandom(4).hex()


def _info(entry: os.DirEntry[str]) -> ObjectInfo | None:
    """What a listing tells of a file; None for what is no file, or has just gone."""
    try:
        figures = entry.stat()
    except FileNotFoundError:
        return None
    return ObjectInfo(entry.name, figures.st_size, figures.st_mtime) if S_ISREG(figures.st_mode) else None


def _linked(path: Path, temporary: str, model: os.stat_result) -> bool:
    """Put another name of the file in place of the empty ``model``, with its mode; False where only a copy will do."""
    figures = os.lstat(path)
    if (figures.st_dev, figures.st_uid, figures.st_gid) != (model.st_dev, model.st_uid, model.st_gid):
        return False
    link = os.path.join(os.path.dirname(temporary), _temporary_name())
    try:
        os.link(path, link, follow_symlinks=False)
    except OSError:
        return False  # the copy will say what is wrong, if it is more than links
    os.replace(link, temporary)
    os.chmod(temporary, S_IMODE(model.st_mode))
    fd = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as err:
        # Not Transient: what could not be written may be lost from memory too, so that trying again proves nothing.
        raise BackendError(f"cannot sync '{temporary}': {err.strerror}") from err
    finally:
        os.close(fd)
    return True


def _copy(path: Path, into: int) -> None:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _ignoring(_OTHER_WAY):
            while os.copy_file_range(source, into, _PIECE):
                pass
        # Both descriptors stand behind what has been copied: this does the rest, or all of it.
        while piece := os.read(source, 1 << 20):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(into, rest) :]
    finally:
        os.close(source)


def _drip(source: Source, into: int) -> None:
    """Copy at the pace at which the core gives. Synced as it goes: what lies behind the folder is to see that pace."""
    with source.open() as stream:
        while piece := stream.read(1 << 18):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(into, rest) :]
            os.fsync(into)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _ignoring(_OTHER_WAY):  # some network file systems cannot sync a folder
            os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _ignoring(numbers: set[int]) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        if err.errno not in numbers:
            raise
