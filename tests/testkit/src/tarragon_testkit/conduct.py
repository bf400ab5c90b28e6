"""How a driver behaves: with its source, its memory, its connections, its messages. The name is the promise.

Half of the backend contract; the other half, what a store must do with objects, is in objects. No pytest here.
"""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from tarragon.api import Backend, Capability, ColdObject, NotFound, Role

from .fakes import BytesSource
from .harness import BrokenSource, Contract, Harness, NotAsked, WatchedSource, raises, same
from .quiet import naps, output, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONDUCT = Contract()
check = CONDUCT.check

#: What each capability promises to have been written; the base class's way is no better than without it.
_WRITTEN = {
    Capability.STAT: "stat",
    Capability.RENAME: "rename",
    Capability.BULK_DELETE: "delete_many",
    Capability.EXCLUSIVE_PUT: "put_new",
    Capability.COLD: "warm_up",
}
_TWO_DAYS_S = 2 * 86400


@check()
def what_is_claimed_is_written(h: Harness) -> None:
    for capability, method in _WRITTEN.items():
        if capability in h.backend.capabilities:
            assert getattr(type(h.backend), method) is not getattr(Backend, method), f"{capability} without {method}()"


# -- the source ---------------------------------------------------------------------------------------------------


@check()
def a_put_of_the_same_size_replaces(h: Harness) -> None:
    name = h.put(b"old bytes")
    h.put(b"new bytes", name)
    assert h.eventually(lambda: h.read(name) == b"new bytes")


@check()
def a_source_that_gives_little_at_a_time_is_stored_whole(h: Harness) -> None:
    data, name = random.Random(3).randbytes(50_000), h.put(b"")
    h.backend.put(name, WatchedSource(data, piece=999), Role.VOLUME)
    assert h.eventually(lambda: h.read(name) == data)


@check()
def a_put_leaves_its_source_as_it_was(h: Harness) -> None:
    source, name = WatchedSource(b"mine" * 500), h.put(b"")
    h.backend.put(name, source, Role.VOLUME)
    assert not source.spoilt, "the file of as_file() is not as it was"


@check()
def a_put_closes_what_it_opened(h: Harness) -> None:
    source, name = WatchedSource(b"x" * 500), h.put(b"")
    h.backend.put(name, source, Role.VOLUME)
    assert all(stream.closed for stream in source.opened)


@check()
def a_put_is_done_when_it_returns(h: Harness) -> None:
    source, name = WatchedSource(b"now" * 500), h.put(b"")
    h.backend.put(name, source, Role.VOLUME)
    source.wipe()
    other = h.connect()
    assert h.eventually(lambda: h.read(name, backend=other) == b"now" * 500)


@check()
def a_put_that_fails_half_way_can_be_tried_again(h: Harness) -> None:
    name, data = h.put(b""), bytes(200_000)
    raises(Exception, h.backend.put, name, BrokenSource(data), Role.VOLUME)
    h.backend.reconnect()  # as the core does before it tries again
    h.put(data, name)
    assert h.eventually(lambda: h.read(name) == data)


# -- what it remembers ------------------------------------------------------------------------------------------------


@check()
def two_names_of_which_one_begins_with_the_other_are_two_objects(h: Harness) -> None:
    shorter = h.name()
    longer = h.put(b"the longer", shorter + "0")
    raises(NotFound, lambda: h.read(shorter))
    h.put(b"the shorter", shorter)
    assert h.eventually(lambda: h.read(shorter) == b"the shorter")
    assert h.read(longer) == b"the longer"
    h.backend.delete(shorter)
    assert h.read(longer) == b"the longer"


@check()
def a_stream_read_without_a_size_gives_all(h: Harness) -> None:
    data = random.Random(4).randbytes(300_000)
    with closing(h.backend.read(h.put(data, role=Role.MANIFEST))) as stream:
        same(stream.read(), data)


@check()
def a_prefix_is_taken_literally(h: Harness) -> None:
    base = h.name()
    square, round_ = h.put(b"1", base + "[1].x"), h.put(b"2", base + "1.x")
    assert h.eventually(lambda: h.names(base) == {square, round_})
    assert h.names(base + "[1]") == {square}
    for pattern in ("*", "?", ".*", "[0-9]", "%"):
        assert h.names(base + pattern) == set()


@check()
def a_listing_is_made_anew_each_time(h: Harness) -> None:
    other = h.connect()
    h.names(backend=other)
    first = h.put(b"1")
    assert h.eventually(lambda: first in h.names(backend=other))
    second = h.put(b"2", backend=other)
    assert h.eventually(lambda: {first, second} <= h.names())


def _has_size(backend: Backend, name: str, size: int) -> bool:
    return backend.stat(name).size == size


@check(needs=Capability.SIZES)
def stat_tells_of_the_newest(h: Harness) -> None:
    other, name = h.connect(), h.put(bytes(10))
    assert h.eventually(lambda: name in h.names(backend=other))
    for connection in (h.backend, other):
        connection.stat(name)
    h.put(bytes(20), name)
    for connection in (h.backend, other):
        assert h.eventually(partial(_has_size, connection, name, 20))


@check(needs=Capability.DIGESTS)
def the_digest_of_a_large_object_is_that_of_its_bytes(h: Harness) -> None:
    data = random.Random(6).randbytes(h.large)
    digest = h.backend.stat(h.put(data)).digest
    assert digest in {None, "sha1:" + hashlib.sha1(data).hexdigest(), "md5:" + hashlib.md5(data).hexdigest()}


@check()
def times_are_seconds_since_1970(h: Harness) -> None:
    name = h.put(b"x")
    assert h.eventually(lambda: name in h.names())
    for info in (*h.backend.list(name), h.backend.stat(name)):
        assert info.modified is None or abs(info.modified - time.time()) < _TWO_DAYS_S


@check(needs=Capability.BULK_DELETE)
def more_names_than_a_page_are_deleted(h: Harness) -> None:
    gone = [h.put(b"1"), h.put(b"2")]
    h.backend.delete_many([*(f"{gone[0]}-{number}" for number in range(h.many)), *gone])
    assert h.eventually(lambda: not h.names() & set(gone))


# -- cold objects -----------------------------------------------------------------------------------------------------


@check(lacks=Capability.COLD)
def without_cold_objects_nothing_is_cold(h: Harness) -> None:
    assert h.backend.warm_up([h.put(b"x")]) == frozenset()


@check(needs=Capability.COLD)
def a_cold_object_says_that_it_is_cold(h: Harness) -> None:
    name = h.put(b"x")
    with suppress(ColdObject), closing(h.backend.read(name)) as stream:
        assert stream.read() == b"x"


@check(needs=Capability.COLD)
def asking_what_is_cold_warms_nothing(h: Harness) -> None:
    name = h.put(b"x")
    cold = h.backend.cold([name, h.name()])
    assert cold <= {name}
    assert h.backend.cold([name]) == cold
    if cold:
        raises(ColdObject, lambda: h.backend.read(name).read(1))


@check(needs=Capability.COLD)
def what_must_be_readable_at_once_is_never_cold(h: Harness) -> None:
    for role in (Role.MANIFEST, Role.SIGNATURES, Role.OWN):
        with closing(h.backend.read(h.put(b"at once", role=role))) as stream:
            assert stream.read() == b"at once"


# -- connections and messages ------------------------------------------------------------------------------------------


@check()
def closing_one_connection_leaves_the_others(h: Harness) -> None:
    name, other = h.put(b"x"), h.connect()
    list(other.list("none-"))
    other.close()
    assert h.read(name) == b"x"


def _mishaps(h: Harness) -> Iterator[Callable[[], object]]:
    """Calls that go wrong, or may."""
    missing = h.name()
    yield lambda: h.read(missing)
    yield lambda: h.backend.delete(missing)
    yield lambda: h.backend.stat(missing)
    yield lambda: h.backend.rename(missing, missing + "-new")
    yield lambda: h.backend.put(h.own("n" * 5000), BytesSource(b"x"), Role.OWN)
    with suppress(Exception):  # where such a name can be stored
        h.backend.delete(h.own("n" * 5000))


def _told(err: BaseException | None) -> str:
    """All that an error could make somebody log."""
    words = []
    while err is not None:
        words += [str(err), repr(err), str(getattr(err, "hint", "")), str(getattr(err, "fields", ""))]
        err = err.__cause__
    return "\n".join(words)


@check()
def no_error_tells_a_secret(h: Harness) -> None:
    if not h.secrets:
        raise NotAsked("no secret was given")
    with records() as logged, output() as printed:
        texts = [repr(h.backend), str(h.backend)]
        for call in _mishaps(h):
            try:
                call()
            except Exception as err:  # noqa: BLE001 - whatever it is, it must not tell
                texts.append(_told(err))
        texts += [*logged, printed()]
    for secret in h.secrets:
        for form in {secret, quote(secret), quote(secret, safe="")}:
            assert not any(form in text for text in texts), "a secret stands in a message"


@check()
def it_prints_nothing(h: Harness) -> None:
    with output() as printed:
        name = h.put(b"x")
        list(h.backend.list())
        h.read(name)
        for call in _mishaps(h):
            with suppress(Exception):
                call()
        text = printed()
    assert text == ""


@check()
def it_does_not_sleep(h: Harness) -> None:
    with naps(type(h.backend).__module__.partition(".")[0]) as taken:
        for call in _mishaps(h):
            with suppress(Exception):
                call()
    assert taken == [], "trying again is the core's work"
