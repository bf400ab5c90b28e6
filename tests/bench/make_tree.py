#!/usr/bin/env python3
"""Generate a big tree for measurements: ``make_tree.py FOLDER COUNT [--bytes N]``.

COUNT entries, about a thousand a folder, small files with the path as their content, padded with bytes that do not
compress to N. The same arguments give the same tree.
"""

from __future__ import annotations

import argparse
import os
from random import Random

PER_FOLDER = 1000
WHEN = 1_600_000_000


def make_tree(root: str, count: int, size: int) -> None:
    """Make the tree; ``root`` must not exist."""
    random = Random(count)
    os.makedirs(root)
    folder = root
    for number in range(count - 1):
        if number % PER_FOLDER == 0:
            folder = os.path.join(root, f"{number // PER_FOLDER // 100:03d}", f"{number // PER_FOLDER:06d}")
            os.makedirs(folder)
            continue
        path = os.path.join(folder, f"file{number:08d}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, path[len(root) :].encode() + (random.randbytes(size) if size else b""))
        os.close(descriptor)
        os.utime(path, (WHEN + number, WHEN + number))


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate a big tree")
    parser.add_argument("folder")
    parser.add_argument("count", type=int)
    parser.add_argument("--bytes", type=int, default=0)
    options = parser.parse_args()
    make_tree(options.folder, options.count, options.bytes)


if __name__ == "__main__":
    main()
