"""The manifest: written as duplicity writes it, read whatever duplicity reads, refused when it contradicts itself."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import Malformed, order_key
from tarragon.volume import manifest
from tarragon.volume.manifest import Manifest, VolumeRecord, Writer, changed_files, check, quoted, read, unquoted

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
SHA1 = "4e3c2456da3cf7238355c0503ce535aa92929094"
MD5 = "9476cc24b8ab1a6d9da476d720b225c0"
HEAD = b"Hostname goldenhost\nLocaldir src\n"


def block(number: int, first: str = ".  ", last: str = "z  ", digest: str = SHA1) -> bytes:
    hash_line = f"    Hash SHA1 {digest}\n" if digest else ""
    return f"Volume {number}:\n    StartingPath   {first}\n    EndingPath     {last}\n{hash_line}".encode()


def record(
    number: int, first: str = "", last: str = "z", parts: tuple[int | None, int | None] = (None, None)
) -> VolumeRecord:
    return VolumeRecord(number, first.encode(), parts[0], last.encode(), parts[1], SHA1)


def parsed(data: bytes) -> Manifest:
    return read(io.BytesIO(data))


def of_volumes(*volumes: VolumeRecord) -> Manifest:
    return Manifest(b"", b"", volumes)


def rewritten(data: bytes) -> bytes:
    """The manifest written anew from what was read of it."""
    known, into = parsed(data), io.BytesIO()
    writer = Writer(into, known.host, known.source)
    for volume in known.volumes:
        writer.add(volume)
    if known.file_count is not None:
        writer.finish(known.file_count, changed_files(io.BytesIO(data)))
    return into.getvalue()


def golden_manifests() -> Iterator[Path]:
    for pattern in ("*.manifest", "*.manifest.part", "df.*.m", "di.*.m"):
        yield from sorted(GOLDEN.rglob(pattern))


# writing


@pytest.mark.requirement("R73")
@pytest.mark.parametrize("path", list(golden_manifests()), ids=lambda p: str(p.relative_to(GOLDEN)))
def test_a_golden_manifest_is_read_found_sound_and_written_back_to_the_byte(path: Path) -> None:
    data = path.read_bytes()
    assert check(parsed(data)) == []
    if "resumed" not in path.parts:  # a resumed one repeats a volume
        assert data == rewritten(data)


def test_there_are_golden_manifests() -> None:
    assert len(list(golden_manifests())) > 40


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (b"with space", rb'"with\x20space"'),
        (b"new\nline", rb'"new\x0aline"'),
        (b'q"uote', rb'"q\x22uote"'),
        (b"it's", rb'"it\x27s"'),
        (b"back\\slash", rb'"back\x5cslash"'),
        (b"\t\x0b\x0c\r", rb'"\x09\x0b\x0c\x0d"'),
        (b"latin1-\xe9\xff\x85\xa0\x7f\x01", b"latin1-\xe9\xff\x85\xa0\x7f\x01"),
        (b"", b"."),
    ],
)
def test_only_the_nine_bytes_are_quoted(path: bytes, word: bytes) -> None:
    assert word == quoted(path)
    assert path == unquoted(word)


def test_a_volume_without_a_hash_is_not_written() -> None:
    with pytest.raises(ValueError, match="no hash"):
        Writer(io.BytesIO(), b"h", b"s").add(record(1)._replace(sha1=None))


def test_a_path_that_could_not_be_read_back_is_not_written() -> None:
    writer = Writer(io.BytesIO(), b"h", b"s")
    writer.add(record(1)._replace(first=b" " * 65535))
    with pytest.raises(Malformed):
        writer.add(record(1)._replace(first=b" " * 90_000))


def test_the_longest_path_of_the_system_is_read_back() -> None:
    into = io.BytesIO()
    Writer(into, b"h", b"s").add(record(1)._replace(first=b" " * 65535))
    assert parsed(into.getvalue()).volumes[0].first == b" " * 65535


def test_a_host_name_cannot_smuggle_lines() -> None:
    with pytest.raises(Malformed):
        Writer(io.BytesIO(), b"h\nVolume 9:", b"s")


def test_a_file_list_of_another_length_than_announced_is_noticed() -> None:
    with pytest.raises(ValueError, match="2 changed files were announced, 1 came"):
        Writer(io.BytesIO(), b"h", b"s").finish(2, [("new", b"a")])


# reading (docs/format.md § 2.4, § 19)


def test_the_example_of_the_format_is_read() -> None:
    data = HEAD + block(1, ".  ", "aa 1") + block(2, "aa 2", '"b\\x20c"  ', "0" * 40) + b"Filelist 0\n"
    expected = (
        VolumeRecord(1, b"", None, b"aa", 1, SHA1),
        VolumeRecord(2, b"aa", 2, b"b c", None, "0" * 40),
    )
    assert Manifest(b"goldenhost", b"src", expected, 0) == parsed(data)


def test_the_later_block_of_a_volume_counts() -> None:
    data = HEAD + block(1, last="b") + block(2, "c", "d") + block(2, "c", "e") + block(3, "f", "g")
    assert [volume.last for volume in parsed(data).volumes] == [b"b", b"e", b"g"]


def test_a_last_block_below_the_highest_voids_what_is_above() -> None:
    data = HEAD + b"".join(block(number) for number in (1, 2, 3, 2))
    assert [volume.number for volume in parsed(data).volumes] == [1, 2]


def test_a_broken_block_does_no_harm_once_it_is_replaced() -> None:
    data = HEAD + block(1) + b"Volume 2:\n    StartingPath   c" + b"\n" + block(2, "c", "d")
    assert [volume.number for volume in parsed(data).volumes] == [1, 2]


def test_the_first_of_two_file_lists_counts() -> None:
    first, second = b"Filelist 1\n    new      a\n", b"Filelist 2\n    changed  b\n    deleted  c\n"
    data = HEAD + block(1) + first + block(2) + second
    assert [volume.number for volume in parsed(data).volumes] == [1, 2]
    assert parsed(data).file_count == 1
    assert list(changed_files(io.BytesIO(data))) == [("new", b"a")]


def test_the_file_list_may_stand_before_the_volumes() -> None:
    files = b'Filelist 9\n    new      .\n    deleted  "b\\x20c"\n'
    data = files + block(1) + HEAD
    assert (parsed(data).host, len(parsed(data).volumes)) == (b"goldenhost", 1)
    assert list(changed_files(io.BytesIO(data))) == [("new", b""), ("deleted", b"b c")]


def test_case_indentation_and_unknown_lines_do_not_matter() -> None:
    odd = b"HOSTNAME  h\nlocaldir\tsrc\nColour blue\nvolume 01 :\nstartingpath a\n\n  weather fine\n\tENDINGPATH b 2\n"
    odd += b" hash SHA256 00\n hash sha1 " + SHA1.upper().encode() + b"\n"
    assert Manifest(b"h", b"src", (VolumeRecord(1, b"a", None, b"b", 2, SHA1),)) == parsed(odd)


def test_an_indented_volume_line_begins_no_volume() -> None:
    assert len(parsed(block(1) + b"  Volume 2:\n").volumes) == 1


def test_names_that_look_like_keywords_stay_names() -> None:
    data = block(1, "Volume  ", "Filelist  ") + b"Filelist 1\n    new      Volume\n"
    assert (parsed(data).volumes[0].first, parsed(data).volumes[0].last) == (b"Volume", b"Filelist")
    assert list(changed_files(io.BytesIO(data))) == [("new", b"Volume")]


def test_a_hash_may_be_missing_or_md5() -> None:
    without, md5 = block(1, digest=""), block(2, digest="") + f"    Hash MD5 {MD5}\n".encode()
    assert [(v.sha1, v.md5) for v in parsed(without + md5).volumes] == [(None, None), (None, MD5)]
    assert b"    Hash MD5 " + MD5.encode() + b"\n" in rewritten(md5.replace(b"2", b"1", 1))


def test_the_source_dot_is_not_the_root_entry() -> None:
    assert parsed(b"Localdir .\n").source == b"."


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    "data",
    [
        b"Volume x:\n",
        b"Volume -1:\n",
        b"Volume 1:\n",
        block(1).replace(b"StartingPath", b"Startingpfad"),
        block(1, "a b c"),
        block(1, "a x"),
        block(1, "a -1"),
        block(1, "a 1e3"),
        block(1, "a ٣"),
        block(1, '"a'),
        block(1, '"'),
        block(1, '"a\\y"'),
        block(1, '"a\\x0"'),
        block(1, '"a\\x00b"'),
        block(1, "a\0b"),
        block(1, digest=SHA1[:-1]),
        block(1, digest="g" * 40),
        block(1, digest=SHA1 + " 0"),
        block(1) + b"    EndingPath   z\n",
        block(1)[:-1],
        block(1)[:-60],
        b'Localdir "x\n',
        b"x" * (manifest.MAX_LINE + 1),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parsed(data)


# consistency


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    ("volumes", "problem"),
    [
        ([], "no volumes"),
        ([record(2)], "volume 1 is not described"),
        ([record(1, "", "b"), record(3, "c")], "volume 2 is not described"),
        ([record(0), record(1)], "volume 0"),
        ([record(1, "b", "a")], "volume 1 ends before it starts"),
        ([record(1, "a", "a", (5, 4))], "volume 1 ends before it starts"),
        ([record(1, "", "c"), record(2, "b", "d")], "volume 2 starts before volume 1 ends"),
        ([record(1, "", "c", (None, 7)), record(2, "c", "d", (7, None))], "volume 2 starts before volume 1 ends"),
        ([record(1, "", "b-"), record(2, "b/x", "d")], "volume 2 starts before volume 1 ends"),
        ([record(1, "", "c"), record(2, "", "b")], "volume 2 ends before volume 1 does"),
    ],
)
def test_a_contradiction_is_named(volumes: list[VolumeRecord], problem: str) -> None:
    assert any(problem in found for found in check(of_volumes(*volumes)))


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    "volumes",
    [
        [record(1, "", "")],
        [record(1, "a", "b")],
        [record(1, "", "b"), record(2, "", "b")],
        [record(1, "", "b", (None, 3)), record(2, "", "b", (None, 3))],
        [record(1, "", "c", (None, 7)), record(2, "c", "c", (8, 9)), record(3, "c", "d")],
        [record(1, "", "", (1, 7)), record(2, "", "", (8, None))],
        [record(1, "", "b/x"), record(2, "b-", "d")],
    ],
)
def test_the_special_cases_of_the_format_are_no_contradictions(volumes: list[VolumeRecord]) -> None:
    assert check(of_volumes(*volumes)) == []


@pytest.mark.requirement("R12")
def test_a_huge_volume_number_costs_nothing() -> None:
    assert 0 < len(check(of_volumes(record(999_999_999)))) < 20


# which volumes a path needs (docs/format.md § 7.2)

CUT = of_volumes(
    record(1, "a", "b/m", (None, 3)),
    record(2, "b/m", "b/m", (4, 9)),
    record(3, "b/m", "d"),  # begins with the last part of b/m
    record(4, "f", "h"),  # resumed: its first entry may have been e
    record(5, "", "h"),  # empty
)


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        (None, [1, 2, 3, 4, 5]),
        (b"", [1, 2, 3, 4, 5]),
        (b"a", [1, 5]),
        (b"b", [1, 2, 3, 5]),
        (b"b/m", [1, 2, 3, 5]),
        (b"e", [4, 5]),
        (b"g/x", [4, 5]),
        (b"z", []),
        (b"A", [5]),
    ],
)
def test_no_volume_that_can_hold_a_path_is_missed(path: bytes | None, numbers: list[int]) -> None:
    assert numbers == [volume.number for volume in CUT.volumes_for(path)]


paths = st.lists(st.sampled_from([b"a", b"a-", b"b", b"B", b"a b", b"\xff"]), max_size=4).map(b"/".join)
odd_paths = st.lists(
    st.binary(min_size=1, max_size=12).filter(lambda c: c not in (b".", b"..") and b"/" not in c and b"\0" not in c),
    max_size=4,
).map(b"/".join)


@given(st.lists(paths, min_size=1, max_size=30, unique=True), paths, st.data())
def test_every_entry_at_or_below_a_path_is_in_a_wanted_volume(
    entries: list[bytes], wanted: bytes, data: st.DataObject
) -> None:
    entries.sort(key=order_key)
    ends = sorted(data.draw(st.sets(st.integers(1, len(entries)), max_size=4)) | {len(entries)})
    pieces = [entries[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    known = of_volumes(*(VolumeRecord(n, piece[0], None, piece[-1], None, SHA1) for n, piece in enumerate(pieces, 1)))
    found = {entry for volume in known.volumes_for(wanted) for entry in pieces[volume.number - 1]}
    below = {e for e in entries if e == wanted or e.startswith(wanted + b"/") or not wanted}
    assert check(known) == []
    assert below <= found


# any bytes, any records

parts = st.none() | st.integers(1, 10**9)
digests = st.text("0123456789abcdef", min_size=40, max_size=40)


@given(
    st.lists(st.tuples(odd_paths, parts, odd_paths, parts, digests), max_size=5),
    st.lists(st.tuples(st.sampled_from(["new", "changed", "deleted"]), odd_paths), max_size=5),
    odd_paths,
)
def test_what_is_written_is_read_back(
    volumes: list[tuple[bytes, int | None, bytes, int | None, str]], files: list[tuple[str, bytes]], source: bytes
) -> None:
    records = tuple(VolumeRecord(number, *volume) for number, volume in enumerate(volumes, 1))
    into = io.BytesIO()
    writer = Writer(into, b"host", source)
    for volume in records:
        writer.add(volume)
    writer.finish(len(files), files)
    assert Manifest(b"host", source, records, len(files)) == parsed(into.getvalue())
    assert files == list(changed_files(io.BytesIO(into.getvalue())))
    assert into.getvalue() == rewritten(into.getvalue())


PIECES = st.sampled_from(
    [b"Volume 1:", b"Volume 2:", b"Volume", b"Filelist 3", b"Filelist", b"    StartingPath   ", b"    EndingPath     "]
    + [b"    Hash SHA1 " + SHA1.encode(), b"    Hash", b"Hostname", b"Localdir", b"a  ", b"b 2", b'"', b"\\x", b"\\x20"]
    + [b"    new      a", b"    deleted  ", b"\n", b"\n", b"\n", b"\r", b"\0", b"\xff", b" "]
)


@pytest.mark.requirement("R40")
@given(st.binary() | st.lists(PIECES, max_size=40).map(b"".join))
def test_any_bytes_are_a_manifest_or_malformed(data: bytes) -> None:
    try:
        known = parsed(data)
    except Malformed:
        pass
    else:
        check(known)
        known.volumes_for(b"a")
    try:
        list(changed_files(io.BytesIO(data)))
    except Malformed:
        pass


class Endless(io.RawIOBase):
    """A head, then lines of a file list, made as they are read."""

    def __init__(self, lines: int) -> None:
        self.pending = HEAD + block(1) + b"Filelist 1\n"
        self.lines = lines

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self.pending and self.lines:
            self.lines -= 1000
            self.pending = b"    changed  some/folder/with/a/file\n" * 1000
        count = min(len(buffer), len(self.pending))
        buffer[:count] = self.pending[:count]
        self.pending = self.pending[count:]
        return count


@pytest.mark.requirement("R40")
def test_a_long_file_list_is_not_held() -> None:
    tracemalloc.start()
    try:
        read(io.BufferedReader(Endless(300_000)))
        count = sum(1 for _ in changed_files(io.BufferedReader(Endless(300_000))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 300_000
    assert peak < 1_000_000


@pytest.mark.requirement("R40")
def test_more_volumes_than_can_be_meant_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_VOLUMES", 3)
    with pytest.raises(Malformed, match="more than 3 volumes"):
        parsed(b"".join(block(number) for number in range(1, 5)))
