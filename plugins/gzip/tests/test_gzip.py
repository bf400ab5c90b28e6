from __future__ import annotations

import gzip
import io
import pickle
import random
import subprocess
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tarragon.api import BadOption, Malformed
from tarragon_gzip import plugin
from tarragon_gzip.codec import MEMBER, Gzip

MIXED = random.Random(1).randbytes(700_000) + b"tarragon " * 300_000


@pytest.fixture(params=["with deflate and isal", "zlib alone"], autouse=True)
def libraries(request, monkeypatch):
    if request.param == "zlib alone":
        monkeypatch.setitem(sys.modules, "deflate", None)
        monkeypatch.setitem(sys.modules, "isal", None)
    return request.param


def packed(data, level=6):
    into = io.BytesIO()
    with Gzip(level).packing(into) as stream:
        stream.write(data)
    return into.getvalue()


def unpacked(data):
    with Gzip().unpacking(io.BytesIO(data)) as stream:
        return stream.read()


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 1000, MIXED], ids=len)
def test_the_gzip_program_reads_what_we_write(data):
    run = subprocess.run(["gzip", "-dc"], input=packed(data), capture_output=True)
    assert (run.returncode, run.stderr, run.stdout == data) == (0, b"", True)


@pytest.mark.parametrize("data", [b"", b"x", MIXED], ids=len)
@pytest.mark.parametrize("flag", ["-1n", "-9"])
def test_we_read_what_the_gzip_program_writes(data, flag):
    assert unpacked(subprocess.run(["gzip", "-c", flag], input=data, stdout=subprocess.PIPE).stdout) == data


def test_every_member_begins_as_duplicity_writes_it_without_name_and_time():
    stream = packed(b"y" * (MEMBER + 1))
    second = stream.index(b"\x1f\x8b", 1)
    assert stream[:10] == stream[second : second + 10] == bytes.fromhex("1f8b08000000000000ff")
    assert gzip.decompress(stream[second:]) == b"y"


def test_flush_ends_the_member_so_that_sizes_can_be_measured():
    into = io.BytesIO()
    stream = Gzip().packing(into)
    stream.write(b"abc")
    assert into.tell() == 0
    stream.flush()
    assert gzip.decompress(into.getvalue()) == b"abc"
    stream.flush()
    size = into.tell()
    stream.close()
    assert into.tell() == size


def test_closing_leaves_the_inner_file_open():
    into = io.BytesIO()
    Gzip().packing(into).close()
    into.seek(0)
    Gzip().unpacking(into).close()
    assert not into.closed


def test_several_members_empty_ones_and_zero_padding_are_one_stream():
    parts = gzip.compress(b"one"), gzip.compress(b""), gzip.compress(b"two"), b"\0" * 200_000
    assert unpacked(b"".join(parts)) == b"onetwo"


def test_a_header_with_name_comment_extra_and_checksum_is_read():
    header = b"\x1f\x8b\x08\x1e" + b"\0\0\0\0" + b"\x02\x03" + b"\x04\x00abcd" + b"name\0" + b"note\0"
    body = gzip.compress(b"data")[10:]
    assert unpacked(header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + body) == b"data"


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"garbage", b"\x1f", b"\x1f\x8b\x07\0" + b"\0" * 9])
def test_what_is_no_gzip_is_malformed(data):
    with pytest.raises(Malformed):
        unpacked(data)


@pytest.mark.requirement("R40")
def test_a_stream_cut_within_a_member_is_malformed():
    first, second = gzip.compress(bytes(range(40))), packed(b"second")
    for cut in range(len(first + second)):
        if cut != len(first):  # between two members only the volume's hash tells
            with pytest.raises(Malformed):
                unpacked((first + second)[:cut])


@pytest.mark.requirement("R40")
def test_a_flipped_bit_never_gives_other_bytes():
    data = b"some text, some text, and some more " * 3
    stream = packed(data)
    for bit in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert unpacked(bytes(flipped)) == data, bit  # time, level and system in the header carry nothing
        except Malformed:
            continue


@pytest.mark.requirement("R40")
def test_trailing_garbage_is_malformed():
    with pytest.raises(Malformed):
        unpacked(gzip.compress(b"a") + b"garbage")


@pytest.mark.requirement("R40")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), max_size=4), st.integers(0, 500))
def test_any_input_gives_bytes_or_malformed(edits, cut):
    stream = bytearray(gzip.compress(bytes(range(200))) + packed(b"second" * 20))
    for at, piece in edits:
        stream[at : at + 1] = piece
    try:
        assert len(unpacked(bytes(stream[:cut]))) <= 2000 * len(stream)
    except Malformed:
        pass


@pytest.mark.requirement("R42")
def test_reading_expands_no_more_than_was_asked_for():
    stream = Gzip().unpacking(io.BytesIO(gzip.compress(bytes(1 << 25))))
    tracemalloc.start()
    assert stream.read(1000) == bytes(1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_large_and_tiny_writes_give_the_same_bytes():
    into = io.BytesIO()
    with Gzip().packing(into) as stream:
        for start in range(0, len(MIXED), 30_011):
            assert stream.write(MIXED[start : start + 30_011]) > 0
    assert into.getvalue() == packed(MIXED)


def test_levels_are_1_to_9_and_6_unless_chosen():
    assert [plugin.make_compressor("gz", level, None).level for level in (None, 1, 9)] == [6, 1, 9]
    assert len(packed(MIXED, 9)) <= len(packed(MIXED, 1))
    for level in (0, 10):
        with pytest.raises(BadOption):
            plugin.make_compressor("gzip", level, None)


def test_it_answers_to_its_name_and_suffixes_only():
    assert [bool(plugin.make_compressor(name, None, None)) for name in ("gzip", "gz", "z", "zst")] == [1, 1, 1, 0]


def test_it_travels_to_workers():
    assert pickle.loads(pickle.dumps(Gzip(3))).level == 3
