"""Difftars as they are read back: parts joined, order kept, and a loss that costs exactly what stood in it."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon import tar
from tarragon.api.entry import DIR, REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed
from tarragon.delta.difftar import (
    DIFF,
    GONE,
    LOST,
    PART,
    SNAPSHOT,
    OpenVolume,
    data_blocks,
    decode,
    deleted_block,
    entry_block,
)
from tarragon.delta.sigtar import safe_path

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"


def blocks_of(path, what, size):
    """The blocks of one change; content is told by its path."""
    if what == "dir":
        return [entry_block(Entry(path, DIR, 0o755))]
    if what == "link":
        return [entry_block(Entry(path, SYM, target=b"t"))]
    if what == GONE:
        return [deleted_block(path)]
    return list(data_blocks(what, Entry(path, REG, 0o644), [content(path, size)]))


def content(path, size):
    return (path * (size // len(path) + 1))[:size]


def volumes_of(blocks, cuts):
    """The blocks as volumes, closed before each block that ``cuts`` numbers: (first, last, bytes)."""
    volumes, held = [], []
    for number, block in enumerate(blocks):
        if number in cuts and held:
            volumes.append(held)
            held = []
        held.append(block)
    volumes.append(held)
    return [(held[0].path, held[-1].path, b"".join(block.data for block in held)) for held in volumes if held]


def opened(volumes, lost=()):
    return [
        OpenVolume(first, last, None if number in lost else io.BytesIO(data), "gone")
        for number, (first, last, data) in enumerate(volumes)
    ]


def told(patches):
    """What each path came to: its content, or "lost"; a path that comes twice is an error."""
    found = {}
    for patch in patches:
        assert patch.entry.path not in found
        try:
            data = b"".join(patch.data)
            found[patch.entry.path] = LOST if patch.what == LOST else (patch.what, data)
        except Malformed:
            found[patch.entry.path] = LOST
    assert list(found) == sorted(found, key=order_key)
    return found


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "parts"),
    [(0, None), (1, None), (65535, None), (65536, [65536, 0]), (65537, [65536, 1]), (131072, [65536, 65536, 0])],
)
@pytest.mark.parametrize("chunk", [1000, 65536, 1 << 20])
def test_content_is_split_at_65536_and_ends_with_a_shorter_part(size, parts, chunk):
    data = content(b"f", size)
    chunks = [data[at : at + chunk] for at in range(0, size, chunk)]
    blocks = list(data_blocks(SNAPSHOT, Entry(b"f", REG), chunks))
    reader = tar.Reader(io.BytesIO(b"".join(block.data for block in blocks)))
    names = [(member.name, member.size) for member in reader]
    if parts is None:
        assert ([(b"snapshot/f", size)], [None]) == (names, [block.part for block in blocks])
    else:
        wanted = [(b"multivol_snapshot/f/%d" % number, length) for number, length in enumerate(parts, 1)]
        assert wanted == names
        assert [*range(1, len(parts)), None] == [block.part for block in blocks]


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (entry_block(Entry(b"", DIR)), b"snapshot/./"),
        (entry_block(Entry(b"", SYM, target=b"x")), b"snapshot/"),
        (entry_block(Entry(b"a/b", DIR)), b"snapshot/a/b/"),
        (deleted_block(b"a/b"), b"deleted/a/b"),
        (next(data_blocks(SNAPSHOT, Entry(b"", REG), [b"x"])), b"snapshot/"),
        (next(data_blocks(DIFF, Entry(b"f", REG), [b"x"])), b"diff/f"),
        (next(data_blocks(SNAPSHOT, Entry(b"", REG), [bytes(PART)])), b"multivol_snapshot/./1"),
    ],
)
def test_entries_are_named_as_duplicity_names_them(block, name):
    assert name == tar.Reader(io.BytesIO(block.data)).next().name


# -- reading ----------------------------------------------------------------------------------------------------------

trees = st.dictionaries(
    st.lists(st.sampled_from([b"a", b"b", b"b-", b"\xff"]), min_size=1, max_size=3).map(b"/".join),
    st.tuples(
        st.sampled_from([SNAPSHOT, DIFF, GONE, "dir", "link"]),
        st.sampled_from([0, 10, PART - 1, PART, PART + 1, 2 * PART, 150000]),
    ),
    min_size=1,
    max_size=8,
)


def laid_out(tree):
    """Blocks in archive order, and what must come out."""
    blocks, wanted = [], {}
    for path in sorted(tree, key=order_key):
        what, size = tree[path]
        blocks += blocks_of(path, what, size)
        if what in ("dir", "link"):
            wanted[path] = (SNAPSHOT, b"")
        else:
            wanted[path] = (what, b"" if what == GONE else content(path, size))
    return blocks, wanted


@settings(max_examples=100, deadline=None)
@given(trees, st.sets(st.integers(1, 30)))
def test_entries_come_back_wherever_volumes_are_cut(tree, cuts):
    blocks, wanted = laid_out(tree)
    assert wanted == told(decode(opened(volumes_of(blocks, cuts))))


@pytest.mark.requirement("R6")
@settings(max_examples=200, deadline=None)
@given(trees, st.sets(st.integers(1, 30)), st.data())
def test_a_lost_volume_costs_exactly_the_entries_that_stood_in_it(tree, cuts, data):
    blocks, wanted = laid_out(tree)
    volumes = volumes_of(blocks, cuts)
    lost = data.draw(st.sets(st.integers(0, len(volumes) - 1), min_size=1, max_size=2))

    def mentioned(first, last):
        for path in sorted(tree, key=order_key):
            if order_key(first) <= order_key(path) <= order_key(last):
                yield Entry(path, REG), tree[path][0] == GONE

    for number in lost:
        for path in tree:
            if order_key(volumes[number][0]) <= order_key(path) <= order_key(volumes[number][1]):
                wanted[path] = (GONE, b"") if tree[path][0] == GONE else LOST
    assert wanted == told(decode(opened(volumes, lost), mentioned))


@pytest.mark.requirement("R6")
@settings(max_examples=60, deadline=None)
@given(trees, st.sets(st.integers(1, 30)), st.data())
def test_without_signatures_nothing_wrong_comes_out_of_a_loss(tree, cuts, data):
    blocks, wanted = laid_out(tree)
    volumes = volumes_of(blocks, cuts)
    lost = data.draw(st.integers(0, len(volumes) - 1))
    first, last = (order_key(path) for path in volumes[lost][:2])
    found = told(decode(opened(volumes, {lost})))
    for path, what in wanted.items():
        if first <= order_key(path) <= last:
            assert found.get(path, LOST) == LOST
        else:
            assert what == found[path]
    assert set(found) <= set(wanted)


@pytest.mark.requirement("R6")
@pytest.mark.requirement("R40")
@settings(max_examples=200, deadline=None)
@given(trees, st.sets(st.integers(1, 30)), st.data())
def test_a_volume_that_is_broken_off_or_garbled_gives_nothing_wrong_and_the_other_volumes_all(tree, cuts, data):
    blocks, wanted = laid_out(tree)
    volumes = volumes_of(blocks, cuts)
    bad = data.draw(st.integers(0, len(volumes) - 1))
    first, last, good = volumes[bad]
    at = data.draw(st.integers(0, len(good) // 512 - 1)) * 512
    damage = data.draw(st.sampled_from(["cut inside", "garbage header"]))
    broken = good[: at + 100] if damage == "cut inside" else good[:at] + b"\xa5" * 512 + good[at + 512 :]
    volumes[bad] = (first, last, broken)

    def mentioned(first, last):
        for path in sorted(tree, key=order_key):
            if order_key(first) <= order_key(path) <= order_key(last):
                yield Entry(path, REG), False

    found = told(decode(opened(volumes), mentioned))
    assert set(wanted) == set(found)
    for path, what in wanted.items():
        inside = order_key(first) <= order_key(path) <= order_key(last)
        data_of_it_is_hit = damage == "garbage header" and inside  # no tar can tell that its data are garbled
        assert found[path] in ((what, LOST) if inside else (what,)) or data_of_it_is_hit


def test_data_may_be_taken_in_part_or_not_at_all():
    blocks, wanted = laid_out({b"a": (SNAPSHOT, 200000), b"b": (SNAPSHOT, 200000), b"c": (SNAPSHOT, 10)})
    patches = decode(opened(volumes_of(blocks, {2, 5})))
    assert next(patches).entry.path == b"a"
    second = next(patches)
    assert len(next(second.data)) == PART
    assert {b"c": wanted[b"c"]} == told(patches)


def test_parts_of_any_size_and_number_are_joined():
    entry = Entry(b"f", REG)
    sizes = [(7, 10), (9, 100000), (12, 0), (13, 65536), (99, 3)]
    raw = b"".join(
        tar.header(b"multivol_snapshot/f/%d" % number, entry, size) + bytes([number]) * size + bytes(tar.pad(size))
        for number, size in sizes
    )
    wanted = b"".join(bytes([number]) * size for number, size in sizes)
    assert {b"f": (SNAPSHOT, wanted)} == told(decode([OpenVolume(b"f", b"f", io.BytesIO(raw))]))


def test_a_file_whose_next_part_is_lost_is_lost_even_where_the_manifest_begins_an_entry_late():
    """The manifest of a resumed set (docs/format.md § 19, trap 33)."""
    blocks, _ = laid_out({b"a": (SNAPSHOT, 200000), b"b": (SNAPSHOT, 10)})
    whole = b"".join(block.data for block in blocks[:2])
    volumes = [OpenVolume(b"a", b"a", io.BytesIO(whole)), OpenVolume(b"b", b"b", None, "gone")]
    assert told(decode(volumes)) == {b"a": LOST}


def test_entries_out_of_order_are_never_applied():
    """docs/format.md § 3.2"""
    blocks = blocks_of(b"b", SNAPSHOT, 5) + blocks_of(b"a", SNAPSHOT, 5) + blocks_of(b"b", SNAPSHOT, 7)
    blocks += blocks_of(b"c", SNAPSHOT, 5)
    raw = b"".join(block.data for block in blocks)
    assert told(decode([OpenVolume(b"b", b"c", io.BytesIO(raw))])) == {
        b"b": (SNAPSHOT, b"bbbbb"),
        b"c": (SNAPSHOT, b"ccccc"),
    }


def test_parts_of_a_snapshot_and_of_a_diff_are_not_mixed():
    entry = Entry(b"f", REG)
    raw = b"".join(
        tar.header(b"multivol_%b/f/%d" % (what, number), entry, 5) + b"12345" + bytes(507)
        for number, what in enumerate((b"snapshot", b"diff"), 1)
    )
    assert told(decode([OpenVolume(b"f", b"f", io.BytesIO(raw))])) == {b"f": LOST}


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R40")
@pytest.mark.parametrize(
    "name",
    [b"snapshot/../x", b"snapshot//x", b"snapshot/a/../b", b"snapshot/a//", b"snapshot/./a", b"other/x", b"snapshot",
     b"multivol_deleted/x/1", b"multivol_snapshot/x", b"multivol_snapshot/x/y", b"\xff/x", b"snapshot/a/..", b""],
)  # fmt: skip
def test_an_entry_that_no_honest_program_writes_is_refused_and_costs_nothing_else(name):
    bad = tar.header(name, Entry(b"", REG), 0)
    good = [block.data for path in (b"a", b"b", b"c") for block in blocks_of(path, SNAPSHOT, 5)]
    volumes = [OpenVolume(b"a", b"b", io.BytesIO(good[0] + bad + good[1])), OpenVolume(b"c", b"c", io.BytesIO(good[2]))]
    refused = []
    found = told(decode(volumes, refused=refused.append))
    assert found == {b"a": (SNAPSHOT, b"aaaaa"), b"b": (SNAPSHOT, b"bbbbb"), b"c": (SNAPSHOT, b"ccccc")}
    assert len(refused) == 1


def test_an_entry_that_stands_twice_is_refused():
    twice = b"".join(block.data for path in (b"a", b"b", b"a") for block in blocks_of(path, SNAPSHOT, 5))
    refused = []
    found = told(decode([OpenVolume(b"a", b"b", io.BytesIO(twice))], refused=refused.append))
    assert found == {b"a": (SNAPSHOT, b"aaaaa"), b"b": (SNAPSHOT, b"bbbbb")}
    assert len(refused) == 1


@pytest.mark.requirement("R1")
@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"..", b".", b"", b"a\0", b"...", b"\xff"]), max_size=5).map(b"/".join))
def test_a_path_is_safe_or_malformed(name):
    try:
        path = safe_path(name)
    except Malformed:
        parts = name.removesuffix(b"/").split(b"/")
        assert b"\0" in name or {b"", b".", b".."} & set(parts)
    else:
        assert not path or not {b"", b".", b".."} & set(path.split(b"/"))
        assert b"\0" not in path


# -- real sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["multivol-gzip", "odd-names", "file-types", "type-changes", "by-3.0.2", "volsize1"])
def test_a_golden_full_set_is_decoded_to_what_tarfile_reads(name):
    paths = sorted(
        (GOLDEN / name / "repo").glob("*full.*.vol*"), key=lambda path: int(path.name.split(".vol")[1].split(".")[0])
    )
    raws = [gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes() for path in paths]
    wanted = {}
    for raw in raws:
        if not raw.strip(b"\0"):
            continue
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for info in archive:
                prefix, _, path = info.name.encode("utf-8", "surrogateescape").partition(b"/")
                path = path.rpartition(b"/")[0] if prefix.startswith(b"multivol") else path.rstrip(b"/")
                data = archive.extractfile(info).read() if info.isreg() else b""
                wanted[path.removeprefix(b".") if path == b"." else path] = wanted.get(path, b"") + data
    found = told(decode([OpenVolume(b"", b"", io.BytesIO(raw)) for raw in raws]))
    assert wanted == {path: data for path, (_, data) in found.items()}
