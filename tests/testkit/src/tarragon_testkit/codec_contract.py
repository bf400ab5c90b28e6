"""The promises of compressors and ciphers, one function each; the name is the promise."""

from __future__ import annotations

import io
import os
import pickle
import random
import tempfile
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import Cipher, CipherError, Compressor, IntegrityError, Malformed, Role

from .harness import Contract, raises, same

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(3000))
NOISE = random.Random(5).randbytes(150_000)
SAMPLES = (b"", b"x", TEXT, NOISE, bytes(3 << 20))
_ROOM = 24 << 20


class CompressorHarness:
    """A compressor under test. What it writes has a grammar (``is_framed``) unless its suffix is empty."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor
        self.is_framed = bool(compressor.suffix)

    def packed(self, data: bytes) -> bytes:
        into = io.BytesIO()
        with closing(self.compressor.packing(into)) as stream:
            stream.write(data)
        return into.getvalue()

    def unpacked(self, data: bytes) -> bytes:
        with closing(self.compressor.unpacking(io.BytesIO(data))) as stream:
            return stream.read()


COMPRESSOR = Contract()
check = COMPRESSOR.check


def _is_suffix(suffix: str) -> bool:
    return suffix == "" or (suffix.startswith(".") and suffix[1:].isalnum() and suffix == suffix.lower())


@check()
def what_is_packed_comes_back(h: CompressorHarness) -> None:
    for data in SAMPLES:
        same(h.unpacked(h.packed(data)), data)


@check()
def many_small_writes_come_back(h: CompressorHarness) -> None:
    into = io.BytesIO()
    with closing(h.compressor.packing(into)) as stream:
        assert [stream.write(TEXT[at : at + 100]) for at in range(0, 5000, 100)] == [100] * 50
    same(h.unpacked(into.getvalue()), TEXT[:5000])


@check()
def memory_views_can_be_written(h: CompressorHarness) -> None:
    into = io.BytesIO()
    with closing(h.compressor.packing(into)) as stream:
        stream.write(memoryview(bytearray(TEXT)))
    same(h.unpacked(into.getvalue()), TEXT)


@check()
def a_flush_brings_out_what_was_held_back(h: CompressorHarness) -> None:
    into = io.BytesIO()
    with closing(h.compressor.packing(into)) as stream:
        stream.write(TEXT)
        stream.flush()
        with closing(h.compressor.unpacking(io.BytesIO(into.getvalue()))) as so_far:
            assert so_far.read(len(TEXT)) == TEXT
        stream.write(NOISE)
    same(h.unpacked(into.getvalue()), TEXT + NOISE)


@check()
def closing_leaves_the_inner_file_open(h: CompressorHarness) -> None:
    into = io.BytesIO()
    for stream in (h.compressor.packing(into), h.compressor.packing(into)):
        stream.close()
        stream.close()
    source = io.BytesIO(h.packed(b"x"))
    h.compressor.unpacking(source).close()
    assert not into.closed
    assert not source.closed


@check()
def reading_piece_by_piece_gives_the_same(h: CompressorHarness) -> None:
    with closing(h.compressor.unpacking(io.BytesIO(h.packed(TEXT)))) as stream:
        pieces = []
        while piece := stream.read(777):
            pieces.append(piece)
        assert stream.read(1) == b""
    same(b"".join(pieces), TEXT)
    assert max(map(len, pieces)) <= 777


@check()
def packing_needs_bounded_memory(h: CompressorHarness) -> None:
    def pack() -> None:
        with open(os.devnull, "wb") as into, closing(h.compressor.packing(into)) as stream:
            for _ in range(64):
                stream.write(bytes(1 << 20))

    assert _peak(pack) < _ROOM


@check()
def expanding_needs_bounded_memory(h: CompressorHarness) -> None:
    packed = io.BytesIO(h.packed(bytes(48 << 20)))

    def begin() -> None:
        with closing(h.compressor.unpacking(packed)) as stream:
            same(stream.read(1000), bytes(1000))

    assert _peak(begin) < _ROOM


def _peak(work: Callable[[], object]) -> int:
    """The most memory that Python allocated during ``work``."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@check()
def a_stream_that_is_cut_off_is_malformed(h: CompressorHarness) -> None:
    packed = h.packed(TEXT)
    for cut in (0, 1, 9, len(packed) // 2, len(packed) - 1) if h.is_framed else ():
        raises(Malformed, h.unpacked, packed[:cut])


@check()
def garbage_is_malformed(h: CompressorHarness) -> None:
    for garbage in (b"garbage" * 10, NOISE[:100], h.packed(b"x") + b"garbage") if h.is_framed else ():
        raises(Malformed, h.unpacked, garbage)


@check()
def a_flipped_bit_never_gives_other_bytes(h: CompressorHarness) -> None:
    data = TEXT[:300]
    packed = bytearray(h.packed(data))
    for bit in range(len(packed) * 8) if h.is_framed else ():
        packed[bit // 8] ^= 1 << bit % 8
        try:
            same(h.unpacked(bytes(packed)), data)
        except Malformed:
            pass
        packed[bit // 8] ^= 1 << bit % 8


@check()
def suffix_and_ratio_can_be_used(h: CompressorHarness) -> None:
    assert _is_suffix(h.compressor.suffix)
    assert 0 < h.compressor.ratio <= 1.1


@check()
def it_travels_to_workers(h: CompressorHarness) -> None:
    same(CompressorHarness(pickle.loads(pickle.dumps(h.compressor))).unpacked(h.packed(TEXT)), TEXT)


class CipherHarness:
    """A cipher under test: its streams work on real files."""

    def __init__(self, cipher: Cipher) -> None:
        self.cipher = cipher
        self.is_framed = bool(cipher.suffix)

    def sealed(self, data: bytes, role: Role = Role.VOLUME) -> bytes:
        with tempfile.TemporaryFile() as into:
            with closing(self.cipher.sealing(into, role)) as stream:
                stream.write(data)
            into.flush()
            into.seek(0)
            return into.read()

    def opened(self, data: bytes, role: Role = Role.VOLUME) -> bytes:
        with _real_file(data) as source, closing(self.cipher.opening(source, role)) as stream:
            return stream.read()


def _real_file(data: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()
    file.write(data)
    file.flush()
    file.seek(0)
    return file


CIPHER = Contract()
check = CIPHER.check


@check()
def what_is_sealed_can_be_opened(h: CipherHarness) -> None:
    for data in (b"", b"x", TEXT, NOISE):
        same(h.opened(h.sealed(data)), data)


@check()
def every_role_can_be_sealed_and_opened(h: CipherHarness) -> None:
    for role in Role:
        assert h.opened(h.sealed(b"role", role), role) == b"role"


@check()
def the_plain_text_is_not_in_what_is_sealed(h: CipherHarness) -> None:
    assert not h.is_framed or NOISE[1000:1032] not in h.sealed(NOISE)


@check()
def sealing_the_same_twice_gives_different_bytes(h: CipherHarness) -> None:
    assert not h.is_framed or h.sealed(TEXT) != h.sealed(TEXT)


@check()
def a_message_that_is_cut_off_is_refused(h: CipherHarness) -> None:
    sealed = h.sealed(NOISE)
    for cut in (0, 1, len(sealed) // 2, len(sealed) - 1) if h.is_framed else ():
        raises((CipherError, IntegrityError), h.opened, sealed[:cut])


@check()
def a_flipped_bit_is_refused(h: CipherHarness) -> None:
    sealed = bytearray(h.sealed(NOISE))
    for at in (len(sealed) // 3, len(sealed) // 2, len(sealed) - 3) if h.is_framed else ():
        sealed[at] ^= 4
        raises((CipherError, IntegrityError), h.opened, bytes(sealed))
        sealed[at] ^= 4


@check()
def a_message_that_is_not_read_to_its_end_is_judged_all_the_same(h: CipherHarness) -> None:
    sealed = bytearray(h.sealed(NOISE))
    sealed[len(sealed) // 2] ^= 4

    def peek() -> None:
        with _real_file(bytes(sealed)) as source, closing(h.cipher.opening(source, Role.VOLUME)) as stream:
            stream.read(1)

    if h.is_framed:
        raises((CipherError, IntegrityError), peek)


@check()
def the_inner_file_stays_open(h: CipherHarness) -> None:
    with tempfile.TemporaryFile() as into:
        h.cipher.sealing(into, Role.VOLUME).close()
        assert not into.closed
        into.seek(0)
        h.cipher.opening(into, Role.VOLUME).close()
        assert not into.closed


@check()
def its_suffix_and_ratio_can_be_used(h: CipherHarness) -> None:
    assert _is_suffix(h.cipher.suffix)
    assert 0 < h.cipher.ratio <= 2


@check()
def a_copy_of_it_opens_what_it_sealed(h: CipherHarness) -> None:
    same(CipherHarness(pickle.loads(pickle.dumps(h.cipher))).opened(h.sealed(TEXT)), TEXT)
