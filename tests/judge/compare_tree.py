#!/usr/bin/env python3
"""Judge whether a folder is equal to another folder, or to a written description of one.

    compare_tree.py WANT FOUND [--no-owner] [--no-devices]
    compare_tree.py --describe FOLDER        (prints the description)

WANT is a folder or a description. Exit status 0: equal; 1: not equal, one line per difference; 2: cannot judge.

This program shares no code with Tarragon, runs as a process of its own, and knows about a backup only this
(docs/format.md § 3.4, 6.1, 7.3): sockets are not stored; times are whole seconds, the integer part of the time as a
double and never below 0; the mode and the time of a symbolic link are not restored; sparse files and hard links come
back as plain files.

A description has one line per entry, columns separated by tabs: path, type (reg dir sym fifo chr blk), mode (four
octal digits), uid, gid, mtime, size, SHA-256, and the target of a link or ``major,minor`` of a device. ``-`` is not
compared. Paths and targets are percent-encoded bytes; the root is ``.``. Lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

COLUMNS = ("type", "mode", "uid", "gid", "mtime", "size", "sha256", "target")
PLAIN = "".join(chr(byte) for byte in range(0x21, 0x7F) if chr(byte) not in "#%")


class Facts(NamedTuple):
    """What is compared of one entry; the fields in the order of a description's columns."""

    type: str
    mode: str
    uid: str
    gid: str
    mtime: str
    size: str
    sha256: str
    target: str


def type_of(mode: int) -> str:
    """The three- or four-letter word for the type in ``mode``; ``sock`` is known, but never stored."""
    words = {
        stat.S_IFREG: "reg",
        stat.S_IFDIR: "dir",
        stat.S_IFLNK: "sym",
        stat.S_IFIFO: "fifo",
        stat.S_IFCHR: "chr",
        stat.S_IFBLK: "blk",
        stat.S_IFSOCK: "sock",
    }
    return words.get(stat.S_IFMT(mode), "?")


def content_hash(path: bytes) -> str:
    """SHA-256 of a regular file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def facts(path: bytes) -> Facts:
    """Look at one entry, without following a link."""
    seen = os.lstat(path)
    kind = type_of(seen.st_mode)
    mode = f"{stat.S_IMODE(seen.st_mode):04o}"
    mtime = str(max(0, int(seen.st_mtime)))
    size = digest = target = "-"
    if kind == "reg":
        size, digest = str(seen.st_size), content_hash(path)
    elif kind == "sym":
        mode = mtime = "-"
        target = quote_from_bytes(os.readlink(path), safe=PLAIN)
    elif kind in ("chr", "blk"):
        target = f"{os.major(seen.st_rdev)},{os.minor(seen.st_rdev)}"
    return Facts(kind, mode, str(seen.st_uid), str(seen.st_gid), mtime, size, digest, target)


def entries(root: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every entry below ``root`` and ``root`` itself, as (name in the description, path on the disk)."""
    yield b".", root
    if stat.S_ISDIR(os.lstat(root).st_mode):
        waiting = [b""]
        while waiting:
            folder = waiting.pop()
            with os.scandir(os.path.join(root, folder)) as found:
                for item in found:
                    path = os.path.join(folder, item.name)
                    yield path, item.path
                    if item.is_dir(follow_symlinks=False):
                        waiting.append(path)


def look(root: bytes) -> dict[bytes, Facts]:
    """All entries of a folder with their facts, sockets left out."""
    found = {name: facts(path) for name, path in entries(root)}
    return {name: fact for name, fact in found.items() if fact.type != "sock"}


def load(path: bytes) -> dict[bytes, Facts]:
    """Read a description."""
    wanted = {}
    with open(path, "rb") as file:
        for line in file.read().decode("ascii").split("\n"):
            if line and not line.startswith("#"):
                name, *columns = line.split("\t")
                wanted[unquote_to_bytes(name)] = Facts(*columns)
    return wanted


def differences(want: dict[bytes, Facts], found: dict[bytes, Facts], skipped: frozenset[str]) -> Iterator[str]:
    """One line per difference; ``skipped`` names columns that are not compared."""
    for name in sorted(want.keys() | found.keys()):
        shown = quote_from_bytes(name, safe=PLAIN)
        if name not in found:
            yield f"missing: {shown} ({want[name].type})"
        elif name not in want:
            yield f"extra: {shown} ({found[name].type})"
        else:
            yield from (f"{shown}: {text}" for text in unequal(want[name], found[name], skipped))


def unequal(want: Facts, found: Facts, skipped: frozenset[str]) -> Iterator[str]:
    """The columns of one entry that differ."""
    for column, expected, actual in zip(COLUMNS, want, found, strict=True):
        if column in skipped or "-" in (expected, actual):
            continue
        if unquote_to_bytes(expected) != unquote_to_bytes(actual):
            yield f"{column} is {actual}, expected {expected}"


def describe(root: bytes) -> None:
    """Print the description of a folder."""
    sys.stdout.write("#path\t" + "\t".join(COLUMNS) + "\n")
    for name, fact in sorted(look(root).items()):
        sys.stdout.write(quote_from_bytes(name, safe=PLAIN) + "\t" + "\t".join(fact) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Are two trees equal?")
    parser.add_argument("--describe", action="store_true", help="print the description of one folder")
    parser.add_argument("--no-owner", action="store_true", help="do not compare owner and group")
    parser.add_argument("--no-devices", action="store_true", help="leave device nodes out")
    parser.add_argument("trees", nargs="+")
    options = parser.parse_args()
    if options.describe:
        describe(os.fsencode(options.trees[0]))
        return 0
    want_path, found_path = (os.fsencode(tree) for tree in options.trees)
    want = load(want_path) if want_path.endswith(b".tsv") else look(want_path)
    found = look(found_path)
    if options.no_devices:
        want, found = ({n: f for n, f in side.items() if f.type not in ("chr", "blk")} for side in (want, found))
    lines = list(differences(want, found, frozenset(("uid", "gid") if options.no_owner else ())))
    for line in lines:
        print(line)
    print(f"{len(want)} entries, {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as err:
        print(f"cannot judge: {err}")
        sys.exit(2)
