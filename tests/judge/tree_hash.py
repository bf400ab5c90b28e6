#!/usr/bin/env python3
"""Print one hash over everything in a folder: names, types, modes, owners, times to the nanosecond, contents.

    tree_hash.py FOLDER...

Two equal lines before and after a run prove that the run changed nothing there. Access times are not part of it.
Shares no code with Tarragon.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys


def entry_line(path: bytes, name: bytes) -> bytes:
    """All that can change about one entry, as one line."""
    seen = os.lstat(path)
    body = b""
    if stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            body = hashlib.file_digest(file, "sha256").hexdigest().encode()
    elif stat.S_ISLNK(seen.st_mode):
        body = os.readlink(path)
    numbers = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_rdev, seen.st_nlink, seen.st_mtime_ns, seen.st_ctime_ns)
    return repr((name, numbers, body)).encode()


def tree_hash(root: bytes) -> str:
    """The hash of one tree; a folder that is not there has the hash of nothing."""
    total = hashlib.sha256()
    if os.path.lexists(root):
        total.update(entry_line(root, b"."))
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                total.update(entry_line(path, os.path.relpath(path, root)))
    return total.hexdigest()


if __name__ == "__main__":
    for tree in sys.argv[1:]:
        print(tree_hash(os.fsencode(tree)), tree)
