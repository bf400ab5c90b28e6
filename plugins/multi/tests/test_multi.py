"""Several stores as one: what lies where, and what a store that fails costs."""

from __future__ import annotations

import io
import json
import logging
import os

import pytest
from tarragon.api import (
    BackendError,
    BadURL,
    Capability,
    ColdObject,
    NotFound,
    PermissionDenied,
    Role,
    Transient,
    UnknownScheme,
    parse_url,
)
from tarragon.store.store import Store
from tarragon_multi.mirror import MirrorBackend
from tarragon_multi.opening import opened, path_of, read_file, read_query
from tarragon_multi.part import Part
from tarragon_multi.stripe import StripeBackend
from tarragon_testkit import BytesSource, ColdBackend, FaultyBackend, MemoryBackend, TestContext, open_url

EVERYTHING = MemoryBackend.everything
BUSY = Transient("busy")
DEAD = [BUSY] * 99
CONTINUE, ABORT = True, False


def parts_of(*stores, prefixes=()):
    return [
        Part(number, f"part {number}", tuple(prefixes[number]) if prefixes else (), store)
        for number, store in enumerate(stores)
    ]


def combined(kind, *stores, may_lack=CONTINUE, prefixes=(), action="full", tries=3):
    context = TestContext({"num_retries": tries, "action": action})
    return kind(parts_of(*stores, prefixes=prefixes), context, may_lack=may_lack)


def put(backend, name, data=b"data"):
    backend.put(name, BytesSource(data), Role.VOLUME)


def read(backend, name):
    with backend.read(name) as stream:
        return stream.read()


def through_the_core(backend, tries=3):
    waits = []
    store = Store(backend, log=logging.getLogger("t"), num_retries=tries, retry_delay_s=1, sleep=waits.append)
    return store, waits


def two_memories():
    return MemoryBackend(), MemoryBackend()


def names(store):
    return sorted(info.name for info in store.list())


# -- the URL and the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("multi:///a/c.json", "/a/c.json"),
        ("multi://a/c.json", "/a/c.json"),
        ("multi:///a%20b/c.json?mode=mirror", "/a b/c.json"),
        ("multi:////a/c.json#x", "/a/c.json"),
    ],
)
def test_the_path_of_the_file_is_never_relative(url, path):
    assert path_of(parse_url(url, {"multi"})) == path


def test_the_query_has_defaults_and_is_form_decoded():
    assert read_query("") == read_query("mode=&onfail=")
    assert (read_query("").mode, read_query("").onfail, read_query("").subpath) == ("stripe", "continue", "")
    found = read_query("mode=mirror&onfail=abort&subpath=%2Fsub+x%26y")
    assert (found.mode, found.onfail, found.subpath) == ("mirror", "abort", "/sub x&y")


@pytest.mark.parametrize("query", ["mode=both", "onfail=retry", "x=1", "mode", "mode=stripe&mode=mirror", "=1"])
def test_another_query_is_refused_with_duplicitys_status(query):
    with pytest.raises(BadURL) as caught:
        read_query(query)
    assert caught.value.exit_code == 50


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "[1]", '[{"description": "no url"}]', '[{"url": 5}]', '[{"url": "file:///x", "env": {}}]',
     '[{"url": "file:///x", "env": [{"name": "A"}]}]', '[{"url": "file:///x", "prefixes": "a"}]', "[" * 100_000],
    ids=lambda text: text[:30],
)  # fmt: skip
@pytest.mark.requirement("R40")
def test_another_file_is_refused_with_duplicitys_status(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadURL) as caught:
        read_file(str(tmp_path / "config.json"))
    assert caught.value.exit_code == 50


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(BadURL, match="'/not/there.json'"):
        read_file("/not/there.json")


class Opening:
    """A run's context, with stores in memory by URL; some of them refuse."""

    def __init__(self, tmp_path, config, query="", refusals=()):
        (tmp_path / "config.json").write_text(json.dumps(config))
        self.url = parse_url(f"multi://{tmp_path}/config.json{query}", {"multi"})
        self.stores, self.refusals = {}, dict(refusals)
        self.context = TestContext({"num_retries": 1}, {"SHARED": "ours"}, open=self.open)

    def open(self, url):
        if url in self.refusals:
            raise self.refusals[url]
        return self.stores.setdefault(url, MemoryBackend())

    def opened(self):
        return opened(self.url, self.context)


@pytest.mark.requirement("R24")
def test_each_store_gets_its_own_environment_and_nothing_else_changes(tmp_path):
    config = [
        {"url": "x://one", "env": [{"name": "KEY", "value": "first"}, {"name": "KEY", "value": "last"}]},
        {"url": "x://two", "description": "has none", "other": "ignored"},
    ]
    before = dict(os.environ)
    opening = Opening(tmp_path, config)
    opening.opened()
    assert opening.context.opened == [("x://one", {"KEY": "last"}), ("x://two", {})]
    assert dict(os.environ) == before
    assert opening.context.env == {"SHARED": "ours"}


def test_the_subpath_is_glued_to_every_url(tmp_path):
    opening = Opening(tmp_path, [{"url": "x://one"}, {"url": "x://two/"}], "?subpath=-zz")
    opening.opened()
    assert list(opening.stores) == ["x://one-zz", "x://two/-zz"]


def test_prefixes_are_for_mirrors(tmp_path):
    with pytest.raises(BadURL, match="mode=mirror"):
        Opening(tmp_path, [{"url": "x://one", "prefixes": ["a"]}]).opened()


def test_the_mode_decides_what_is_made(tmp_path):
    assert isinstance(Opening(tmp_path, [{"url": "x://one"}]).opened(), StripeBackend)
    assert isinstance(Opening(tmp_path, [{"url": "x://one"}], "?mode=mirror").opened(), MirrorBackend)


TWO = [{"url": "x://u:geheim@one"}, {"url": "x://two"}]


def test_a_mirror_that_cannot_be_reached_is_left_out_and_said_without_its_password(tmp_path, caplog):
    opening = Opening(tmp_path, TWO, "?mode=mirror", {"x://u:geheim@one": PermissionDenied("refused")})
    backend = opening.opened()
    put(backend, "v")
    assert opening.stores["x://two"].objects == {"v": b"data"}
    assert "mirror 'x://u:***@one' cannot be reached and is left out" in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("query", ["", "?onfail=abort", "?mode=mirror&onfail=abort"])
def test_any_other_store_that_cannot_be_reached_ends_the_run(tmp_path, query):
    with pytest.raises(PermissionDenied):
        Opening(tmp_path, TWO, query, {"x://u:geheim@one": PermissionDenied("refused")}).opened()


def test_a_wrong_url_ends_the_run_whatever_the_mode(tmp_path):
    with pytest.raises(UnknownScheme):
        Opening(tmp_path, TWO, "?mode=mirror", {"x://two": UnknownScheme("x")}).opened()


def test_no_mirror_at_all_ends_the_run(tmp_path):
    refusals = {"x://u:geheim@one": PermissionDenied("one"), "x://two": PermissionDenied("two")}
    with pytest.raises(PermissionDenied, match="one"):
        Opening(tmp_path, TWO, "?mode=mirror", refusals).opened()


# -- what several stores can do together ------------------------------------------------------------------------------


def test_capabilities_are_those_of_all_and_cold_is_what_any_is():
    poor = MemoryBackend(capabilities=Capability.SIZES | Capability.THREADS | Capability.COLD)
    assert combined(StripeBackend, MemoryBackend(), poor).capabilities == (
        Capability.SIZES | Capability.THREADS | Capability.COLD
    )
    whole = combined(MirrorBackend, *two_memories()).capabilities
    assert whole == EVERYTHING & ~Capability.RENAME


def test_a_put_is_whole_where_every_part_puts_whole_or_renames():
    renames = MemoryBackend(capabilities=EVERYTHING & ~Capability.ATOMIC_PUT)
    backend = combined(StripeBackend, MemoryBackend(), renames)
    assert Capability.ATOMIC_PUT in backend.capabilities
    faulty = FaultyBackend(renames)
    put(combined(MirrorBackend, faulty), "v")
    assert [name[:13] for call, name in faulty.calls if call == "put"] == ["tarragon.tmp-"]
    assert renames.objects == {"v": b"data"}


def test_ranges_are_read_whole_where_one_part_does_not_know_them():
    poor = MemoryBackend({"v": b"0123"}, EVERYTHING & ~Capability.RANGES)
    backend = combined(StripeBackend, MemoryBackend({"w": b"0123"}), poor)
    with backend.read("w", 2, 3) as stream:
        assert stream.read() == b"0123"


# -- cold objects -----------------------------------------------------------------------------------------------------


def frozen(*found, asks=1):
    """A store that keeps these volumes cold, and counts what is asked of it."""
    return FaultyBackend(ColdBackend(MemoryBackend(dict.fromkeys(found, b"data")), cold=dict.fromkeys(found, asks)))


@pytest.mark.parametrize("has_listed", [True, False])
def test_what_a_mirror_has_ready_is_not_cold_and_is_asked_back_nowhere(has_listed):
    cold = frozen("v", "w")
    backend = combined(MirrorBackend, cold, MemoryBackend({"w": b"data"}))
    if has_listed:
        names(backend)
    assert backend.cold(["v", "w", "unknown"]) == {"v"}
    assert backend.warm_up(["w"]) == frozenset()
    assert cold.count("warm_up") == 0
    assert read(backend, "w") == b"data"


def test_stripes_are_cold_where_they_lie_and_are_asked_back_there():
    one, two = frozen("a", "b", asks=2), frozen("c", asks=2)
    backend = combined(StripeBackend, one, two, MemoryBackend({"d": b"data"}))
    assert backend.cold("abcd") == {"a", "b", "c"}
    assert backend.warm_up("abcd") == {"a", "b", "c"}
    assert backend.warm_up("abcd") == frozenset()
    assert backend.cold("abcd") == frozenset()
    assert read(backend, "a") == b"data"


def test_of_copies_that_are_all_cold_one_is_asked_back():
    one, two = frozen("v"), frozen("v")
    backend = combined(MirrorBackend, one, two)
    assert backend.warm_up("v") == frozenset()
    assert (one.count("warm_up"), two.count("warm_up")) == (1, 0)
    assert read(backend, "v") == b"data"


def test_another_copy_is_asked_back_where_the_first_cannot_be():
    broken = FaultyBackend(frozen("v").inner, {"warm_up": [PermissionDenied("no")]})
    assert combined(MirrorBackend, broken, frozen("v")).warm_up("v") == frozenset()
    broken = FaultyBackend(frozen("v").inner, {"warm_up": [PermissionDenied("no")]})
    with pytest.raises(PermissionDenied):
        combined(MirrorBackend, broken, frozen("w")).warm_up("vw")


def test_asking_back_is_tried_again_before_another_copy_is_paid_for():
    busy, other = FaultyBackend(frozen("v").inner, {"warm_up": [BUSY]}), frozen("v")
    store, waits = through_the_core(combined(MirrorBackend, busy, other))
    assert store.warm_up("v") == frozenset()
    assert (len(waits), other.count("warm_up")) == (1, 0)


def test_a_mirror_that_does_not_answer_has_nothing_ready():
    deaf = FaultyBackend(MemoryBackend({"v": b"data", "w": b"data"}), {"cold": DEAD})
    store, _ = through_the_core(combined(MirrorBackend, deaf, frozen("v")))
    assert store.cold("vw") == {"v", "w"}
    deaf = FaultyBackend(MemoryBackend({"v": b"data"}), {"cold": DEAD})
    store, _ = through_the_core(combined(StripeBackend, deaf, frozen("w")))
    with pytest.raises(Transient):
        store.cold("vw")


@pytest.mark.parametrize("kind", [MirrorBackend, StripeBackend])
def test_what_is_cold_at_one_part_and_missing_at_another_is_said_to_be_cold(kind):
    with pytest.raises(ColdObject):
        read(combined(kind, frozen("v"), MemoryBackend()), "v")
    with pytest.raises(ColdObject):
        read(combined(kind, MemoryBackend(), frozen("v")), "v")


# -- stripes ----------------------------------------------------------------------------------------------------------


def test_stripes_take_turns_over_all_kinds_of_objects():
    stores = two_memories()
    backend = combined(StripeBackend, *stores)
    for number, role in enumerate(Role):
        backend.put(f"{number}", BytesSource(b"x"), role)
    assert [sorted(store.objects) for store in stores] == [["0", "2", "4"], ["1", "3", "5"]]
    assert names(backend) == ["0", "1", "2", "3", "4", "5"]
    assert read(backend, "3") == b"x"


def test_an_object_is_found_wherever_it_lies():
    backend = combined(StripeBackend, MemoryBackend(), MemoryBackend(), MemoryBackend({"v": b"there"}))
    assert read(backend, "v") == b"there"
    backend.delete("v")
    with pytest.raises(NotFound):
        backend.delete("v")


@pytest.mark.parametrize("claim", [EVERYTHING, Capability.NONE])
def test_an_object_is_replaced_where_it_stands_so_that_there_is_one(claim):
    stores = MemoryBackend(capabilities=claim), MemoryBackend({"v": b"old"}, claim)
    backend = combined(StripeBackend, *stores)
    put(backend, "v", b"new")
    assert [store.objects for store in stores] == [{}, {"v": b"new"}]


def test_a_stripe_that_fails_is_passed_over_and_said(caplog):
    stores = FaultyBackend(MemoryBackend(), {"put": DEAD}), MemoryBackend()
    backend = combined(StripeBackend, *stores)
    for number in range(3):
        put(backend, f"v{number}")
    assert sorted(stores[1].objects) == ["v0", "v1", "v2"]
    assert "cannot store 'v0' at 'part 0', 'part 1' has it" in caplog.text
    assert stores[0].count("put") == 1


def test_a_stripe_that_must_not_fail_ends_the_backup_after_all_tries_and_no_other_gets_its_object():
    """Stock duplicity's pointer has moved on by the second try, so that its abort never aborts."""
    stores = FaultyBackend(MemoryBackend(), {"put": DEAD}), MemoryBackend()
    store, waits = through_the_core(combined(StripeBackend, *stores, may_lack=ABORT))
    with pytest.raises(Transient):
        store.put("v", BytesSource(b"x"), Role.VOLUME)
    assert (stores[0].count("put"), waits) == (3, [1, 1])
    assert stores[1].objects == {}


@pytest.mark.parametrize("may_lack", [CONTINUE, ABORT])
@pytest.mark.requirement("R14")
def test_stripes_are_never_listed_in_part(may_lack):
    """Stock duplicity takes what lies there for missing."""
    stores = MemoryBackend({"v": b""}), FaultyBackend(MemoryBackend({"w": b""}), {"list": [PermissionDenied("no")]})
    with pytest.raises(PermissionDenied):
        names(combined(StripeBackend, *stores, may_lack=may_lack))


def test_a_stripe_that_may_hold_an_object_and_cannot_tell_is_no_not_found():
    stores = FaultyBackend(MemoryBackend({"v": b"x"}), {"read": [BUSY]}), MemoryBackend()
    store, _ = through_the_core(combined(StripeBackend, *stores))
    assert store.fetch("v", io.BytesIO()).file.read() == b"x"


# -- mirrors ----------------------------------------------------------------------------------------------------------


def test_mirrors_all_have_everything():
    stores = two_memories()
    put(combined(MirrorBackend, *stores), "v")
    assert [store.objects for store in stores] == [{"v": b"data"}] * 2


def test_copies_are_no_links_to_one_file(tmp_path):
    """The file backend links what it is given: damage to one copy would be damage to all."""
    from tarragon.store.source import FileSource

    (tmp_path / "sealed").write_bytes(b"data")
    folders = [tmp_path / name for name in ("one", "two", "three")]
    context = TestContext({"num_retries": 1}, tempdir=tmp_path)
    stores = [open_url(f"file://{folder}", context) for folder in folders]
    backend = MirrorBackend(parts_of(*stores), context, may_lack=ABORT)
    backend.put("v", FileSource(tmp_path / "sealed"), Role.VOLUME)
    (tmp_path / "sealed").unlink()
    assert [(folder / "v").read_bytes() for folder in folders] == [b"data"] * 3
    assert len({(folder / "v").stat().st_ino for folder in folders}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three", "two"]


def test_prefixes_choose_the_mirrors_and_what_has_none_goes_to_all():
    stores = MemoryBackend(), MemoryBackend(), MemoryBackend()
    backend = combined(MirrorBackend, *stores, prefixes=[["arch-"], ["mani-", "sig-"], ["mani-"]])
    for name in ("arch-1", "mani-1", "sig-1", "stats"):
        put(backend, name)
    assert [sorted(store.objects) for store in stores] == [
        ["arch-1", "stats"],
        ["mani-1", "sig-1", "stats"],
        ["mani-1", "stats"],
    ]
    assert [read(backend, name) for name in names(backend)] == [b"data"] * 4


def test_a_failing_mirror_is_tried_again_and_the_others_get_nothing_twice():
    good, bad = FaultyBackend(MemoryBackend()), FaultyBackend(MemoryBackend(), {"put": [BUSY, BUSY]})
    store, waits = through_the_core(combined(MirrorBackend, good, bad))
    store.put("v", BytesSource(b"x"), Role.VOLUME)
    assert (good.count("put"), bad.count("put"), waits) == (1, 3, [1, 1])
    assert bad.inner.objects == {"v": b"x"}


def test_a_dead_mirror_costs_its_tries_once_and_is_said_for_every_object(caplog):
    good, dead = MemoryBackend(), FaultyBackend(MemoryBackend(), {"put": DEAD})
    store, waits = through_the_core(combined(MirrorBackend, good, dead))
    for number in range(4):
        store.put(f"v{number}", BytesSource(b"x"), Role.VOLUME)
    assert sorted(good.objects) == ["v0", "v1", "v2", "v3"]
    assert (dead.count("put"), waits) == (3 + 1 + 1 + 1, [1, 1])
    assert caplog.text.count("at 'part 1', going on without it: busy") == 4


def test_a_mirror_that_refuses_for_good_is_not_tried_again():
    stores = MemoryBackend(), FaultyBackend(MemoryBackend(), {"put": [PermissionDenied("no")]})
    store, waits = through_the_core(combined(MirrorBackend, *stores))
    store.put("v", BytesSource(b"x"), Role.VOLUME)
    assert waits == []


def test_no_mirror_at_all_is_a_failure():
    stores = [FaultyBackend(MemoryBackend(), {"put": DEAD}) for _ in range(2)]
    store, _ = through_the_core(combined(MirrorBackend, *stores))
    with pytest.raises(Transient):
        store.put("v", BytesSource(b"x"), Role.VOLUME)


def test_a_mirror_that_must_not_fail_ends_the_backup():
    stores = MemoryBackend(), FaultyBackend(MemoryBackend(), {"put": DEAD})
    store, waits = through_the_core(combined(MirrorBackend, *stores, may_lack=ABORT))
    with pytest.raises(Transient):
        store.put("v", BytesSource(b"x"), Role.VOLUME)
    assert waits == [1, 1]


def test_what_a_failed_put_removed_again_is_put_again():
    """Over stores without atomic puts the core removes what a failed put may have left, at every mirror."""
    poor = Capability.SIZES
    good, bad = MemoryBackend(capabilities=poor), FaultyBackend(MemoryBackend(capabilities=poor), {"put": [BUSY]})
    store, _ = through_the_core(combined(MirrorBackend, good, bad))
    store.put("v", BytesSource(b"x"), Role.VOLUME)
    assert (good.objects, bad.inner.objects) == ({"v": b"x"}, {"v": b"x"})


def test_an_older_copy_at_a_mirror_that_failed_does_not_stay():
    stale = FaultyBackend(MemoryBackend({"v": b"older and longer"}), {"put": [PermissionDenied("no")]})
    backend = combined(MirrorBackend, stale, MemoryBackend())
    put(backend, "v", b"new")
    assert stale.inner.objects == {}
    assert read(backend, "v") == b"new"


@pytest.mark.requirement("R49")
def test_every_copy_is_looked_at_after_it_was_stored():
    def shortened(inner, name, source, role):
        inner.put(name, BytesSource(source.data[:-1]), role)

    bad = FaultyBackend(MemoryBackend(), {"put": [shortened]})
    store, waits = through_the_core(combined(MirrorBackend, MemoryBackend(), bad))
    store.put("v", BytesSource(b"data"), Role.VOLUME)
    assert (bad.inner.objects, waits) == ({"v": b"data"}, [1])


@pytest.mark.requirement("R66")
def test_a_copy_that_cannot_be_read_is_taken_from_the_next_mirror(caplog):
    bad = FaultyBackend(MemoryBackend({"v": b"data"}), {"read": [PermissionDenied("no"), PermissionDenied("no")]})
    backend = combined(MirrorBackend, bad, MemoryBackend({"v": b"data"}))
    assert read(backend, "v") == b"data"
    assert "cannot read 'v' at 'part 0', another one can" in caplog.text
    read(backend, "v")
    assert bad.count("read") == 1


class Breaking:
    def __init__(self):
        self.pieces = [b"x" * 65536]

    def read(self, size=-1):
        if not self.pieces:
            raise Transient("reset")
        return self.pieces.pop()

    def close(self):
        pass


def test_a_copy_that_breaks_off_in_the_middle_is_taken_from_the_next_mirror_in_the_next_try():
    data = b"x" * 100_000
    bad = FaultyBackend(MemoryBackend({"v": data}), {"read": [lambda *_: Breaking()] * 99})
    store, waits = through_the_core(combined(MirrorBackend, bad, MemoryBackend({"v": data})))
    assert store.fetch("v", io.BytesIO()).file.read() == data
    assert waits == [1]


def test_a_copy_that_was_not_good_enough_is_followed_by_the_next_one():
    backend = combined(MirrorBackend, MemoryBackend({"v": b"flipped"}), MemoryBackend({"v": b"correct"}))
    assert [read(backend, "v") for _ in range(3)] == [b"flipped", b"correct", b"flipped"]


def test_of_copies_that_differ_in_size_the_longest_counts():
    backend = combined(MirrorBackend, MemoryBackend({"v": b"bro"}), MemoryBackend({"v": b"broken off"}))
    assert [(info.name, info.size) for info in backend.list()] == [("v", 10)]
    assert read(backend, "v") == b"broken off"


def test_a_mirror_that_lacks_a_file_is_passed_over():
    backend = combined(MirrorBackend, MemoryBackend(), MemoryBackend({"v": b"data"}))
    assert read(backend, "v") == b"data"
    with pytest.raises(NotFound):
        read(backend, "w")


def test_a_dead_mirror_does_not_make_every_missing_object_a_failure():
    dead = FaultyBackend(MemoryBackend(), {"read": DEAD, "list": DEAD})
    store, waits = through_the_core(combined(MirrorBackend, MemoryBackend({"v": b""}), dead))
    assert [info.name for info in store.list()] == ["v"]
    with pytest.raises(NotFound):
        store.fetch("w", io.BytesIO())
    assert waits == [1, 1]


# -- listing and deleting with a mirror away --------------------------------------------------------------------------


def away(objects=None):
    return FaultyBackend(MemoryBackend(objects), {"list": [PermissionDenied("away")] * 9})


def test_a_listing_goes_on_without_a_mirror_and_says_so(caplog):
    assert names(combined(MirrorBackend, away(), MemoryBackend({"v": b""}))) == ["v"]
    assert "cannot list at 'part 0', going on without it" in caplog.text


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    ("prefixes", "whole"),
    [
        ([["arch-"], []], False),
        ([["arch-"], ["arch-"]], True),
        ([["arch-x"], ["arch-"]], True),
        ([["arch-"], ["arch-x"]], False),
        ([[], ["arch-"]], True),
    ],
)
def test_it_does_not_where_nobody_else_has_what_that_mirror_keeps(prefixes, whole):
    backend = combined(MirrorBackend, away({"arch-1": b""}), MemoryBackend(), prefixes=prefixes)
    if whole:
        assert names(backend) == []
    else:
        with pytest.raises(PermissionDenied):
            names(backend)


def test_it_does_not_where_it_must_not():
    with pytest.raises(PermissionDenied):
        names(combined(MirrorBackend, away(), MemoryBackend(), may_lack=ABORT))


@pytest.mark.requirement("R14")
@pytest.mark.parametrize("way", ["delete", "delete_many"])
def test_nothing_is_cleaned_up_after_a_listing_in_part(way):
    other = MemoryBackend({"v": b""})
    backend = combined(MirrorBackend, away(), other, action="cleanup")
    names(backend)
    with pytest.raises(BackendError, match="nothing is deleted while 'part 0' cannot be listed"):
        backend.delete("v") if way == "delete" else backend.delete_many(["v"])
    assert other.objects == {"v": b""}


def test_a_backup_may_still_remove_what_is_its_own():
    other = MemoryBackend({"v": b""})
    backend = combined(MirrorBackend, away({"v": b""}), other, action="full")
    names(backend)
    backend.delete_many(["v"])
    assert other.objects == {}


@pytest.mark.parametrize("kind", [MirrorBackend, StripeBackend])
def test_what_could_not_be_deleted_everywhere_is_no_success(kind):
    stores = (
        FaultyBackend(MemoryBackend({"v": b""}), {"delete_many": [PermissionDenied("no")]}),
        MemoryBackend({"v": b""}),
    )
    backend = combined(kind, *stores, action="remove-older-than")
    with pytest.raises(PermissionDenied):
        backend.delete_many(["v"])
    assert stores[1].objects == {}


# -- exclusive puts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MirrorBackend, StripeBackend])
def test_one_part_decides_who_was_first(kind):
    stores = two_memories()
    first, second = combined(kind, *stores), combined(kind, *stores)
    put(second, "elsewhere")
    assert first.put_new("lease", BytesSource(b"first"), Role.OWN)
    assert not second.put_new("lease", BytesSource(b"second"), Role.OWN)
    assert read(second, "lease") == b"first"
    first.put("lease", BytesSource(b"renewed"), Role.OWN)
    assert read(second, "lease") == b"renewed"
    first.delete("lease")
    assert second.put_new("lease", BytesSource(b"second"), Role.OWN)


# -- letting go -------------------------------------------------------------------------------------------------------


def test_all_parts_are_closed_though_one_fails():
    bad, good = FaultyBackend(MemoryBackend(), {"close": [BUSY]}), FaultyBackend(MemoryBackend())
    with pytest.raises(Transient):
        combined(MirrorBackend, bad, good).close()
    assert good.count("close") == 1


def test_all_parts_reconnect_though_one_fails():
    bad, good = FaultyBackend(MemoryBackend(), {"reconnect": [BUSY]}), FaultyBackend(MemoryBackend())
    combined(MirrorBackend, bad, good).reconnect()
    assert good.count("reconnect") == 1
