"""Compare signatures with librsync's over real files, on every instruction path, and deltas between them.

    python bench/real_files.py [--bytes 5000000000] folder...

Each file is signed with duplicity's block length for its size (docs/format.md § 5.2) and with 512; then the delta of
the next file against this one's signature is applied and compared. Stops after so many bytes; prints the count of
files, bytes and differences. Exit status 1 if there is a difference.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import librsync_oracle as oracle
import tarragon_librsync as ours
from tarragon_librsync._kernel import lib


def contents(folders: list[str], most: int) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                try:
                    if path.is_symlink() or not path.is_file() or path.stat().st_size > most:
                        continue
                    yield str(path), path.read_bytes()
                except OSError:
                    continue


def differences(name: str, data: bytes, before: bytes, paths: list[str]) -> int:
    found, rule = 0, ours.block_length(len(data))
    for block_len in {512, rule}:
        expected = oracle.signature(data, block_len)
        sums = oracle.signature(before, block_len)
        for path in paths:
            lib.tl_select(path.encode())
            if ours.signature(io.BytesIO(data), block_len) != expected:
                print(f"{path}: signature of {name} differs with blocks of {block_len}")
                found += 1
            both = ours.delta_and_signature(sums, io.BytesIO(data), rule)
            if b"".join(ours.patch(io.BytesIO(before), both)) != data:
                print(f"{path}: delta of {name} differs with blocks of {block_len}")
                found += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=5_000_000_000)
    parser.add_argument("--most", type=int, default=300_000_000, help="leave out larger files")
    parser.add_argument("folder", nargs="+")
    arguments = parser.parse_args()
    paths = [path for path in ("scalar", "avx2", "avx512", "neon") if lib.tl_select(path.encode()) == 0]
    files = size = found = 0
    before = b""
    for name, data in contents(arguments.folder, arguments.most):
        found += differences(name, data, before, paths)
        files, size, before = files + 1, size + len(data), data
        if size >= arguments.bytes:
            break
    print(f"{files} files, {size} bytes, paths {', '.join(paths)}: {found} differences")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
