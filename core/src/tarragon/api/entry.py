"""Entry: one thing in a tree, as the walk finds it, as headers record it, and as filters see it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

#: The kinds of entry, in the words of duplicity's list records (``INFO 10``).
REG, DIR, SYM, FIFO, CHR, BLK, SOCK = "reg", "dir", "sym", "fifo", "chr", "blk", "sock"


class Entry(NamedTuple):
    """One file, folder, link or other thing below a root.

    ``path`` is relative to the root, components joined by ``/``, without a slash at either end; the root itself is
    ``b""``. ``mode`` holds the 12 permission bits. ``mtime`` is in whole seconds, never negative (docs/format.md
    § 6.1). ``size`` is in bytes, as the file system says. ``device`` is (major, minor) of a device file.
    """

    path: bytes
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    uname: bytes = b""
    gname: bytes = b""
    mtime: int = 0
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    on_device: int = 0

    @property
    def name(self) -> bytes:
        """The last component; ``b""`` for the root."""
        return self.path.rpartition(b"/")[2]


def order_key(path: bytes) -> bytes:
    """A key by which paths sort as their tuples of components do: the archive order (docs/format.md § 3.2).

    NUL cannot occur in a name and is smaller than every byte that can.
    """
    return path.replace(b"/", b"\0")


class Verdict(Enum):
    """What a filter says of an entry."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    #: Look inside this folder, and store it only if something in it is included.
    DESCEND = "descend"
    #: The same as the last word of a filter made of many conditions: no later filter can still include the folder.
    ENTER = "enter"


class FilterMode(NamedTuple):
    """What the switches before a selection option have set."""

    syntax: str = "glob"  # "glob", "literal" or "regexp"
    ignore_case: bool = False
    #: Lists are split at NUL instead of newline.
    null_separator: bool = False
    #: Patterns are relative to the archive's root (selection on restore), not to a source as typed.
    for_archive: bool = False


class Filter(Protocol):
    """One selection condition; asked for every entry in order until one has an opinion."""

    @property
    def can_exclude(self) -> bool:
        """Whether it could ever answer EXCLUDE: a last condition that cannot is an error (16)."""
        ...

    @property
    def rank(self) -> int:
        """Lower goes first; 0 except for conditions that go in front of all others, wherever they stand."""
        ...

    def __call__(self, entry: Entry) -> Verdict | None:
        """The verdict on ``entry``, or None for no opinion."""
        ...
