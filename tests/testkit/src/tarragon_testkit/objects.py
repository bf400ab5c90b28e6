"""What a store must do with objects: the bytes, the names, the listings. One function each; its name is the promise.

Half of the backend contract; the other half, how a driver behaves, is in conduct. No pytest here: anything may run it.
"""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from threading import Barrier

from tarragon.api import Capability, NotFound, ObjectInfo, Role, TarragonError, Unsupported

from .fakes import BytesSource
from .harness import NAMES, BrokenSource, Contract, Harness, drained, raises, same

OBJECTS = Contract()
check = OBJECTS.check


@check()
def it_says_what_it_can_do(h: Harness) -> None:
    assert isinstance(h.backend.capabilities, Capability)
    assert isinstance(h.backend.max_parallel, int)
    assert h.backend.max_parallel >= 1


@check()
def an_empty_object_comes_back_empty(h: Harness) -> None:
    name = h.put(b"")
    assert h.eventually(lambda: name in h.names())
    assert h.read(name) == b""


@check()
def one_byte_comes_back(h: Harness) -> None:
    assert h.read(h.put(b"\n")) == b"\n"


@check()
def every_byte_comes_back_as_it_was(h: Harness) -> None:
    data = bytes(range(256)) + b"\r\n\n\r\x1a\0" * 50
    same(h.read(h.put(data)), data)


@check()
def eight_mebibytes_come_back(h: Harness) -> None:
    data = random.Random(8).randbytes((1 if h.small else 8) << 20)
    same(h.read(h.put(data)), data)


@check()
def a_put_replaces_what_was_there(h: Harness) -> None:
    name = h.put(b"a longer old object")
    h.put(b"new", name)
    assert h.eventually(lambda: h.read(name) == b"new")
    assert h.eventually(lambda: [info.name for info in h.backend.list(name)] == [name])


@check()
def every_role_can_be_stored(h: Harness) -> None:
    for role in Role:
        assert h.read(h.put(role.value.encode(), role=role)) == role.value.encode()


@check()
def one_source_can_be_stored_twice(h: Harness) -> None:
    source, names = BytesSource(b"again"), (h.name(), h.name())
    for name in names:
        h.backend.put(name, source, Role.VOLUME)
    assert [h.read(name) for name in names] == [b"again", b"again"]


@check()
def storing_one_source_under_one_name_twice_leaves_one_object(h: Harness) -> None:
    source, name = BytesSource(b"again"), h.name()
    before = {info.name for info in h.backend.list()}
    for _ in range(2):
        h.backend.put(name, source, Role.VOLUME)
    assert h.eventually(lambda: {info.name for info in h.backend.list()} == before | {name})


@check()
def names_that_duplicity_makes_come_back(h: Harness) -> None:
    names = [h.own(name) for name in NAMES]
    for name in names:
        h.put(name.encode(), name)
    assert h.eventually(lambda: h.names() == set(names))
    assert [h.read(name).decode() for name in names] == names


@check()
def names_differ_by_letter_case(h: Harness) -> None:
    name = h.put(b"lower")
    h.put(b"upper", name.upper())
    assert (h.read(name), h.read(name.upper())) == (b"lower", b"upper")


@check()
def a_listing_gives_object_infos(h: Harness) -> None:
    name = h.put(b"x")
    assert h.eventually(lambda: name in h.names())
    assert all(isinstance(info, ObjectInfo) for info in h.backend.list())


@check()
def a_prefix_narrows_the_listing(h: Harness) -> None:
    name, longer, other = h.put(b"1"), "", h.put(b"3", h.name("other"))
    longer = h.put(b"2", name + ".more")
    assert h.eventually(lambda: h.names(name) == {name, longer})
    assert h.names() >= {name, longer, other}


@check()
def a_prefix_that_nothing_has_lists_nothing(h: Harness) -> None:
    h.put(b"x")
    assert list(h.backend.list("no-such-prefix-")) == []


@check()
def a_listing_tells_every_one_of_many_objects_once(h: Harness) -> None:
    names = {h.put(b"", h.name(f"-{number}")) for number in range(h.many)}
    assert h.eventually(lambda: h.names() >= names)
    listed = [info.name for info in h.backend.list()]
    assert len(listed) == len(set(listed))


def _is_listed(h: Harness, name: str) -> bool:
    return name in h.names()


@check(needs=Capability.SIZES)
def sizes_are_told(h: Harness) -> None:
    for size in (0, 1, 70_000):
        name = h.put(bytes(size))
        assert h.eventually(partial(_is_listed, h, name))
        assert [info.size for info in h.backend.list(name)] == [size]
        assert h.backend.stat(name).size == size


@check(needs=Capability.DIGESTS)
def the_digest_is_that_of_the_bytes(h: Harness) -> None:
    info = h.backend.stat(h.put(b"digest me"))
    sums = {"sha1:" + hashlib.sha1(b"digest me").hexdigest(), "md5:" + hashlib.md5(b"digest me").hexdigest()}
    assert info.digest in sums


@check()
def stat_tells_of_the_object_itself_and_not_of_one_with_a_longer_name(h: Harness) -> None:
    name = h.name()
    h.put(b"longer", name + ".more")
    raises(NotFound, lambda: h.backend.stat(name))
    assert h.backend.stat(name + ".more").name == name + ".more"


@check()
def reading_what_is_not_there_is_not_found(h: Harness) -> None:
    raises(NotFound, lambda: h.read(h.name()))


@check()
def deleting_what_is_not_there_is_not_found(h: Harness) -> None:
    raises(NotFound, lambda: h.backend.delete(h.name()))


@check()
def what_is_deleted_is_gone(h: Harness) -> None:
    name, kept = h.put(b"x"), h.put(b"kept")
    h.backend.delete(name)
    assert h.eventually(lambda: name not in h.names())
    raises(NotFound, lambda: h.read(name))
    assert h.read(kept) == b"kept"


@check()
def a_deleted_name_can_be_used_again(h: Harness) -> None:
    name = h.put(b"old")
    h.backend.delete(name)
    h.put(b"new", name)
    assert h.eventually(lambda: h.read(name) == b"new")


@check()
def many_are_deleted_at_once_and_missing_ones_are_no_error(h: Harness) -> None:
    gone, kept = [h.put(b"x") for _ in range(3)], h.put(b"kept")
    h.backend.delete_many([gone[0], h.name(), gone[1], gone[2]])
    assert h.eventually(lambda: kept in h.names() and not h.names() & set(gone))


@check()
def deleting_nothing_is_no_error(h: Harness) -> None:
    h.backend.delete_many([])


@check()
def a_second_connection_sees_the_object(h: Harness) -> None:
    name, other = h.put(b"x"), h.connect()
    assert h.eventually(lambda: name in h.names(backend=other))
    assert h.read(name, backend=other) == b"x"


@check()
def a_second_connection_sees_what_was_replaced_and_deleted(h: Harness) -> None:
    other, name, gone = h.connect(), h.put(b"old"), h.put(b"x")
    h.names(backend=other)
    h.put(b"new", name)
    h.backend.delete(gone)
    assert h.eventually(lambda: h.read(name, backend=other) == b"new")
    assert h.eventually(lambda: gone not in h.names(backend=other))


@check()
def a_stream_gives_no_more_than_asked_for(h: Harness) -> None:
    with closing(h.backend.read(h.put(b"0123456789", role=Role.MANIFEST))) as stream:
        assert b"0123456789".startswith(first := stream.read(4))
        assert 0 < len(first) <= 4
        assert first + drained(stream) == b"0123456789"
        assert stream.read(1) == b""


@check()
def a_stream_that_is_not_read_to_its_end_does_no_harm(h: Harness) -> None:
    name = h.put(bytes(300_000), role=Role.MANIFEST)
    with closing(h.backend.read(name)) as stream:
        assert stream.read(10) != b""
    assert len(h.read(name)) == 300_000


@check(needs=Capability.RANGES)
def a_range_starts_where_asked(h: Harness) -> None:
    assert h.read(h.put(b"0123456789"), 4) == b"456789"


@check(needs=Capability.RANGES)
def a_range_ends_where_asked(h: Harness) -> None:
    name = h.put(b"0123456789")
    assert [h.read(name, *ends) for ends in ((4, 7), (0, 1), (9, 10), (3, 3))] == [b"456", b"0", b"9", b""]


@check(needs=Capability.RANGES)
def a_range_past_the_end_is_cut(h: Harness) -> None:
    name = h.put(b"0123456789")
    assert [h.read(name, *ends) for ends in ((8, 99), (10, 20))] == [b"89", b""]


@check(needs=Capability.RENAME)
def a_rename_moves_and_replaces(h: Harness) -> None:
    old, new = h.put(b"moved"), h.put(b"replaced")
    h.backend.rename(old, new)
    assert h.eventually(lambda: h.read(new) == b"moved")
    assert h.eventually(lambda: old not in h.names())


@check(needs=Capability.RENAME)
def renaming_what_is_not_there_is_not_found(h: Harness) -> None:
    raises(NotFound, lambda: h.backend.rename(h.name(), h.name()))


@check(lacks=Capability.RENAME)
def a_rename_that_is_not_claimed_is_unsupported(h: Harness) -> None:
    raises(Unsupported, lambda: h.backend.rename(h.put(b"x"), h.name()))


@check(needs=Capability.EXCLUSIVE_PUT)
def an_exclusive_put_does_not_replace(h: Harness) -> None:
    name = h.name()
    assert h.backend.put_new(name, BytesSource(b"first"), Role.OWN) is True
    assert h.backend.put_new(name, BytesSource(b"second"), Role.OWN) is False
    assert h.read(name) == b"first"


@check(needs=Capability.EXCLUSIVE_PUT)
def of_many_exclusive_puts_one_wins(h: Harness) -> None:
    name, connections = h.name(), [h.connect() for _ in range(6)]
    start = Barrier(len(connections))

    def race(number: int) -> bool:
        start.wait()
        return connections[number].put_new(name, BytesSource(str(number).encode()), Role.OWN)

    with ThreadPoolExecutor(len(connections)) as threads:
        won = list(threads.map(race, range(len(connections))))
    assert sorted(won) == [False] * 5 + [True]
    assert h.read(name) == str(won.index(True)).encode()


@check(lacks=Capability.EXCLUSIVE_PUT)
def an_exclusive_put_that_is_not_claimed_is_unsupported(h: Harness) -> None:
    raises(Unsupported, lambda: h.backend.put_new(h.name(), BytesSource(b"x"), Role.OWN))


@check(needs=Capability.THREADS)
def one_connection_serves_several_threads(h: Harness) -> None:
    objects = {h.name(): bytes([number]) * 50_000 for number in range(12)}
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: h.put(objects[name], name), objects))
        for found, wanted in zip(threads.map(h.read, objects), objects.values(), strict=True):
            same(found, wanted)


@check()
def connections_of_their_own_serve_several_threads(h: Harness) -> None:
    connections = [h.connect() for _ in range(min(3, h.backend.max_parallel))]
    names = [h.name() for _ in connections]
    with ThreadPoolExecutor(len(connections)) as threads:
        list(
            threads.map(
                lambda pair: h.put(pair[0].encode(), pair[0], backend=pair[1]), zip(names, connections, strict=True)
            )
        )
    assert [h.read(name).decode() for name in names] == names


@check(needs=Capability.ATOMIC_PUT)
def a_put_that_fails_half_way_leaves_what_was_there(h: Harness) -> None:
    name, new = h.put(b"old"), h.name()
    for target in (name, new):
        raises(Exception, h.backend.put, target, BrokenSource(bytes(200_000)), Role.VOLUME)
    assert h.read(name) == b"old"
    assert new not in h.names()


@check()
def only_cold_names_are_cold(h: Harness) -> None:
    name = h.put(b"x")
    assert h.backend.warm_up([name]) <= {name}


@check()
def it_works_after_a_reconnect(h: Harness) -> None:
    name = h.put(b"x")
    h.backend.reconnect()
    assert h.read(name) == b"x"


@check()
def it_can_be_closed_twice(h: Harness) -> None:
    backend = h.connect()
    list(backend.list("none-"))
    backend.close()
    backend.close()


@check()
def whatever_goes_wrong_is_a_typed_error(h: Harness) -> None:
    for name in (h.own("n" * 5000), h.own("a/b"), "../" + h.own("a")):
        with suppress(TarragonError):
            h.backend.put(name, BytesSource(b"x"), Role.OWN)
        with suppress(TarragonError):
            h.read(name)
        with suppress(TarragonError):
            h.backend.delete(name)
