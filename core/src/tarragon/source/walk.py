"""The walk: everything below a source in archive order, filters applied. The first station of a backup.

Names are listed folder by folder through descriptors and looked at one at a time, so that memory holds one folder's
names per level, never the tree.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.entry import DIR, SOCK, SYM, Entry, Verdict
from tarragon.api.errors import SourceError
from tarragon.folders import Folders

from .entry import entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tarragon.owners import Owners


class Unreadable(NamedTuple):
    """Something that is there and cannot be read, with all that may be below it.

    ``number`` is that of the warning: 9 for what cannot even be looked at (docs/cli.md § 11).
    """

    path: bytes
    reason: str
    number: int = 10


class _Level(NamedTuple):
    """A folder that the walk is in. ``waiting`` holds its entry until something inside is included."""

    path: bytes
    names: Iterator[bytes]
    waiting: list[Entry]
    identity: tuple[int, int]


def open_root(source: bytes) -> tuple[int, os.stat_result]:
    """Open the source for reading through it; for a source that is no folder the descriptor is -1.

    A trailing slash on a link means the folder behind it. Raises SourceError when it cannot be looked at.
    """
    try:
        st = os.stat(source) if source.endswith(b"/") else os.lstat(source)
        if not _is_folder(st):
            return -1, st
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return os.open(source, flags), st
    except OSError as err:
        raise SourceError(f"the source '{os.fsdecode(source)}' cannot be read: {err.strerror}") from err


def _is_folder(st: os.stat_result) -> bool:
    return (st.st_mode & 0o170000) == 0o040000


class Walk:
    """One pass over a source."""

    def __init__(
        self,
        source: bytes,
        verdict: Callable[[Entry], Verdict],
        owners: Owners,
        *,
        copy_links: bool = False,
        skipped: Callable[[bytes], None] = lambda path: None,
    ) -> None:
        """``skipped`` is told of sockets, which are never stored."""
        self._source = source
        self._verdict = verdict
        self._owners = owners
        self._copy_links = copy_links
        self._skipped = skipped

    def __iter__(self) -> Iterator[Entry | Unreadable]:
        fd, st = open_root(self._source)
        if fd < 0:
            target = os.readlink(self._source) if (st.st_mode & 0o170000) == 0o120000 else b""
            entry = entry_of(b"", st, self._owners, target)
            if entry.kind == SOCK:
                raise SourceError(f"the source '{os.fsdecode(self._source)}' is a socket: there is nothing to store")
            yield entry
            return
        with Folders(fd, follow=self._copy_links) as folders:
            root = entry_of(b"", st, self._owners)
            names = self._names(folders, b"")
            if isinstance(names, Unreadable):
                raise SourceError(f"the source '{os.fsdecode(self._source)}' cannot be listed: {names.reason}")
            yield root
            yield from self._below(folders, _Level(b"", names, [], (st.st_dev, st.st_ino)))

    def _below(self, folders: Folders, root: _Level) -> Iterator[Entry | Unreadable]:
        levels = [root]
        while levels:
            level = levels[-1]
            for name in level.names:
                path = level.path + b"/" + name if level.path else name
                found = self._look(folders, level.path, name, path)
                if found is None:
                    continue
                if isinstance(found, Unreadable):
                    yield from _now_due(levels)
                    yield found
                    continue
                entry, identity = found
                verdict = self._verdict(entry)
                if verdict is Verdict.EXCLUDE:
                    continue
                if entry.kind == DIR:
                    if self._copy_links and any(above.identity == identity for above in levels):
                        continue  # only --copy-links can lead back up
                    names = self._names(folders, path)
                    if isinstance(names, Unreadable):
                        yield from _now_due(levels)
                        yield names
                        continue
                    waiting = [entry] if verdict is Verdict.DESCEND else []
                    if not waiting:
                        yield from _now_due(levels)
                        yield entry
                    levels.append(_Level(path, names, waiting, identity))
                    break
                if verdict is Verdict.INCLUDE:
                    yield from _now_due(levels)
                    yield entry
            else:
                levels.pop()

    def _look(
        self, folders: Folders, folder: bytes, name: bytes, path: bytes
    ) -> tuple[Entry, tuple[int, int]] | Unreadable | None:
        """The entry at ``path``; None for a socket or for what is gone by now."""
        try:
            fd = folders.fd(folder)
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            kind = st.st_mode & 0o170000
            target = b""
            if kind == 0o120000:
                if self._copy_links and (followed := _followed(name, fd)) is not None:
                    st = followed
                else:
                    target = os.readlink(name, dir_fd=fd)
        except FileNotFoundError:
            return None
        except OSError as err:
            return Unreadable(path, err.strerror or str(err), 9)
        entry = entry_of(path, st, self._owners, target)
        if entry.kind == SOCK:
            self._skipped(path)
            return None
        if entry.kind != SYM and st.st_size < 0:
            return Unreadable(path, "impossible size")
        return entry, (st.st_dev, st.st_ino)

    def _names(self, folders: Folders, path: bytes) -> Iterator[bytes] | Unreadable:
        """The sorted names in a folder: bytes, unsigned (docs/format.md § 3.2)."""
        try:
            return iter(sorted(map(os.fsencode, os.listdir(folders.fd(path)))))
        except OSError as err:
            return Unreadable(path, err.strerror or str(err))


def _now_due(levels: list[_Level]) -> Iterator[Entry]:
    """Folders that waited for something inside to be included, or kept because it cannot be read."""
    for level in levels:
        if level.waiting:
            yield level.waiting.pop()


def _followed(name: bytes, fd: int) -> os.stat_result | None:
    """What a link leads to; None when it leads nowhere, or round in a ring."""
    try:
        return os.stat(name, dir_fd=fd)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES):
            return None
        raise
