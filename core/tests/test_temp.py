from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys

import pytest
from tarragon.api import NoTempSpace, SourceError
from tarragon.temp import TempFolder, parent_folder, remove_stale

CRASHES = """
import os, signal, sys
from tarragon.temp import TempFolder
folder = TempFolder(sys.argv[1])
folder.named(".vol").write_bytes(b"secret")
print(folder.place, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path):
    with TempFolder(tmp_path) as made:
        yield made


def mode(path):
    return os.lstat(path).st_mode & 0o7777


@pytest.mark.requirement("R38")
@pytest.mark.requirement("R39")
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_folder_and_files_are_private_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with TempFolder(tmp_path) as folder:
            assert (mode(folder.place), mode(folder.named()) & 0o177) == (0o700, 0)
    finally:
        os.umask(before)


@pytest.mark.requirement("R38")
def test_an_anonymous_file_has_a_number_and_no_name(folder):
    with folder.file() as file:
        file.write(b"abc")
        file.seek(0)
        assert (file.read(), os.listdir(folder.place)) == (b"abc", ["lock"])
        assert os.fstat(file.fileno()).st_nlink == 0


def test_a_named_file_lasts_until_it_is_discarded(folder):
    path = folder.named(".gz")
    path.write_bytes(b"x")
    assert path.name.endswith(".gz")
    folder.discard(path)
    folder.discard(path)
    assert not path.exists()


def test_a_file_for_a_program_is_gone_afterwards(folder):
    with folder.path(".img") as path:
        assert path.is_file()
    assert not path.exists()


def test_discard_touches_nothing_outside(folder, tmp_path):
    other = tmp_path / "other"
    other.touch()
    with pytest.raises(ValueError, match="is not in"):
        folder.discard(other)
    assert other.exists()


def test_closing_removes_everything_also_folders_that_programs_made(tmp_path):
    with TempFolder(tmp_path) as folder:
        (folder.place / "a" / "b").mkdir(parents=True)
        (folder.place / "a" / "b" / "c").touch()
        (folder.place / "link").symlink_to(tmp_path)
        (tmp_path / "kept").touch()
    assert os.listdir(tmp_path) == ["kept"]
    folder.close()


def test_a_worker_opens_the_same_folder_and_does_not_remove_it(folder):
    worker = pickle.loads(pickle.dumps(folder))
    path = worker.named()
    worker.close()
    assert path.is_file()
    folder.discard(path)


@pytest.mark.requirement("R62")
def test_copies_in_a_worker_keep_nothing_open(folder):
    pickled, before = pickle.dumps(folder), len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        pickle.loads(pickled)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_forked_child_does_not_remove_the_folder(folder):
    child = os.fork()
    if not child:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.named().is_file()


@pytest.mark.requirement("R38")
def test_a_folder_that_others_may_enter_is_not_reopened(folder):
    pickled = pickle.dumps(folder)
    folder.place.chmod(0o755)
    with pytest.raises(SourceError):
        pickle.loads(pickled)


@pytest.mark.requirement("R38")
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    run = subprocess.run([sys.executable, "-c", CRASHES, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    left = run.stdout.strip()
    assert (run.returncode, mode(left)) == (-signal.SIGKILL, 0o700)
    with TempFolder(tmp_path) as folder:
        assert [folder.place.name] == os.listdir(tmp_path)


@pytest.mark.requirement("R38")
def test_only_what_is_provably_ours_is_removed(tmp_path, folder):
    for number, (name, lock, bits) in enumerate(
        [
            ("tarragon-{}-tempdir", False, 0o700),  # no lock file: perhaps just being made
            ("tarragon-{}-tempdir", True, 0o755),  # others may have put something there
            ("duplicity-{}-tempdir", True, 0o700),
        ]
    ):
        place = tmp_path / name.format(f"{number:016x}")
        place.mkdir(bits)
        if lock:
            (place / "lock").touch()
    (tmp_path / f"tarragon-{9:016x}-tempdir").symlink_to(tmp_path)
    assert (remove_stale(tmp_path), len(os.listdir(tmp_path))) == (0, 5)
    assert folder.place.is_dir()


def test_a_full_place_is_told_before_anything_is_written(folder):
    assert folder.room() > 0
    folder.require(1)
    with pytest.raises(NoTempSpace, match="are needed") as caught:
        folder.require(1 << 62)
    assert "--tempdir" in caught.value.hint


def test_a_missing_parent_is_a_source_error_with_a_hint(tmp_path):
    with pytest.raises(SourceError) as caught:
        TempFolder(tmp_path / "none")
    assert "--tempdir" in caught.value.hint


@pytest.mark.parametrize(
    ("tempdir", "env", "expected"),
    [
        ("/a", {"TMPDIR": "/b"}, "/a"),
        (None, {"TMPDIR": "/b", "TEMP": "/c"}, "/b"),
        (None, {"TMPDIR": "", "TEMP": "/c", "TMP": "/d"}, "/c"),
        (None, {"TMP": "/d"}, "/d"),
        (None, {}, "/tmp"),
    ],
)
def test_the_option_wins_over_the_environment(tempdir, env, expected):
    assert expected == parent_folder(tempdir, env)
