"""Block lengths: how finely a file of some size is signed, and what a signature of blocks begins with."""

from __future__ import annotations

from math import isqrt

SIGNATURE_MAGIC = bytes.fromhex("72730136")  # MD4 and rolling sums (docs/format.md § 5.1)
STEP = 512
MAX_BLOCK_LEN = 64 << 20  # the rule below reaches it at 4 PiB; in a signature, more is an attack on memory


def block_length(size: int, limit: int = 0) -> int:
    """The block length for a file of ``size`` bytes by duplicity 3.2.1's rule (docs/format.md § 5.2).

    The root of the size, rounded up to a multiple of 512, at least 512; at most ``limit`` rounded up likewise, if
    that is not 0, and never more than 64 MiB.
    """
    length = max(STEP, _rounded(isqrt(max(size, 0))))
    if limit > 0:
        length = min(length, _rounded(limit))
    return min(length, MAX_BLOCK_LEN)


def check_lengths(block_len: int, strong_len: int) -> None:
    """Raise ValueError for lengths no signature can have."""
    if not 0 < block_len <= MAX_BLOCK_LEN:
        raise ValueError(f"block length {block_len} is out of range")
    if not 0 < strong_len <= 16:
        raise ValueError(f"strong sum length {strong_len} is out of range")


def _rounded(length: int) -> int:
    return -(-length // STEP) * STEP
