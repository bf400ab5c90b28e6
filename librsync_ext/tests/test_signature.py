"""Signatures are librsync's, byte for byte."""

from __future__ import annotations

import io
import random

import librsync_oracle as oracle
import pytest
import tarragon_librsync
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon_librsync.blocks import MAX_BLOCK_LEN

needs_oracle = pytest.mark.skipif(not oracle.AVAILABLE, reason="librsync's shared library is not installed")


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_the_examples_of_the_format_description_come_out(rsync):
    assert rsync.signature(b"hello\n", 512).hex() == "7273013600000200000000080ad002d863481c78ae04c201"
    assert rsync.signature(b"", 512).hex() == "727301360000020000000008"


@needs_oracle
@pytest.mark.parametrize("block_len", [1, 2, 55, 56, 63, 64, 65, 119, 120, 127, 128, 512, 700, 1024, 2048, 4097])
def test_sizes_around_every_boundary_equal_librsync(rsync, block_len):
    lanes = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65] if not rsync.slow else [1, 3]
    for blocks in lanes:
        for size in {blocks * block_len + off for off in (-1, 0, 1)}:
            data = content(size)
            assert oracle.signature(data, block_len) == rsync.signature(data, block_len), (size, block_len)


@needs_oracle
@settings(max_examples=60)
@given(
    size=st.integers(0, 300_000),
    block_len=st.integers(1, 65_536),
    strong_len=st.integers(1, 16),
    cut=st.integers(1, 100_000),
    seed=st.integers(0, 9),
)
def test_any_length_cut_and_sum_equal_librsync(rsync, size, block_len, strong_len, cut, seed):
    if rsync.slow:
        size = size % 3000
    block_len = block_len if size // block_len < 20_000 else 512
    data = content(size, seed)
    assert oracle.signature(data, block_len, strong_len) == rsync.signature(data, block_len, strong_len, cut)


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x80"])
@needs_oracle
def test_extreme_bytes_do_not_overflow_any_lane(rsync, fill):
    for block_len in (64, 512, 65_536):
        data = fill * (4 * block_len + 5 if not rsync.slow else 700)
        assert oracle.signature(data, block_len) == rsync.signature(data, block_len)


def test_parts_without_header_join_to_the_whole(rsync):
    data = content(5000)
    first, second = rsync.Signer(512), rsync.Signer(512, header=False)
    joined = first.update(data[:1024]) + first.finish() + second.update(data[1024:]) + second.finish()
    assert rsync.signature(data, 512) == joined


def test_any_bytes_like_is_taken(rsync):
    data = content(3000)
    for given_ in (bytearray(data), memoryview(data), memoryview(data).cast("I")):
        assert rsync.signature(data, 512) == rsync.Signer(512).update(given_) + _rest(rsync, given_)


def _rest(rsync, data) -> bytes:
    signer = rsync.Signer(512)
    first = signer.update(data)
    return (first + signer.finish())[len(first) :]


def _compared(rsync, signature: bytes, pieces: list[bytes]) -> bool:
    comparison = tarragon_librsync.Comparison(signature, rsync.Signer, rsync.signatures)
    for piece in pieces:
        comparison.update(piece)
    return comparison.fits()


@settings(max_examples=60)
@given(
    size=st.integers(0, 5000),
    block_len=st.integers(1, 3000),
    strong_len=st.sampled_from([1, 8, 16]),
    cut=st.integers(1, 6000),
    at=st.integers(0, 5000),
)
def test_content_is_compared_with_a_signature_however_it_comes(rsync, size, block_len, strong_len, cut, at):
    data = content(size)
    pieces = [data[begin : begin + cut] for begin in range(0, size, cut)]
    signature = rsync.signature(data, block_len, strong_len)
    assert _compared(rsync, signature, pieces)
    assert _compared(rsync, signature, [b"", *pieces, b""])
    assert not _compared(rsync, signature, [*pieces, b"x"])
    assert not _compared(rsync, signature + signature[12:24] + b"12", pieces)
    if size:
        assert not _compared(rsync, signature, [data[:-1]])
        wrong = bytearray(data)
        wrong[at % size] ^= 1
        assert not _compared(rsync, signature, [bytes(wrong)])
        assert not _compared(rsync, signature[:-1], pieces)


@pytest.mark.parametrize(
    "signature",
    [b"", b"rs\1\x36", b"rs\1\x37" + b"\0\0\2\0" + b"\0\0\0\x08", b"rs\1\x36" + bytes(8)],
    ids=["empty", "short", "other sums", "lengths of 0"],
)
def test_nothing_is_compared_with_what_is_no_signature(signature):
    with pytest.raises(tarragon_librsync.BadSignature):
        tarragon_librsync.comparison(signature)


@pytest.mark.skipif(tarragon_librsync.KERNEL == "python", reason="without the kernel there is one limit")
def test_kernel_and_package_know_one_greatest_block_length():
    from tarragon_librsync._kernel import lib

    assert lib.tl_max_block_len() == MAX_BLOCK_LEN


def test_the_batch_gives_what_single_calls_give(rsync):
    rng = random.Random(4)
    sizes = [0, 1, 511, 512, 513, 3000] + [rng.randrange(0, 6000) for _ in range(300 if not rsync.slow else 3)]
    buffers = [content(size, size) for size in sizes]
    lens = [rng.choice([512, 512, 512, 1024, 700, 64]) for _ in sizes]
    expected = [rsync.signature(data, block_len) for data, block_len in zip(buffers, lens, strict=True)]
    assert expected == rsync.signatures(buffers, lens)


@pytest.mark.parametrize("block_len, strong_len", [(0, 8), (-1, 8), (1 << 27, 8), (512, 0), (512, 17)])
def test_impossible_lengths_are_refused(rsync, block_len, strong_len):
    with pytest.raises(ValueError):
        rsync.Signer(block_len, strong_len)


def test_nothing_follows_finish(rsync):
    signer = rsync.Signer(512)
    signer.finish()
    with pytest.raises(ValueError):
        signer.update(b"x")


@pytest.mark.parametrize(
    "size, length, limited",
    [
        (0, 512, 512),
        (263168, 512, 512),
        (263169, 1024, 1024),
        (1050624, 1024, 1024),
        (5_000_000, 2560, 2048),
        (20_000_000, 4608, 2048),
        (100_000_000, 10240, 2048),
    ],
)
def test_block_lengths_follow_the_rule_of_duplicity(size, length, limited):
    assert (length, limited) == (tarragon_librsync.block_length(size), tarragon_librsync.block_length(size, 2048))


def test_a_limit_is_rounded_up():
    assert tarragon_librsync.block_length(10**9, 513) == 1024


def test_a_stream_is_signed_in_pieces():
    data = content(3_000_000 if tarragon_librsync.KERNEL != "python" else 3000)
    sums = tarragon_librsync.Signer(2048)
    expected = sums.update(data) + sums.finish()
    assert expected == tarragon_librsync.signature(io.BytesIO(data), 2048)
