"""The walk: everything, in archive order, with few descriptors, and what cannot be read is told."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.api.entry import DIR, FIFO, REG, SYM, Entry, Verdict, order_key
from tarragon.api.errors import SourceError
from tarragon.delta.compare import Kept, Tally, changes
from tarragon.owners import Owners
from tarragon.source.walk import Unreadable, Walk

IS_ROOT = os.geteuid() == 0


def walked(source, verdict=lambda entry: Verdict.INCLUDE, **words):
    return list(Walk(os.fsencode(source), verdict, Owners(), **words))


def paths(found):
    return [entry.path for entry in found if isinstance(entry, Entry)]


def by_os_walk(source):
    """All paths below a source, sorted as tuples of components."""
    root = os.fsencode(source)
    found = [()]
    for folder, folders, files in os.walk(root):
        above = () if folder == root else tuple(os.path.relpath(folder, root).split(b"/"))
        found += [(*above, name) for name in folders + files]
    return [b"/".join(path) for path in sorted(found)]


components = st.sampled_from([b"a", b"b", b"a-", b"a.txt", b"B", b"\xff\xfe", b"\xc3\xa9", b"sp ace", b"a\nb", b"0"])
trees = st.lists(st.lists(components, min_size=1, max_size=4).map(b"/".join), max_size=12)


def plant(root, tree):
    for path in tree:
        folder, _, name = path.rpartition(b"/")
        try:
            os.makedirs(os.path.join(root, folder), exist_ok=True)
            with open(os.path.join(root, path), "xb"):
                pass
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue


@settings(max_examples=60, deadline=None)
@given(trees)
def test_the_order_is_that_of_sorted_tuples_of_bytes(tmp_path_factory, tree):
    source = tmp_path_factory.mktemp("source")
    plant(os.fsencode(source), tree)
    found = paths(walked(source))
    assert by_os_walk(source) == found == sorted(found, key=order_key)


rules = st.dictionaries(
    st.lists(components, max_size=3).map(b"/".join),
    st.sampled_from([Verdict.EXCLUDE, Verdict.INCLUDE, Verdict.DESCEND]),
)


@settings(max_examples=100, deadline=None)
@given(trees, rules, st.sampled_from(list(Verdict)))
def test_filters_are_obeyed_and_a_folder_that_waits_comes_before_what_it_waited_for(
    tmp_path_factory, tree, rules, otherwise
):
    source = tmp_path_factory.mktemp("source")
    plant(os.fsencode(source), tree)
    otherwise = Verdict.DESCEND if otherwise not in (Verdict.INCLUDE, Verdict.EXCLUDE) else otherwise
    verdict = lambda entry: rules.get(entry.path, otherwise)
    kinds = {entry.path: entry.kind for entry in walked(source)}

    def above(path):
        parts = path.split(b"/")
        return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]

    wanted = {b""}
    for path in kinds:
        if not path or any(rules.get(folder, otherwise) is Verdict.EXCLUDE for folder in above(path)):
            continue
        if rules.get(path, otherwise) is Verdict.INCLUDE:
            wanted |= {path, *above(path)}
    assert sorted(wanted, key=order_key) == paths(walked(source, verdict))


def test_every_kind_is_told_as_what_it_is(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    found = {entry.path: entry for entry in walked(tmp_path)}
    assert {p: e.kind for p, e in found.items()} == {b"": DIR, b"dir": DIR, b"file": REG, b"fifo": FIFO, b"link": SYM}
    assert (found[b"file"].size, found[b"link"].target) == (5, b"nowhere")


@pytest.mark.requirement("R7")
def test_a_fifo_is_never_opened(tmp_path):
    """Whoever opens it for reading lets a writer in that does not wait."""
    os.mkfifo(tmp_path / "fifo")
    met = []

    def watch():
        while not stop.is_set():
            try:
                os.close(os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK))
                met.append(True)
            except OSError:
                pass

    stop = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(20):
            assert paths(walked(tmp_path)) == [b"", b"fifo"]
    finally:
        stop.set()
        watcher.join()
    assert met == []


def test_sockets_are_told_and_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
    skipped = []
    assert paths(walked(tmp_path, skipped=skipped.append)) == [b""]
    assert skipped == [b"sock"]
    with pytest.raises(SourceError):
        walked(tmp_path / "sock")


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_a_source_that_is_no_folder_is_the_root_entry(tmp_path, kind):
    path = tmp_path / "source"
    if kind == "file":
        path.write_bytes(b"x")
    elif kind == "link":
        path.symlink_to(tmp_path)
    else:
        os.mkfifo(path)
    ((entry),) = walked(path)
    assert (b"", {"file": REG, "link": SYM, "fifo": FIFO}[kind]) == (entry.path, entry.kind)


def test_a_trailing_slash_means_the_folder_behind_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_bytes(b"")
    (tmp_path / "link").symlink_to("real")
    assert paths(walked(f"{tmp_path}/link/")) == [b"", b"f"]


def test_a_source_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SourceError):
        walked(tmp_path / "missing")


# -- deep, wide, changing ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("R62")
def test_a_tree_beyond_path_max_is_walked_with_few_descriptors_and_back_up_again(tmp_path):
    """40 levels of long names; each has something that comes behind its subfolder."""
    name, depth = b"m" * 200, 40
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        for other in (b"a", b"z"):
            os.close(os.open(other, os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    most, before = 0, len(os.listdir("/proc/self/fd"))
    found = []
    for entry in Walk(os.fsencode(tmp_path), lambda entry: Verdict.INCLUDE, Owners()):
        found.append(entry.path)
        most = max(most, len(os.listdir("/proc/self/fd")) - before)
    assert (1 + 3 * depth, True) == (len(found), most <= 40)
    assert found == sorted(found, key=order_key)
    assert len(found[-1]) == 1
    shutil.rmtree(tmp_path)


def test_what_vanishes_between_listing_and_looking_is_as_if_absent(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(b"")
    walk = iter(Walk(os.fsencode(tmp_path), lambda entry: Verdict.INCLUDE, Owners()))
    assert next(walk).path == b""
    assert next(walk).path == b"a"
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    assert [entry.path for entry in walk if not isinstance(entry, Unreadable)] == [b"c", b"c/f"]


@pytest.mark.requirement("R1")
def test_a_folder_that_became_a_link_is_not_looked_into(tmp_path):
    (tmp_path / "source" / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"")

    def verdict(entry):
        if entry.path == b"a":
            os.rmdir(tmp_path / "source" / "a")
            (tmp_path / "source" / "a").symlink_to(tmp_path / "outside")
        return Verdict.INCLUDE

    assert paths(walked(tmp_path / "source", verdict)) == [b""]


# -- --copy-links -----------------------------------------------------------------------------------------------------


def test_links_are_followed_when_asked_and_rings_are_not(tmp_path):
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d" / "up").symlink_to("..")
    (source / "d" / "self").symlink_to(".")
    (source / "dangling").symlink_to("nowhere")
    (source / "file").symlink_to("../real")
    (source / "folder").symlink_to("../other")
    (source / "ring").symlink_to("ring")
    (tmp_path / "real").write_bytes(b"12345")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "back").symlink_to("../source")
    (tmp_path / "other" / "f").write_bytes(b"")
    found = {entry.path: entry for entry in walked(source, copy_links=True)}
    kinds = {b"": DIR, b"d": DIR, b"dangling": SYM, b"file": REG, b"folder": DIR, b"folder/f": REG, b"ring": SYM}
    assert kinds == {path: entry.kind for path, entry in found.items()}
    assert found[b"file"].size == 5


# -- what cannot be read ----------------------------------------------------------------------------------------------


def as_nobody(source, code, mode=0o755):
    """Run Python as nobody, who finds the source with this mode."""
    for folder in (source, *source.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(mode if folder == source else 0o755)
    head = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from tarragon.api.entry import *
from tarragon.owners import Owners
from tarragon.source.walk import *
source = {os.fsencode(source)!r}
"""
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if IS_ROOT else []
    ended = subprocess.run([*prefix, sys.executable, "-c", head + code], capture_output=True, text=True, cwd="/")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_a_folder_without_permission_is_told_once_or_by_its_entries(tmp_path, mode):
    (tmp_path / "source" / "closed").mkdir(parents=True)
    (tmp_path / "source" / "closed" / "f").write_bytes(b"")
    (tmp_path / "source" / "z").write_bytes(b"")
    (tmp_path / "source" / "closed").chmod(mode)
    said = as_nobody(
        tmp_path / "source",
        """
for found in Walk(source, lambda entry: Verdict.INCLUDE, Owners()):
    print(("!" if isinstance(found, Unreadable) else "") + (found.path.decode() or "."))
""",
    )
    (tmp_path / "source" / "closed").chmod(0o755)
    assert said == ([".", "closed", "!closed/f", "z"] if mode == 0o444 else [".", "!closed", "z"])


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("mode", [0o000, 0o711])
def test_a_source_that_cannot_be_listed_is_an_error(tmp_path, mode):
    (tmp_path / "source").mkdir()
    code = """
from tarragon.api.errors import SourceError
try:
    list(Walk(source, lambda entry: Verdict.INCLUDE, Owners()))
except SourceError:
    print("refused")
"""
    assert as_nobody(tmp_path / "source", code, mode) == ["refused"]


def test_what_cannot_be_read_comes_behind_the_folders_that_waited(tmp_path, monkeypatch):
    """Else a path would stand behind what is below it, and the folder be deleted and added in one set."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "closed").mkdir()
    (tmp_path / "a" / "b" / "f").write_bytes(b"")
    real = os.listdir

    def listdir(fd):
        if os.readlink(f"/proc/self/fd/{fd}").endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(fd)

    monkeypatch.setattr(os, "listdir", listdir)
    verdict = lambda entry: Verdict.INCLUDE if entry.kind == REG else Verdict.DESCEND
    found = walked(tmp_path, verdict)
    assert [one.path for one in found] == [b"", b"a", b"a/b", b"a/b/closed", b"a/b/f"]
    merged = list(changes((Kept(*one) if isinstance(one, Unreadable) else one for one in found), [], Owners(), Tally()))
    assert len(merged) == 5


def test_folders_with_the_same_number_are_all_walked(tmp_path, monkeypatch):
    """Some network file systems give one inode number to many folders."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"")
    real = os.stat

    def one_number(path, **words):
        seen = real(path, **words)
        return os.stat_result([seen[0], 1, *seen[2:]])

    monkeypatch.setattr(os, "stat", one_number)
    monkeypatch.setattr(os, "lstat", lambda path: one_number(path, follow_symlinks=False))
    assert paths(walked(tmp_path)) == [b"", b"a", b"a/b", b"a/b/f"]
