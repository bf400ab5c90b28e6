"""Large files: sparse ones (2 GiB, or TARRAGON_LARGE_GIB), over 2^20 blocks; memory does not grow with them."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path
from typing import BinaryIO

import pytest
import tarragon_librsync

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(tarragon_librsync.KERNEL == "python", reason="takes hours in Python alone"),
]
GIB = 1 << 30


def sparse(path: Path, size: int, seed: int) -> Path:
    """A file of ``size`` bytes, mostly holes, with some content at random places."""
    rng = random.Random(seed)
    with path.open("wb") as out:
        out.truncate(size)
        for _ in range(40):
            out.seek(rng.randrange(size - 100_000))
            out.write(rng.randbytes(100_000))
        out.truncate(size)
    return path


def same(made: object, stream: BinaryIO) -> bool:
    return all(chunk == stream.read(len(chunk)) for chunk in made) and not stream.read(1)  # type: ignore[attr-defined]


def test_a_large_sparse_file_comes_back(tmp_path):
    size = int(os.environ.get("TARRAGON_LARGE_GIB", "2")) * GIB
    old, new = sparse(tmp_path / "old", size, 1), sparse(tmp_path / "new", size + 12345, 1)
    with new.open("r+b") as out:
        out.seek(size // 3 + 7)
        out.write(os.urandom(300_000))
    block_len = tarragon_librsync.block_length(size)
    with old.open("rb") as basis, new.open("rb") as content, new.open("rb") as again:
        sums = tarragon_librsync.signature(basis, block_len)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        made = b"".join(tarragon_librsync.delta(sums, content))
        assert same(tarragon_librsync.patch(basis, [made]), again)
    assert len(made) < 10_000_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, "KiB more than before, for GiBs of content"


def test_more_than_a_million_blocks_are_told_apart(tmp_path):
    size = (1 << 20) * 512 + 100_000_000
    old = tmp_path / "old"
    old.write_bytes(os.urandom(size))
    with old.open("rb") as basis:
        sums = tarragon_librsync.signature(basis, 512)
        basis.seek(0)
        data = basis.read()
        new = data[size // 2 + 77 :] + b"moved" + data[: size // 2]
        parsed = tarragon_librsync.Signature(sums)
        assert parsed.blocks > 1 << 20
        job = tarragon_librsync.Delta(parsed)
        made = [job.update(new), job.finish()]
        assert sum(map(len, made)) < 5000
        at = 0
        for chunk in tarragon_librsync.patch(basis, made):
            assert chunk == new[at : at + len(chunk)]
            at += len(chunk)
        assert at == len(new)
