"""What only this client knows: ledgers of JSON lines in the state folder, and the lock of one writer.

Unlike the cache, which duplicity shares and anybody may delete, this is ours alone (docs/architecture.md, every file we
own). Losing it loses no backup: it loses the memory of what was committed, checked and pinned.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tarragon.api.errors import Locked, SourceError, UserError

from .archive import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = 1
#: A line beyond this was not written by us.
_LONGEST = 1 << 24


def state_folder(archive_dir: str | None, key: str, env: Mapping[str, str]) -> Path:
    """The state folder of a repository; ``key`` is the name of its cache folder."""
    base = env.get("XDG_STATE_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".local", "state")
    if archive_dir:
        place = os.path.join(os.path.realpath(archive_dir), key)
        key = hashlib.md5(os.fsencode(place), usedforsecurity=False).hexdigest()
    return Path(base, "tarragon", key)


class State:
    """The state folder of one repository. Made 0700, its files 0600, from the first system call (R39)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            make_private(folder)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise _refused(folder, err) from err

    def close(self) -> None:
        """Let go of the folder; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def ledger(self, name: str) -> Ledger:
        """The ledger ``name``.jsonl; it need not be there."""
        return Ledger(self._fd, self.folder, name)

    @contextmanager
    def lock(self, *, purpose: str) -> Iterator[None]:
        """Hold the kernel lock of one writer, which dies with its owner. Raises Locked, saying who holds it.

        Without a ``purpose`` it is held for a moment only, and others wait for that.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open("lock", flags, 0o600, dir_fd=self._fd)
        except OSError as err:
            raise _refused(self.folder / "lock", err) from err
        try:
            _take(fd)
            try:
                os.ftruncate(fd, 0)
                if purpose:
                    os.pwrite(fd, f"process {os.getpid()} ({purpose})\n".encode(), 0)
            except OSError as err:
                raise _refused(self.folder / "lock", err) from err
            try:
                yield
            finally:
                with suppress(OSError):
                    os.ftruncate(fd, 0)  # nobody is named who holds it no more
        finally:
            os.close(fd)


class Ledger:
    """A file of JSON lines that only grows, until it is removed whole.

    Its first line says what it is and in which version. A torn last line, of a crash, is dropped. Raises UserError for
    a version newer than ours (R72), SourceError where the file cannot be used.
    """

    def __init__(self, folder_fd: int, folder: Path, name: str) -> None:
        self._folder_fd = folder_fd
        self._path = folder / f"{name}.jsonl"
        self._name = f"{name}.jsonl"
        self._kind = name.partition("-")[0]
        self._size = -1  # as this object left or read it

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> list[dict[str, Any]]:
        """All lines but the first."""
        return list(self.lines())

    def append(self, *records: Mapping[str, Any]) -> None:
        """Add lines; they are durable when this returns."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._name, flags, 0o600, dir_fd=self._folder_fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)  # checks append without the lock of one writer
                if not self.is_as_left():
                    self.read()
                size = self._size
                self._size = -1
                lines = [] if size else [{"tarragon": self._kind, "version": VERSION}]
                data = b"".join(_line(record) for record in [*lines, *records])
                os.ftruncate(fd, size)
                view = memoryview(data)
                while view:
                    written = os.pwrite(fd, view, size)
                    size, view = size + written, view[written:]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.fsync(self._folder_fd)
        except OSError as err:
            raise _refused(self._path, err) from err
        self._size = size

    def remove(self) -> None:
        """Remove the file; one that is not there is no error."""
        self._size = -1
        try:
            os.unlink(self._name, dir_fd=self._folder_fd)
            os.fsync(self._folder_fd)
        except FileNotFoundError:
            return
        except OSError as err:
            raise _refused(self._path, err) from err

    def is_as_left(self) -> bool:
        """Whether the file ends where this object's last line does: then there is nothing to look for in it."""
        try:
            return self._size == os.stat(self._name, dir_fd=self._folder_fd, follow_symlinks=False).st_size
        except OSError:
            return False

    def lines(self) -> Iterator[dict[str, Any]]:
        """All lines but the first, one at a time: a log of years is never held whole."""
        size = 0
        try:
            for number, (record, length) in enumerate(self._whole_lines()):
                size += length
                if number == 0:
                    self._check(record)
                else:
                    yield record
        except OSError as err:
            raise _refused(self._path, err) from err
        self._size = size

    def _whole_lines(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Lines that are whole, and how many bytes each takes."""
        try:
            fd = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder_fd)
        except FileNotFoundError:
            return
        with os.fdopen(fd, "rb") as file:
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                record = _parsed(line)
                if record is None:
                    return
                yield record, len(line)

    def _check(self, first: Mapping[str, Any]) -> None:
        version = first.get("version")
        if first.get("tarragon") != self._kind or not isinstance(version, int):
            raise SourceError(f"'{self._path}' is not what its name says", hint="move it away")
        if version > VERSION:
            raise UserError(
                f"'{self._path}' was written by a newer Tarragon", hint="pip install --upgrade tarragon-core"
            )


def _take(fd: int) -> None:
    """Lock a file, unless somebody who has written himself into it holds it. Raises Locked."""
    holder = "another run"
    for _ in range(200):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if named := os.pread(fd, 200, 0).decode("utf-8", "replace").strip():
                holder = named
                break
            time.sleep(0.01)  # it is about to, or holds it for a moment only
    raise Locked(f"{holder} is writing to this repository", hint="--lock-wait SECONDS waits for it to end")


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line's object; None for one that is torn or garbled: nothing behind it can be trusted."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refused(path: Path, err: OSError) -> SourceError:
    return SourceError(f"state '{path}': {err.strerror or err}", hint="set XDG_STATE_HOME to a folder that can be used")
