"""Folders: descriptors of the folders of one tree, opened component by component and never through a link.

Reading a source and writing a restored tree both go through here, so that no path string of ours can be led astray by
a link that somebody plants (R1), no path is too long for the system, and few descriptors are open at a time (R62).
"""

from __future__ import annotations

import os

#: Deeper folders than this are opened again from the root when they are come back to.
MOST_OPEN = 24


class Folders:
    """The folders below an open root. Paths are archive paths: relative, ``/``-joined, ``b""`` for the root itself."""

    def __init__(self, root_fd: int, *, follow: bool = False) -> None:
        """Takes over ``root_fd``. ``follow`` opens through links: only for a source with ``--copy-links``."""
        self._root = root_fd
        self._flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self._path = b""
        self._names: list[bytes] = []
        self._fds: list[int] = []  # of the last len(_fds) components of _names

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fd(self, path: bytes) -> int:
        """A descriptor of the folder ``path``, valid until the next call. Raises OSError as opening does."""
        if path == self._path and (self._fds or not path):
            return self._fds[-1] if path else self._root
        return self._walk_to(path)

    def _walk_to(self, path: bytes) -> int:
        wanted = path.split(b"/") if path else []
        shared = 0
        for ours, theirs in zip(self._names, wanted, strict=False):
            if ours != theirs:
                break
            shared += 1
        self._drop_to(shared)
        if not self._fds:
            self._drop_to(0)  # all descriptors of the shared part were given up: begin at the root
        for name in wanted[len(self._names) :]:
            above = self._fds[-1] if self._fds else self._root
            fd = os.open(name, self._flags, dir_fd=above)
            self._names.append(name)
            self._fds.append(fd)
            self._path = self._path + b"/" + name if self._path else name
            if len(self._fds) > MOST_OPEN:
                os.close(self._fds.pop(0))
        return self._fds[-1] if self._fds else self._root

    def _drop_to(self, depth: int) -> None:
        while len(self._names) > depth:
            self._names.pop()
            if self._fds:
                os.close(self._fds.pop())
        self._path = b"/".join(self._names)

    def forget(self) -> None:
        """Close everything but the root: something above may have been replaced."""
        self._drop_to(0)

    def close(self) -> None:
        """Close everything, the root too."""
        self.forget()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def split(path: bytes) -> tuple[bytes, bytes]:
    """Folder and name of an archive path."""
    folder, _, name = path.rpartition(b"/")
    return folder, name
