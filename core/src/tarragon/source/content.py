"""The content of a source's regular files, opened as a walk reaches them."""

from __future__ import annotations

import os
from typing import BinaryIO

from tarragon.folders import Folders, split

from .walk import open_root

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_file(source: bytes, path: bytes, *, follow: bool) -> BinaryIO:
    """A regular file by its archive path; ``follow`` as for Folders. Raises SourceError and OSError."""
    root, _ = open_root(source)
    if root < 0:
        return os.fdopen(descriptor(source, None, path, follow=follow), "rb")
    with Folders(root, follow=follow) as folders:
        return os.fdopen(descriptor(source, folders, path, follow=follow), "rb")


def descriptor(source: bytes, folders: Folders | None, path: bytes, *, follow: bool) -> int:
    """Open for reading without following a link, waiting for a fifo, or touching the access time where allowed.

    ``folders`` are those of the source, None for one that is no folder. Raises OSError.
    """
    if folders is None:
        return _open_quietly(source, _FLAGS, None)
    folder, name = split(path)
    return _open_quietly(name, _FLAGS if follow else _FLAGS | os.O_NOFOLLOW, folders.fd(folder))


def _open_quietly(name: bytes, flags: int, dir_fd: int | None) -> int:
    """Open without an update of the access time, where the file is ours to do so with."""
    try:
        return os.open(name, flags | getattr(os, "O_NOATIME", 0), dir_fd=dir_fd)
    except PermissionError:
        return os.open(name, flags, dir_fd=dir_fd)
