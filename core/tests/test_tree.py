"""Nothing that a hostile sequence of entries says makes Tree touch anything outside its folder (R1 to R4, R7, R8)."""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.api.entry import BLK, CHR, DIR, FIFO, REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed, RestoreTargetNotEmpty, SourceError, TarragonError
from tarragon.owners import Owners
from tarragon.run.tree import Refused, Tree

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
JUDGE = runpy.run_path(str(Path(__file__).parents[2] / "tests" / "judge" / "tree_hash.py"))
UID, GID = os.geteuid(), os.getegid()


def file(path, mode=0o644, mtime=1600000000, **fields):
    return Entry(path, REG, mode, fields.pop("uid", UID), fields.pop("gid", GID), mtime=mtime, **fields)


def folder(path=b"", mode=0o755, mtime=1600000000, **fields):
    return Entry(path, DIR, mode, fields.pop("uid", UID), fields.pop("gid", GID), mtime=mtime, **fields)


def link(path, target):
    return Entry(path, SYM, 0o777, UID, GID, target=bytes(target))


class Jail:
    """A target, and beside it what must stay as it is."""

    def __init__(self, place):
        self.place = place
        self.outside = place / "outside"
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "victim").write_bytes(b"precious")
        (self.outside / "victim").chmod(0o640)
        (self.outside / "folder" / "child").write_bytes(b"precious too")
        self.target = place / "jail" / "target"
        self.target.parent.mkdir()
        self.before = self.state()

    def state(self):
        return JUDGE["tree_hash"](os.fsencode(self.outside))

    def tree(self, **words):
        return Tree(os.fsencode(self.target), Owners(numeric=True), **words)

    def fill(self, *steps, **words):
        """Write the steps, (entry, content) or entry; the paths that were refused."""
        tree = self.tree(**words)
        refused = []
        try:
            for step in steps:
                entry, data = step if isinstance(step, tuple) and not isinstance(step, Entry) else (step, b"x")
                try:
                    tree.write(entry, iter([data]))
                except TarragonError:
                    refused.append(entry.path)
            tree.finish()
        finally:
            tree.close()
        return refused

    def is_unharmed(self):
        return self.state() == self.before and set(os.listdir(self.target.parent)) <= {"target"}

    def left_over(self):
        return [
            name for _, names, files in os.walk(self.place) for name in names + files if name.startswith(".tarragon")
        ]


@pytest.fixture
def jail(tmp_path):
    return Jail(tmp_path)


# -- nothing outside --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R2")
@pytest.mark.parametrize("target", ["outside/folder", "../outside/folder", "../../outside/folder", ".", "..", "/"])
@pytest.mark.parametrize("in_order", [True, False])
def test_nothing_is_written_through_a_link_that_was_restored(jail, target, in_order):
    aim = target if target != "outside/folder" else str(jail.outside / "folder")
    refused = jail.fill(
        folder(), link(b"a", os.fsencode(aim)), file(b"a/child"), folder(b"a/new"), file(b"a/new/x"), file(b"b"),
        in_order=in_order,
    )  # fmt: skip
    assert refused == [b"a/child", b"a/new", b"a/new/x"]
    assert jail.is_unharmed()
    assert (jail.target / "b").read_bytes() == b"x"


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("entry", [file(b"a/child"), folder(b"a"), folder(b"a/b"), link(b"a/l", b"x"), file(b"a/b/c")])
def test_nothing_is_written_through_a_link_that_was_planted(jail, entry):
    jail.target.mkdir()
    (jail.target / "a").symlink_to(jail.outside / "folder")
    assert [entry.path] == jail.fill(folder(), entry)
    assert jail.is_unharmed()


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R3")
def test_a_planted_link_in_the_place_of_a_file_is_replaced_and_not_followed(jail):
    jail.target.mkdir()
    (jail.target / "a").symlink_to(jail.outside / "victim")
    assert jail.fill(folder(), (file(b"a", 0o600), b"new")) == []
    assert ((jail.target / "a").read_bytes(), (jail.target / "a").is_symlink()) == (b"new", False)
    assert jail.is_unharmed()


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R2")
@pytest.mark.parametrize("root", [file(b""), link(b"", b"../outside"), Entry(b"", FIFO, 0o644, UID, GID)])
def test_a_root_that_is_no_folder_has_nothing_below_it(jail, root):
    steps = [root, file(b"sneaky"), folder(b"dir"), file(b"dir/deep"), link(b"ln", b"x")]
    assert jail.fill(*steps) == [b"sneaky", b"dir", b"dir/deep", b"ln"]
    assert jail.is_unharmed()


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("path", [
    b"..", b"../x", b"a/../x", b"a/..", b"/x", b"/", b"//x", b"a//x", b"a/", b".", b"./x", b"a/./x", b"a/.", b"x\0y",
    b"../outside/victim", b"a/../../outside/victim",
])  # fmt: skip
@pytest.mark.parametrize("make", [file, folder, lambda path: link(path, b"t")])
def test_a_name_that_could_leave_the_folder_is_refused(jail, path, make):
    assert [path] == jail.fill(folder(), make(path))
    assert jail.is_unharmed()
    assert os.listdir(jail.target) == []


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("make", [file, folder])
def test_a_component_of_255_bytes_is_written_and_one_of_256_refused(jail, make):
    refused = jail.fill(folder(), make(b"a" * 255), make(b"a" * 256), make(b"b"))
    assert refused == [b"a" * 256]
    assert sorted(os.listdir(jail.target)) == ["a" * 255, "b"]


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R62")
def test_a_path_longer_than_the_system_takes_is_written(jail):
    names = [b"d%03d" % number + b"x" * 200 for number in range(40)]
    paths = [b"/".join(names[:depth]) for depth in range(1, 41)]
    before = len(os.listdir("/proc/self/fd"))
    tree = jail.tree()
    try:
        tree.write(folder(), iter(()))
        for path in paths:
            tree.write(folder(path, mtime=1500000000), iter(()))
        tree.write(file(paths[-1] + b"/leaf"), iter([b"deep"]))
        assert len(os.listdir("/proc/self/fd")) - before < 40
        tree.write(file(paths[10] + b"/zz-upper"), iter([b"upper"]))
        tree.finish()
    finally:
        tree.close()
    assert tree.unfinished == []
    at = os.open(jail.target, os.O_RDONLY)
    for name in names:
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        assert os.fstat(below).st_mtime == 1500000000
        os.close(at)
        at = below
    with os.fdopen(os.open(b"leaf", os.O_RDONLY, dir_fd=at), "rb") as leaf:
        assert leaf.read() == b"deep"
    os.close(at)
    shutil.rmtree(jail.target)


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("in_order", [True, False])
def test_a_link_swapped_in_by_a_racing_thread_leads_nowhere(jail, in_order):
    jail.target.mkdir()
    hot = jail.target / "hot"
    hot.mkdir()
    ends = threading.Event()

    def swap():
        spare = jail.target / "spare"
        while not ends.is_set():
            with contextlib.suppress(OSError):
                os.rename(hot, spare)
                os.symlink(jail.outside / "folder", hot)
                os.unlink(hot)
                os.rename(spare, hot)

    racing = threading.Thread(target=swap)
    racing.start()
    try:
        for _ in range(60):
            tree = jail.tree(in_order=in_order)
            for entry in (folder(), folder(b"hot", 0o700), file(b"hot/child", 0o777), folder(b"hot/deep"),
                          file(b"hot/deep/child"), link(b"hot/link", b"t")):  # fmt: skip
                with contextlib.suppress(Refused):
                    tree.write(entry, iter([b"evil"]))
            with contextlib.suppress(SourceError):
                tree.finish()
            tree.close()
    finally:
        ends.set()
        racing.join()
    assert jail.state() == jail.before


components = st.sampled_from([b"a", b"b", b"c"])
any_entry = st.builds(
    lambda path, kind, aim: Entry(
        b"/".join(path), kind, 0o755 if kind == DIR else 0o644, UID, GID, target=aim if kind == SYM else b""
    ),
    st.lists(components, max_size=3),
    st.sampled_from([REG, DIR, SYM, FIFO]),
    st.sampled_from([b"..", b".", b"a", b"../../outside", b"../outside/folder"]),
)


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R2")
@settings(max_examples=150, deadline=None)
@given(st.lists(any_entry, max_size=12, unique_by=lambda entry: entry.path))
def test_what_stands_below_something_that_is_no_folder_is_refused_whatever_the_entries(tmp_path_factory, entries):
    """In archive order; the oracle is a map of what was restored."""
    jail = Jail(tmp_path_factory.mktemp("jail"))
    entries.sort(key=lambda entry: order_key(entry.path))
    kinds = {}
    wanted = []
    for entry in entries:
        above = [b"/".join(entry.path.split(b"/")[:depth]) for depth in range(entry.path.count(b"/") + 1)]
        if not entry.path:
            above = []
        if any(kinds.get(path, DIR) != DIR for path in above):
            wanted.append(entry.path)
            kinds.setdefault(entry.path, REG)
        else:
            kinds[entry.path] = entry.kind
    # What is refused bars what is below it as the thing itself does: its parent was no folder, so it is none either.
    assert wanted == jail.fill(*entries)
    assert jail.is_unharmed()


# -- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3")
def test_restoring_a_link_leaves_what_it_points_to_alone(jail):
    aim = os.fsencode(jail.outside / "victim")
    assert jail.fill(folder(), link(b"l", aim)._replace(mode=0o600, mtime=1)) == []
    assert aim == os.readlink(os.fsencode(jail.target / "l"))
    assert jail.is_unharmed()


def as_nobody(jail, code):
    """Run Python as nobody, with ``tree`` over the target."""
    jail.target.mkdir()
    for path in (jail.target, *jail.target.parents):
        if path == Path("/tmp"):
            break
        path.chmod(0o777 if path == jail.target else 0o755)
    head = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from tarragon.api.entry import *
from tarragon.owners import Owners
from tarragon.run.tree import *
target = {os.fsencode(jail.target)!r}
tree = Tree(target, Owners(numeric=True))
"""
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    ended = subprocess.run([*prefix, sys.executable, "-c", head + code], capture_output=True, text=True, cwd="/")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@as_root
@pytest.mark.requirement("R3")
@pytest.mark.parametrize("uid", [0, 65534])
def test_setuid_is_dropped_and_counted_where_the_owner_cannot_be_set(jail, uid):
    said = as_nobody(
        jail,
        f"""
tree.write(Entry(b"s", REG, 0o6755, {uid}, {uid}), iter([b"x"]))
tree.finish()
print(tree.unowned, oct(os.stat(target + b"/s").st_mode))
""",
    )
    assert said.split() == (["0", "0o106755"] if uid == 65534 else ["1", "0o100755"])


@as_root
@pytest.mark.requirement("R7")
def test_only_root_makes_devices(jail):
    said = as_nobody(
        jail,
        """
for kind in (CHR, BLK):
    try:
        tree.write(Entry(b"sda", kind, 0o666, 0, 0, device=(8, 0)), iter(()))
    except Refused as err:
        print("refused")
print(os.listdir(target))
""",
    )
    assert said.split() == ["refused", "refused", "[]"]


@as_root
@pytest.mark.parametrize("kind", [CHR, BLK])
def test_root_makes_devices_with_their_numbers(jail, kind):
    assert jail.fill(folder(), Entry(b"dev", kind, 0o600, 0, 0, device=(1, 3), mtime=5)) == []
    st_ = os.lstat(jail.target / "dev")
    assert (os.major(st_.st_rdev), os.minor(st_.st_rdev), stat.S_IMODE(st_.st_mode)) == (1, 3, 0o600)


@as_root
def test_mode_is_set_after_the_owner_so_that_setuid_stays(jail):
    assert jail.fill(folder(), Entry(b"s", REG, 0o6755, 1234, 4321, mtime=77)) == []
    st_ = os.stat(jail.target / "s")
    assert (stat.S_IMODE(st_.st_mode), st_.st_uid, st_.st_gid, st_.st_mtime) == (0o6755, 1234, 4321, 77)


def test_folders_get_mode_and_time_when_all_below_them_is_done(jail):
    entries = [folder(b"", 0o700, 10), folder(b"a", 0o500, 20), folder(b"a/b", 0o555, 30), file(b"a/b/c"), file(b"a/d"),
               file(b"e")]  # fmt: skip
    assert jail.fill(*entries) == []
    for path, mode, mtime in (("", 0o700, 10), ("a", 0o500, 20), ("a/b", 0o555, 30)):
        st_ = os.stat(jail.target / path)
        assert (mode, mtime) == (stat.S_IMODE(st_.st_mode), st_.st_mtime)


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("entry", [
    file(b"bad", mtime=2**63), file(b"bad", mtime=2**94), file(b"bad")._replace(kind=FIFO, mtime=2**80),
    link(b"bad", b"a\0b"), link(b"bad", b""), link(b"bad", b"x" * 5000),
])  # fmt: skip
def test_an_entry_that_no_system_call_takes_is_refused_and_leaves_nothing(jail, entry):
    assert jail.fill(folder(), entry, file(b"good")) == [b"bad"]
    assert os.listdir(jail.target) == ["good"]


@as_root
def test_an_owner_or_a_device_beyond_all_numbers_is_no_crash(jail):
    refused = jail.fill(folder(), Entry(b"f", REG, 0o644, 2**62, 2**33), Entry(b"g", CHR, device=(2**40, 2**50)))
    assert refused == [b"g"]
    assert os.listdir(jail.target) == ["f"]


def test_a_folder_whose_time_cannot_be_set_costs_no_other_entry(jail):
    tree = jail.tree()
    tree.write(folder(), iter(()))
    tree.write(folder(b"a", mtime=2**90), iter(()))
    tree.write(file(b"b"), iter([b"x"]))
    tree.finish()
    tree.close()
    assert [entry.path for entry, _ in tree.unfinished] == [b"a"]
    assert (jail.target / "b").read_bytes() == b"x"


# -- files appear whole -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("error", [Malformed("lost"), OSError(5, "io"), KeyboardInterrupt()])
def test_content_that_breaks_off_leaves_the_old_file_and_nothing_else(jail, error):
    jail.target.mkdir()
    (jail.target / "f").write_bytes(b"old")

    def broken():
        yield b"new" * 1000
        assert (jail.target / "f").read_bytes() == b"old"
        raise error

    tree = jail.tree()
    with pytest.raises(type(error) if not isinstance(error, OSError) else Refused):
        tree.write(file(b"f"), broken())
    tree.close()
    assert ((jail.target / "f").read_bytes(), jail.left_over()) == (b"old", [])


@pytest.mark.requirement("R4")
def test_an_existing_file_is_never_opened_for_writing(jail):
    """A hard link to it keeps the old content: the name was given to a new file."""
    jail.target.mkdir()
    (jail.target / "f").write_bytes(b"old")
    os.link(jail.target / "f", jail.place / "witness")
    assert jail.fill(folder(), (file(b"f"), b"new")) == []
    assert ((jail.place / "witness").read_bytes(), (jail.target / "f").read_bytes()) == (b"old", b"new")


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("entry", [file(b"a"), link(b"a", b"t"), Entry(b"a", FIFO, 0o600, UID, GID)])
def test_a_folder_in_the_way_of_something_else_keeps_its_files(jail, entry):
    (jail.target / "a").mkdir(parents=True)
    (jail.target / "a" / "mine").write_bytes(b"mine")
    assert jail.fill(folder(), entry) == [b"a"]
    assert ((jail.target / "a" / "mine").read_bytes(), jail.left_over()) == (b"mine", [])


@pytest.mark.requirement("R8")
def test_a_file_in_the_way_of_a_folder_stays_and_what_is_below_is_refused(jail):
    jail.target.mkdir()
    (jail.target / "a").write_bytes(b"mine")
    assert jail.fill(folder(), folder(b"a"), file(b"a/x")) == [b"a", b"a/x"]
    assert (jail.target / "a").read_bytes() == b"mine"


@pytest.mark.requirement("R8")
def test_a_target_that_is_not_empty_is_refused_without_force(jail):
    jail.tree().prepare(force=False)
    jail.target.mkdir()
    jail.tree().prepare(force=False)
    (jail.target / "mine").write_bytes(b"mine")
    with pytest.raises(RestoreTargetNotEmpty):
        jail.tree().prepare(force=False)
    jail.tree().prepare(force=True)
    assert jail.fill(folder(), file(b"new")) == []
    assert sorted(os.listdir(jail.target)) == ["mine", "new"]


@pytest.mark.requirement("R8")
@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_a_target_that_is_no_folder_is_refused_without_force(jail, kind):
    if kind == "file":
        jail.target.write_bytes(b"")
    elif kind == "link":
        jail.target.symlink_to(jail.outside / "folder")
    else:
        os.mkfifo(jail.target)
    with pytest.raises(RestoreTargetNotEmpty):
        jail.tree().prepare(force=False)


def test_parents_that_the_archive_has_not_are_made(jail):
    assert jail.fill(file(b"a/b/c/d"), file(b"a/e")) == []
    assert (jail.target / "a" / "b" / "c" / "d").read_bytes() == b"x"


@pytest.mark.parametrize("root", [file(b"", 0o640, 5), link(b"", b"somewhere"), Entry(b"", FIFO, 0o640, UID, GID)])
def test_a_root_that_is_no_folder_becomes_the_target_itself(jail, root):
    assert jail.fill((root, b"content")) == []
    assert (
        stat.S_IFMT(os.lstat(jail.target).st_mode)
        == {REG: stat.S_IFREG, SYM: stat.S_IFLNK, FIFO: stat.S_IFIFO}[root.kind]
    )
    assert os.listdir(jail.target.parent) == ["target"]


# -- content ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"", b"a", b"x" * 5000, bytes(1), bytes(4095), bytes(4096), bytes(65536)]), max_size=6)
)
def test_content_is_written_as_given_holes_or_not(tmp_path_factory, pieces):
    jail = Jail(tmp_path_factory.mktemp("sparse"))
    tree = jail.tree()
    tree.write(file(b"f"), iter(pieces))
    tree.close()
    assert (jail.target / "f").read_bytes() == b"".join(pieces)


def test_runs_of_zeros_take_no_room(jail):
    tree = jail.tree()
    tree.write(file(b"f"), iter([b"head", *[bytes(65536)] * 160, b"tail", bytes(1 << 20)]))
    tree.close()
    st_ = os.stat(jail.target / "f")
    assert (st_.st_size, st_.st_blocks * 512 < 1 << 20) == (4 + 160 * 65536 + 4 + (1 << 20), True)


def test_a_socket_in_the_way_is_replaced_and_not_connected_to(jail):
    jail.target.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(jail.target)
        try:
            sock.bind("a")
        finally:
            os.chdir("/")
    assert jail.fill(folder(), (file(b"a"), b"new")) == []
    assert (jail.target / "a").read_bytes() == b"new"
