"""The cache folder: manifests and signatures kept here so that they need not be fetched (docs/format.md § 11).

Shared with duplicity, which expects its own names and nothing else; never trusted, and free to vanish between two runs.
Whatever is written appears under its name whole and durable, or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import os
import re
import stat
import struct
import sys
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import Locked, Malformed, Role, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tarragon.volume.name import ObjectName


LOCK_FILE = "lockfile"
_TEMP = re.compile(r"tarragon\.tmp-[0-9a-f]{16}")
_OLD = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


def cache_folder(archive_dir: str | None, name: str | None, url_raw: str, env: Mapping[str, str]) -> Path:
    """The cache folder of a repository: ``--archive-dir`` and ``--name``, or what stands for them by default."""
    if archive_dir:
        base = Path(archive_dir)
    elif env.get("XDG_CACHE_HOME"):
        base = Path(env["XDG_CACHE_HOME"], "duplicity")
    else:
        base = Path(env.get("HOME") or os.path.expanduser("~"), ".cache", "duplicity")
    return base / (name or hashlib.md5(url_raw.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest())


def cached_name(name: ObjectName) -> str:
    """What a stored manifest or signature file is called in the cache: plain manifests, everything else gzipped."""
    return name.stem if name.role is Role.MANIFEST else name.stem + ".gz"


class Archive:
    """The cache folder of one repository, opened once and used by its descriptor.

    Raises SourceError where the folder or a file in it cannot be used. ``is_exposed``: others may look into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1
        with _refusals(str(folder)):
            make_private(folder)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.is_exposed = bool(os.fstat(self._fd).st_mode & 0o077)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> list[str]:
        """Everything in the folder, ours or not."""
        with _refusals(str(self.folder)):
            return os.listdir(self._fd)

    def open(self, name: str) -> BinaryIO | None:
        """A file's plain bytes, expanded if its name ends in ``.gz`` or ``.z``; None when it is not there.

        Reading raises Malformed for what is not whole gzip data.
        """
        file = self._opened(name, "rb")
        if file is None:
            return None
        return _expanded(file) if name.endswith((".gz", ".z")) else cast("BinaryIO", io.BufferedReader(file))

    def store(self, name: str, source: BinaryIO, *, packed: bool = False) -> None:
        """Keep the rest of ``source`` as ``name``, gzipped if ``packed``, replacing what was there.

        ``source`` is closed before the name is taken: what a cipher says at close comes in time.
        """
        with self._appearing(name) as file:
            _copy(source, file, packed=packed)
            source.close()

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""
        for name in names:
            self._unlink(name)
        self._sync()

    def commit(self, manifest: str, signatures: str) -> None:
        """Give the two files of a set under way their final names: first the manifest, then the signatures, gzipped.

        Goes on where a broken commit stopped. No crash leaves ``.sigtar.gz`` beside ``.manifest.part``: duplicity would
        overwrite volumes of the set.
        """
        if manifest + ".part" in self.names():
            self._rename(manifest + ".part", manifest)
            self._sync()
        part = self._opened(signatures + ".part", "rb")
        if part is None:
            return
        with part, self._appearing(signatures + ".gz") as file:
            _copy(cast("BinaryIO", part), file, packed=True)
            file.sync()
            self._unlink(signatures + ".part")  # before the other appears: duplicity never sees both

    def begin(self, manifest: str, signatures: str) -> Parts:
        """The two empty files of a new set; names as they are when it is committed, without ``.part`` and ``.gz``.

        ``.sigtar.part`` comes first and goes last: alone it means nothing to duplicity.
        """
        self.remove([manifest + ".part", signatures + ".part"])
        second = self._created(signatures + ".part")
        return self._parts(manifest, signatures, self._created(manifest + ".part"), second)

    def resume(self, manifest: str, signatures: str, manifest_size: int, signatures_size: int) -> Parts:
        """The two files of a set that was broken off, cut to these sizes. Raises SourceError when they are shorter."""
        files = []
        for name, size in ((manifest + ".part", manifest_size), (signatures + ".part", signatures_size)):
            file = self._opened(name, "r+b")
            if file is None or os.fstat(file.fileno()).st_size < size:
                raise SourceError(f"'{name}' in the cache is missing or too short to go on from")
            with _refusals(name):
                file.truncate(size)
                file.seek(size)
            files.append(file)
        return self._parts(manifest, signatures, *files)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold duplicity's lock on the folder (docs/format.md § 11.1). Raises Locked, naming the holder if it is known.

        Not to be taken twice by one process: such a lock belongs to the process. What a crashed run left half-written
        is removed.
        """
        self._lock = self._locked()
        try:
            self.remove([name for name in self.names() if _TEMP.fullmatch(name)])
            yield
        finally:
            try:
                # duplicity removes a lock file that it could not lock: the one there may be somebody else's by now.
                if self._holds(self._lock):
                    self._unlink(LOCK_FILE)
            finally:
                os.close(self._lock)
                self._lock = -1

    def _locked(self) -> int:
        if self._lock >= 0:
            raise Locked(f"this run has locked '{self.folder}' already")
        for _ in range(100):
            with _refusals(LOCK_FILE):
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(LOCK_FILE, flags, 0o600, dir_fd=self._fd)
            try:
                self._try_lock(fd)
            except BaseException:
                os.close(fd)
                raise
            if self._holds(fd):
                return fd
            os.close(fd)  # removed between opening and locking
        raise SourceError(f"cannot lock '{self.folder}': its lock file keeps vanishing")

    def _try_lock(self, fd: int) -> None:
        with _refusals(LOCK_FILE):
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as err:
                raise Locked(
                    f"another run{_holder(fd)} is using '{self.folder}'",
                    hint="--lock-wait SECONDS waits for it to end; another --name is another cache",
                ) from err

    def _holds(self, fd: int) -> bool:
        """Whether the lock file that stands there is the one we locked."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(fd), os.stat(LOCK_FILE, dir_fd=self._fd, follow_symlinks=False))
        return False

    def _parts(self, manifest: str, signatures: str, first: _File, second: _File) -> Parts:
        self._sync()
        return Parts(self, manifest, signatures, first, second)

    def _created(self, name: str) -> _File:
        with _refusals(name):
            return _File(os.open(name, _NEW, 0o600, dir_fd=self._fd), name, "r+b")

    @contextmanager
    def _appearing(self, name: str) -> Iterator[_File]:
        """A file that takes its name, whole and durable, when the block ends well; else it goes without a trace."""
        temp = f"tarragon.tmp-{os.urandom(8).hex()}"
        file = self._created(temp)
        try:
            with file:
                yield file
                file.sync()
            self._rename(temp, name)
        except BaseException:
            self._unlink(temp)
            raise
        self._sync()

    def _opened(self, name: str, mode: str) -> _File | None:
        flags = _OLD | (os.O_RDONLY if mode == "rb" else os.O_RDWR)
        with _refusals(name):
            try:
                fd = os.open(name, flags, dir_fd=self._fd)
            except FileNotFoundError:
                return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SourceError(f"'{name}' in the cache is not a file", hint=f"remove it from '{self.folder}'")
        return _File(fd, name, mode)

    def _rename(self, old: str, new: str) -> None:
        with _refusals(new):
            os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def _unlink(self, name: str) -> None:
        with _refusals(name), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def _sync(self) -> None:
        with _refusals(str(self.folder)):
            try:
                os.fsync(self._fd)
            except OSError as err:
                if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync folders
                    raise


class Parts:
    """The manifest and the signatures of a set under way, to be written to, and at last committed or discarded."""

    def __init__(self, archive: Archive, manifest: str, signatures: str, first: _File, second: _File) -> None:
        self._archive, self._names, self._files = archive, (manifest, signatures), (first, second)
        self.manifest = cast("BinaryIO", io.BufferedWriter(first))
        self.signatures = cast("BinaryIO", io.BufferedWriter(second, _PIECE))

    def sync(self) -> tuple[int, int]:
        """Make durable what was written so far; the sizes of both."""
        self.manifest.flush()
        self.signatures.flush()
        for file in self._files:
            file.sync()
        return self._files[0].tell(), self._files[1].tell()

    def commit(self) -> None:
        """Give both their final names."""
        self.sync()
        self.close()
        self._archive.commit(*self._names)

    def discard(self) -> None:
        """Remove both, the manifest first."""
        self.close()
        self._archive.remove([name + ".part" for name in self._names])

    def close(self) -> None:
        """Leave both as they are, to be resumed; what was not synced may be lost. May be called twice."""
        for file in (self.manifest, self.signatures):
            with suppress(SourceError):  # said already when it was written
                file.close()


class _File(io.FileIO):
    """A file of the cache; what the system refuses is a SourceError."""

    def __init__(self, fd: int, what: str, mode: str) -> None:
        super().__init__(fd, mode)
        self.what = what

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with _refusals(self.what):
            return super().readinto(buffer) or 0

    def read(self, size: int | None = -1) -> bytes:
        with _refusals(self.what):
            return super().read(-1 if size is None else size) or b""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write all of ``data``."""
        with _refusals(self.what), memoryview(data) as view:
            done = 0
            while done < len(view):
                done += super().write(view[done:]) or 0
        return done

    def sync(self) -> None:
        with _refusals(self.what):
            os.fsync(self.fileno())


class _Expanded(io.RawIOBase):
    def __init__(self, file: _File) -> None:
        self._file = file
        self._plain = gzip.GzipFile(fileobj=file, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            return self._plain.readinto(buffer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as err:
            raise Malformed(f"'{self._file.what}' in the cache is not whole gzip data") from err

    def close(self) -> None:
        self._plain.close()
        self._file.close()
        super().close()


def _expanded(file: _File) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Expanded(file), 1 << 16))


def _copy(source: BinaryIO, into: _File, *, packed: bool) -> None:
    # The cache holds signatures as gzip whatever the codecs of the target are; without name and time, like pipes do.
    packer = zlib.compressobj(6, zlib.DEFLATED, 31) if packed else None
    while piece := source.read(_PIECE):
        into.write(packer.compress(piece) if packer else piece)
    if packer:
        into.write(packer.flush())


def make_private(folder: Path) -> None:
    """Make the folder and those above it, each 0700 whatever the umask is; another run may be making them too."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(each, 0o700)
            os.chmod(each, 0o700)


def _holder(fd: int) -> str:
    """`` (process N)`` for who holds the lock, "" where the system does not tell."""
    if sys.platform != "linux":
        return ""
    form = "hhqqi0q"  # struct flock: type, whence, start, length, process
    try:
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:
        return ""
    kind, _, _, _, process = struct.unpack(form, answer)
    return f" (process {process})" if kind != fcntl.F_UNLCK and process > 0 else ""


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise SourceError(f"cache, '{what}': {err.strerror or err}") from err
