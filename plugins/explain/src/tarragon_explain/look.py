"""An entry as the walk would make it: from the file system, or from its name alone."""

from __future__ import annotations

import os
import stat

from tarragon.api import BLK, CHR, DIR, FIFO, REG, SOCK, SYM, Entry

_KINDS = {
    stat.S_IFREG: REG,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYM,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHR,
    stat.S_IFBLK: BLK,
    stat.S_IFSOCK: SOCK,
}


def entry_at(source: bytes, path: bytes, *, follow: bool, is_folder: bool) -> tuple[Entry, bool]:
    """What stands at ``path`` below ``source``, and whether anything does.

    Of what does not exist, or cannot be looked at, there is a file, or a folder with ``is_folder``, on the device of
    the source and of no age.
    """
    place = os.path.join(source, path) if path else source
    try:
        found = os.stat(place, follow_symlinks=follow or not path)
    except OSError:
        return Entry(path, DIR if is_folder else REG, mtime=1 << 40, on_device=_device(source)), False
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    mtime, mode = max(0, int(found.st_mtime)), stat.S_IMODE(found.st_mode)
    return Entry(path, kind, mode, mtime=mtime, size=found.st_size, on_device=found.st_dev), True


def _device(source: bytes) -> int:
    try:
        return os.stat(source).st_dev
    except OSError:
        return 0
