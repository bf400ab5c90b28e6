"""Tar headers: ours beside those in the golden volumes, Python's tarfile and GNU tar (docs/format.md § 3.4, 3.5)."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import resource
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tarragon import tar
from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SYM, Entry
from tarragon.api.errors import Malformed

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
TYPES = {REG: tarfile.REGTYPE, DIR: tarfile.DIRTYPE, SYM: tarfile.SYMTYPE, FIFO: tarfile.FIFOTYPE, CHR: tarfile.CHRTYPE,
         BLK: tarfile.BLKTYPE}  # fmt: skip


def golden_archives():
    """Every archive of the golden set that can be read without a key, as its bytes."""
    found = []
    for path in sorted(GOLDEN.glob("*/repo/*")):
        if not path.name.endswith(("difftar", "sigtar", "difftar.gz", "sigtar.gz", ".dt", ".st", ".dt.z", ".st.z")):
            continue
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with contextlib.suppress(OSError, EOFError):  # corrupt-volume
                found.append(pytest.param(gzip.decompress(data), id=f"{path.parts[-3]}/{path.name}"))
        else:
            found.append(pytest.param(data, id=f"{path.parts[-3]}/{path.name}"))
    return found


def members(data):
    reader = tar.Reader(io.BytesIO(data))
    return [(member, reader.data()) for member in reader]


def entry_of(member):
    return Entry(b"", member.kind, member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime,
                 member.size, member.target, member.device)  # fmt: skip


def written(entries):
    """An archive of (name, entry, data) as we write it."""
    parts = []
    for name, entry, data in entries:
        parts += [tar.header(name, entry, len(data)), data, bytes(tar.pad(len(data)))]
    return b"".join(parts)


# -- against real archives --------------------------------------------------------------------------------------------


def test_there_are_enough_golden_archives_to_compare_with():
    assert len(golden_archives()) > 80


@pytest.mark.requirement("R70")
@pytest.mark.parametrize("archive", golden_archives())
def test_every_member_of_the_golden_archives_is_encoded_to_the_same_bytes(archive):
    again = b""
    for member, data in members(archive):
        if member.name.startswith(b"deleted/"):
            again += tar.deleted_header(member.name)
        else:
            again += tar.header(member.name, entry_of(member), len(data)) + data + bytes(tar.pad(len(data)))
    assert again == archive[: len(again)]
    assert not archive[len(again) :].strip(b"\0")


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 40])
def test_a_volume_ends_with_zeros_to_a_multiple_of_10240_and_never_with_none(count):
    end = tar.end_of_archive(count * 512)
    assert (count * 512 + len(end)) % 10240 == 0
    assert 512 <= len(end) <= 10240
    assert not end.strip(b"\0")


# -- against tarfile --------------------------------------------------------------------------------------------------

names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/"))
short = st.binary(max_size=40).filter(lambda name: b"\0" not in name)
entries = st.builds(
    Entry,
    st.just(b""),
    st.sampled_from(sorted(TYPES)),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 1) | st.sampled_from([2097151, 2097152]),
    st.integers(0, 2**32 - 1),
    short,
    short,
    st.integers(0, 2**35) | st.sampled_from([8589934591, 8589934592]),
    st.just(0),
    names,
    st.tuples(st.integers(0, 2097151), st.integers(0, 2097151)),
)


def by_tarfile(name, entry, size):
    """The header that Python's tarfile makes of the same fields."""
    info = tarfile.TarInfo(os.fsdecode(name))
    info.type = TYPES[entry.kind]
    info.mode = 0o777 if entry.kind == SYM else entry.mode
    info.uid, info.gid, info.mtime, info.size = entry.uid, entry.gid, entry.mtime, size
    info.uname, info.gname = os.fsdecode(entry.uname), os.fsdecode(entry.gname)
    if entry.kind == SYM:
        info.linkname = os.fsdecode(entry.target)
    info.devmajor, info.devminor = entry.device if entry.kind in (CHR, BLK) else (0, 0)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@settings(max_examples=400, deadline=None)
@given(names, entries, st.sampled_from([0, 1, 65536, 8**11 - 1, 8**11]))
@example(b"snapshot/" + 91 * b"x", Entry(b"", REG), 0)
@example(b"snapshot/" + 92 * b"x", Entry(b"", REG), 0)
@example(b"a", Entry(b"", SYM, target=100 * b"t"), 0)
@example(b"a", Entry(b"", SYM, target=101 * b"t"), 0)
@example(b"a", Entry(b"", REG, uname=31 * b"u", gname=32 * b"g"), 0)
@example(b"a", Entry(b"", REG, uname=32 * b"u", gname=33 * b"g"), 0)
@example(b"latin1-\xe9\xff", Entry(b"", REG), 0)
@example("snäpshot".encode(), Entry(b"", REG, uname="jürgen".encode(), gname=b"\xff"), 0)
@example(b"x" * 92, Entry(b"", REG), 0)
@example(b"y" * 988, Entry(b"", REG), 0)
def test_a_header_is_what_tarfile_writes(name, entry, size):
    name += b"/" if entry.kind == DIR else b""  # tarfile adds it by itself
    assert tar.header(name, entry, size) == by_tarfile(name, entry, size)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(names, entries, st.binary(max_size=1500)), max_size=5))
def test_what_is_written_is_read_back_as_it_was(chosen):
    chosen = [(name, entry, data if entry.kind == REG else b"") for name, entry, data in chosen]
    found = members(written(chosen) + bytes(512))
    assert [(name, data) for name, _, data in chosen] == [(member.name, data) for member, data in found]
    for (_, entry, data), (member, _) in zip(chosen, found, strict=True):
        fields = (member.kind, member.uid, member.gid, member.uname, member.gname, member.mtime, member.size)
        assert fields == (entry.kind, entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime, len(data))
        assert member.mode == (0o777 if entry.kind == SYM else entry.mode)
        assert member.target == (entry.target if entry.kind == SYM else b"")
        assert member.device == (entry.device if entry.kind in (CHR, BLK) else (0, 0))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_the_three_forms_of_tarfile_are_read_alike(form):
    packed = io.BytesIO()
    long = "snapshot/" + "/".join(["d" * 60] * 3)
    if form != tarfile.USTAR_FORMAT:
        long += "/" + "n" * 200
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        info = tarfile.TarInfo(long)
        info.size, info.mtime, info.uid, info.gid = 700, 1600000000, 1000, 2097151
        if form != tarfile.USTAR_FORMAT:
            info.uid, info.gid, info.mtime = 4000000000, 2097152, 8589934592
        archive.addfile(info, io.BytesIO(b"z" * 700))
        if form != tarfile.USTAR_FORMAT:
            link = tarfile.TarInfo("snapshot/link")
            link.type, link.linkname = tarfile.SYMTYPE, "t" * 300
            archive.addfile(link)
        else:
            archive.addfile(tarfile.TarInfo("snapshot/link"))
    found = members(packed.getvalue())
    assert [long.encode(), b"snapshot/link"] == [member.name for member, _ in found]
    member, data = found[0]
    assert (info.uid, info.gid, info.mtime, b"z" * 700) == (member.uid, member.gid, member.mtime, data)
    assert found[1][0].target == (b"" if form == tarfile.USTAR_FORMAT else b"t" * 300)


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "ustar"])
def test_an_archive_of_gnu_tar_is_read(tmp_path, form):
    folder = tmp_path / "tree"
    folder.mkdir()
    name = "n" * (90 if form == "ustar" else 200)
    (folder / name).write_bytes(b"x" * 5000)
    os.utime(folder / name, (1600000000, 1600000000))
    (folder / "link").symlink_to("t" * (90 if form == "ustar" else 150))
    words = ["tar", "-C", tmp_path, "--sort=name", "-c", f"--format={form}", "tree"]
    made = subprocess.run(words, capture_output=True, check=True).stdout
    found = {member.name: (member, data) for member, data in members(made)}
    member, data = found[b"tree/" + name.encode()]
    assert (member.kind, member.mtime, data) == (REG, 1600000000, b"x" * 5000)
    assert found[b"tree/link"][0].target == b"t" * (90 if form == "ustar" else 150)
    assert found[b"tree/"][0].kind == DIR


def test_gnu_tar_and_tarfile_read_what_we_write():
    chosen = [
        (b"snapshot/" + b"p" * 150 + b"\xff\xe9", Entry(b"", REG, 0o644, 3000000, 5, mtime=1600000000), b"hello"),
        (b"snapshot/link", Entry(b"", SYM, target=b"t" * 150), b""),
        (b"snapshot/folder/", Entry(b"", DIR, 0o755), b""),
    ]  # fmt: skip
    data = written(chosen)
    data += tar.end_of_archive(len(data))
    listed = subprocess.run(["tar", "--quoting-style=escape", "-tf", "-"], input=data, capture_output=True, check=True)
    assert listed.stdout.split() == [rb"snapshot/" + b"p" * 150 + rb"\377\351", b"snapshot/link", b"snapshot/folder/"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        infos = archive.getmembers()
    assert [os.fsencode(info.name) for info in infos] == [name.rstrip(b"/") for name, _, _ in chosen]
    assert (infos[0].uid, infos[0].mtime) == (3000000, 1600000000)


# -- the end of a volume ----------------------------------------------------------------------------------------------

ONE = tar.header(b"snapshot/a", Entry(b"", REG), 5) + b"hello" + bytes(507)


@pytest.mark.parametrize(
    "end", [b"", bytes(512), bytes(1024), bytes(10240), bytes(512) + b"\x8c\x0d garbage", bytes(512) + ONE]
)
def test_a_volume_ends_at_the_first_zero_block_or_at_the_end_of_the_data(end):
    stream = io.BytesIO(ONE + end)
    reader = tar.Reader(stream)
    assert [(member.name, reader.data()) for member in reader] == [(b"snapshot/a", b"hello")]
    assert stream.tell() <= len(ONE) + 512


@pytest.mark.parametrize("data", [b"", bytes(512), bytes(10240)])
def test_a_volume_may_hold_nothing(data):
    assert members(data) == []


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("length", [1, 511, 513, 516, 600, 1023])
def test_a_volume_that_is_broken_off_is_malformed(length):
    with pytest.raises(Malformed):
        members((ONE)[:length])


def test_members_come_whole_from_a_stream_that_gives_little_at_a_time():
    class Dripping(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    reader = tar.Reader(Dripping(ONE + ONE))
    assert [reader.data() for _ in reader] == [b"hello", b"hello"]


# -- any bytes --------------------------------------------------------------------------------------------------------


def raw_header(**fields):
    """A header with chosen raw fields and a right checksum."""
    raw = bytearray(ONE[:512])
    for place, value in fields.items():
        at = int(place[1:])
        raw[at : at + len(value)] = value
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def read_all(data):
    """What reading comes to: members, or None for Malformed; anything else is an error."""
    try:
        reader = tar.Reader(io.BytesIO(data))
        return [(member.name, sum(map(len, reader.chunks()))) for member in reader]
    except Malformed:
        return None


@pytest.mark.requirement("R40")
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2048))
def test_any_bytes_are_an_archive_or_malformed(data):
    read_all(data)


@pytest.mark.requirement("R40")
@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_header_with_a_right_checksum_and_any_fields_is_read_or_malformed(data):
    at = data.draw(st.sampled_from([0, 100, 108, 116, 124, 136, 156, 157, 257, 265, 297, 329, 337, 345]))
    field = data.draw(st.binary(min_size=1, max_size=12))
    body = data.draw(st.binary(max_size=700))
    read_all(raw_header(**{f"_{at}": field}) + body)


@pytest.mark.requirement("R40")
@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"path", b"linkpath", b"uid", b"mtime", b"size", b"hdrcharset", b"GNU.sparse.map", b""]),
            st.binary(max_size=30) | st.sampled_from([b"1.5", b"-3", b"9" * 20, b"9" * 21, b"\xb2"]),
        ),
        max_size=3,
    ),
    st.integers(-3, 3),
)
def test_any_pax_records_are_read_or_malformed(records, lie):
    body = b"".join(b"%d %b=%b\n" % (len(key) + len(value) + 5 + lie, key, value) for key, value in records)
    extended = raw_header(_124=b"%011o\0" % len(body), _156=b"x") + body + bytes(tar.pad(len(body)))
    read_all(extended + ONE)


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\x80\0\0\0\1" + bytes(7), b"77777777777\0"])
def test_a_size_that_lies_makes_no_room_for_itself(size):
    """A size of many terabytes in a small archive: read under a limit of memory that it would break."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), hard))
    try:
        reader = tar.Reader(io.BufferedReader(io.BytesIO(raw_header(_124=size) + b"little")))
        assert reader.next() is not None
        with pytest.raises(Malformed):
            reader.data()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.requirement("R40")
def test_extensions_without_end_are_not_collected():
    def endless():
        for number in range(2000):
            value = b"%d" % number + b"v" * 100000
            body = _record(b"X%d" % number, value)
            yield raw_header(_124=b"%011o\0" % len(body), _156=b"x") + body + bytes(tar.pad(len(body)))
        yield ONE

    class Stream(io.RawIOBase):
        def __init__(self):
            self.pieces = endless()
            self.held = b""

        def readable(self):
            return True

        def readinto(self, buffer):
            while not self.held:
                self.held = next(self.pieces, None)
                if self.held is None:
                    self.held = b""
                    return 0
            size = min(len(buffer), len(self.held))
            buffer[:size], self.held = self.held[:size], self.held[size:]
            return size

    import tracemalloc

    tracemalloc.start()
    try:
        member = tar.Reader(io.BufferedReader(Stream())).next()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (member.name, peak < 8 << 20) == (b"snapshot/a", True)


def _record(key, value):
    rest = len(key) + len(value) + 3
    length = rest
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


@pytest.mark.requirement("R40")
def test_an_extension_longer_than_any_path_is_malformed():
    with pytest.raises(Malformed):
        members(raw_header(_124=b"%011o\0" % ((1 << 20) + 1), _156=b"L") + bytes(4096))


@pytest.mark.parametrize("value", [b"-1", b"-17.25"])
def test_a_pax_time_before_1970_is_0(value):
    body = _record(b"mtime", value)
    data = raw_header(_124=b"%011o\0" % len(body), _156=b"x") + body + bytes(tar.pad(len(body))) + ONE
    assert members(data)[0][0].mtime == 0


@pytest.mark.parametrize("flag", [b"1", b"S", b"Z"])
def test_hard_links_sparse_files_and_unknown_types_have_no_kind(flag):
    assert members(raw_header(_156=flag, _124=b"%011o\0" % 0))[0][0].kind is None
