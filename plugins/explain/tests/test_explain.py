"""explain: what a backup would do with a path, said before it does, and true of what it then does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A source with a little of everything."""
    monkeypatch.chdir(tmp_path)
    for name in ("src/a", "src/keep/b", "src/cache/deep/c", "src/marked/d", "src/marked/.nobackup", "src/x.bak"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "src" / "link").symlink_to("keep")
    return tmp_path


def run(place, *words, status=0):
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "LANG": "C.UTF-8"}
    ended = subprocess.run(
        [sys.executable, "-m", "tarragon", *words], env=env, cwd=place, capture_output=True, text=True,
        errors="surrogateescape", timeout=60,
    )  # fmt: skip
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def explained(place, *words):
    return json.loads(run(place, "explain", "--json", *words).stdout)["result"]["paths"]


def test_the_option_that_decides_is_named(place):
    (found,) = explained(place, "--exclude", "src/a", "--exclude", "**.bak", "src", "src/x.bak")
    assert (found["verdict"], found["decided_by"]) == ("exclude", "--exclude **.bak")
    assert [each["option"] for each in found["asked"]] == ["--exclude src/a", "--exclude **.bak"]


def test_what_no_option_speaks_of_is_taken(place):
    (found,) = explained(place, "--exclude", "**.bak", "src", "src/a")
    assert found["verdict"] == "include"
    assert "no option" in found["decided_by"]


def test_a_folder_above_decides_for_what_is_in_it(place):
    text = run(place, "explain", "--exclude", "src/cache", "src", "src/cache/deep/c").stdout
    assert "src/cache/deep/c is left out" in text
    assert "because of src/cache, which is not entered" in text
    assert "decided by: --exclude src/cache" in text


def test_the_line_of_a_list_is_named(place):
    (place / "list").write_text("# what to skip\n\n+ src/keep\n- **/cache\n")
    taken, left = explained(place, "--exclude-filelist", "list", "src", "src/keep/b", "src/cache")
    assert (taken["verdict"], taken["decided_by"]) == ("include", "--exclude-filelist list (line 3: + src/keep)")
    assert (left["verdict"], left["decided_by"]) == ("exclude", "--exclude-filelist list (line 4: - **/cache)")


def test_a_list_that_is_split_at_nul_is_counted_so(place):
    (place / "list").write_bytes(b"src/a\0src/x.bak\0")
    (found,) = explained(place, "--null-separator", "--exclude-filelist", "list", "src", "src/x.bak")
    assert found["decided_by"] == "--exclude-filelist list (line 2: src/x.bak)"


def test_a_marked_folder_is_named_with_its_mark(place):
    (found,) = explained(place, "--exclude-if-present", ".nobackup", "src", "src/marked/d")
    assert (found["folder"], found["decided_by"]) == ("marked", "--exclude-if-present .nobackup (it holds .nobackup)")


def test_what_is_not_there_is_judged_by_its_name(place):
    gone, folder = explained(place, "--exclude", "**/new/", "src", "src/new", "src/new/")
    assert (gone["exists"], gone["verdict"], folder["verdict"]) == (False, "include", "exclude")
    assert "does not exist" in run(place, "explain", "src", "src/new").stdout


def test_what_is_behind_a_link_is_not_entered(place):
    (found,) = explained(place, "src", "src/link/b")
    assert (found["verdict"], found["folder"]) == ("exclude", "link")
    assert explained(place, "--copy-links", "src", "src/link/b")[0]["verdict"] == "include"


def test_a_socket_is_never_stored(place):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / "src" / "s"))
        (found,) = explained(place, "src", "src/s")
    assert found["verdict"] == "exclude"


@pytest.mark.parametrize("path", ["src/keep/b", "keep/b", "{place}/src/keep/b", "./src/../src/keep/b"])
def test_a_path_may_be_written_from_anywhere(place, path):
    (found,) = explained(place, "--exclude", "src/keep", "src", path.format(place=place))
    assert (found["path"], found["verdict"]) == ("keep/b", "exclude")


def test_the_line_of_a_backup_can_be_asked_as_it_is(place):
    (found,) = explained(place, "--exclude", "src/a", "src", f"file://{place}/target", "src/a")
    assert found["verdict"] == "exclude"
    assert not (place / "target").exists()


def test_a_path_alone_is_one_below_the_root(place):
    (found,) = explained(place, "--exclude", f"{place}/src/a", f"{place}/src/a")
    assert found["verdict"] == "exclude"


def test_a_name_that_is_not_utf_8_is_explained(place):
    name = b"src/caf\xe9"
    with open(os.path.join(os.fsencode(place), name), "wb"):
        pass
    words = [sys.executable.encode(), b"-m", b"tarragon", b"explain", b"src", name]
    ended = subprocess.run(words, cwd=place, env={"HOME": str(place), "LANG": "C.UTF-8"}, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert name + b" is taken" in ended.stdout


def test_a_path_elsewhere_is_an_error(place):
    assert "is not below the source" in run(place, "explain", "src", "/etc/passwd", status=23).stderr
    assert "hint: " in run(place, "explain", status=23).stderr


OPTIONS = [
    ["--exclude", "**/cache"],
    ["--include", "src/keep", "--exclude", "**"],
    ["--include", "src/cache/deep", "--exclude", "src/cache", "--exclude", "**.bak"],
    ["--exclude-if-present", ".nobackup", "--exclude-regexp", "b$"],
    ["--filter-literal", "--exclude", "src/a", "--filter-ignorecase", "--exclude", "SRC/KEEP"],
    ["--include-filelist", "list", "--exclude", "src"],
    ["--files-from", "from"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options))
def test_a_backup_does_what_was_explained(place, options):
    (place / "list").write_text("src/*/b\n- src/keep\nsrc/cache/**\n")
    (place / "from").write_text("keep/b\nmarked\n")
    every = [b"."] + sorted(
        os.path.relpath(os.path.join(folder, name), b"src")
        for folder, folders, files in os.walk(b"src")
        for name in folders + files
    )
    names = [os.fsdecode(each) for each in every]
    told = explained(place, *options, "src", *(f"src/{name}" for name in names if name != "."), "src")
    taken = {each["path"] for each in told if each["verdict"] == "include"}
    maybe = {each["path"] for each in told if each["verdict"] == "descend"}
    dry = run(place, "full", "--no-encryption", "--dry-run", "--json", *options, "src", f"file://{place}/t")
    stored = {each["path"] for each in json.loads(dry.stdout)["result"]["changes"]}
    assert taken <= stored <= taken | maybe
