"""A restored file against the one that it was made of, where that has not changed since. The source is only read."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from tarragon.api import Entry

#: What came of a comparison; the last two say that nothing was compared.
SAME, DIFFERENT, CHANGED, UNREADABLE = "same", "different", "changed", "unreadable"
_PIECE = 1 << 20


def compared(source: bytes, entry: Entry, made: int, restored: BinaryIO) -> str:
    """Compare with the file below ``source``; ``made`` is the second in which the backup began.

    A file whose time is another, or not before ``made``, may have changed since: its content is not compared.
    """
    path = os.path.join(source, entry.path) if entry.path else source
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        seen = os.lstat(path)
        if not stat.S_ISREG(seen.st_mode) or int(seen.st_mtime) != entry.mtime or seen.st_mtime >= made:
            return CHANGED
        with open(_opened(path, flags), "rb") as file:
            if not os.path.samestat(os.fstat(file.fileno()), seen):
                return CHANGED
            content = _digest(file)
            if os.fstat(file.fileno()).st_mtime_ns != seen.st_mtime_ns:
                return CHANGED
    except FileNotFoundError:
        return CHANGED
    except OSError:
        return UNREADABLE
    return SAME if content == _digest(restored) else DIFFERENT


def _opened(path: bytes, flags: int) -> int:
    """Without leaving a trace where the system allows that: only the owner may ask for it."""
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return os.open(path, flags)


def _digest(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.digest()
