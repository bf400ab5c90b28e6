"""Write restored entries below a folder, and nowhere else (R1–R4, R7, R8).

Every component is resolved from a descriptor of the root and never through a link; a file appears under its name only
when it is whole; what stands there already is never opened for writing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SYM, Entry, order_key
from tarragon.api.errors import RestoreTargetNotEmpty, SourceError, TarragonError
from tarragon.delta.compare import is_at_or_below
from tarragon.delta.sigtar import safe_path
from tarragon.folders import Folders, split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.owners import Owners

_SPECIAL = stat.S_ISUID | stat.S_ISGID
_HOLE = bytes(4096)
TEMPORARY = b".tarragon-"


class Refused(TarragonError):
    """One entry that cannot be written; the rest goes on."""


class _Waiting(NamedTuple):
    """A folder whose metadata are set when all below it is done."""

    path: bytes
    entry: Entry


class Tree:
    """A folder that is being filled with restored entries, given in archive order.

    The root entry, path ``b""``, becomes ``target`` itself, whatever it is.
    """

    def __init__(self, target: bytes, owners: Owners, *, ownership: bool = True, in_order: bool = True) -> None:
        """``in_order`` False: entries come in any order, so folders are finished all at the end."""
        self._target = target
        self._owners = owners
        self._ownership = ownership
        self._is_root = os.geteuid() == 0
        self._folders: Folders | None = None
        self._above: int | None = None  # the folder that holds the target, for a root that is no folder
        self._in_order = in_order
        self._waiting: list[_Waiting] = []
        self._barred: bytes | None = None  # the newest entry that is no folder: nothing can be below it (R2)
        self.unowned = 0  # entries whose owner could not be set
        self.stripped = 0  # entries that lost setuid or setgid, because they would run as somebody else
        self.unfinished: list[tuple[Entry, Refused]] = []  # folders whose metadata could not be set

    # -- the root -----------------------------------------------------------------------------------------------------

    def prepare(self, *, force: bool) -> None:
        """Make sure that the target may be written. Raises RestoreTargetNotEmpty unless ``force``."""
        try:
            st = os.lstat(self._target)
        except FileNotFoundError:
            return
        except OSError as err:
            raise SourceError(f"cannot restore to {_shown(self._target)}: {err.strerror}") from err
        if force:
            return
        try:
            empty = stat.S_ISDIR(st.st_mode) and not os.listdir(self._target)
        except OSError as err:
            raise SourceError(f"cannot restore to {_shown(self._target)}: {err.strerror}") from err
        if not empty:
            raise RestoreTargetNotEmpty(
                f"{_shown(self._target)} exists and is not an empty folder",
                hint="name a new folder, or give --force to write into this one",
            )

    def _root(self) -> Folders:
        """The target as a folder, made with its parents when it is not there."""
        if self._folders is None:
            try:
                os.makedirs(self._target, 0o700, exist_ok=True)
                self._folders = Folders(os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except OSError as err:
                raise SourceError(f"cannot restore to {_shown(self._target)}: {err.strerror}") from err
        return self._folders

    def _place(self, path: bytes) -> tuple[int, bytes]:
        """Descriptor of the folder that is to hold ``path``, and its name there."""
        if path:
            folder, name = split(path)
            self._check_parents(folder)
            return self._root().fd(folder), name
        parent, name = os.path.split(os.path.abspath(self._target))
        if self._above is None:
            try:
                os.makedirs(parent, exist_ok=True)
                self._above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as err:
                raise SourceError(f"cannot restore to {_shown(self._target)}: {err.strerror}") from err
        return self._above, name

    def _check_parents(self, folder: bytes) -> None:
        """Make the folders on the way that the archive did not have; refuse what stands below a thing that is none."""
        if self._barred is not None and is_at_or_below(folder, self._barred):
            raise Refused("it stands below something that is no folder")
        known = self._waiting[-1].path if self._waiting and self._in_order else b""
        if folder == known or not folder:
            return
        missing = folder[len(known) + 1 :] if known and is_at_or_below(folder, known) else folder
        above = folder[: len(folder) - len(missing)].rstrip(b"/")
        for name in missing.split(b"/"):
            self._make_folder(self._root().fd(above), name, 0o777)
            above = above + b"/" + name if above else name

    # -- entries ------------------------------------------------------------------------------------------------------

    def write(self, entry: Entry, data: Iterable[bytes]) -> None:
        """Write one entry. Raises Refused, or what taking ``data`` raises: then nothing of it stands in the tree."""
        if safe_path(entry.path) != entry.path:
            raise Refused("its name could leave the folder")
        self._leave_to(entry.path)
        try:
            self._write(entry, data)
        except OSError as err:
            raise Refused(err.strerror or str(err), fields=(str(err.errno),)) from err
        except (OverflowError, ValueError) as err:  # a number or a text that no system call takes
            raise Refused(str(err)) from err

    def _write(self, entry: Entry, data: Iterable[bytes]) -> None:
        if entry.kind == DIR:
            if entry.path:
                folder, name = self._place(entry.path)
                self._make_folder(folder, name, 0o700)
            else:
                self._root()
            self._waiting.append(_Waiting(entry.path, entry))
            return
        folder, name = self._place(entry.path)  # asks what was barred before
        self._barred = entry.path
        if entry.kind == REG:
            self._write_file(folder, name, entry, data)
        elif entry.kind == SYM:
            self._appear(folder, name, entry, lambda temporary: os.symlink(entry.target, temporary, dir_fd=folder))
        elif entry.kind == FIFO:
            self._appear(folder, name, entry, lambda temporary: os.mkfifo(temporary, 0o600, dir_fd=folder))
        else:
            self._write_device(folder, name, entry)

    @staticmethod
    def _make_folder(folder: int, name: bytes, mode: int) -> None:
        try:
            os.mkdir(name, mode, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise Refused("something that is no folder stands in its place") from None

    def _write_device(self, folder: int, name: bytes, entry: Entry) -> None:
        if not self._is_root:
            raise Refused("only root may restore devices")
        kind = stat.S_IFCHR if entry.kind == CHR else stat.S_IFBLK
        assert entry.kind in (CHR, BLK)
        device = os.makedev(*entry.device)
        self._appear(folder, name, entry, lambda temporary: os.mknod(temporary, 0o600 | kind, device, dir_fd=folder))

    def _appear(self, folder: int, name: bytes, entry: Entry, make) -> None:  # type: ignore[no-untyped-def]
        """Make a thing under a temporary name, give it its metadata, and only then its name."""
        temporary = _temporary()
        make(temporary)
        try:
            self._set_by_name(folder, temporary, entry)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _write_file(self, folder: int, name: bytes, entry: Entry, data: Iterable[bytes]) -> None:
        temporary = _temporary()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            try:
                _fill(fd, data)
                self._set_by_fd(fd, entry)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    # -- metadata -----------------------------------------------------------------------------------------------------

    def _set_by_fd(self, fd: int, entry: Entry) -> None:
        """Owner, then mode, then time (docs/format.md § 7.3); setuid and setgid only where the owner is right (R3)."""
        owned = self._owned(os.fstat(fd), entry, lambda uid, gid: os.fchown(fd, uid, gid))
        os.fchmod(fd, self._mode(entry, owned=owned))
        os.utime(fd, (_now(), entry.mtime))

    def _set_by_name(self, folder: int, name: bytes, entry: Entry) -> None:
        st = os.stat(name, dir_fd=folder, follow_symlinks=False)
        owned = self._owned(st, entry, lambda uid, gid: os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False))
        if entry.kind != SYM:
            _chmod(name, self._mode(entry, owned=owned), folder)
        os.utime(name, (_now(), entry.mtime), dir_fd=folder, follow_symlinks=False)

    def _mode(self, entry: Entry, *, owned: bool) -> int:
        if owned or not entry.mode & _SPECIAL:
            return entry.mode
        self.stripped += 1
        return entry.mode & ~_SPECIAL

    def _owned(self, st: os.stat_result, entry: Entry, change) -> bool:  # type: ignore[no-untyped-def]
        uid, gid = self._owners.here(entry)
        if (st.st_uid, st.st_gid) == (uid, gid):
            return True
        if not self._ownership:
            return False
        try:
            change(uid, gid)
        except (OSError, OverflowError) as err:
            if isinstance(err, OSError) and err.errno not in (errno.EPERM, errno.EINVAL):
                raise
            self.unowned += 1
            return False
        return True

    def _leave_to(self, path: bytes) -> None:
        """Finish folders that the walk has left: deepest first."""
        if not self._in_order:
            return
        while self._waiting and self._waiting[-1].path and not is_at_or_below(path, self._waiting[-1].path):
            self._finish_folder(self._waiting.pop())

    def _finish_folder(self, waiting: _Waiting) -> None:
        try:
            self._set_by_fd(self._root().fd(waiting.path), waiting.entry)
        except (OSError, OverflowError) as err:
            self.unfinished.append((waiting.entry, Refused(f"its owner, mode or time could not be set: {err}")))

    def finish(self) -> None:
        """Finish all folders, the root last, and have the file system keep everything before success is reported."""
        self._waiting.sort(key=lambda waiting: order_key(waiting.path))
        while self._waiting:
            self._finish_folder(self._waiting.pop())
        if self._folders is not None:
            _sync(self._folders.fd(b""))
        elif self._above is not None:
            _sync(self._above)

    def close(self) -> None:
        """Let go of the target."""
        if self._folders is not None:
            self._folders.close()
        if self._above is not None:
            os.close(self._above)
            self._above = None


def _chmod(name: bytes, mode: int, folder: int) -> None:
    """chmod that never follows a link: by a descriptor of the thing itself, which chmod before Linux 6.6 wants so."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise Refused("a link was put in its place")
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _temporary() -> bytes:
    return TEMPORARY + os.urandom(4).hex().encode()


def _shown(path: bytes) -> str:
    return f"'{os.fsdecode(path)}'"


def _now() -> float:
    import time  # the access time of what is restored is now (docs/format.md § 7.3)

    return time.time()


def _fill(fd: int, data: Iterable[bytes]) -> None:
    """Write content; runs of zeros become holes, so that a sparse file is sparse again."""
    size = 0
    for piece in data:
        size += len(piece)
        if piece[:4096] == _HOLE and not piece.strip(b"\0"):
            os.lseek(fd, size, os.SEEK_SET)
            continue
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
    os.ftruncate(fd, size)


def _sync(fd: int) -> None:
    """Have one file system write out all it holds (R4); all of them, where it cannot be told which."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    if libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise SourceError(f"the restored files could not be written out: {os.strerror(code)}")
