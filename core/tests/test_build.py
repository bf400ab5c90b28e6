"""What a worker makes of a job is read back as the files were: whole, in parts, in ranges, and while they change."""

from __future__ import annotations

import errno
import io
import os
import pickle
import random
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon import tar
from tarragon.api.entry import DIR, FIFO, REG, SYM, Entry
from tarragon.delta import difftar, patch, rsync, sigtar
from tarragon.delta.compare import ADDED, DELETED, MODIFIED, Change
from tarragon.delta.difftar import PART
from tarragon.owners import Owners
from tarragon.run import plan
from tarragon.run.build import Builder, unsettled
from tarragon.run.plan import Item, Job
from tarragon.source.entry import entry_of
from tarragon.temp import TempFolder
from tarragon.volume.seal import Sealer

MIB = 1 << 20


class Yard(NamedTuple):
    """A source and a temporary folder to build in."""

    source: Path
    temp: TempFolder

    def builder(self, volsize=MIB, **words):
        return Builder(os.fsencode(self.source), Sealer(None, None, self.temp), self.temp, volsize, **words)

    def put(self, name, content, mtime=1600000000):
        path = self.source / name
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return self.entry(name)

    def entry(self, name):
        return entry_of(os.fsencode(name), os.lstat(self.source / name), Owners())


@pytest.fixture
def yard(tmp_path):
    (tmp_path / "source").mkdir()
    with TempFolder(tmp_path) as temp:
        yield Yard(tmp_path / "source", temp)


def added(*entries):
    return Job(tuple(Item(Change(ADDED, entry)) for entry in entries))


def modified(entry, signature):
    return Job((Item(Change(MODIFIED, entry, signature, REG)),))


def opened(builts):
    for built in builts:
        for volume in built.volumes:
            yield difftar.OpenVolume(volume.first[0] if volume.first else b"", b"", volume.path.open("rb"))


def content_of(builts, old=None):
    """What a restore makes of volumes: path → (what, content); ``old`` is the content that diffs are upon."""
    found = {}
    for one in difftar.decode(opened(builts)):
        data = b"".join(one.data)
        if one.what == difftar.DIFF:
            data = b"".join(rsync.patched(io.BytesIO(old), [data]))
        assert one.entry.path not in found
        found[one.entry.path] = (one.what, data)
    return found


def signatures_of(built):
    data = built.signatures if isinstance(built.signatures, bytes) else built.signatures.read_bytes()
    reader = tar.Reader(io.BytesIO(data))
    return {member.name: (member, reader.data()) for member in reader}


def librsync_signature(content, block_len):
    words = ["rdiff", "-b", str(block_len), "-S", "8", "-H", "md4", "-R", "rollsum", "signature", "-", "-"]
    return subprocess.run(words, input=content, capture_output=True, check=True).stdout


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# -- files of one job -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 131073, 700001])
def test_a_file_comes_back_and_its_signature_is_librsyncs(yard, size):
    content = noise(size)
    built = yard.builder()(added(yard.put("f", content)))
    assert {b"f": ("snapshot", content)} == content_of([built])
    ((name, (member, signature)),) = signatures_of(built).items()
    assert (name, member.mtime) == (b"signature/f", 1600000000)
    assert signature == librsync_signature(content, rsync.block_length(size, 0))
    assert built.problems == []


@pytest.mark.parametrize("max_blocksize", [0, 512, 1000, 2048])
@pytest.mark.parametrize("size", [300000, 1500000])
def test_the_block_length_is_bounded_as_asked(yard, size, max_blocksize):
    content = noise(size)
    built = yard.builder(max_blocksize=max_blocksize)(added(yard.put("f", content)))
    signature = signatures_of(built)[b"signature/f"][1]
    assert signature == librsync_signature(content, rsync.block_length(size, max_blocksize))


@pytest.mark.parametrize("old_size", [0, 100, 65536, 200000])
@pytest.mark.parametrize("new_size", [0, 100, 65535, 65536, 300000])
def test_a_changed_file_is_a_diff_upon_the_old_one(yard, old_size, new_size):
    old = noise(old_size)
    new = old[: new_size // 2] + noise(max(0, new_size - len(old[: new_size // 2])), 2)
    signature = librsync_signature(old, 512)
    built = yard.builder()(modified(yard.put("f", new), signature))
    assert {b"f": ("diff", new)} == content_of([built], old)
    assert signatures_of(built)[b"signature/f"][1] == librsync_signature(new, rsync.block_length(len(new), 0))


def test_a_large_old_signature_may_wait_in_a_file(yard):
    old = noise(400000)
    spool = yard.temp.named()
    spool.write_bytes(librsync_signature(old, 1024))
    new = old[:200000] + b"inserted" + old[200000:]
    built = yard.builder()(modified(yard.put("f", new), str(spool)))
    assert {b"f": ("diff", new)} == content_of([built], old)
    assert sum(volume.raw for volume in built.volumes) < 40000


def test_other_kinds_are_entries_without_data(yard):
    os.mkfifo(yard.source / "fifo")
    (yard.source / "link").symlink_to("t" * 200)
    (yard.source / "folder").mkdir()
    entries = [
        Entry(b"", DIR, 0o755),
        yard.entry("fifo"),
        yard.entry("folder"),
        yard.entry("link")._replace(target=b"t" * 200),
    ]
    built = yard.builder()(added(*entries))
    assert {b"", b"fifo", b"folder", b"link"} == set(content_of([built]))
    assert list(signatures_of(built)) == [b"snapshot/", b"snapshot/fifo", b"snapshot/folder/", b"snapshot/link"]
    with tarfile.open(built.volumes[0].path) as archive:
        assert archive.getnames() == ["snapshot/.", "snapshot/fifo", "snapshot/folder", "snapshot/link"]


def test_what_is_deleted_has_its_entries(yard):
    built = yard.builder()(Job((Item(Change(DELETED, Entry(b"gone", REG), was=REG)),)))
    assert content_of([built]) == {b"gone": ("deleted", b"")}
    assert list(signatures_of(built)) == [b"deleted/gone"]


def test_a_builder_and_what_it_builds_can_travel(yard):
    builder = pickle.loads(pickle.dumps(yard.builder()))
    built = pickle.loads(pickle.dumps(builder(added(yard.put("f", b"x")))))
    assert content_of([built]) == {b"f": ("snapshot", b"x")}


@pytest.mark.requirement("R7")
def test_a_fifo_that_took_a_files_place_is_not_waited_for(yard):
    entry = yard.put("f", b"x")
    os.unlink(yard.source / "f")
    os.mkfifo(yard.source / "f")
    built = yard.builder()(added(entry))
    assert (content_of([built]), [problem.kind for problem in built.problems]) == ({}, ["changed"])


@pytest.mark.requirement("R1")
def test_a_link_that_took_a_files_or_a_folders_place_is_not_followed(yard, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "f").write_bytes(b"secret")
    (yard.source / "folder").mkdir()
    entries = [yard.put("f", b"x"), yard.put("folder/f", b"x")]
    os.unlink(yard.source / "f")
    (yard.source / "f").symlink_to(tmp_path / "secret" / "f")
    os.rename(yard.source / "folder", yard.source / "other")
    (yard.source / "folder").symlink_to(tmp_path / "secret")
    built = yard.builder()(added(*entries))
    assert (content_of([built]), [problem.kind for problem in built.problems]) == ({}, ["unreadable"] * 2)


# -- while they change ------------------------------------------------------------------------------------------------


def at_read(monkeypatch, when, act):
    """Do ``act`` just behind the reads for which ``when(number)`` holds, counted from 1."""
    real, count = os.pread, [0]

    def pread(fd, size, offset):
        data = real(fd, size, offset)
        count[0] += 1
        if when(count[0]):
            answer = act(count[0])
            data = data if answer is None else answer
        return data

    monkeypatch.setattr(os, "pread", pread)
    return count


@pytest.mark.requirement("R52")
@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("new_size", [0, 500, 60000, 70000, 4 * MIB])
def test_a_file_that_changes_once_is_read_again_and_stored_as_it_is_then(yard, monkeypatch, size, new_size):
    entry, new = yard.put("f", noise(size)), noise(new_size, 3)
    at_read(monkeypatch, lambda number: number == 1, lambda number: (yard.source / "f").write_bytes(new) * 0 or None)
    built = yard.builder(volsize=8 * MIB)(added(entry))
    if size < PART <= new_size:
        # It does not fit one entry any more: a beginning is stored, and told as what it is.
        assert [problem.kind for problem in built.problems] == ["changed"]
        return
    assert {b"f": ("snapshot", new)} == content_of([built])
    assert built.problems == []
    member, signature = signatures_of(built)[b"signature/f"]
    assert signature == librsync_signature(new, rsync.block_length(new_size, 0))
    assert member.mtime == int(os.stat(yard.source / "f").st_mtime)


@pytest.mark.requirement("R52")
@pytest.mark.requirement("R56")
@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_never_holds_still_is_told_and_looks_unsettled(yard, monkeypatch, size, change):
    entry, turns = yard.put("f", noise(size)), [0]

    def act(number):
        turns[0] += 1
        with (yard.source / "f").open("r+b") as file:
            if change == "shrink":
                file.truncate(max(0, size - turns[0]))
            elif change == "grow":
                file.seek(0, 2)
                file.write(b"more")
            else:
                file.write(b"%d" % number)
        os.utime(yard.source / "f", (1600000000 + turns[0], 1600000000 + turns[0]))

    at_read(monkeypatch, lambda number: True, act)
    built = yard.builder(volsize=8 * MIB)(added(entry))
    assert [problem.kind for problem in built.problems] == ["changed"]
    ((stored, content),) = content_of([built]).values()
    member, signature = signatures_of(built)[b"signature/f"]
    # The signature describes the very bytes that were stored, so that the next diff mends them …
    block_len = int.from_bytes(signature[4:8], "big")
    assert ("snapshot", librsync_signature(content, block_len)) == (stored, signature)
    # … and the next increment sees a change, whatever the file looks like now.
    assert member.mtime not in (int(os.stat(yard.source / "f").st_mtime), 1600000000 + turns[0])


@pytest.mark.requirement("R52")
@pytest.mark.parametrize("size", [1000, 200000])
@pytest.mark.parametrize("look", range(1, 10))
def test_a_newer_time_never_stands_beside_older_content(yard, monkeypatch, size, look):
    """Whenever the file changes a second time: a time newer than what was read would hide that change for ever."""
    entry, newest = yard.put("f", noise(size)), noise(size, 3)
    real, looks = os.fstat, [0]

    def fstat(fd):
        seen = real(fd)
        looks[0] += 1
        if looks[0] == look:
            yard.put("f", newest, 1700000000)
        return seen

    at_read(
        monkeypatch, lambda number: number == 1, lambda number: (yard.put("f", noise(size, 2), 1650000000), None)[1]
    )
    monkeypatch.setattr(os, "fstat", fstat)
    built = yard.builder()(added(entry))
    monkeypatch.undo()
    ((_, content),) = content_of([built]).values()
    member, _ = signatures_of(built)[b"signature/f"]
    assert member.mtime != 1700000000 or content == newest


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_file_that_vanished_is_left_out(yard, size):
    entry = yard.put("f", noise(size))
    os.unlink(yard.source / "f")
    built = yard.builder()(added(entry, yard.put("g", b"good")))
    assert content_of([built]) == {b"g": ("snapshot", b"good")}
    assert [problem.kind for problem in built.problems] == ["vanished"]


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_file_that_cannot_be_read_half_way_is_left_out_and_told(yard, monkeypatch, at):
    entry = yard.put("f", noise(3 * MIB))

    def act(number):
        raise OSError(errno.EIO, "Input/output error")

    at_read(monkeypatch, lambda number: number == at, act)
    built = yard.builder()(added(yard.put("e", b"before"), entry, yard.put("g", b"good")))
    found = content_of([built])
    if at > 1:
        assert found == {b"e": ("snapshot", b"before"), b"g": ("snapshot", b"good")}
    assert [problem.kind for problem in built.problems] == ["unreadable"]
    assert len(found) == len(signatures_of(built)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="root drops its rights to try this")
@pytest.mark.requirement("R56")
def test_a_file_without_permission_is_left_out_and_told(yard):
    entry = yard.put("f", b"x")
    (yard.source / "f").chmod(0)
    for folder in (yard.source, *yard.source.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    yard.temp.place.chmod(0o777)
    os.seteuid(65534)
    try:
        built = yard.builder()(added(entry))
    finally:
        os.seteuid(0)
        yard.temp.place.chmod(0o700)
    assert [problem.kind for problem in built.problems] == ["unreadable"]


def test_a_second_attempt_leaves_no_volume_of_the_first_behind(yard, monkeypatch):
    entry = yard.put("f", noise(4 * MIB))
    at_read(
        monkeypatch, lambda number: number == 4, lambda number: (yard.put("f", noise(4 * MIB, 4), 1700000000), None)[1]
    )
    built = yard.builder()(added(entry))
    files = {name for name in os.listdir(yard.temp.place) if name != "lock"}
    assert {volume.path.name for volume in built.volumes} == files


# -- ranges -----------------------------------------------------------------------------------------------------------


def build_ranges(yard, change, volsize=MIB, max_blocksize=0, target=None):
    builder = yard.builder(volsize, max_blocksize=max_blocksize)
    parts = list(plan.ranges(change.entry.size, target or volsize - 51200, max_blocksize))
    return [builder(Job((Item(change, part),))) for part in parts]


@pytest.mark.parametrize("block_len", [512, 1024, 1536, 4608, 8704, 17920, 65024, 65536, 66048, 131072])
def test_ranges_of_a_file_joined_are_the_file_and_its_signature(yard, monkeypatch, block_len):
    monkeypatch.setattr(rsync, "block_length", lambda size, limit: block_len)
    content = noise(3 * MIB + 12345)
    change = Change(ADDED, yard.put("big", content))
    builts = build_ranges(yard, change, target=512 * 1024)
    assert {b"big": ("snapshot", content)} == content_of(builts)
    assert b"".join(built.range.signature for built in builts) == librsync_signature(content, block_len)
    assert len({stand for built in builts for stand in (built.range.before, built.range.after)}) == 1


@pytest.mark.parametrize("block_len", [512, 1536, 4608, 65536])
@pytest.mark.parametrize("how", ["insert", "same", "new", "cut"])
def test_diffs_of_ranges_joined_are_one_diff_of_the_file(yard, monkeypatch, block_len, how):
    old = noise(3 * MIB)
    new = {
        "insert": old[:MIB] + b"inserted" * 9 + old[MIB : 2 * MIB] + noise(70000, 5) + old[2 * MIB :],
        "same": old,
        "new": noise(3 * MIB + 7, 6),
        "cut": old[5000 : 2 * MIB + 17],
    }[how]
    monkeypatch.setattr(rsync, "block_length", lambda size, limit: block_len)
    change = Change(MODIFIED, yard.put("big", new), librsync_signature(old, 2048), REG)
    builts = build_ranges(yard, change, target=512 * 1024)
    assert len(builts) >= 3
    assert {b"big": ("diff", new)} == content_of(builts, old)
    assert b"".join(built.range.signature for built in builts) == librsync_signature(new, block_len)
    delta = b"".join(b"".join(one.data) for one in difftar.decode(opened(builts)))
    (yard.source / "old").write_bytes(old)
    words = ["rdiff", "patch", yard.source / "old", "-", "-"]
    assert new == subprocess.run(words, input=delta, capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", [ADDED, MODIFIED])
def test_part_numbers_rise_over_all_ranges_and_the_last_part_has_none(yard, kind):
    content = noise(4 * MIB + 99)
    old = librsync_signature(noise(1000, 9), 512) if kind == MODIFIED else None
    builts = build_ranges(yard, Change(kind, yard.put("big", content), old, REG))
    numbers = []
    for built in builts:
        for volume in built.volumes:
            with volume.path.open("rb") as file:
                numbers += [int(member.name.rpartition(b"/")[2]) for member in tar.Reader(file)]
    assert numbers == sorted(set(numbers))
    ends = [volume.last[1] for built in builts for volume in built.volumes]
    assert [None] == [part for part in ends if part is None] == ends[-1:]
    if kind == ADDED:
        assert list(range(1, 66)) == numbers


@pytest.mark.requirement("R52")
@pytest.mark.parametrize("what", ["grown", "shrunk", "vanished", "fifo", "broken"])
def test_a_file_that_is_not_what_was_cut_into_ranges_does_not_agree_with_itself(yard, monkeypatch, what):
    change = Change(ADDED, yard.put("big", noise(3 * MIB)))
    path = yard.source / "big"
    if what == "grown":
        path.write_bytes(noise(3 * MIB) + b"more")
    elif what == "shrunk":
        path.write_bytes(noise(2 * MIB))
    elif what in ("vanished", "fifo"):
        os.unlink(path)
        if what == "fifo":
            os.mkfifo(path)
    else:
        real = os.pread

        def pread(fd, size, offset):
            if offset >= MIB:
                raise OSError(errno.EIO, "Input/output error")
            return real(fd, size, offset)

        monkeypatch.setattr(os, "pread", pread)
    builts = build_ranges(yard, change)
    stands = {stand for built in builts for stand in (built.range.before, built.range.after)}
    assert len(stands) > 1 or stands.pop().size != 3 * MIB
    # What is stored has the length that was planned, and the signature is that of what is stored.
    ((_, content),) = content_of(builts).values()
    assert len(content) == 3 * MIB
    signature = b"".join(built.range.signature for built in builts)
    assert signature == librsync_signature(content, rsync.block_length(3 * MIB, 0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40))
def test_an_unsettled_time_is_another_one_and_none_before_1970(mtime):
    entry = Entry(b"f", REG, mtime=mtime)
    assert unsettled(entry).mtime != mtime
    assert unsettled(entry).mtime >= 0


# -- the root is a file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 65536, 200000])
def test_a_source_that_is_one_file_is_stored_as_the_root(yard, size):
    content = noise(size)
    (yard.source / "only").write_bytes(content)
    builder = Yard(yard.source / "only", yard.temp).builder()
    entry = entry_of(b"", os.lstat(yard.source / "only"), Owners())
    built = builder(added(entry))
    assert {b"": ("snapshot", content)} == content_of([built])
    with built.volumes[0].path.open("rb") as file:
        name = next(iter(tar.Reader(file))).name
    assert name == (b"snapshot/" if size < PART else b"multivol_snapshot/./1")
    assert list(signatures_of(built)) == [b"signature/"]


def test_a_chain_of_diffs_comes_back_at_every_age(yard):
    versions = [noise(100000, seed) for seed in range(4)]
    versions = [version + versions[0] for version in versions]
    sets = []
    signature = None
    for version in versions:
        entry = yard.put("f", version)
        job = added(entry) if signature is None else modified(entry, signature)
        built = yard.builder()(job)
        signature = signatures_of(built)[b"signature/f"][1]
        sets.append(built)
    for age, version in enumerate(versions, 1):
        found = []
        for sequence in patch.merge([difftar.decode(opened([built])) for built in sets[:age]]):
            found.append(b"".join(patch.apply(sequence, io.BytesIO).data))
        assert [version] == found


def test_signatures_are_read_back_by_the_next_run(yard):
    built = yard.builder()(added(yard.put("a", b"1"), yard.put("b", noise(70000))))
    knowns = [(known.entry.path, known.signature()) for known in sigtar.read([lambda: io.BytesIO(built.signatures)])]
    assert [path for path, _ in knowns] == [b"a", b"b"]
    assert knowns[1][1] == librsync_signature(noise(70000), 512)


def test_a_link_root_is_an_entry(yard):
    built = yard.builder()(added(Entry(b"", SYM, target=b"x"), Entry(b"p", FIFO)))
    assert list(signatures_of(built)) == [b"snapshot/", b"snapshot/p"]
