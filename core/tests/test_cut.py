"""Volumes: closed between entries, never much beyond their size, never none (docs/format.md § 8.1)."""

from __future__ import annotations

import hashlib
import io
import os
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon import tar
from tarragon.api import Cipher, Compressor
from tarragon.api.backend import Role
from tarragon.api.errors import ValidationFailed
from tarragon.block import Block
from tarragon.temp import TempFolder
from tarragon.volume.cut import cut
from tarragon.volume.seal import RESERVE, Sealer, digests

MIB = 1 << 20


class _Packer:
    def __init__(self, into):
        self.into, self.packer = into, zlib.compressobj(1)

    def write(self, data):
        return self.into.write(self.packer.compress(data))

    def flush(self):
        self.into.write(self.packer.flush(zlib.Z_SYNC_FLUSH))
        self.into.flush()

    def close(self):
        self.into.write(self.packer.flush())
        self.into.flush()


class Zlib(Compressor):
    suffix = ".zlib"
    ratio = 0.5

    def packing(self, into):
        return _Packer(into)

    def unpacking(self, source):
        return io.BytesIO(zlib.decompress(source.read()))


class Faulty(Zlib):
    """Fails when the stream is ended."""

    def packing(self, into):
        made = _Packer(into)

        def close():
            raise OSError(28, "No space left on device")

        made.close = close
        return made


class Packing(Cipher):
    suffix = ".lock"
    packs = True

    def sealing(self, into, role):
        return _Packer(into)

    def opening(self, source, role):
        raise NotImplementedError


@pytest.fixture
def temp(tmp_path):
    with TempFolder(tmp_path) as folder:
        yield folder


def noise(size):
    return random.Random(size).randbytes(size)


def blocks_of(sizes, data=noise):
    return [Block(data(size), b"p%d" % number, number) for number, size in enumerate(sizes)]


sizes = st.lists(st.sampled_from([512, 66000, 66560]), max_size=60)


@settings(max_examples=40, deadline=None)
@given(sizes, st.sampled_from([None, Zlib()]), st.sampled_from([MIB, 300000]))
def test_every_block_is_in_one_volume_in_order_and_no_volume_is_too_large(tmp_path_factory, sizes, codec, volsize):
    with TempFolder(tmp_path_factory.mktemp("cut")) as temp:
        blocks = blocks_of(sizes)
        volumes = list(cut(blocks, Sealer(codec, None, temp), volsize))
        raw = b""
        for volume in volumes:
            data = volume.path.read_bytes()
            raw_of_it = zlib.decompress(data) if codec else data
            raw += raw_of_it[: volume.raw]
            assert raw_of_it[volume.raw :] == tar.end_of_archive(volume.raw)
            assert volume.size == len(data) <= volsize
            digest = (hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest())
            assert digest == (volume.sha1, volume.sha256)
        assert b"".join(block.data for block in blocks) == raw
        ends = [(volume.first, volume.last) for volume in volumes]
        assert len(volumes) >= 1
        if blocks:
            assert ((b"p0", 0), (blocks[-1].path, blocks[-1].part)) == (ends[0][0], ends[-1][1])
            for (_, last), (first, _) in zip(ends, ends[1:], strict=False):
                assert last[1] + 1 == first[1]
        else:
            assert ends == [(None, None)]


def test_volumes_are_filled(temp):
    """As far as one more entry of the largest size fits."""
    volumes = list(cut(blocks_of([66560] * 40), Sealer(None, None, temp), MIB))
    assert all(volume.size > MIB - RESERVE - 2 * 66560 for volume in volumes[:-1])


def test_what_packs_well_is_measured_as_it_is_stored(temp):
    volumes = list(cut(blocks_of([66560] * 60, bytes), Sealer(Zlib(), None, temp), MIB))
    assert len(volumes) == 1


def test_a_volume_takes_an_entry_however_small_it_is(temp):
    assert len(list(cut(blocks_of([5000] * 3), Sealer(None, None, temp), 100))) == 3


@pytest.mark.requirement("R48")
@pytest.mark.parametrize("at", ["in the blocks", "at the end", "by the reader"])
def test_what_fails_leaves_no_file_behind(temp, at):
    def blocks():
        yield from blocks_of([66560] * 10)
        if at == "in the blocks":
            raise OSError(5, "Input/output error")

    volumes = cut(
        blocks(),
        Sealer(Faulty() if at == "at the end" else None, None, temp),
        8 * MIB if at != "by the reader" else MIB // 2,
    )
    if at == "by the reader":
        first = next(volumes)
        volumes.close()
        temp.discard(first.path)
    else:
        with pytest.raises(OSError):
            list(volumes)
    assert os.listdir(temp.place) == ["lock"]


def test_a_cipher_that_packs_takes_the_compressors_place(temp):
    assert (Sealer(Zlib(), Packing(), temp).suffix, Sealer(Zlib(), Packing(), temp).compressor) == (".lock", None)
    assert Sealer(Zlib(), None, temp).suffix == ".zlib"
    assert Sealer(None, None, temp).suffix == ""


class Lossy(Zlib):
    """A codec with a fault, or memory with one: a bit is lost on the way in."""

    def packing(self, into):
        return _Flipping(super().packing(into))


class _Flipping:
    def __init__(self, into):
        self.into, self.flush, self.close = into, into.flush, into.close

    def write(self, data):
        return self.into.write(bytes([data[0] ^ 1]) + bytes(data[1:]))


@pytest.mark.requirement("R50")
def test_a_volume_that_does_not_give_back_what_went_in_is_never_stored(temp):
    blocks = blocks_of([5000] * 3)
    assert len(list(cut(blocks, Sealer(Lossy(), None, temp), MIB))) == 1  # switched off, nobody sees it
    before = sorted(os.listdir(temp.place))
    with pytest.raises(ValidationFailed, match="does not give back"):
        list(cut(blocks, Sealer(Lossy(), None, temp, verify=True), MIB))
    assert before == sorted(os.listdir(temp.place))


@pytest.mark.requirement("R50")
@pytest.mark.parametrize("codec", [None, Zlib()], ids=["plain", "packed"])
def test_a_sound_volume_passes(temp, codec):
    blocks = blocks_of([MIB // 2] * 5)
    found = [volume.sha256 for volume in cut(blocks, Sealer(codec, None, temp, verify=True), MIB)]
    assert [volume.sha256 for volume in cut(blocks, Sealer(codec, None, temp), MIB)] == found


def test_a_manifest_is_never_compressed(temp):
    with temp.file() as file:
        assert (file, []) == Sealer(Zlib(), None, temp).writer(file, Role.MANIFEST)


def test_digests_are_of_the_whole_file(temp):
    with temp.file() as file:
        file.write(noise(3 * MIB))
        data = noise(3 * MIB)
        assert (len(data), hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest()) == digests(file)
