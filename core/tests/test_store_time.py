"""Deadlines, limits and interruption: nothing at the far side holds a run for ever (R64), or faster than it may."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tarragon.api import BackendWrapper, Capability, Interrupted, ObjectInfo, Pace, Role, Transient, operation
from tarragon.store.attempt import LEAST, Stop, at_home
from tarragon.store.store import Store
from tarragon_testkit import BytesSource, MemoryBackend

LOG = logging.getLogger("tarragon.test")
DATA = bytes(range(256)) * 20
BIG = bytes(range(256)) * 1024 * 4  # 1 MiB
ALL = MemoryBackend.everything
#: Short for what hangs; long for what must not be given up, for the machine may be slow.
TIMEOUT_S, PATIENT_S = 0.4, 1.5


def store_over(backend, **settings):
    return Store(backend, **{"log": LOG, "sleep": lambda seconds: None, "timeout_s": TIMEOUT_S, **settings})


class Hanging(BackendWrapper):
    """A connection of which one method never comes back, until it is released."""

    def __init__(self, inner, method, released):
        super().__init__(inner)
        self.method, self.released = method, released

    def _call(self, method, *args):
        if method == self.method:
            assert self.released.wait(60)
            raise ConnectionResetError("released")
        return getattr(self.inner, method)(*args)

    def list(self, prefix=""):
        yield from self._call("list", prefix)

    def put(self, name, source, role):
        self._call("put", name, source, role)

    def read(self, name, start=0, stop=None):
        stream = self._call("read", name, start, stop)
        return HangingStream(stream, self.method, self.released) if self.method.startswith("stream") else stream

    def stat(self, name):
        return self._call("stat", name)

    def delete_many(self, names):
        return self._call("delete_many", names)

    def rename(self, old, new):
        return self._call("rename", old, new)

    def put_new(self, name, source, role):
        return self._call("put_new", name, source, role)

    def warm_up(self, names):
        return self._call("warm_up", names)

    def close(self):
        return self._call("close")


class HangingStream(io.RawIOBase):
    """Gives some bytes, then hangs where it was told to."""

    def __init__(self, inner, method, released):
        self.inner, self.method, self.released = inner, method, released

    def read(self, size=-1):
        if self.method == "stream read" and self.inner.tell():
            assert self.released.wait(60)
            return b"bytes that come too late"
        return self.inner.read(1000)

    def close(self):
        if self.method == "stream close":
            self.released.wait(60)
        super().close()


@contextmanager
def place_where(method, claims=ALL, times=1):
    """What opens connections to one place, of which the first hang in ``method``; and the list of those opened."""
    released, opened = threading.Event(), []
    objects = {"vol": DATA}

    def connect():
        good = MemoryBackend(objects, claims)
        if len(opened) < times:
            opened.append(Hanging(good, method, released))
            if method == "connect":
                assert released.wait(60)
        else:
            opened.append(good)
        return opened[-1]

    try:
        yield connect, opened, objects
    finally:
        released.set()


CALLS = {
    "connect": lambda store: store.list(),
    "put": lambda store: store.put("new", BytesSource(DATA), Role.VOLUME),
    "put_new": lambda store: store.put_new("new", BytesSource(DATA), Role.OWN),
    "read": lambda store: store.fetch("vol", io.BytesIO()),
    "stream read": lambda store: store.fetch("vol", io.BytesIO()),
    "stream close": lambda store: store.fetch("vol", io.BytesIO()),
    "list": lambda store: store.list(),
    "stat": lambda store: store.stat("vol"),
    "delete_many": lambda store: store.delete(["vol"]),
    "warm_up": lambda store: store.warm_up(["vol"]),
}


@pytest.mark.requirement("R64")
@pytest.mark.parametrize("shared", [Capability.THREADS, Capability.NONE], ids=["one connection", "connections"])
@pytest.mark.parametrize("method", CALLS)
def test_a_call_that_hangs_is_given_up_with_its_connection(method, shared):
    claims = (ALL | Capability.COLD) & ~Capability.THREADS | shared
    with place_where(method, claims) as (connect, opened, objects):
        CALLS[method](store_over(connect))
        assert len(opened) == 2
        assert objects.get("new", DATA) == DATA


@pytest.mark.requirement("R64")
def test_closing_that_hangs_is_given_up_and_logged(caplog):
    with place_where("close") as (connect, _, _):
        store = store_over(connect)
        store.close()
    assert "cannot close the connection: nothing moved for 0.4 s" in caplog.text


@pytest.mark.requirement("R64")
def test_what_always_hangs_ends_as_a_typed_error_after_all_tries():
    with place_where("stat", times=9) as (connect, opened, _), pytest.raises(Transient, match="nothing moved"):
        store_over(connect, num_retries=3).stat("vol")
    assert len(opened) == 3


@pytest.mark.requirement("R64")
def test_the_next_operation_has_another_connection_than_the_one_that_was_given_up():
    for claims in (ALL, ALL & ~Capability.THREADS):
        with place_where("stat", claims) as (connect, opened, _):
            store = store_over(connect, num_retries=1)
            with pytest.raises(Transient):
                store.stat("vol")
            assert store.stat("vol").size == len(DATA)
            assert len(opened) == 2


def test_bytes_that_come_after_a_fetch_was_given_up_are_written_nowhere():
    with place_where("stream read") as (connect, opened, _):
        into = io.BytesIO()
        fetched = store_over(connect).fetch("vol", into)
        opened[0].released.set()
        time.sleep(0.2)
        assert fetched.file.getvalue() == DATA


# -- what moves is not given up


class Slow(MemoryBackend):
    """Takes and gives bytes slowly, but steadily; each object takes longer than the timeout."""

    def put(self, name, source, role):
        data = b""
        with source.open() as stream:
            while piece := stream.read(len(BIG) // 12):
                time.sleep(PATIENT_S / 10)
                data += piece
        self.objects[name] = data

    def read(self, name, start=0, stop=None):
        return SlowStream(super().read(name, start, stop))

    def list(self, prefix=""):
        for info in super().list(prefix):
            time.sleep(PATIENT_S / 10)
            yield info


class SlowStream(io.RawIOBase):
    def __init__(self, inner):
        self.inner = inner

    def read(self, size=-1):
        time.sleep(PATIENT_S / 10)
        return self.inner.read(size)


@pytest.mark.requirement("R64")
@pytest.mark.parametrize("call", ["put", "fetch", "list"])
def test_no_deadline_ends_what_is_slow_but_moves(call):
    backend = Slow({"vol": BIG, **{f"n{number}": b"" for number in range(12)}})
    store = store_over(backend, num_retries=1, timeout_s=PATIENT_S)
    calls = {
        "put": lambda: store.put("new", BytesSource(BIG), Role.VOLUME),
        "fetch": lambda: store.fetch("vol", io.BytesIO()),
        "list": store.list,
    }
    started = time.monotonic()
    calls[call]()
    assert time.monotonic() - started > PATIENT_S


@pytest.mark.requirement("R35")
@pytest.mark.requirement("R64")
def test_bytes_that_trickle_do_not_count_as_moving():
    class Trickle(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            got = 0
            while got < size:
                time.sleep(0.05)
                got += 1
                self.given += 1
            return bytes(got)

    stream = Trickle()
    backend = MemoryBackend({"vol": DATA})
    backend.read = lambda *_: stream
    with pytest.raises(Transient, match="nothing moved"):
        store_over(backend, num_retries=1).fetch("vol", io.BytesIO())
    assert stream.given < LEAST


class ReadsAhead(MemoryBackend):
    """Takes everything at once, and sends it afterwards; tells of it or not."""

    tells, hangs = True, False

    def put(self, name, source, role):
        alive = operation()
        with source.open() as stream:
            data = stream.read()
        if self.tells:
            alive.moved(1)
        if self.hangs:
            time.sleep(20 * TIMEOUT_S)
        for _ in range(6):
            time.sleep(TIMEOUT_S / 3)
            if self.tells:
                alive.moved(len(data) // 6)
        self.objects[name] = data


@pytest.mark.requirement("R64")
@pytest.mark.parametrize("tells", [True, False])
def test_a_driver_that_reads_ahead_has_time_for_what_it_has_read(tells):
    backend = ReadsAhead()
    backend.tells = tells
    store_over(backend, num_retries=1).put("vol", BytesSource(BIG), Role.VOLUME)
    assert backend.objects == {"vol": BIG}


@pytest.mark.requirement("R64")
def test_a_driver_that_tells_what_moves_is_given_up_when_it_does_not():
    backend = ReadsAhead()
    backend.hangs = True
    started = time.monotonic()
    with pytest.raises(Transient, match="nothing moved"):
        store_over(backend, num_retries=1).put("vol", BytesSource(BIG), Role.VOLUME)
    assert time.monotonic() - started < 15 * TIMEOUT_S


class FetchesFirst(MemoryBackend):
    download_pace = Pace.OWN

    def read(self, name, start=0, stop=None):
        time.sleep(1.5)
        return super().read(name, start, stop)


def test_a_driver_that_fetches_out_of_sight_has_time_for_the_objects_size():
    backend = FetchesFirst({"vol": BIG, "small": b"x"})
    store = store_over(backend, num_retries=1, timeout_s=0.7)
    assert store.fetch("vol", io.BytesIO(), size=len(BIG)).size == len(BIG)
    with pytest.raises(Transient, match="nothing moved"):
        store.fetch("small", io.BytesIO(), size=1)


def test_people_may_take_their_time_to_answer_and_answer_where_they_were_asked():
    asked_in = []

    def connect():
        def question():
            asked_in.append(threading.current_thread())
            time.sleep(2 * TIMEOUT_S)
            return "secret"

        assert at_home(question) == "secret"
        return MemoryBackend()

    store_over(connect, num_retries=1)
    assert asked_in == [threading.current_thread()]


def test_a_question_that_cannot_be_answered_is_the_drivers_to_translate():
    def connect():
        with pytest.raises(KeyError):
            at_home(lambda: {}["terminal"])
        return MemoryBackend()

    assert store_over(connect, num_retries=1).list() == []


# -- limits


@pytest.mark.parametrize("claims", [ALL, ALL & ~Capability.THREADS])
def test_all_uploads_together_keep_to_the_limit(claims):
    objects = {}
    store = store_over(lambda: MemoryBackend(objects, claims), limit_upload=512, timeout_s=PATIENT_S)
    started = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda name: store.put(name, BytesSource(BIG[: 128 << 10]), Role.VOLUME), "abc"))
    assert time.monotonic() - started > 3 * 128 / 512
    assert {len(data) for data in objects.values()} == {128 << 10}


def test_all_downloads_together_keep_to_the_limit_and_waiting_for_it_is_no_hanging():
    store = store_over(MemoryBackend({"vol": BIG[: 128 << 10]}), limit_download=64, num_retries=1, timeout_s=0.7)
    started = time.monotonic()
    assert store.fetch("vol", io.BytesIO()).size == 128 << 10
    assert time.monotonic() - started > 128 / 64


class CopiesFirst(MemoryBackend):
    """Fetches into a file of its own, as a wrapper does that must see all of an object."""

    download_pace = Pace.OWN

    def read(self, name, start=0, stop=None):
        with operation().paced(super().read(name, start, stop)) as stream:
            return io.BytesIO(stream.read())

    def put(self, name, source, role):
        super().put(name + ".more", operation().metered(BytesSource(BIG[: 64 << 10])), role)
        super().put(name, source, role)


def test_what_a_driver_moves_by_itself_keeps_to_the_limit_when_it_says_so():
    backend = CopiesFirst({"vol": BIG[: 64 << 10]})
    store = store_over(backend, limit_download=256, limit_upload=256, timeout_s=30)
    started = time.monotonic()
    store.fetch("vol", io.BytesIO())
    between = time.monotonic()
    assert between - started > 64 / 256
    store.put("other", BytesSource(BIG[: 64 << 10]), Role.VOLUME)
    assert time.monotonic() - between > 128 / 256


def test_that_a_driver_cannot_be_slowed_down_is_said_at_start(caplog):
    class Free(MemoryBackend):
        upload_pace = Pace.NONE

    store_over(Free(), limit_download=5)
    assert caplog.text == ""
    store_over(Free(), limit_upload=5)
    assert caplog.text.count("--limit-upload has no effect") == 1


def test_a_wrapper_can_be_slowed_down_no_better_than_what_is_inside():
    class Free(MemoryBackend):
        upload_pace = Pace.NONE

    class Wrapper(BackendWrapper):
        download_pace = Pace.OWN

    assert (Wrapper(Free()).upload_pace, Wrapper(Free()).download_pace) == (Pace.NONE, Pace.OWN)


def test_outside_a_run_a_driver_may_tell_what_it_likes():
    alive = operation()
    alive.moved(5)
    source, stream = BytesSource(b"x"), io.BytesIO()
    assert (alive.metered(source), alive.paced(stream)) == (source, stream)


def test_a_metered_source_is_one_that_an_sdk_can_use():
    class Picky(MemoryBackend):
        def put(self, name, source, role):
            with source.open() as stream:
                assert stream.readable() and stream.seekable()
                assert (stream.seek(0, io.SEEK_END), stream.tell()) == (len(DATA), len(DATA))
                stream.seek(0)
                buffer = bytearray(100)
                assert (stream.readinto(buffer), bytes(buffer)) == (100, DATA[:100])
                lines = io.BufferedReader(stream).read(50)
                assert lines == DATA[100:150]
            assert (source.size, source.sha1) == (len(DATA), BytesSource(DATA).sha1)
            with source.as_file() as path:
                assert path.read_bytes() == DATA
            super().put(name, source, role)

    store_over(Picky(), timeout_s=30).put("vol", BytesSource(DATA), Role.VOLUME)


# -- interruption


@pytest.mark.requirement("R53")
@pytest.mark.requirement("R64")
def test_a_run_that_is_stopped_waits_for_nothing():
    stop = Stop()
    with place_where("stat") as (connect, _, _):
        store = Store(connect, log=LOG, timeout_s=600, stop=stop)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(store.stat, "vol")
            pausing = threading.Timer(0.3, stop.set)
            pausing.start()
            with pytest.raises(Interrupted):
                waiting.result(30)
        with pytest.raises(Interrupted):
            stop.pause(600)
        assert [info.name for info in store.list()] == ["vol"], "to put things in order there is a little time"


HELD = """
import logging, threading, time
from tarragon.api import Interrupted
from tarragon.cli import main
from tarragon.store.store import Store
from tarragon_testkit import MemoryBackend

class Hanging(MemoryBackend):
    def list(self, prefix=""):
        threads = [threading.Thread(target=time.sleep, args=(600,)) for _ in range(3)]  # an SDK's own, no daemons
        for thread in threads: thread.start()
        for thread in threads: thread.join()

def run(**_):
    try:
        Store(Hanging, log=logging.getLogger(), num_retries=1, timeout_s=0.2).list()
    except Exception as err:
        print("ended with", type(err).__name__)
        return 51

main.main = run
main.script()
"""


@pytest.mark.requirement("R64")
def test_the_program_ends_although_an_sdk_hangs():
    ended = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (51, "ended with GivenUp\n"), ended


def test_a_listing_is_still_what_it_was():
    backend = MemoryBackend({"a": b"1"})
    assert store_over(backend).list() == [ObjectInfo("a", 1, None, backend.stat("a").digest)]
