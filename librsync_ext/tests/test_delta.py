"""Deltas: any patcher makes the new content of ours, ours makes it of any librsync's, and they are as small."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor

import librsync_oracle as oracle
import pytest
import tarragon_librsync
from hypothesis import given, settings
from hypothesis import strategies as st

needs_oracle = pytest.mark.skipif(not oracle.AVAILABLE, reason="librsync's shared library is not installed")


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def edited(data: bytes, seed: int, edits: int) -> bytes:
    """``data`` after random edits: in place, insert, delete, move, repeat, truncate."""
    rng, new = random.Random(seed), bytearray(data)
    for _ in range(edits):
        at, size = rng.randrange(len(new) + 1), rng.choice([1, 5, 100, 512, 3000])
        kind = rng.randrange(6)
        if kind == 0:
            new[at : at + size] = rng.randbytes(min(size, len(new) - at))
        elif kind == 1:
            new[at:at] = rng.randbytes(size)
        elif kind == 2:
            del new[at : at + size]
        elif kind == 3:
            piece = new[at : at + size * 4]
            del new[at : at + size * 4]
            to = rng.randrange(len(new) + 1)
            new[to:to] = piece
        elif kind == 4:
            new[at:at] = new[at : at + size] * rng.randrange(1, 4)
        elif rng.random() < 0.2:
            del new[at:]
    return bytes(new)


def test_the_examples_of_the_format_description_come_out(rsync):
    old = b"unchanged file\n"
    sums = rsync.signature(old, 512)
    assert rsync.delta(sums, old).hex() == "7273023645000f00"
    assert rsync.delta(sums, b"").hex() == "7273023600"
    assert rsync.delta(sums, b"modified!") == bytes.fromhex("7273023609") + b"modified!\0"


@needs_oracle
@settings(max_examples=120)
@given(
    size=st.integers(0, 60_000),
    block_len=st.sampled_from([1, 7, 16, 64, 100, 512, 1024, 2048]),
    strong_len=st.sampled_from([4, 8, 16]),
    edits=st.integers(0, 6),
    seed=st.integers(0, 10_000),
    cut=st.sampled_from([0, 1, 1000, 70_000]),
    sign=st.sampled_from([None, 512, 1024, 700]),
    shift=st.integers(0, 9),
)
def test_both_patchers_make_the_new_content(rsync, size, block_len, strong_len, edits, seed, cut, sign, shift):
    if rsync.slow or block_len < 16:
        size %= 3000
    old = content(size, seed % 5)
    new = edited(old, seed, edits)
    sums = rsync.signature(old, block_len, strong_len)
    made = rsync.delta(sums, new, cut, sign_block_len=sign, offset=shift * 256)
    assert new == rsync.patch(io.BytesIO(old), [made])
    assert new == oracle.patch(old, made)


@needs_oracle
@settings(max_examples=60)
@given(
    size=st.integers(0, 60_000),
    block_len=st.sampled_from([16, 64, 512, 1024]),
    edits=st.integers(0, 8),
    seed=st.integers(0, 10_000),
)
def test_librsyncs_deltas_are_applied(rsync, size, block_len, edits, seed):
    old = content(size % (3000 if rsync.slow else 60_001), seed % 5)
    new = edited(old, seed, edits)
    made = oracle.delta(oracle.signature(old, block_len), new)
    assert new == rsync.patch(io.BytesIO(old), [made])


def repeating(size: int) -> bytes:
    """Blocks of a small alphabet in random order, shifted against any grid."""
    rng = random.Random(3)
    words = [rng.randbytes(rng.choice([512, 700, 2048, 3001])) for _ in range(12)]
    out = bytearray()
    while len(out) < size:
        out += rng.choice(words)
    return bytes(out[:size])


CORPORA = {
    "random": lambda: content(2_000_000),
    "text": lambda: " ".join(random.Random(5).choices(["alpha", "beta", "gamma", "rho"], k=400_000)).encode(),
    "repeating": lambda: repeating(2_000_000),
    "zeros": lambda: bytes(1_000_000) + content(500_000) + bytes(500_000),
}


@needs_oracle
@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("block_len", [512, 2048])
def test_deltas_are_as_small_as_librsyncs(rsync, corpus, block_len):
    if rsync.slow:
        pytest.skip("takes minutes in Python alone")
    old = CORPORA[corpus]()
    sums = rsync.signature(old, block_len)
    rng = random.Random(9)
    for edits in (0, 1, 20, 200):
        new = edited(old, rng.randrange(1000), edits)
        ours, theirs = rsync.delta(sums, new, sign_block_len=block_len), oracle.delta(sums, new)
        assert len(ours) <= len(theirs) * 1.01 + 16, (corpus, block_len, edits)
        assert new == rsync.patch(io.BytesIO(old), [ours])


@settings(max_examples=40)
@given(
    size=st.integers(0, 200_000),
    old_len=st.sampled_from([100, 512, 1024]),
    new_len=st.sampled_from([512, 1024]),
    cut=st.sampled_from([0, 999, 65_536, 100_000]),
    seed=st.integers(0, 100),
)
def test_the_new_signature_of_the_same_pass_is_that_of_the_content(rsync, size, old_len, new_len, cut, seed):
    old = content(size % (3000 if rsync.slow else 200_001), seed)
    new = edited(old, seed, 3)
    job = rsync.Delta(rsync.Signature(rsync.signature(old, old_len)), sign_block_len=new_len)
    sums = b""
    for at in range(0, len(new), cut or len(new) or 1):
        job.update(new[at : at + (cut or len(new))])
        sums += job.signature
    job.finish()
    assert rsync.signature(new, new_len) == sums + job.signature
    assert job.signature == b""


@settings(max_examples=40)
@given(size=st.integers(0, 200_000), parts=st.integers(1, 5), edits=st.integers(0, 5), seed=st.integers(0, 100))
def test_deltas_of_ranges_join_to_one_delta(rsync, size, parts, edits, seed):
    old = content(size % (3000 if rsync.slow else 200_001), seed)
    new = edited(old, seed, edits)
    parsed = rsync.Signature(rsync.signature(old, 512))
    step = max(1, len(new) // parts // 1024) * 1024
    starts = range(0, max(len(new), 1), step)
    joined = sums = b""
    for at in starts:
        job = rsync.Delta(
            parsed, sign_block_len=1024, header=at == 0, end=at == starts[-1], sign_header=at == 0, offset=at
        )
        joined += job.update(new[at : at + step]) + job.finish()
        sums += job.signature
    assert new == rsync.patch(io.BytesIO(old), [joined])
    assert rsync.signature(new, 1024) == sums


def test_one_signature_serves_several_threads(rsync):
    old = content(2000 if rsync.slow else 2_000_000)
    parsed = rsync.Signature(rsync.signature(old, 512))

    def one(seed: int) -> bool:
        new = edited(old, seed, 4)
        job = rsync.Delta(parsed, sign_block_len=512)
        return new == rsync.patch(io.BytesIO(old), [job.update(new) + job.finish()])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(12)))


def test_streams_and_iterators_work_end_to_end():
    old = content(3000 if tarragon_librsync.KERNEL == "python" else 3_000_000)
    new = edited(old, 7, 5)
    sums = tarragon_librsync.signature(io.BytesIO(old), 1024)
    both = tarragon_librsync.delta_and_signature(sums, io.BytesIO(new), 1536)
    made = b"".join(both)
    assert new == b"".join(tarragon_librsync.patch(io.BytesIO(old), io.BytesIO(made)))
    assert tarragon_librsync.signature(io.BytesIO(new), 1536) == both.signature
    alone = tarragon_librsync.delta(tarragon_librsync.Signature(sums), io.BytesIO(new))
    assert new == b"".join(tarragon_librsync.patch(io.BytesIO(old), alone))
