"""Tree and signatures merged: against a model that knows no streams (docs/format.md § 6)."""

from __future__ import annotations

import grp
import io
import os
import pwd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon import tar
from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed
from tarragon.delta import sigtar
from tarragon.delta.compare import ADDED, DELETED, MODIFIED, Change, Kept, Tally, changes, is_at_or_below, same
from tarragon.owners import Owners
from tarragon.source.entry import entry_of

paths = st.lists(st.sampled_from([b"a", b"b", b"a-", b"\xff"]), max_size=3).map(b"/".join)
states = st.builds(
    lambda kind, mode, mtime, target: Entry(b"", kind, mode, 1, 2, mtime=mtime, size=7, target=target, device=(1, 1)),
    st.sampled_from([REG, DIR, SYM, FIFO]),
    st.sampled_from([0o644, 0o755]),
    st.sampled_from([0, 5]),
    st.sampled_from([b"x", b"y"]),
)
trees = st.dictionaries(paths, states, max_size=8)
KEPT = "cannot be read"


def sigtar_of(entries, deleted=()):
    """A sigtar that says of each path what it is, or that it is gone; the signature is made of the path."""
    parts = []
    for path in sorted({*entries, *deleted}, key=order_key):
        if path in entries:
            parts.append(
                sigtar.member(entries[path]._replace(path=path), b"sig:" + path if entries[path].kind == REG else b"")
            )
        else:
            parts.append(sigtar.deleted_member(path))
    return b"".join(parts) + bytes(1024)


def reading(*sigtars):
    return sigtar.read([lambda data=data: io.BytesIO(data) for data in sigtars])


def model(now, then, unreadable):
    """What must be recorded, from two dictionaries."""
    below = {path for path in {*now, *then} if any(is_at_or_below(path, top) for top in unreadable)}
    wanted = [(path, KEPT) for path in unreadable]
    owners = Owners(numeric=True)
    for path in {*now, *then} - below:
        if path not in then:
            wanted.append((path, ADDED))
        elif path not in now:
            if path:
                wanted.append((path, DELETED))
        elif not same(now[path]._replace(path=path), then[path]._replace(path=path), owners):
            wanted.append((path, MODIFIED))
    return sorted(wanted, key=lambda pair: order_key(pair[0]))


def merged(now, then, unreadable=(), **words):
    entries = [Kept(path, "why") for path in unreadable]
    entries += [
        entry._replace(path=path)
        for path, entry in now.items()
        if not any(is_at_or_below(path, top) for top in unreadable)
    ]
    entries.sort(key=lambda entry: order_key(entry.path))
    return list(changes(entries, reading(sigtar_of(then)), Owners(numeric=True), Tally(), **words))


@pytest.mark.requirement("R52")
@settings(max_examples=150, deadline=None)
@given(trees, trees, st.sets(paths.filter(bool), max_size=2))
def test_changes_are_those_of_the_model_in_archive_order(now, then, unreadable):
    tops = {path for path in unreadable if not any(path != top and is_at_or_below(path, top) for top in unreadable)}
    found = merged(now, then, tops)
    assert model(now, then, tops) == [
        (one.path, KEPT) if isinstance(one, Kept) else (one.entry.path, one.kind) for one in found
    ]
    for one in found:
        if not isinstance(one, Change):
            continue
        stays_a_file = one.kind == MODIFIED and now[one.entry.path].kind == then[one.entry.path].kind == REG
        assert one.signature == (b"sig:" + one.entry.path if stays_a_file else None)
        assert one.was == (then[one.entry.path].kind if one.kind != ADDED else "")


@settings(max_examples=100, deadline=None)
@given(trees)
def test_what_has_not_changed_is_only_counted(tree):
    tally = Tally()
    entries = sorted(
        (entry._replace(path=path) for path, entry in tree.items()), key=lambda entry: order_key(entry.path)
    )
    assert list(changes(entries, reading(sigtar_of(tree)), Owners(numeric=True), tally)) == []
    assert (len(tree), 7 * len(tree)) == (tally.same, tally.same_size)


@pytest.mark.requirement("R56")
def test_a_file_that_cannot_be_read_leaves_the_folder_that_stood_there():
    """Its place was a folder's: giving up what was below would lose it for a file that is not stored."""
    folder = {b"a": Entry(b"", DIR), b"a/x": Entry(b"", REG), b"a/y/z": Entry(b"", REG), b"b": Entry(b"", REG)}
    now = {b"a": Entry(b"", REG, size=1), b"b": Entry(b"", REG)}
    assert [Kept(b"a", "no permission")] == merged(now, folder, readable=lambda path: False)
    assert [one.kind for one in merged(now, folder)] == [MODIFIED, DELETED, DELETED]


@pytest.mark.requirement("R52")
def test_what_seems_the_same_is_looked_at_again_and_its_signature_handed_on():
    tree = {b"a": Entry(b"", REG), b"b": Entry(b"", REG), b"c": Entry(b"", DIR)}
    asked = []

    def stale(entry, known):
        asked.append(entry.path)
        return known.signature() if entry.path == b"b" else None

    ((change),) = merged(tree, tree, stale=stale)
    assert (change.kind, change.entry.path, change.signature, change.was) == (MODIFIED, b"b", b"sig:b", REG)
    assert asked == [b"a", b"b", b"c"]


def test_a_large_signature_is_parked_where_the_caller_says():
    now, then = {b"a": Entry(b"", REG, mtime=5)}, {b"a": Entry(b"", REG)}
    ((change),) = merged(now, then, spool=lambda signature: signature.decode())
    assert change.signature == "sig:a"


# -- equality ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "field", "value", "equal"),
    [(kind, field, value, equal) for kind, noticed in {
        **dict.fromkeys((REG, DIR, FIFO), {"mode", "uid", "gid", "mtime"}), SYM: {"target"},
        CHR: {"mode", "uid", "gid", "device"}, BLK: {"mode", "uid", "gid", "device"},
    }.items() for field, value in {
        "mode": 0o600, "uid": 77, "gid": 77, "mtime": 9, "target": b"other", "device": (9, 9), "size": 99,
    }.items() for equal in [field not in noticed]],
)  # fmt: skip
def test_what_is_compared_of_each_kind(kind, field, value, equal):
    entry = Entry(b"p", kind, 0o644, 1, 1, mtime=5, size=1, target=b"t", device=(1, 1))
    assert equal == same(entry._replace(**{field: value}), entry, Owners(numeric=True))


@pytest.mark.parametrize(
    ("ns", "seconds"),
    [
        (1600000000_999999999, 1600000001),  # the nearest double is that integer
        (1600000000_999999000, 1600000000),
        (1600000000_500000000, 1600000000),
        (0, 0),
        (-1, 0),
        (-5_500000000, 0),
        (-86400 * 10**9, 0),
    ],
)
def test_the_second_of_a_time_is_that_of_the_double(tmp_path, ns, seconds):
    (tmp_path / "f").write_bytes(b"")
    os.utime(tmp_path / "f", ns=(ns, ns))
    assert seconds == entry_of(b"f", os.lstat(tmp_path / "f"), Owners()).mtime


def test_a_name_that_exists_here_wins_over_the_number():
    user, group = pwd.getpwuid(0), grp.getgrgid(0)
    stored = Entry(b"f", REG, 0, 4711, 4712, user.pw_name.encode(), group.gr_name.encode())
    here = stored._replace(uid=user.pw_uid, gid=group.gr_gid)
    assert same(here, stored, Owners())
    assert not same(here, stored, Owners(numeric=True))
    assert (4711, group.gr_gid) == Owners().here(stored._replace(uname=b"nobody-of-that-name"))
    assert (user.pw_uid, 4712) == Owners().here(stored._replace(gname=b""))
    assert Owners().here(stored._replace(uname=b"a\0b", gname=b"\xff\xfe")) == (4711, 4712)


# -- the merge of a chain's signatures --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(trees, st.sets(paths, max_size=4)), min_size=1, max_size=5))
def test_the_newest_word_on_each_path_counts(sets):
    state, sigtars = {}, []
    for entries, deleted in sets:
        deleted = {path for path in deleted if path not in entries}
        sigtars.append(sigtar_of(entries, deleted))
        state = {path: entry for path, entry in {**state, **entries}.items() if path not in deleted}
    found = [(known.entry, known.signature()) for known in reading(*sigtars)]
    assert sorted(state, key=order_key) == [entry.path for entry, _ in found]
    for entry, signature in found:
        wanted = state[entry.path]
        assert (wanted.kind, wanted.mtime) == (entry.kind, entry.mtime)
        assert signature == (b"sig:" + entry.path if wanted.kind == REG else b"")


def test_a_path_that_stands_twice_counts_once_in_one_set_and_in_two():
    twice = sigtar.member(Entry(b"a", REG, mtime=1), b"one") + sigtar.member(Entry(b"a", REG, mtime=2), b"two")
    other = sigtar_of({b"b": Entry(b"", REG)})
    assert [known.signature() for known in reading(twice)] == [b"one"]
    assert [known.signature() for known in reading(other, twice)] == [b"one", b"sig:b"]


@pytest.mark.requirement("R40")
def test_signatures_out_of_order_are_malformed():
    data = sigtar.member(Entry(b"b", REG), b"") + sigtar.member(Entry(b"a", REG), b"")
    with pytest.raises(Malformed):
        list(reading(data))


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("name", [b"signature/../x", b"multivol_snapshot/x/1", b"x", b"", b"snapshot/a/./b"])
def test_a_name_that_no_signature_has_is_passed_over_and_hides_no_other(name):
    data = tar.header(name, Entry(b"", REG), 0) + sigtar.member(Entry(b"good", REG), b"")
    assert [known.entry.path for known in reading(data)] == [b"good"]


def test_the_entries_of_one_set_tell_what_is_gone():
    data = sigtar_of({b"a": Entry(b"", REG), b"c": Entry(b"", DIR)}, {b"b"})
    assert [(entry.path, gone) for entry, gone in sigtar.entries(io.BytesIO(data))] == [
        (b"a", False),
        (b"b", True),
        (b"c", False),
    ]
