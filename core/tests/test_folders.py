"""Folders are reached by descriptors, few at a time, never through a link."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.folders import MOST_OPEN, Folders, split


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def opened(place, **words):
    return Folders(os.open(place, os.O_RDONLY | os.O_DIRECTORY), **words)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A folder with chains of folders in it, deeper than are kept open; each holds a file with its own path."""
    root = tmp_path_factory.mktemp("deep")
    for name in "ab":
        at = root
        for _ in range(2 * MOST_OPEN):
            at = at / name
            at.mkdir()
            (at / "here").write_bytes(os.fsencode(at.relative_to(root)))
    return root


@pytest.mark.requirement("R62")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 2 * MOST_OPEN)), min_size=1, max_size=30))
def test_the_descriptor_is_that_of_the_folder_in_whatever_order_they_are_asked_for(deep, asked):
    before = open_descriptors()
    with opened(deep) as folders:
        for name, depth in asked:
            path = b"/".join([name] * depth)
            fd = folders.fd(path)
            assert open_descriptors() <= before + MOST_OPEN + 1
            if path:
                here = os.open(b"here", os.O_RDONLY, dir_fd=fd)
                assert path == os.read(here, 4096)
                os.close(here)
            else:
                assert os.fstat(fd).st_ino == os.stat(deep).st_ino
    assert before == open_descriptors()


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("path", [b"link", b"link/x", b"file", b"missing", b"missing/x"])
def test_a_link_a_file_or_nothing_is_no_folder_and_does_no_harm(tmp_path, path):
    (tmp_path / "real" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_bytes(b"")
    before = open_descriptors()
    with opened(tmp_path) as folders:
        assert folders.fd(b"real/x") >= 0
        with pytest.raises(OSError):
            folders.fd(path)
        assert os.fstat(folders.fd(b"real/x")).st_ino == os.stat(tmp_path / "real" / "x").st_ino
    assert before == open_descriptors()


def test_links_are_followed_only_when_asked(tmp_path):
    (tmp_path / "real" / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with opened(tmp_path, follow=True) as folders:
        assert os.fstat(folders.fd(b"link/x")).st_ino == os.stat(tmp_path / "real" / "x").st_ino


def test_what_was_replaced_is_opened_anew_after_forgetting(tmp_path):
    (tmp_path / "a").mkdir()
    with opened(tmp_path) as folders:
        old = os.fstat(folders.fd(b"a")).st_ino
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        assert old == os.fstat(folders.fd(b"a")).st_ino
        folders.forget()
        assert os.stat(tmp_path / "a").st_ino == os.fstat(folders.fd(b"a")).st_ino


def test_closing_twice_is_no_error(tmp_path):
    folders = opened(tmp_path)
    folders.close()
    folders.close()


@pytest.mark.parametrize(("path", "parts"), [(b"a", (b"", b"a")), (b"a/b/c", (b"a/b", b"c"))])
def test_a_path_is_split_into_folder_and_name(path, parts):
    assert parts == split(path)
