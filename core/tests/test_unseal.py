"""The road back: checked first, a message good to its end before its first byte is handed on (R5)."""

from __future__ import annotations

import hashlib
import io
import zlib

import pytest
from tarragon.api import BadSignature, Cipher, Compressor, HashMismatch, Malformed
from tarragon.api.backend import Role
from tarragon.volume.unseal import Codecs, check_hash, unseal


class Rot(Cipher):
    """Every byte turned over; a message that ends in ``!`` is forged, which is told at the end."""

    suffix = ".rot"

    def sealing(self, into, role):
        raise NotImplementedError

    def opening(self, source, role):
        data = bytes(255 - byte for byte in source.read())

        class Reader(io.BytesIO):
            def close(self):
                super().close()
                if data.endswith(b"!"):
                    raise BadSignature("forged")

        return Reader(data)


class Zip(Compressor):
    suffix = ".zip"

    def packing(self, into):
        raise NotImplementedError

    def unpacking(self, source):
        return io.BytesIO(zlib.decompress(source.read()))


def turned(data):
    return bytes(255 - byte for byte in data)


def opened(data, *layers, limit=0):
    stored = io.BytesIO(data)
    stored.seek(0, 2)
    return unseal(stored, list(layers), Role.VOLUME, io.BytesIO, limit=limit)


@pytest.mark.parametrize(
    ("stored", "layers"),
    [
        (b"plain", []),
        (turned(b"plain"), [Rot()]),
        (zlib.compress(b"plain"), [Zip()]),
        (turned(zlib.compress(b"plain")), [Rot(), Zip()]),
        (turned(turned(b"plain")), [Rot(), Rot()]),
    ],
)
def test_layers_are_undone_and_the_bytes_begin_at_the_first(stored, layers):
    assert opened(stored, *layers).read() == b"plain"


@pytest.mark.requirement("R5")
def test_nothing_of_a_forged_message_is_handed_on():
    with pytest.raises(BadSignature):
        opened(turned(b"evil!"), Rot())


@pytest.mark.requirement("R42")
def test_a_message_that_expands_beyond_its_limit_is_malformed():
    with pytest.raises(Malformed):
        opened(bytes(3 << 20), Rot(), limit=1 << 20)
    assert len(opened(bytes(1 << 20), Rot(), limit=1 << 20).read()) == 1 << 20


def test_what_was_stored_is_closed_once_it_is_decrypted():
    stored, scratch = io.BytesIO(turned(b"x")), io.BytesIO()
    unseal(stored, [Rot()], Role.VOLUME, lambda: scratch)
    assert (stored.closed, scratch.closed) == (True, False)
    stored, scratch = io.BytesIO(turned(b"x!")), io.BytesIO()
    with pytest.raises(BadSignature):
        unseal(stored, [Rot()], Role.VOLUME, lambda: scratch)
    assert (stored.closed, scratch.closed) == (True, True)


@pytest.mark.requirement("R5")
def test_a_hash_that_differs_is_an_error_and_a_missing_one_is_not():
    good = hashlib.sha1(b"x").hexdigest()
    check_hash("v", good, good)
    check_hash("v", None, good)
    with pytest.raises(HashMismatch):
        check_hash("v", good, hashlib.sha1(b"y").hexdigest())


@pytest.mark.parametrize(
    ("suffix", "layers"),
    [
        ("", []),
        (".gz", ["gz"]),
        (".gz.gpg", ["gpg", "gz"]),
        (".whatever", []),
        (".gpg.par2", []),
        (".gz.par2.gpg", ["gpg"]),
    ],
)
def test_the_last_suffix_is_undone_first_and_an_unknown_one_ends_it(suffix, layers):
    codecs = Codecs(lambda word: word if word in ("gz", "gpg") else None)
    assert layers == codecs.layers(suffix)


def test_a_codec_is_made_once():
    asked = []
    codecs = Codecs(lambda word: asked.append(word) or word)
    codecs.layers(".gz")
    codecs.layers(".gz")
    assert asked == ["gz"]
