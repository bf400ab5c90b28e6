"""Temporary files that always go away: one private folder per run, opened once and used by descriptor."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import NoTempSpace, OpenFileLimit, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Buffer

    from tarragon.api import TarragonError

_OURS = re.compile(r"tarragon-[0-9a-f]{16}-tempdir")
_LOCK = "lock"
_ELSEWHERE = "choose another folder with --tempdir"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parent_folder(tempdir: str | None, env: Mapping[str, str]) -> str:
    """Where temporary files go: ``--tempdir``, else TMPDIR, TEMP or TMP (docs/cli.md § 4), else the system's place."""
    named = tempdir or next((env[name] for name in ("TMPDIR", "TEMP", "TMP") if env.get(name)), None)
    if named:
        return os.path.abspath(named)
    return next((place for place in ("/tmp", "/var/tmp") if os.access(place, os.W_OK)), os.getcwd())  # noqa: S108 - only the parent


class TempFolder:
    """The private folder of one run.

    Made 0700 with a locked file in it, so that a later run can tell a crashed run's folder from one in use. Pickles
    as its path: a worker process opens it anew and may make files; only the process that made the folder removes it.
    Raises SourceError where the folder cannot be made or is not ours any more, NoTempSpace where it is full.
    """

    def __init__(self, parent: str | os.PathLike[str]) -> None:
        remove_stale(parent)
        self._owner = os.getpid()
        self.place, self._fd, self._lock = _made(os.path.abspath(os.fspath(parent)))

    def file(self, suffix: str = "") -> BinaryIO:
        """A new file without a name, for reading and writing; gone when closed. Flush before using its fileno().

        Its writes raise what the folder does: whoever reads from it while writing elsewhere can tell which is full.
        """
        fd, name = self._new(suffix)
        os.unlink(name, dir_fd=self._fd)
        return cast("BinaryIO", io.BufferedRandom(_Unnamed(self.place, "r+b", opener=lambda *_: fd)))

    def named(self, suffix: str = "") -> Path:
        """A new empty file that other processes open by its name; ``discard`` removes it."""
        fd, name = self._new(suffix)
        os.close(fd)
        return self.place / name

    @contextmanager
    def path(self, suffix: str = "") -> Iterator[Path]:
        """A new empty file for a program, gone afterwards."""
        path = self.named(suffix)
        try:
            yield path
        finally:
            self.discard(path)

    def discard(self, path: Path) -> None:
        """Remove a file that ``named`` made; one that is gone already is no error."""
        if path.parent != self.place:
            raise ValueError(f"'{path}' is not in '{self.place}'")
        with suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=self._fd)

    def room(self) -> int:
        """Free bytes that this user may still fill."""
        try:
            figures = os.fstatvfs(self._fd)
        except OSError as err:
            unknown = NoTempSpace(f"the room in '{self.place.parent}' cannot be told: {err.strerror}", hint=_ELSEWHERE)
            unknown.exit_code = 34  # docs/cli.md § 9
            raise unknown from err
        return figures.f_bavail * figures.f_frsize

    def require(self, size: int) -> None:
        """Raise NoTempSpace when less than ``size`` bytes are free."""
        room = self.room()
        if room < size:
            raise NoTempSpace(
                f"'{self.place.parent}' has room for {room >> 20} MiB, {size >> 20} MiB are needed",
                hint="free some space there, choose another folder with --tempdir, or a smaller --volsize",
            )

    def close(self) -> None:
        """Remove the folder with all in it, if this process made it; may be called twice."""
        if self._fd < 0:
            return
        if self._owner == os.getpid():
            _empty(self._fd)
            with suppress(OSError):
                os.rmdir(self.place)
        os.close(self._fd)
        if self._lock >= 0:
            os.close(self._lock)
        self._fd = self._lock = -1

    def _new(self, suffix: str) -> tuple[int, str]:
        if "/" in suffix:
            raise ValueError(f"a suffix holds no slash: '{suffix}'")
        name = os.urandom(8).hex() + suffix
        try:
            return os.open(name, _NEW, 0o600, dir_fd=self._fd), name
        except OSError as err:
            raise _translated(err, str(self.place)) from err

    def __enter__(self) -> TempFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A worker gets a copy with every job: its descriptor must not outlive it. The maker closes by itself.
        if self.__dict__.get("_owner") == -1:
            self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopened, (str(self.place),)


class _Unnamed(io.FileIO):
    """A file whose errors of writing are told as the folder's, by whose name it goes."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data)
        except OSError as err:
            raise _translated(err, str(self.name)) from err


def _reopened(path: str) -> TempFolder:
    """The same folder in another process; made without ``__init__``, which would make a new one."""
    folder = TempFolder.__new__(TempFolder)
    folder.place, folder._owner, folder._fd, folder._lock = Path(path), -1, -1, -1
    try:
        folder._fd = os.open(path, _FOLDER)
    except OSError as err:
        raise _translated(err, path) from err
    if not _is_private(folder._fd):
        raise SourceError(f"temporary folder '{path}' is not ours")
    return folder


def _made(parent: str) -> tuple[Path, int, int]:
    """A new folder, its descriptor, and that of the locked file in it."""
    for _ in range(100):
        path = os.path.join(parent, f"tarragon-{os.urandom(8).hex()}-tempdir")
        try:
            os.mkdir(path, 0o700)
            fd = os.open(path, _FOLDER)
        except FileExistsError:
            continue
        except OSError as err:
            raise _translated(err, parent) from err
        if _is_private(fd):
            lock = os.open(_LOCK, _NEW, 0o600, dir_fd=fd)
            if _is_free(lock):
                return Path(path), fd, lock
            os.close(lock)  # a run that looks for stale folders was quicker: it removes this one
        os.close(fd)
    raise SourceError(f"cannot make a private folder in '{parent}'", hint=_ELSEWHERE)


def remove_stale(parent: str | os.PathLike[str]) -> int:
    """Remove what crashed runs left in ``parent``; how many folders.

    Only folders with our pattern of name, of this user, private, and with a lock file in them that nobody holds.
    """
    removed = 0
    try:
        names = [name for name in os.listdir(parent) if _OURS.fullmatch(name)]
    except OSError:
        return 0  # making the folder will say what is wrong with it
    for name in names:
        path = os.path.join(parent, name)
        with suppress(OSError):  # vanished, or not ours to open: somebody else's business
            fd = os.open(path, _FOLDER)
            try:
                removed += _is_private(fd) and _removed(fd, path)
            finally:
                os.close(fd)
    return removed


def _removed(fd: int, path: str) -> bool:
    lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        if not _is_free(lock):
            return False
        _empty(fd)  # with the lock held, so that no third run does the same
        os.rmdir(path)
        return True
    finally:
        os.close(lock)


def _is_private(fd: int) -> bool:
    stat = os.fstat(fd)
    return stat.st_uid == os.geteuid() and not stat.st_mode & 0o077


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _empty(fd: int) -> None:
    """Remove everything below an opened folder, following no link. The lock file goes last: it is what proves ours."""
    for name in sorted(os.listdir(fd), key=lambda name: name == _LOCK):
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):  # unlink of a folder: EISDIR here, EPERM by POSIX
            with suppress(OSError):
                below = os.open(name, _FOLDER, dir_fd=fd)
                try:
                    _empty(below)
                finally:
                    os.close(below)
                os.rmdir(name, dir_fd=fd)


def _translated(err: OSError, where: str) -> TarragonError:
    hint = _ELSEWHERE
    if err.errno in (errno.EMFILE, errno.ENFILE):
        return OpenFileLimit("too many open files", hint="allow more with 'ulimit -n 256'", fields=("OSError",))
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoTempSpace(f"no room in '{where}'", hint=hint)
    return SourceError(f"temporary folder '{where}': {err.strerror}", hint=hint)
