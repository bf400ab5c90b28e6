"""What the file system says of a thing → Entry. The only place that turns a stat into what we store."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SOCK, SYM, Entry

if TYPE_CHECKING:
    from tarragon.owners import Owners

_KIND = {
    stat.S_IFREG: REG,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYM,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHR,
    stat.S_IFBLK: BLK,
    stat.S_IFSOCK: SOCK,
}


def entry_of(path: bytes, st: os.stat_result, owners: Owners, target: bytes = b"") -> Entry:
    """The Entry of a thing. Seconds are the integer part of the time as a double, never negative (format § 6.1)."""
    mode = st.st_mode
    kind = _KIND.get(stat.S_IFMT(mode), SOCK)
    device = (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in (CHR, BLK) else (0, 0)
    return Entry(
        path,
        kind,
        stat.S_IMODE(mode),
        st.st_uid,
        st.st_gid,
        owners.uname(st.st_uid),
        owners.gname(st.st_gid),
        max(0, int(st.st_mtime)),
        st.st_size,
        target,
        device,
        st.st_dev,
    )
