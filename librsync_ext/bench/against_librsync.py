"""Measure this package against librsync's own library, in the same process and run.

    python bench/against_librsync.py [--sizes 100000000] [--best 5] [--block-lens 2048] [--paths avx2,avx512]

CPU seconds of this process (other load on the machine moves them less than wall time), best of several, as MB (10^6)
of new content per second. librsync's delta + signature is the sum of its two jobs, because it cannot do both in one.
Each of our deltas is applied and compared before it counts. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import librsync_oracle as oracle
import tarragon_librsync as ours
from tarragon_librsync._kernel import lib


def best(job: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The least CPU seconds of several runs, and what the last one returned."""
    least, result = float("inf"), None
    for _ in range(times):
        result = None
        start = time.process_time()
        result = job()
        least = min(least, time.process_time() - start)
    return least, result


def changes(old: bytes) -> Iterator[tuple[str, bytes]]:
    """The kinds of new content: unchanged, 1 % in place (4 KiB runs), 1 % inserted, nothing in common."""
    yield "0 %", old
    every = 409_600
    new = bytearray(old)
    for at in range(100_000, len(new) - 4096, every):
        at -= at % 4096
        new[at : at + 4096] = os.urandom(4096)
    yield "1 % in place", bytes(new)
    pieces = []
    for at in range(0, len(old), every):
        pieces += [old[at : at + every], os.urandom(4001)]
    yield "1 % inserted", b"".join(pieces)
    yield "100 %", os.urandom(len(old))


def pieces(job: Any, data: bytes) -> Iterator[memoryview]:
    view, size = memoryview(data), job.read_size
    for at in range(0, len(data), size):
        yield view[at : at + size]


def our_signature(data: bytes, block_len: int) -> bytes:
    job = ours.Signer(block_len)
    return b"".join([*(job.update(piece) for piece in pieces(job, data)), job.finish()])


def our_delta(sums: bytes, data: bytes, block_len: int) -> Iterator[tuple[bytes, bytes]]:
    """Pieces of the delta and of the new signature; parsing the old one counts, as it does for librsync."""
    job = ours.Delta(ours.Signature(sums), sign_block_len=block_len)
    for piece in pieces(job, data):
        yield job.update(piece), job.signature
    yield job.finish(), job.signature


def our_delta_size(sums: bytes, data: bytes, block_len: int) -> int:
    """The pieces go away at once, as they do in a backup: memory for a whole delta would be measured otherwise."""
    return sum(len(made) for made, _ in our_delta(sums, data, block_len))


def their_delta_size(sums: bytes, data: bytes) -> int:
    return sum(map(len, oracle.delta_pieces(sums, data)))


def is_right(old: bytes, sums: bytes, new: bytes, block_len: int, new_sums: bytes) -> bool:
    found, at = [], 0

    def commands() -> Iterator[bytes]:
        for made, signed in our_delta(sums, new, block_len):
            found.append(signed)
            yield made

    for chunk in ours.patch(io.BytesIO(old), commands()):
        if chunk != new[at : at + len(chunk)]:
            return False
        at += len(chunk)
    return at == len(new) and b"".join(found) == new_sums


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown CPU"
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {key.strip(): value.strip() for key, value in facts.items()}
    return f"{names.get('model name')} (family {names.get('cpu family')}, model {names.get('model')})"


def row(what: str, size: int, block_len: int, theirs: float, mine: list[float], sizes: str) -> None:
    cells = [f"{size / theirs / 1e6:.0f}"]
    cells += [f"{size / seconds / 1e6:.0f} ({theirs / seconds:.1f}x)" for seconds in mine]
    print(f"| {what} | {size / 1e6:.0f} | {block_len} | {' | '.join(cells)} | {sizes} |", flush=True)


def measure(size: int, block_len: int, paths: list[str], times: int, slow_times: int) -> None:
    old = os.urandom(size)
    theirs, expected = best(lambda: oracle.signature(old, block_len), times)
    mine = []
    for path in paths:
        lib.tl_select(path.encode())
        seconds, sums = best(lambda: our_signature(old, block_len), times)
        assert sums == expected
        mine.append(seconds)
    row("signature", size, block_len, theirs, mine, "equal")
    for kind, new in changes(old):
        sign_seconds, new_sums = best(lambda new=new: oracle.signature(new, block_len), times)
        turns = slow_times if kind == "100 %" else times
        theirs, their_size = best(lambda new=new: their_delta_size(expected, new), turns)
        mine, ratios = [], []
        for path in paths:
            lib.tl_select(path.encode())
            seconds, size_here = best(lambda new=new: our_delta_size(expected, new, block_len), times)
            assert is_right(old, expected, new, block_len, new_sums)
            mine.append(seconds)
            ratios.append(size_here)
        size_text = f"{their_size} / {', '.join(map(str, dict.fromkeys(ratios)))}"
        row(f"delta + signature, {kind}", len(new), block_len, theirs + sign_seconds, mine, size_text)


def small_files(paths: list[str], times: int) -> None:
    buffers = [os.urandom(3000 + number % 150) for number in range(10_000)]
    size, lens = sum(map(len, buffers)), [512] * len(buffers)
    theirs, expected = best(lambda: [oracle.signature(data, 512) for data in buffers], times)
    single, batch = [], []
    for path in paths:
        lib.tl_select(path.encode())
        seconds, found = best(lambda: [our_signature(data, 512) for data in buffers], times)
        assert found == expected
        single.append(seconds)
        seconds, found = best(lambda: ours.signatures(buffers, lens), times)
        assert found == expected
        batch.append(seconds)
    row("10,000 files of 3 KB, single calls", size, 512, theirs, single, "equal")
    row("10,000 files of 3 KB, one batch", size, 512, theirs, batch, "equal")
    for path, one, many in zip(paths, single, batch, strict=True):
        print(f"batch against single calls, {path}: {one / many:.1f}x ({many / len(buffers) * 1e6:.2f} us per file)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000000,1073741824")
    parser.add_argument("--best", type=int, default=5)
    parser.add_argument("--best-slow", type=int, default=5, help="runs of librsync's delta of wholly changed content")
    parser.add_argument("--block-lens", help="default: 512, 2048 and the one of duplicity's rule")
    parser.add_argument("--paths", default="avx2,avx512")
    arguments = parser.parse_args()
    paths = [path for path in arguments.paths.split(",") if lib.tl_select(path.encode()) == 0]
    print(f"{cpu()}, best of {arguments.best}, MB per CPU second\n")
    print("| job | MB | block | librsync | " + " | ".join(paths) + " | delta bytes, librsync's / ours |")
    print("|---|---|---|---|" + "---|" * len(paths) + "---|", flush=True)
    for size in map(int, arguments.sizes.split(",")):
        wanted = arguments.block_lens or f"512,2048,{ours.block_length(size)}"
        for block_len in sorted(set(map(int, wanted.split(",")))):
            measure(size, block_len, paths, arguments.best, arguments.best_slow)
    small_files(paths, arguments.best)


if __name__ == "__main__":
    main()
