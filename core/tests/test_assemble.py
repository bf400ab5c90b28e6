"""Sets as they are put together: whole runs in this process, with files that are large, and that do not hold still."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from tarragon import tar
from tarragon.cli.main import main
from tarragon.run import plan
from tarragon.volume import manifest

MIB = 1 << 20


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class Place:
    """A source, a target, and a clock that goes on by 100 seconds a run."""

    def __init__(self, folder):
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir()
        self.now = 1700000000

    def run(self, *words):
        self.now += 100
        given = ["--archive-dir", str(self.folder / "cache"), "--current-time", str(self.now), "-v0"]
        return main([*words[:1], "--no-encryption", *given, *words[1:]])

    def back_up(self, action="backup", *words):
        options = ["--no-compression", "--volsize", "1", "--concurrency", "0", "--no-print-statistics", *words]
        return self.run(action, *options, str(self.source), f"file://{self.folder}/target")

    def restored(self, *words):
        """What a restore gives: path → content."""
        out = self.folder / f"out{self.now}"
        assert self.run("restore", *words, f"file://{self.folder}/target", str(out)) == 0
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    def put(self, name, content, mtime=1600000000):
        (self.source / name).write_bytes(content)
        os.utime(self.source / name, (mtime, mtime))

    def content(self):
        return {
            str(path.relative_to(self.source)): path.read_bytes()
            for path in sorted(self.source.rglob("*"))
            if path.is_file()
        }

    def newest(self, kind):
        """The newest object at the target of a kind, as bytes."""
        found = (self.folder / "target").glob(f"*{kind}*")
        return max(found, key=lambda path: re.findall(r"\d{8}T\d{6}Z", path.name)[-1]).read_bytes()

    def signatures(self):
        reader = tar.Reader(io.BytesIO(self.newest("signatures")))
        return {member.name: (member, reader.data()) for member in reader}


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return Place(tmp_path)


def librsync_signature(content, block_len):
    words = ["rdiff", "-b", str(block_len), "-S", "8", "-H", "md4", "-R", "rollsum", "signature", "-", "-"]
    return subprocess.run(words, input=content, capture_output=True, check=True).stdout


# -- large files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_blocksize", ["0", "1000", "2048"])
def test_a_file_over_many_ranges_is_stored_changed_and_restored(place, max_blocksize):
    words = ["--max-blocksize", max_blocksize] if max_blocksize != "0" else []
    first = noise(5 * MIB + 777)
    place.put("big", first)
    place.put("a", b"before")
    place.put("z", noise(100000))
    assert place.back_up("full", *words) == 0
    _, signature = place.signatures()[b"signature/big"]
    assert signature == librsync_signature(first, int.from_bytes(signature[4:8], "big"))
    place.put("big", first[:MIB] + b"inserted" + noise(3 * MIB, 2) + first[3 * MIB :], 1650000000)
    assert place.back_up("incremental", *words) == 0
    assert place.content() == place.restored()
    _, signature = place.signatures()[b"signature/big"]
    assert signature == librsync_signature((place.source / "big").read_bytes(), int.from_bytes(signature[4:8], "big"))
    assert {**place.content(), "big": first} == place.restored("--time", "1700000100")


@pytest.mark.parametrize("concurrency", ["0", "2"])
def test_a_manifest_names_the_first_and_last_entry_of_each_volume(place, concurrency):
    for number in range(20):
        place.put(f"f{number:02}", noise(number * 20000, number))
    place.put("g", noise(4 * MIB))
    assert place.back_up("full", "--concurrency", concurrency) == 0
    found = manifest.read(io.BytesIO(place.newest("manifest")))
    assert manifest.check(found) == []
    assert len(found.volumes) >= 5
    paths = []
    for record in found.volumes:
        volume = place.newest(f"vol{record.number}.difftar")
        names = [member.name for member in tar.Reader(io.BytesIO(volume))]
        ends = []
        for name in (names[0], names[-1]):
            prefix, _, path = name.partition(b"/")
            part = None
            if prefix.startswith(b"multivol"):
                path, _, number = path.rpartition(b"/")
                part = int(number)
            ends.append((path.rstrip(b"/").removeprefix(b".") if path == b"./" else path, part))
        assert (record.first, record.last) == (ends[0][0], ends[1][0])
        for stored, (_, part) in zip((record.first_part, record.last_part), ends, strict=True):
            assert stored in (part, None)
        paths += names
    assert len(set(paths)) == len(paths)


# -- files that do not hold still -------------------------------------------------------------------------------------


def before_building(monkeypatch, act):
    """Do ``act`` behind the walk, and before the first job is built."""
    real = plan.jobs

    def jobs(*words, **named):
        found = list(real(*words, **named))
        act()
        return iter(found)

    monkeypatch.setattr(plan, "jobs", jobs)


@pytest.mark.requirement("R52")
@pytest.mark.requirement("R56")
@pytest.mark.parametrize("what", ["grows", "shrinks", "is replaced"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_large_file_that_changes_behind_the_walk_is_told_and_mended_by_the_next_set(place, monkeypatch, what, is_new):
    old = noise(4 * MIB)
    place.put("small", b"x")
    if not is_new:
        place.put("big", noise(4 * MIB, 7))
    assert place.back_up("full") == 0
    place.put("big", old, 1650000000)

    def act():
        new = {"grows": old + noise(MIB, 3), "shrinks": old[: 2 * MIB], "is replaced": noise(4 * MIB, 4)}[what]
        place.put("other", new, 1660000000)
        os.rename(place.source / "other", place.source / "big")

    with monkeypatch.context() as patched:
        before_building(patched, act)
        told = place.back_up("incremental")
    if what == "is replaced":
        assert (0, place.content()) == (told, place.restored())  # one state of it, as it was when it was read
        return
    assert told != 0
    assert place.back_up("incremental") == 0
    assert place.content() == place.restored()


@pytest.mark.requirement("R52")
@pytest.mark.requirement("R56")
@pytest.mark.parametrize("what", ["vanishes", "cannot be read"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_large_file_that_is_lost_behind_the_walk_is_told_and_older_versions_stay(place, monkeypatch, what, is_new):
    place.put("small", b"x")
    if not is_new:
        place.put("big", noise(4 * MIB, 7))
    assert place.back_up("full") == 0
    first = place.restored()
    place.put("big", noise(4 * MIB), 1650000000)
    real = os.pread

    def pread(fd, size, offset):
        if offset >= MIB:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, size, offset)

    with monkeypatch.context() as patched:
        if what == "vanishes":
            before_building(patched, lambda: os.unlink(place.source / "big"))
        else:
            patched.setattr(os, "pread", pread)
        assert place.back_up("incremental") != 0
    assert place.back_up("incremental") == 0
    assert place.content() == place.restored()
    assert first == place.restored("--time", "1700000100")


@pytest.mark.requirement("R56")
def test_small_files_that_vanish_or_change_into_something_else_do_no_harm(place, monkeypatch):
    for name in "abcd":
        place.put(name, name.encode())

    def act():
        os.unlink(place.source / "a")
        os.unlink(place.source / "b")
        os.mkfifo(place.source / "b")
        os.unlink(place.source / "c")
        (place.source / "c").mkdir()

    with monkeypatch.context() as patched:
        before_building(patched, act)
        place.back_up("full")
    assert place.restored() == {"d": b"d"}


def test_no_path_stands_twice_in_a_set(place):
    """Whatever takes the place of whatever."""
    (place.source / "a").mkdir()
    (place.source / "a" / "x").write_bytes(b"1")
    (place.source / "b").write_bytes(b"2")
    (place.source / "c").symlink_to("b")
    os.utime(place.source, (5, 5))
    assert place.back_up("full") == 0
    (place.source / "a" / "x").unlink()
    (place.source / "a").rmdir()
    (place.source / "a").write_bytes(b"now a file")
    (place.source / "b").unlink()
    (place.source / "b").mkdir()
    (place.source / "b" / "y").write_bytes(b"3")
    (place.source / "c").unlink()
    (place.source / "c").write_bytes(b"4")
    assert place.back_up("incremental") == 0
    names = [
        member.name.partition(b"/")[2].rstrip(b"/") for member in tar.Reader(io.BytesIO(place.newest("vol1.difftar")))
    ]
    assert names == [b".", b"a", b"a/x", b"b", b"b/y", b"c"]
    assert list(place.signatures()) == [
        b"snapshot/", b"signature/a", b"deleted/a/x", b"snapshot/b/", b"signature/b/y", b"signature/c",
    ]  # fmt: skip


def test_the_end_of_a_sigtar_is_two_zero_blocks_to_a_multiple_of_10240(place):
    place.put("a", b"x")
    place.back_up("full")
    data = place.newest("signatures")
    assert (len(data) % 10240, data[-1024:].strip(b"\0")) == (0, b"")
    place.back_up("incremental")
    assert bytes(10240) == place.newest("new-signatures")


def test_volumes_and_signatures_are_those_that_gzip_reads(place):
    place.put("a", noise(300000))
    assert place.run("full", "--no-print-statistics", str(place.source), f"file://{place.folder}/target") == 0
    for name in ("vol1.difftar.gz", "sigtar.gz"):
        assert gzip.decompress(place.newest(name))
    assert place.content() == place.restored()


def test_nothing_is_left_in_the_temporary_folder(place):
    place.put("big", noise(3 * MIB))
    place.back_up("full")
    place.restored()
    assert os.listdir(Path(os.environ["TMPDIR"])) == []


@pytest.mark.parametrize("concurrency", ["0", "2"])
def test_a_source_that_is_one_large_file_is_stored_in_ranges_and_restored(place, tmp_path, concurrency):
    place.source = tmp_path / "single"
    place.source.write_bytes(noise(4 * MIB + 5))
    os.utime(place.source, (1600000000, 1600000000))
    assert place.back_up("full", "--concurrency", concurrency) == 0
    changed = noise(MIB, 8) + place.source.read_bytes()[MIB:]
    place.source.write_bytes(changed)
    assert place.back_up("incremental", "--concurrency", concurrency) == 0
    out = tmp_path / "out-file"
    assert place.run("restore", f"file://{tmp_path}/target", str(out)) == 0
    assert changed == out.read_bytes()
