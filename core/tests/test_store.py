from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tarragon.api import (
    BackendError,
    Capability,
    NoTempSpace,
    NotFound,
    ObjectInfo,
    PermissionDenied,
    Role,
    SourceError,
    Transient,
    Unsupported,
    ValidationFailed,
    WrongSize,
)
from tarragon.store.source import FileSource
from tarragon.store.store import Store
from tarragon_testkit import BytesSource, FaultyBackend, MemoryBackend

LOG = logging.getLogger("tarragon.test")
POOR = Capability.SIZES | Capability.THREADS
DATA = bytes(range(256)) * 20
SHA1 = hashlib.sha1(DATA).hexdigest()


def faulty(inner=None, **faults):
    return FaultyBackend(inner or MemoryBackend(), faults)


def store_over(backend, **settings):
    return Store(backend, **{"log": LOG, "sleep": lambda seconds: None, **settings})


# -- put


def test_what_is_put_is_told_as_stored():
    told, backend = [], MemoryBackend()
    ticks = iter([10.0, 12.5])
    stored = store_over(backend, on_stored=told.append, clock=lambda: next(ticks)).put(
        "vol", BytesSource(DATA), Role.VOLUME, 7
    )
    assert backend.objects == {"vol": DATA}
    assert (stored.name, stored.role, stored.size, stored.sha1) == ("vol", Role.VOLUME, len(DATA), SHA1)
    assert (stored.number, stored.seconds) == (7, 2.5)
    assert told == [stored]


def test_a_failed_put_is_tried_again_after_a_reconnect():
    backend = faulty(put=[Transient("a"), Transient("b")])
    store_over(backend).put("vol", BytesSource(DATA), Role.VOLUME)
    assert [call for call, _ in backend.calls] == ["put", "reconnect", "put", "reconnect", "put", "stat"]


def test_an_error_that_the_driver_did_not_translate_is_logged_with_its_module_and_tried_again(caplog):
    backend = faulty(put=[KeyError("token")])
    store_over(backend).put("vol", BytesSource(DATA), Role.VOLUME)
    assert "tarragon_testkit.fakes" in caplog.text
    assert "KeyError" in caplog.text


def test_an_error_that_the_driver_never_translates_ends_as_a_typed_one():
    with pytest.raises(Transient) as caught:
        store_over(faulty(put=[OSError("x")] * 5)).put("vol", BytesSource(DATA), Role.VOLUME)
    assert isinstance(caught.value.__cause__, OSError)


def cut(inner, name, source, role):
    inner.put(name, BytesSource(DATA[:-1]), role)


def drop(inner, name, source, role):
    """Say yes and store nothing."""


def swap(inner, name, source, role):
    inner.put(name, BytesSource(DATA[::-1]), role)


@pytest.mark.requirement("R49")
@pytest.mark.requirement("R66")
@pytest.mark.parametrize(
    ("harm", "claims", "error"),
    [
        (cut, MemoryBackend.everything, WrongSize),
        (cut, POOR, WrongSize),
        (drop, MemoryBackend.everything, ValidationFailed),
        (drop, POOR, ValidationFailed),
        (swap, MemoryBackend.everything, ValidationFailed),
    ],
)
def test_an_upload_that_did_harm_is_noticed_and_mended_or_told(harm, claims, error):
    backend = MemoryBackend(capabilities=claims)
    store_over(faulty(backend, put=[harm])).put("vol", BytesSource(DATA), Role.VOLUME)
    assert backend.objects == {"vol": DATA}
    told = []
    with pytest.raises(error):
        store_over(faulty(put=[harm] * 5), on_stored=told.append).put("vol", BytesSource(DATA), Role.VOLUME)
    assert told == []


class Md5Backend(MemoryBackend):
    def stat(self, name):
        data = self._data(name)
        return ObjectInfo(name, len(data), None, "md5:" + hashlib.md5(data).hexdigest())


@pytest.mark.requirement("R49")
def test_an_md5_of_the_far_side_is_compared_too():
    store_over(Md5Backend()).put("vol", BytesSource(DATA), Role.VOLUME)
    with pytest.raises(ValidationFailed, match="md5"):
        store_over(faulty(Md5Backend(), put=[swap] * 5)).put("vol", BytesSource(DATA), Role.VOLUME)


def fail_half_way(inner, name, source, role):
    inner.put(name, BytesSource(DATA[:10]), role)
    raise Transient("broken pipe")


def test_without_atomic_puts_an_object_gets_its_name_when_it_is_whole():
    backend = MemoryBackend(capabilities=POOR | Capability.RENAME)
    watched = faulty(backend, put=[fail_half_way])
    store_over(watched, file_prefix="my-").put("vol", BytesSource(DATA), Role.VOLUME)
    assert backend.objects == {"vol": DATA}
    assert all(name.startswith("my-tarragon.tmp-") for call, name in watched.calls if call == "put")


def test_without_renames_what_a_failed_put_left_is_deleted_before_the_next():
    watched = faulty(MemoryBackend(capabilities=POOR), put=[fail_half_way])
    store_over(watched).put("vol", BytesSource(DATA), Role.VOLUME)
    assert [call for call, _ in watched.calls] == [
        "put", "delete", "reconnect", "put", "stat", "read"
    ]  # fmt: skip


@pytest.mark.parametrize("rename", [Capability.RENAME, Capability.NONE])
def test_a_put_that_fails_for_good_leaves_nothing(rename):
    backend = MemoryBackend(capabilities=POOR | rename)
    with pytest.raises(Transient):
        store_over(faulty(backend, put=[fail_half_way] * 5)).put("vol", BytesSource(DATA), Role.VOLUME)
    assert backend.objects == {}


def test_a_refused_put_deletes_nothing():
    backend = MemoryBackend({"vol": b"older"}, POOR)
    with pytest.raises(PermissionDenied):
        store_over(faulty(backend, put=[PermissionDenied("write once")])).put("vol", BytesSource(DATA), Role.VOLUME)
    assert backend.objects == {"vol": b"older"}


def test_a_store_that_can_only_be_read_refuses_before_the_driver_is_asked():
    backend = faulty(MemoryBackend({"vol": DATA}, Capability.READ_ONLY))
    store = store_over(backend)
    with pytest.raises(Unsupported):
        store.put("other", BytesSource(DATA), Role.VOLUME)
    with pytest.raises(Unsupported):
        store.delete(["vol"])
    assert backend.calls == []


# -- fetch


def test_what_is_fetched_is_counted_and_hashed():
    into = io.BytesIO(b"what was there before" * 1000)
    fetched = store_over(MemoryBackend({"vol": DATA})).fetch("vol", into, size=len(DATA))
    assert (fetched.size, fetched.sha1, fetched.file.read()) == (len(DATA), SHA1, DATA)


class BreakingStream(io.BytesIO):
    def read(self, size=-1):
        if self.tell():
            raise ConnectionResetError("gone")
        return super().read(10)


def test_a_fetch_that_breaks_off_begins_anew():
    backend = faulty(MemoryBackend({"vol": DATA}), read=[lambda *_: BreakingStream(DATA), Transient("x")])
    fetched = store_over(backend).fetch("vol", io.BytesIO())
    assert (fetched.file.read(), backend.count("read")) == (DATA, 3)


@pytest.mark.requirement("R66")
@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b""])
def test_an_object_of_another_size_is_tried_again_then_told(data):
    backend = faulty(MemoryBackend({"vol": data}))
    with pytest.raises(WrongSize):
        store_over(backend).fetch("vol", io.BytesIO(), size=len(DATA))
    assert backend.count("read") == 5


def test_a_listed_size_does_not_bind_where_the_driver_claims_none():
    """A wrapper that mends a shortened object gives more than was listed."""
    backend = MemoryBackend({"vol": DATA}, MemoryBackend.everything & ~Capability.SIZES)
    assert store_over(backend).fetch("vol", io.BytesIO(), size=len(DATA) - 9).size == len(DATA)


class Endless(io.RawIOBase):
    given = 0

    def read(self, size=-1):
        self.given += size
        return bytes(size)


@pytest.mark.requirement("R35")
def test_no_more_is_taken_than_a_piece_beyond_the_size():
    endless = Endless()
    into = io.BytesIO()
    with pytest.raises(WrongSize):
        store_over(faulty(read=[lambda *_: endless]), num_retries=1).fetch("vol", into, size=100)
    assert endless.given <= 1 << 20
    assert into.getvalue() == b""


class FullFile(io.BytesIO):
    def write(self, data):
        raise NoTempSpace("no room")  # as files of the temporary folder do


@pytest.mark.requirement("R63")
def test_a_full_temporary_folder_is_not_the_far_sides_failure():
    backend = faulty(MemoryBackend({"vol": DATA}))
    with pytest.raises(NoTempSpace):
        store_over(backend).fetch("vol", FullFile())
    assert backend.count("read") == 1


def test_what_is_not_there_is_not_found_at_once():
    backend = faulty()
    with pytest.raises(NotFound):
        store_over(backend).fetch("vol", io.BytesIO())
    assert backend.count("read") == 1


# -- list, stat, delete


@pytest.mark.requirement("R66")
def test_a_listing_holds_sound_objects_only_each_once(caplog):
    caplog.set_level(20)
    good = ObjectInfo("duplicity-full.20231114T221320Z.vol1.difftar.gz", 5)
    lies = [
        ObjectInfo("a/b"),
        ObjectInfo("line\nbreak"),
        ObjectInfo("escape\x1b[2J"),
        ObjectInfo("umläut"),
        ObjectInfo(""),
        ObjectInfo("n" * 2000),
        ObjectInfo(b"bytes"),
        ObjectInfo("negative", -1),
        ObjectInfo("text", "5"),
        ObjectInfo("digest", 5, None, "crc32:00000000"),
        "duplicity-full",
        None,
    ]
    found = store_over(faulty(list=[lambda *_: iter([*lies, good, good])])).list()
    assert found == [good]
    assert "ignored 12 objects" in caplog.text


def test_a_listing_is_ordered_and_begins_with_the_prefix():
    store = store_over(MemoryBackend({"b2": b"", "a": b"", "b1": b""}))
    assert [info.name for info in store.list("b")] == ["b1", "b2"]
    liar = faulty(list=[lambda *_: iter([ObjectInfo("other"), ObjectInfo("b1")])])
    assert [info.name for info in store_over(liar).list("b")] == ["b1"]


@pytest.mark.requirement("R35")
def test_an_endless_listing_is_an_error():
    endless = (ObjectInfo(f"n{number}") for number in iter(int, 1))
    with pytest.raises(BackendError, match="more than 100"):
        store_over(faulty(list=[lambda *_: endless]), max_listed=100).list()


def test_a_listing_that_breaks_off_begins_anew():
    def breaks_off(inner, prefix):
        yield ObjectInfo("a")
        raise Transient("x")

    assert [info.name for info in store_over(faulty(MemoryBackend({"b": b""}), list=[breaks_off])).list()] == ["b"]


@pytest.mark.requirement("R66")
def test_an_answer_about_another_object_is_refused():
    with pytest.raises(BackendError, match="another object"):
        store_over(faulty(stat=[lambda *_: ObjectInfo("other", 5)])).stat("vol")


def test_deleting_goes_on_over_what_is_not_there():
    backend = MemoryBackend({"a": b"", "b": b""})
    store_over(faulty(backend, delete_many=[Transient("x")])).delete(["a", "none", "b"])
    assert backend.objects == {}


# -- connections


class CountingBackend(MemoryBackend):
    """Says how many operations were under way at a time, on one connection and in all."""

    opened, now, most = 0, 0, 0
    lock = threading.Lock()

    def __init__(self, objects, capabilities, width):
        super().__init__(objects, capabilities)
        self.max_parallel = width
        self.busy = False
        type(self).opened += 1

    def put(self, name, source, role):
        kind = type(self)
        with kind.lock:
            assert not self.busy or Capability.THREADS in self.capabilities, "two at a time on one connection"
            self.busy = True
            kind.now += 1
            kind.most = max(kind.most, kind.now)
        time.sleep(0.01)
        super().put(name, source, role)
        with kind.lock:
            kind.now -= 1
            self.busy = False


@pytest.mark.parametrize(
    ("claims", "is_opener", "connections", "width"),
    [(POOR, True, 1, 3), (Capability.SIZES, True, 3, 3), (Capability.SIZES, False, 1, 1)],
)
def test_operations_share_connections_as_the_driver_allows(claims, is_opener, connections, width):
    class Counting(CountingBackend):
        pass

    objects = {}
    opener = lambda: Counting(objects, claims, 3)
    store = store_over(opener if is_opener else opener())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.put(f"v{number}", BytesSource(b"x"), Role.VOLUME), range(24)))
    store.close()
    assert (len(objects), Counting.opened, Counting.most) == (24, connections, width)


def test_connecting_is_tried_again():
    script = [Transient("x"), Transient("x")]

    def connect():
        if script:
            raise script.pop()
        return MemoryBackend()

    assert store_over(connect).list() == []


def test_closing_twice_closes_once_and_only_logs_what_fails(caplog):
    backend = faulty(close=[OSError("x")])
    store = store_over(backend)
    store.close()
    store.close()
    assert backend.count("close") == 1
    assert "cannot close" in caplog.text
    with pytest.raises(BackendError, match="closed"):
        store.list()


# -- sources


def test_a_file_is_a_source_whose_sums_are_computed_when_asked_for(tmp_path):
    path = tmp_path / "vol"
    path.write_bytes(DATA)
    source = FileSource(path)
    stored = store_over(MemoryBackend()).put("vol", source, Role.VOLUME)
    assert (stored.size, stored.sha1, stored.sha256) == (len(DATA), SHA1, hashlib.sha256(DATA).hexdigest())
    with source.as_file() as same:
        assert same == path


def test_sums_that_are_known_are_not_computed_again(tmp_path):
    source = FileSource(tmp_path / "none", size=3, sha1="1" * 40, sha256="2" * 64)
    assert (source.size, source.sha1, source.sha256) == (3, "1" * 40, "2" * 64)


def test_a_file_that_is_gone_is_a_source_error_and_not_tried_again(tmp_path):
    backend = faulty()
    with pytest.raises(SourceError):
        store_over(backend).put("vol", FileSource(tmp_path / "none"), Role.VOLUME)
    assert backend.count("put") == 1


# -- cold objects


def test_only_a_store_that_may_be_cold_is_asked_and_only_for_these_names():
    backend = faulty(
        MemoryBackend(capabilities=POOR | Capability.COLD),
        cold=[Transient("busy"), lambda inner, names: frozenset({*names, "another"})],
        warm_up=[lambda inner, names: frozenset({"a", "another"})],
    )
    store = store_over(backend)
    assert store.cold(["a", "b"]) == {"a", "b"}
    assert store.warm_up(["a", "b"]) == {"a"}
    assert store.cold([]) == frozenset()
    assert backend.count("cold") == 2
    warm = faulty(cold=[lambda inner, names: frozenset(names)])
    assert store_over(warm).cold(["a"]) == frozenset()
    assert warm.count("cold") == 0
