"""What a restore gives of a damaged set: all that is whole, nothing that is wrong, and each loss by name (R6)."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import threading

import pytest
from tarragon import tar
from tarragon.api.entry import REG, Entry
from tarragon.api.errors import NoTempSpace
from tarragon.cli.main import main
from tarragon.delta import sigtar
from tarragon.run.repository import Target
from tarragon.volume import manifest

MIB = 1 << 20
FULL, INC = "1700000100", "1700000200"


def noise(size, seed):
    return random.Random(seed).randbytes(size)


class Place:
    """A source of many files in several volumes, a full set and an increment of it, and restores of them."""

    def __init__(self, folder):
        self.folder, self.now, self.outs = folder, 1700000000, 0
        self.source, self.target = folder / "source", folder / "target"
        self.source.mkdir()
        for number in range(12):
            self.put(f"f{number:02}", noise(number * 40000, number))
        self.put("g", noise(2 * MIB, 99))
        self.back_up("full")
        self.full = self.content()
        for number in range(0, 12, 3):
            self.put(f"f{number:02}", noise(number * 40000, number)[: number * 10000] + b"changed", 1650000000)
        (self.source / "f01").unlink()
        self.put("h", b"new")
        self.back_up("incremental")
        self.inc = self.content()

    def put(self, name, content, mtime=1600000000):
        (self.source / name).write_bytes(content)
        os.utime(self.source / name, (mtime, mtime))

    def content(self):
        return {path.name: path.read_bytes() for path in self.source.iterdir()}

    def run(self, *words):
        self.now += 100
        given = ["--archive-dir", str(self.folder / "cache"), "--current-time", str(self.now), "--num-retries", "1"]
        return main([words[0], "--no-encryption", *given, *words[1:]])

    def back_up(self, action):
        words = [action, "-v0", "--no-compression", "--volsize", "1", "--concurrency", "0", "--no-print-statistics"]
        assert self.run(*words, str(self.source), f"file://{self.target}") == 0

    def restored(self, time, *words):
        """Exit status, and path → content of what came out."""
        self.outs += 1
        out = self.folder / f"out{self.outs}"
        status = self.run("restore", "--time", time, *words, f"file://{self.target}", str(out))
        return status, {path.name: path.read_bytes() for path in out.iterdir()} if out.exists() else {}

    def object(self, kind, number=-1):
        """An object at the target: of the oldest set (0), or the newest (-1)."""
        found = self.target.glob(f"*{kind}*")
        return sorted(found, key=lambda path: re.findall(r"\d{8}T\d{6}Z", path.name)[-1])[number]

    def inside(self, number):
        """The files that have an entry in a volume of the full set."""
        with self.object(f"vol{number}.difftar", 0).open("rb") as file:
            names = [member.name.split(b"/") for member in tar.Reader(file)]
        return {parts[1].decode() for parts in names} - {"."}

    def forget(self):
        """Lose the cache, the memory of what was committed, and what is at the target beside duplicity's own files."""
        for name in ("cache", "XDG_STATE_HOME"):
            (self.folder / name).rename(self.folder / f"{name}-of-{self.now}")
        for path in self.target.iterdir():
            if not path.name.startswith("duplicity-"):
                path.unlink()


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return Place(tmp_path)


def test_both_times_come_back_and_nothing_is_complained_of(place, capfd):
    assert ((0, place.full), (0, place.inc)) == (place.restored(FULL), place.restored(INC))
    assert "cannot be restored" not in "".join(capfd.readouterr())


@pytest.fixture
def openers(monkeypatch):
    """The names of the threads in which volumes are opened, and those in which there is no room for one."""
    opened, crowded, real = [], set(), Target.open_volume

    def opening(self, of, record):
        opened.append(name := threading.current_thread().name.partition("_")[0])
        if name in crowded:
            raise NoTempSpace("no room")
        return real(self, of, record)

    monkeypatch.setattr(Target, "open_volume", opening)
    return opened, crowded


def test_the_next_volume_is_on_its_way_while_one_is_read_unless_one_thing_at_a_time_is_wanted(place, openers):
    count = len(list(place.target.glob("*full*vol*")))
    assert place.restored(FULL) == (0, place.full)
    assert openers[0][1:] == ["volume ahead"] * (count - 1)
    assert openers[0][0] != "volume ahead", "who is asked for a passphrase there could not say no by Ctrl-C"
    openers[0].clear()
    assert place.restored(FULL, "--concurrency", "0") == (0, place.full)
    assert "volume ahead" not in openers[0]


def test_where_there_is_no_room_for_two_volumes_there_is_for_one(place, openers):
    openers[1].add("volume ahead")
    assert place.restored(FULL) == (0, place.full)
    assert "volume ahead" in openers[0]


@pytest.mark.requirement("R6")
@pytest.mark.requirement("R5")
@pytest.mark.requirement("R57")
@pytest.mark.parametrize("damage", ["missing", "flipped", "broken off", "longer"])
def test_each_volume_that_is_damaged_costs_what_stands_in_it_and_no_more(place, capfd, damage):
    count = len(list(place.target.glob("*full*vol*")))
    assert count >= 4
    for number in range(1, count + 1):
        volume = place.object(f"vol{number}.difftar", 0)
        inside, data = place.inside(number), volume.read_bytes()
        if damage == "missing":
            volume.unlink()
        elif damage == "flipped":
            volume.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
        else:
            volume.write_bytes(data[: len(data) // 2] if damage == "broken off" else data + bytes(512))
        status, found = place.restored(FULL)
        told = "".join(capfd.readouterr())
        volume.write_bytes(data)
        assert status != 0
        assert {name: data for name, data in place.full.items() if name not in inside} == found
        assert inside <= set(re.findall(r"'(\w+)' cannot be restored", told))
        assert not (set(found) & set(re.findall(r"'(\w+)' cannot be restored", told)))


@pytest.mark.requirement("R6")
def test_what_is_whole_in_a_later_set_comes_back_whatever_was_lost_before(place, capfd):
    place.object("vol1.difftar", 0).unlink()
    status, found = place.restored(INC)
    told = "".join(capfd.readouterr())
    assert status != 0
    assert (found["h"], "f01" not in found) == (b"new", True)
    assert all(place.inc[name] == data for name, data in found.items())
    assert "'f01' cannot be restored" not in told  # it was deleted since: nobody misses it


@pytest.mark.requirement("R6")
def test_a_lost_increment_names_the_newest_whole_version_and_what_it_deleted_stays_gone(place, capfd):
    place.object("inc*vol1.difftar").unlink()
    status, found = place.restored(INC)
    told = "".join(capfd.readouterr())
    changed = {name for name in place.inc if place.inc[name] != place.full.get(name)}
    assert status != 0
    assert {name: data for name, data in place.inc.items() if name not in changed} == found
    for name in changed - {"h"}:
        assert re.search(f"'{name}' cannot be restored: .*20231114T221500Z", told), name
    assert re.search("'h' cannot be restored: .*no older version is whole", told)
    assert "'f01' cannot be restored" not in told


@pytest.mark.requirement("R41")
def test_what_deltas_give_is_checked_against_its_signature(place, capfd):
    """A basis that is another one, with a right hash: the delta fits, the content would be garbage."""
    volume = place.object("vol1.difftar", 0)
    raw = bytearray(volume.read_bytes())
    at = raw.index(noise(3 * 40000, 3)[:64])
    raw[at] ^= 1
    old = manifest.read(io.BytesIO(place.object("full*manifest", 0).read_bytes())).volumes[0].sha1
    import hashlib

    volume.write_bytes(raw)
    written = place.object("full*manifest", 0)
    written.write_bytes(written.read_bytes().replace(old.encode(), hashlib.sha1(raw).hexdigest().encode()))
    place.forget()
    status, found = place.restored(INC)
    told = "".join(capfd.readouterr())
    assert (status != 0, "f03" in found) == (True, False)
    assert "'f03' cannot be restored: what its deltas give does not fit its signature" in told
    assert {name: data for name, data in place.inc.items() if name != "f03"} == found


@pytest.mark.requirement("R6")
def test_an_entry_that_only_the_signatures_know_is_told(place, capfd):
    """A volume that lost an entry and has a right hash: the signatures are the witness."""
    signatures = place.object("full-signatures", 0)
    data = signatures.read_bytes().rstrip(b"\0")
    data += bytes(-len(data) % 512)
    signatures.write_bytes(data + sigtar.member(Entry(b"zz", REG, 0o644), b"rs\x016\0\0\2\0\0\0\0\x08") + bytes(1024))
    place.forget()
    status, found = place.restored(FULL)
    assert (True, place.full) == (status != 0, found)
    assert "'zz' cannot be restored" in "".join(capfd.readouterr())


def test_without_signatures_everything_comes_back_unchecked(place, capfd):
    place.object("full-signatures", 0).unlink()
    place.object("new-signatures").unlink()
    place.forget()
    status, found = place.restored(FULL)
    assert (0, place.full) == (status, found)
    capfd.readouterr()


@pytest.mark.requirement("R42")
def test_a_file_far_larger_than_its_signature_says_is_given_up(place, capfd):
    """A bomb: a small archive that would fill the disk."""
    entry = Entry(b"bomb", REG, 0o644)
    size = 40 * MIB
    raw = tar.header(b"snapshot/bomb", entry, size) + bytes(size)
    raw += tar.end_of_archive(len(raw))
    (place.folder / "forged").mkdir()
    import hashlib

    stored = gzip.compress(raw, 1)
    stem = "20231114T221500Z"
    place.target = place.folder / "forged"
    (place.target / f"duplicity-full.{stem}.vol1.difftar.gz").write_bytes(stored)
    signature = b"rs\x016\0\0\2\0\0\0\0\x08" + bytes(12)
    (place.target / f"duplicity-full-signatures.{stem}.sigtar").write_bytes(
        sigtar.member(entry, signature) + bytes(1024)
    )
    (place.target / f"duplicity-full.{stem}.manifest").write_bytes(
        b"Volume 1:\n    StartingPath   bomb  \n    EndingPath     bomb  \n    Hash SHA1 %b\n"
        % hashlib.sha1(stored).hexdigest().encode()
    )
    status, found = place.restored(FULL)
    assert (status != 0, found) == (True, {})
    assert "far larger than its signature" in "".join(capfd.readouterr())


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("block_len", [0, 2**32 - 1])
def test_a_signature_with_impossible_blocks_costs_its_file_alone(place, capfd, block_len):
    signatures = place.object("full-signatures", 0)
    reader = tar.Reader(io.BytesIO(signatures.read_bytes()))
    again = b""
    for member in reader:
        data = reader.data()
        entry = Entry(member.name.partition(b"/")[2], member.kind, member.mode, mtime=member.mtime)
        if member.name == b"signature/f02":
            data = data[:4] + block_len.to_bytes(4, "big") + data[8:]
        again += tar.header(member.name, entry, len(data)) + data + bytes(tar.pad(len(data)))
    signatures.write_bytes(again + bytes(1024))
    place.forget()
    status, found = place.restored(FULL)
    assert (True, {name: data for name, data in place.full.items() if name != "f02"}) == (status != 0, found)
    assert "'f02' cannot be restored" in "".join(capfd.readouterr())
