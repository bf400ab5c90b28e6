"""A driver with one fault each: the contract must find it, by the promise that names it."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zlib
from dataclasses import replace

import pytest
from tarragon.api import Capability, Cipher, Compressor, Malformed, NotFound, ObjectInfo, Role
from tarragon_testkit import BytesSource, FaultyBackend, MemoryBackend
from tarragon_testkit.codec_contract import CIPHER, COMPRESSOR, CipherHarness, CompressorHarness
from tarragon_testkit.contract import BACKEND
from tarragon_testkit.harness import Harness


class SilentDelete(MemoryBackend):
    def delete(self, name):
        self.objects.pop(name, None)


class DeleteKeeps(MemoryBackend):
    def delete(self, name):
        self._data(name)


class NoSize(MemoryBackend):
    def _info(self, name, data):
        return replace(super()._info(name, data), size=None)


class WrongDigest(MemoryBackend):
    def _info(self, name, data):
        return replace(super()._info(name, data), digest="sha1:" + hashlib.sha1(data + b"x").hexdigest())


class RangeIgnored(MemoryBackend):
    def read(self, name, start=0, stop=None):
        return io.BytesIO(self._data(name))


class StopIncluded(MemoryBackend):
    def read(self, name, start=0, stop=None):
        return io.BytesIO(self._data(name)[start : None if stop is None else stop + 1])


class Untranslated(MemoryBackend):
    def _data(self, name):
        return self.objects[name]


class KeepsOld(MemoryBackend):
    def put(self, name, source, role):
        if name not in self.objects:
            super().put(name, source, role)


class DropsEmpty(MemoryBackend):
    def put(self, name, source, role):
        if source.size:
            super().put(name, source, role)


class PrivateView(MemoryBackend):
    def __init__(self, objects, *more):
        super().__init__(dict(objects), *more)


class PrefixIgnored(MemoryBackend):
    def list(self, prefix=""):
        return super().list()


class OnePage(MemoryBackend):
    def list(self, prefix=""):
        return iter(list(super().list(prefix))[:1000])


class OverlappingPages(MemoryBackend):
    def list(self, prefix=""):
        found = list(super().list(prefix))
        return iter(found + found[999:1000])


class BareNames(MemoryBackend):
    def list(self, prefix=""):
        return iter([info.name for info in super().list(prefix)])


class TextMode(MemoryBackend):
    def put(self, name, source, role):
        super().put(name, BytesSource(source.open().read().replace(b"\r\n", b"\n")), role)


class OneCase(MemoryBackend):
    def put(self, name, source, role):
        super().put(name.lower(), source, role)

    def _data(self, name):
        return super()._data(name.lower())


class SizeLimited(MemoryBackend):
    def put(self, name, source, role):
        super().put(name, BytesSource(source.open().read()[: 5 << 20]), role)


class StatByPrefix(MemoryBackend):
    def stat(self, name):
        for info in self.list(name):
            return info
        raise NotFound(name)


class BulkStopsAtMissing(MemoryBackend):
    def delete_many(self, names):
        for name in names:
            self.delete(name)


class RenameCopies(MemoryBackend):
    def rename(self, old, new):
        self.objects[new] = self._data(old)


class NewReplaces(MemoryBackend):
    def put_new(self, name, source, role):
        self.put(name, source, role)
        return True


class PutTearsObject(MemoryBackend):
    def put(self, name, source, role):
        self.objects[name] = b""
        super().put(name, source, role)


class ClosesOnce(MemoryBackend):
    def close(self):
        del self.capabilities


class RolesForgotten(MemoryBackend):
    def put(self, name, source, role):
        if role is not Role.STATS:
            super().put(name, source, role)


FAULTS = {
    SilentDelete: "deleting_what_is_not_there_is_not_found",
    DeleteKeeps: "what_is_deleted_is_gone",
    NoSize: "sizes_are_told",
    WrongDigest: "the_digest_is_that_of_the_bytes",
    RangeIgnored: "a_range_starts_where_asked",
    StopIncluded: "a_range_ends_where_asked",
    Untranslated: "reading_what_is_not_there_is_not_found",
    KeepsOld: "a_put_replaces_what_was_there",
    DropsEmpty: "an_empty_object_comes_back_empty",
    PrivateView: "a_second_connection_sees_the_object",
    PrefixIgnored: "a_prefix_narrows_the_listing",
    OnePage: "a_listing_tells_every_one_of_many_objects_once",
    OverlappingPages: "a_listing_tells_every_one_of_many_objects_once",
    BareNames: "a_listing_gives_object_infos",
    TextMode: "every_byte_comes_back_as_it_was",
    OneCase: "names_differ_by_letter_case",
    SizeLimited: "eight_mebibytes_come_back",
    StatByPrefix: "stat_tells_of_the_object_itself_and_not_of_one_with_a_longer_name",
    BulkStopsAtMissing: "many_are_deleted_at_once_and_missing_ones_are_no_error",
    RenameCopies: "a_rename_moves_and_replaces",
    NewReplaces: "an_exclusive_put_does_not_replace",
    PutTearsObject: "a_put_that_fails_half_way_leaves_what_was_there",
    ClosesOnce: "it_can_be_closed_twice",
    RolesForgotten: "every_role_can_be_stored",
}


def found_by(driver):
    """The promises that a driver breaks."""
    broken = set()
    for check in BACKEND.checks:
        if check.skip_reason(MemoryBackend.everything):
            continue
        objects = {}
        try:
            check.run(Harness(lambda objects=objects: driver(objects)))
        except Exception:  # noqa: BLE001 - whatever a broken driver raises, the check has found it
            broken.add(check.name)
    return broken


@pytest.mark.requirement("R69")
@pytest.mark.parametrize("driver", FAULTS, ids=lambda driver: driver.__name__)
def test_a_faulty_driver_breaks_the_promise_that_names_its_fault(driver):
    assert FAULTS[driver] in found_by(driver)


def test_what_differs_in_many_bytes_is_told_in_a_line(monkeypatch):
    monkeypatch.setenv("CI", "true")  # pytest would show both sides whole, after minutes
    check = next(check for check in BACKEND.checks if check.name == "eight_mebibytes_come_back")
    with pytest.raises(AssertionError) as raised:
        check.run(Harness(lambda objects={}: TextMode(objects)))
    assert re.fullmatch(r"\d+ bytes instead of 8388608; byte \d+ is the first that differs", str(raised.value))


class Deflate(Compressor):
    """A compressor without faults, but for those that its subclasses have."""

    suffix = ".zz"
    ratio = 0.5
    checks_end = True
    translates = True
    flushes = True
    holds_file = False

    def packing(self, into):
        return Packer(self, into)

    def unpacking(self, source):
        return io.BytesIO(self.expanded(source.read()))

    def expanded(self, data):
        expander = zlib.decompressobj()
        try:
            plain = expander.decompress(data)
        except zlib.error as err:
            if self.translates:
                raise Malformed(str(err)) from err
            raise
        if self.checks_end and (expander.unused_data or not expander.eof):
            raise Malformed("no end")
        return plain


class Packer(io.RawIOBase):
    def __init__(self, codec, into):
        self.codec, self.into, self.packer = codec, into, zlib.compressobj()

    def writable(self):
        return True

    def write(self, data):
        self.into.write(self.packer.compress(data))
        return len(data)

    def flush(self):
        if self.codec.flushes and self.packer:
            self.into.write(self.packer.flush(zlib.Z_SYNC_FLUSH))

    def close(self):
        if not self.closed:
            self.into.write(self.packer.flush())
            self.packer = None
            if self.codec.holds_file:
                self.into.close()
        super().close()


def compressor(**faults):
    return type("Faulty", (Deflate,), faults)()


@pytest.mark.parametrize(
    ("faults", "promise"),
    [
        ({}, "expanding_needs_bounded_memory"),
        ({"checks_end": False}, "a_stream_that_is_cut_off_is_malformed"),
        ({"translates": False}, "garbage_is_malformed"),
        ({"flushes": False}, "a_flush_brings_out_what_was_held_back"),
        ({"holds_file": True}, "closing_leaves_the_inner_file_open"),
        ({"suffix": "zz"}, "suffix_and_ratio_can_be_used"),
        ({"__reduce__": lambda self: pickle.dumps(lambda: 0)}, "it_travels_to_workers"),
    ],
)
def test_a_faulty_compressor_breaks_the_promise_that_names_its_fault(faults, promise):
    run = {check.name: check.run for check in COMPRESSOR.checks}[promise]
    with pytest.raises(Exception):  # noqa: B017 - an untranslated error is what some of them must let through
        run(CompressorHarness(compressor(**faults)))


class Rot(Cipher):
    """A cipher that proves nothing."""

    suffix = ".rot"

    def sealing(self, into, role):
        return PassOn(into)

    def opening(self, source, role):
        return io.BytesIO(source.read())


class PassOn(io.RawIOBase):
    def __init__(self, into):
        self.into = into

    def writable(self):
        return True

    def write(self, data):
        return self.into.write(data)


@pytest.mark.parametrize(
    "promise",
    [
        "the_plain_text_is_not_in_what_is_sealed",
        "sealing_the_same_twice_gives_different_bytes",
        "a_message_that_is_cut_off_is_refused",
        "a_flipped_bit_is_refused",
        "a_message_that_is_not_read_to_its_end_is_judged_all_the_same",
    ],
)
def test_a_cipher_that_proves_nothing_is_found_out(promise):
    run = {check.name: check.run for check in CIPHER.checks}[promise]
    with pytest.raises(AssertionError):
        run(CipherHarness(Rot()))


def test_faults_come_in_the_order_of_the_script_and_calls_are_recorded():
    backend = FaultyBackend(
        MemoryBackend({"a": b"1"}), {"stat": [None, NotFound("x"), lambda inner, name: ObjectInfo(name, 99)]}
    )
    assert backend.stat("a").size == 1
    with pytest.raises(NotFound):
        backend.stat("a")
    assert [backend.stat("a").size, backend.stat("a").size] == [99, 1]
    assert (backend.count("stat"), backend.calls[0]) == (4, ("stat", "a"))


def test_what_is_not_claimed_is_not_promised():
    checks = {check.name: check for check in BACKEND.checks}
    ranges = checks["a_range_starts_where_asked"]
    assert (ranges.skip_reason(Capability.RANGES), bool(ranges.skip_reason(Capability.SIZES))) == ("", True)
