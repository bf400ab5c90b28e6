"""Any bytes as signature, delta or basis give a result or a typed error."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon_librsync import BadDelta, BadSignature, BasisMismatch, RsyncError

SIGNATURE = bytes.fromhex("727301360000020000000008")
DELTA = bytes.fromhex("72730236")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"rs",
        SIGNATURE[:-1],
        b"\0" * 12,
        SIGNATURE + b"x" * 11,
        SIGNATURE + b"x" * 13,
        bytes.fromhex("727301370000020000000008"),  # BLAKE2
        bytes.fromhex("727301360000000000000008"),
        bytes.fromhex("72730136ffffffff00000008"),
        bytes.fromhex("727301360000020000000000"),
        bytes.fromhex("727301360000020000000011"),
        bytes.fromhex("7273013600000200ffffffff"),
    ],
)
def test_what_is_no_signature_is_refused(rsync, data):
    with pytest.raises(BadSignature):
        rsync.Signature(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DELTA[:3],
        DELTA,
        b"\0\0\0\0\0",
        DELTA + b"\x05abc",
        DELTA + b"\x00x",
        DELTA + b"\x55\0",
        DELTA + b"\xff",
        DELTA + b"\x41\0\0",
        DELTA + b"\x45\0\0\0",
        DELTA + b"\x44\xff\xff\xff\xff\xff\xff\xff\xff" + b"x" * 100,
        DELTA + b"\x05abcde",
        DELTA + b"\x54" + b"\0" * 15,
    ],
)
def test_what_is_no_delta_is_refused(rsync, data):
    with pytest.raises(BadDelta):
        rsync.patch(io.BytesIO(b"0123456789"), [data])


@pytest.mark.parametrize(
    "copy",
    [
        b"\x45\x00\x0b",
        b"\x45\x0a\x01",
        b"\x54" + b"\xff" * 16,
        b"\x54" + b"\xff" * 8 + b"\0" * 7 + b"\x02",
        b"\x48\x00" + b"\x7f" + b"\xff" * 7,
    ],
)
def test_a_copy_outside_the_basis_is_refused(rsync, copy):
    with pytest.raises(BasisMismatch):
        rsync.patch(io.BytesIO(b"0123456789"), [DELTA + copy + b"\0"])


def test_a_basis_that_shrinks_is_noticed(rsync):
    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b""

    with pytest.raises(BasisMismatch):
        rsync.patch(Shrinking(b"0123456789"), [DELTA + b"\x45\x00\x0a\x00"])


def test_more_than_the_limit_is_refused(rsync):
    made = DELTA + b"\x45\x00\x0a" * 3 + b"\0"
    assert rsync.patch(io.BytesIO(b"0123456789"), [made], limit=30) == b"0123456789" * 3
    with pytest.raises(BadDelta):
        rsync.patch(io.BytesIO(b"0123456789"), [made], limit=29)


def test_a_huge_copy_is_never_held_in_one_piece(rsync):
    from tarragon_librsync import jobs

    basis = io.BytesIO(bytes(5_000_000))
    made = DELTA + b"\x4d" + (0).to_bytes(4, "big") + b"\x4c" + b"\0"
    made = DELTA + bytes([0x45 + 4 * 2 + 2]) + bytes(4) + (5_000_000).to_bytes(4, "big") + b"\0"
    sizes = [len(chunk) for chunk in jobs.patched(rsync.Commands(), basis, [made], None)]
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 1 << 20


CYCLES = """
import gc, io
import tarragon_librsync as t
gc.disable()
def fail(job):
    try:
        job()
    except (t.RsyncError, ValueError) as err:
        kept = err  # a cycle: the error knows this frame, this frame the error
for bad in (b"rs\\2\\x36\\x05abc\\xff", b"rs\\2\\x36\\x45\\0\\x7f\\0", b"rs\\2\\x36\\x03abc", b"bad!"):
    for data in (bad, memoryview(bad), memoryview(bytearray(bad))[0:]):
        fail(lambda: list(t.patch(io.BytesIO(b"0123456789"), [data])))
        fail(lambda: t.Signature(data))
        signer = t.Signer(512)
        signer.finish()
        fail(lambda: signer.update(data))
        fail(lambda: t.signatures([data, b""], [512]))
    gc.collect()
"""


def test_errors_that_wait_for_the_garbage_collector_do_not_crash_the_interpreter():
    """A memoryview lent to the kernel, cleared as part of a cycle, is a crash in CPython: nothing may stay lent."""
    done = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@settings(max_examples=300)
@given(tail=st.binary(max_size=200), cut=st.integers(1, 50), basis=st.binary(max_size=100))
def test_any_bytes_as_delta_end_well(rsync, tail, cut, basis):
    data = DELTA + tail
    try:
        rsync.patch(io.BytesIO(basis), [data[at : at + cut] for at in range(0, len(data), cut)], limit=10_000)
    except RsyncError:
        pass


@settings(max_examples=300)
@given(tail=st.binary(max_size=200), block_len=st.integers(0, 300), strong_len=st.integers(0, 17), new=st.binary())
def test_any_bytes_as_signature_end_well(rsync, tail, block_len, strong_len, new):
    data = SIGNATURE[:4] + block_len.to_bytes(4, "big") + strong_len.to_bytes(4, "big") + tail
    for whole in (data, data[: 12 + len(tail) // max(1, 4 + strong_len) * (4 + strong_len)]):
        try:
            rsync.delta(whole, new)
        except BadSignature:
            pass


def test_a_signature_made_to_collide_costs_no_quadratic_time(rsync):
    """All weak sums those of a block of zeros, all strong sums different: every position of zeros is a candidate."""
    if rsync.slow:
        pytest.skip("seconds matter only in the kernel")
    weak = rsync.signature(bytes(2048), 2048)[12:16]
    rng = random.Random(1)
    sums = bytes.fromhex("727301360000080000000008") + b"".join(weak + rng.randbytes(8) for _ in range(100_000))
    start = time.perf_counter()
    new = bytes(2_000_000)
    made = rsync.delta(sums, new)
    assert time.perf_counter() - start < 20
    assert new == rsync.patch(io.BytesIO(b""), [made])


def test_a_large_block_length_costs_memory_only_as_content_comes(rsync):
    sums = bytes.fromhex("72730136") + (64 << 20).to_bytes(4, "big") + bytes.fromhex("00000008") + bytes(12)
    assert rsync.patch(io.BytesIO(b""), [rsync.delta(sums, b"small")]) == b"small"
