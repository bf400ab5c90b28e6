"""What Store makes of an upload that did not do what the driver said (R49), and of objects that are cold."""

from __future__ import annotations

import io
import logging
from random import Random

import pytest
from tarragon.api import Capability, ColdObject, NotFound, PermissionDenied, Role, ValidationFailed, WrongSize
from tarragon.store.store import Store
from tarragon_testkit import BytesSource, FaultyBackend, MemoryBackend

LOG = logging.getLogger("tarragon.test")
PLAIN = Capability.ATOMIC_PUT | Capability.THREADS
BIG = Random(1).randbytes(3 << 20)


def store_over(backend, **settings):
    return Store(backend, **{"log": LOG, "sleep": lambda seconds: None, **settings})


class Late(MemoryBackend):
    """Shows what was put only after so many looks, as a store does that catches up with itself."""

    def __init__(self, looks, old=None, capabilities=MemoryBackend.everything):
        super().__init__({} if old is None else {"vol": old}, capabilities)
        self.looks, self.waiting, self.puts = looks, {}, 0

    def put(self, name, source, role):
        self.puts += 1
        with source.open() as stream:
            self.waiting[name] = stream.read()

    def _data(self, name):
        self.looks -= 1
        if self.looks < 0:
            self.objects.update(self.waiting)
        return super()._data(name)


@pytest.mark.requirement("R49")
@pytest.mark.parametrize("old", [None, b"what was there before"])
@pytest.mark.parametrize("claims", [MemoryBackend.everything, PLAIN | Capability.SIZES | Capability.RANGES])
def test_what_shows_late_is_waited_for_and_not_put_again(old, claims):
    pauses = []
    backend = Late(4, old, claims)
    store_over(backend, sleep=pauses.append).put("vol", BytesSource(b"new bytes"), Role.VOLUME)
    assert (backend.puts, pauses) == (1, [1, 2, 4, 8])


@pytest.mark.requirement("R49")
def test_a_minute_of_not_showing_is_waited_for():
    pauses = []
    never = Late(1000)
    with pytest.raises(ValidationFailed):
        store_over(never, sleep=pauses.append).put("vol", BytesSource(b"x"), Role.VOLUME)
    assert sum(pauses) > 60
    assert never.puts == 5


@pytest.mark.requirement("R49")
@pytest.mark.parametrize("claims", [PLAIN, PLAIN | Capability.SIZES])
@pytest.mark.parametrize("ranges", [Capability.NONE, Capability.RANGES])
@pytest.mark.parametrize("size", [1, 1000, (1 << 20), 3 << 20])
def test_bytes_that_are_not_ours_are_noticed_by_reading_some_back(claims, ranges, size):
    if size > 1 << 20 and not ranges:
        pytest.skip("fetching large objects whole only to look at them is not done")
    backend = MemoryBackend(capabilities=claims | ranges)

    def swap(inner, name, source, role):
        with source.open() as stream:
            inner.put(name, BytesSource(bytes(255 - byte for byte in stream.read())), role)

    with pytest.raises(ValidationFailed, match="reads otherwise"):
        store_over(FaultyBackend(backend, {"put": [swap] * 5})).put("vol", BytesSource(BIG[:size]), Role.VOLUME)
    store_over(FaultyBackend(backend, {"put": [swap]})).put("vol", BytesSource(BIG[:size]), Role.VOLUME)
    assert backend.objects == {"vol": BIG[:size]}


@pytest.mark.requirement("R49")
def test_every_part_of_a_large_object_may_be_the_one_that_is_read_back():
    backend = FaultyBackend(MemoryBackend(capabilities=PLAIN | Capability.SIZES | Capability.RANGES))
    asked = []
    for _ in range(40):
        backend.read = lambda name, start, stop: (
            asked.append((start, stop)) or MemoryBackend.read(backend.inner, name, start, stop)
        )
        store_over(backend).put("vol", BytesSource(BIG), Role.VOLUME)
    assert {stop - start for start, stop in asked} == {1 << 16}
    assert min(asked)[0] < len(BIG) / 2 < max(asked)[0]


@pytest.mark.requirement("R49")
@pytest.mark.parametrize("claims", [PLAIN, PLAIN | Capability.SIZES])
def test_an_object_cut_off_or_with_more_behind_it_is_noticed(claims):
    for stored in (b"abc", b"abcdef"):
        fault = lambda inner, name, source, role, stored=stored: inner.put(name, BytesSource(stored), role)
        with pytest.raises((WrongSize, ValidationFailed)):
            store_over(FaultyBackend(MemoryBackend(capabilities=claims), {"put": [fault] * 5})).put(
                "vol", BytesSource(b"abcde"), Role.VOLUME
            )


@pytest.mark.parametrize(
    ("claims", "error", "text"),
    [
        (PLAIN, None, "not at all"),
        (PLAIN | Capability.SIZES, None, "by their sizes only"),
        (PLAIN | Capability.RANGES, ColdObject("asleep"), "asleep"),
        (PLAIN | Capability.RANGES, PermissionDenied("write only"), "write only"),
    ],
)
def test_what_cannot_be_checked_is_said_once(caplog, claims, error, text):
    caplog.set_level(25)
    backend = FaultyBackend(MemoryBackend(capabilities=claims), {"read": [error] * 2} if error else {})
    store = store_over(backend)
    for name in ("a", "b"):
        store.put(name, BytesSource(BIG), Role.VOLUME)
    assert caplog.text.count(text) == 1


def test_a_cold_object_is_not_fetched_again_and_again():
    backend = FaultyBackend(MemoryBackend({"a": b""}), {"read": [ColdObject("asleep")]})
    with pytest.raises(ColdObject):
        store_over(backend).fetch("a", io.BytesIO())
    assert backend.count("read") == 1


def test_names_are_deleted_one_by_one_where_the_driver_does_not_do_many():
    backend = FaultyBackend(MemoryBackend({"a": b"", "b": b""}, PLAIN), {"delete_many": [None, NotFound("gone")]})
    with pytest.raises(NotFound):
        store_over(backend).delete(["a", "b", "c"])
    assert [names for _, names in backend.calls] == [["a"], ["b"]]
