"""The cache folder: private, whole or absent, in step with the target, and locked as duplicity locks it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tarragon.api import CipherError, Locked, Malformed, ObjectInfo, SourceError
from tarragon.store.archive import Archive, Parts, cache_folder, cached_name
from tarragon.store.chain import collect
from tarragon.store.sync import sync_plan
from tarragon.volume.name import Names, ObjectName, SetTime

NAMES = Names()
FULL = SetTime("full", 1700000000, 1700000000)
INC = SetTime("inc", 1700000000, 1700000100)
MANIFEST, SIGTAR = NAMES.manifest(FULL), NAMES.signatures(FULL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "key"


@pytest.fixture
def archive(folder: Path) -> Iterator[Archive]:
    with Archive(folder) as opened:
        yield opened


def content(archive: Archive, name: str) -> bytes | None:
    stream = archive.open(name)
    if stream is None:
        return None
    with stream:
        return stream.read()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# where it is


@pytest.mark.parametrize(
    ("archive_dir", "name", "env", "expected"),
    [
        (None, None, {"HOME": "/h"}, "/h/.cache/duplicity/9476cc24b8ab1a6d9da476d720b225c0"),
        (None, "n", {"HOME": "/h", "XDG_CACHE_HOME": ""}, "/h/.cache/duplicity/n"),
        (None, "n", {"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/duplicity/n"),
        ("/a", None, {"XDG_CACHE_HOME": "/x"}, "/a/9476cc24b8ab1a6d9da476d720b225c0"),
        ("/a", "n", {}, "/a/n"),
    ],
)
def test_the_folder_is_where_duplicity_has_it(
    archive_dir: str | None, name: str | None, env: dict[str, str], expected: str
) -> None:
    assert str(cache_folder(archive_dir, name, "file://repo", env)) == expected


def test_a_url_of_any_bytes_has_a_folder() -> None:
    assert cache_folder("/a", None, "file://r\udce9", {}) != cache_folder("/a", None, "file://r", {})


# private


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.requirement("R39")
def test_nobody_else_can_look_into_the_cache_whatever_the_umask(umask: int, folder: Path) -> None:
    with Archive(folder) as archive:
        archive.store(MANIFEST, io.BytesIO(b"x"))
        archive.begin("a", "b").close()
        with archive.lock():
            modes = {name: mode(folder / name) for name in archive.names()}
        assert (mode(folder.parent), mode(folder), archive.is_exposed) == (0o700, 0o700, False)
    assert len(modes) == 4
    assert not any(bits & 0o177 for bits in modes.values())


@pytest.mark.requirement("R39")
def test_a_folder_that_others_can_read_is_told(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with Archive(folder) as archive:
        assert archive.is_exposed


# files


def test_what_is_stored_is_read_back(archive: Archive, folder: Path) -> None:
    archive.store(MANIFEST, io.BytesIO(b"old, and longer"))
    archive.store(MANIFEST, io.BytesIO(b"new"))
    assert content(archive, MANIFEST) == b"new"
    assert os.listdir(folder) == [MANIFEST]


def test_signatures_are_kept_as_gzip_without_name_and_time(archive: Archive, folder: Path) -> None:
    plain = os.urandom(3_000_000)
    archive.store(SIGTAR + ".gz", io.BytesIO(plain), packed=True)
    stored = (folder / (SIGTAR + ".gz")).read_bytes()
    assert gzip.decompress(stored) == plain
    assert stored[3:8] == bytes(5)
    assert content(archive, SIGTAR + ".gz") == plain


def test_a_file_that_is_not_there_is_none(archive: Archive) -> None:
    assert archive.open(MANIFEST) is None
    archive.remove([MANIFEST])


@pytest.mark.requirement("R40")
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-5], lambda b: b[:40] + b"\0\0\0\0" + b[44:], lambda b: b"no", lambda b: b[:9]]
)
def test_damaged_signatures_are_malformed(archive: Archive, folder: Path, damage: Callable[[bytes], bytes]) -> None:
    (folder / "x.gz").write_bytes(damage(gzip.compress(os.urandom(10_000))))
    with pytest.raises(Malformed):
        content(archive, "x.gz")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_file_is_not_read(archive: Archive, folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / MANIFEST)
    with pytest.raises(SourceError):
        archive.open(MANIFEST)


def test_what_a_cipher_says_at_close_comes_before_the_name_is_taken(archive: Archive) -> None:
    class Forged(io.BytesIO):
        def close(self) -> None:
            raise CipherError("not signed")

    archive.store(MANIFEST, io.BytesIO(b"good"))
    with pytest.raises(CipherError):
        archive.store(MANIFEST, Forged(b"bad"))
    assert (archive.names(), content(archive, MANIFEST)) == ([MANIFEST], b"good")


# a set under way


def begun(archive: Archive) -> Parts:
    parts = archive.begin(MANIFEST, SIGTAR)
    parts.manifest.write(b"manifest")
    parts.signatures.write(b"signatures")
    return parts


def test_a_set_under_way_has_the_part_files_of_duplicity(archive: Archive) -> None:
    parts = begun(archive)
    assert parts.sync() == (8, 10)
    found = collect([], archive.names(), NAMES).incomplete[0]
    assert found.partial
    assert sorted(archive.names()) == sorted([MANIFEST + ".part", SIGTAR + ".part"])
    assert content(archive, SIGTAR + ".part") == b"signatures"
    parts.close()


def test_a_committed_set_has_its_final_names(archive: Archive) -> None:
    begun(archive).commit()
    assert sorted(archive.names()) == sorted([MANIFEST, SIGTAR + ".gz"])
    assert (content(archive, MANIFEST), content(archive, SIGTAR + ".gz")) == (b"manifest", b"signatures")


def test_a_discarded_set_leaves_nothing(archive: Archive) -> None:
    begun(archive).discard()
    assert archive.names() == []


@pytest.mark.requirement("R46")
def test_a_set_goes_on_where_its_journal_ends(archive: Archive) -> None:
    begun(archive).close()
    parts = archive.resume(MANIFEST, SIGTAR, 4, 3)
    parts.manifest.write(b"!")
    parts.signatures.write(b"?")
    parts.commit()
    assert (content(archive, MANIFEST), content(archive, SIGTAR + ".gz")) == (b"mani!", b"sig?")


@pytest.mark.requirement("R46")
def test_a_set_shorter_than_its_journal_says_is_not_resumed(archive: Archive) -> None:
    begun(archive).close()
    with pytest.raises(SourceError):
        archive.resume(MANIFEST, SIGTAR, 8, 11)
    with pytest.raises(SourceError):
        archive.resume(NAMES.manifest(INC), NAMES.signatures(INC), 0, 0)


def test_a_new_set_does_not_begin_with_what_an_old_one_left(archive: Archive) -> None:
    begun(archive).close()
    archive.begin(MANIFEST, SIGTAR).commit()
    assert (content(archive, MANIFEST), content(archive, SIGTAR + ".gz")) == (b"", b"")


# what the system refuses


class Faulty:
    """Counts the calls that change something, and lets the chosen one fail: with an error, or as a crash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, failure: BaseException) -> None:
        self.calls, self.at, self.failure = 0, at, failure
        for name in ("fsync", "rename", "unlink", "open"):
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.at or (self.calls > self.at and isinstance(self.failure, KeyboardInterrupt)):
                raise self.failure
            return call(*args, **kwargs)

        return faulty


@pytest.mark.requirement("R48")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("at", range(1, 5))
def test_a_refused_store_changes_nothing(archive: Archive, at: int, code: int) -> None:
    archive.store(MANIFEST, io.BytesIO(b"old"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SourceError):
        Faulty(patch, at, OSError(code, os.strerror(code)))
        archive.store(MANIFEST, io.BytesIO(b"new"))
    assert content(archive, MANIFEST) == (b"new" if at == 4 else b"old")  # 4: the name is taken, perhaps not durably
    assert archive.names() == [MANIFEST]


@pytest.mark.requirement("R48")
def test_a_full_disk_is_told_at_the_write() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    from tarragon.store.archive import _File

    file = _File(os.open("/dev/full", os.O_RDWR), "x", "r+b")
    with pytest.raises(SourceError, match="No space left"):
        file.write(b"x")
    file.close()


SAFE = [
    {MANIFEST + ".part", SIGTAR + ".part"},
    {MANIFEST, SIGTAR + ".part"},
    {MANIFEST},
    {MANIFEST, SIGTAR + ".gz"},
]


@pytest.mark.requirement("R48")
@pytest.mark.parametrize("at", range(1, 16))
def test_a_crash_while_committing_leaves_a_state_that_duplicity_can_live_with(archive: Archive, at: int) -> None:
    parts = begun(archive)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        faulty = Faulty(patch, at, KeyboardInterrupt())
        parts.commit()
        assert faulty.calls < at
    left = {name for name in archive.names() if not name.startswith("tarragon.tmp-")}
    assert left in SAFE
    archive.commit(MANIFEST, SIGTAR)
    with archive.lock():
        pass
    assert set(archive.names()) in ({MANIFEST, SIGTAR + ".gz"}, {MANIFEST})


# in step with the target


def plan(remote: list[str], local: list[str], wanted: set[SetTime] | None = None) -> tuple[list[str], list[str]]:
    found = collect([ObjectInfo(name) for name in remote], local, NAMES)
    here = [name for name in map(NAMES.parse, local) if name]
    fetch, drop = sync_plan(found, here, wanted)
    return [name.name for name in fetch], drop


REMOTE = [
    NAMES.manifest(FULL, ".gpg"),
    NAMES.signatures(FULL, ".gpg"),
    NAMES.volume(FULL, 1, ".gpg"),
    NAMES.stats(FULL, ".gpg"),
    NAMES.manifest(INC, ".gpg"),
    NAMES.signatures(INC, ".gpg"),
]


def test_what_the_cache_lacks_is_fetched() -> None:
    assert plan(REMOTE, [MANIFEST, SIGTAR + ".gz"]) == ([REMOTE[4], REMOTE[5]], [])


def test_only_the_sets_in_question_are_fetched() -> None:
    assert plan(REMOTE, [], {FULL}) == (REMOTE[:2], [])


def test_what_is_gone_from_the_target_is_dropped_with_or_without_its_part() -> None:
    local = [
        MANIFEST,
        SIGTAR + ".gz",
        NAMES.manifest(INC),
        NAMES.manifest(INC, ".part"),
        NAMES.stats(INC, ".gz"),
        "other",
    ]
    assert plan(REMOTE[:4], local) == ([], [NAMES.manifest(INC)])


@pytest.mark.requirement("R14")
def test_the_last_copy_of_what_was_lost_at_the_target_is_kept() -> None:
    local = [MANIFEST, SIGTAR + ".gz", NAMES.manifest(INC)]
    assert plan([NAMES.volume(FULL, 1, ".gz"), NAMES.manifest(SetTime("full", 5, 5))], local)[1] == [
        NAMES.manifest(INC)
    ]


def test_what_is_under_way_here_is_not_fetched() -> None:
    assert plan(REMOTE[:4], [MANIFEST + ".part", SIGTAR + ".part"]) == ([], [])


@pytest.mark.requirement("R14")
@pytest.mark.parametrize("remote", [[], ["other"], [NAMES.manifest(SetTime("full", 5, 5))]])
def test_a_listing_that_shares_nothing_with_the_cache_drops_nothing(remote: list[str]) -> None:
    assert plan(remote, [MANIFEST, SIGTAR + ".gz"])[1] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dfs.s44we8.st.z", "dfs.s44we8.st.gz"),
        ("df.s44we8.m", "df.s44we8.m"),
        (REMOTE[0], MANIFEST),
        (REMOTE[1], SIGTAR + ".gz"),
        (REMOTE[3], NAMES.stats(FULL, ".gz")),
        (SIGTAR, SIGTAR + ".gz"),
    ],
)
def test_a_fetched_file_keeps_its_stem(name: str, expected: str) -> None:
    found = NAMES.parse(name)
    assert isinstance(found, ObjectName)
    assert cached_name(found) == expected
    assert plan([name, NAMES.manifest(FULL)], [expected], {INC}) == ([], [])


# the lock

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+" if len(sys.argv) > 2 else "w")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def other_run(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock as duplicity does."""
    command = [sys.executable, "-c", HOLD, str(folder / "lockfile")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.stdin.close()


def can_be_locked(folder: Path) -> bool:
    script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-c", script, str(folder / "lockfile")]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_while_it_is_locked_no_other_run_can_lock_it(archive: Archive, folder: Path) -> None:
    with archive.lock():
        assert not can_be_locked(folder)
    assert archive.names() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for the holder")
def test_a_locked_cache_names_the_holder_and_keeps_its_lock_file(archive: Archive, folder: Path) -> None:
    with other_run(folder) as process:
        with pytest.raises(Locked, match=f"process {process.pid}"), archive.lock():
            pass
        assert archive.names() == ["lockfile"]
        assert not can_be_locked(folder)


def test_a_lock_file_that_nobody_holds_is_no_obstacle(archive: Archive, folder: Path) -> None:
    (folder / "lockfile").write_bytes(b"left by a crash")
    with archive.lock():
        pass
    assert archive.names() == []


def test_a_lock_file_that_took_the_place_of_ours_is_left_alone(archive: Archive, folder: Path) -> None:
    with archive.lock():
        (folder / "lockfile").unlink()
        (folder / "lockfile").write_bytes(b"")
    assert archive.names() == ["lockfile"]


def test_a_lock_file_that_is_removed_while_it_is_being_locked_is_not_ours(
    archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockf = fcntl.lockf
    seen: list[int] = []

    def too_late(fd: int, how: int) -> None:
        lockf(fd, how)
        if not seen:
            os.unlink(folder / "lockfile")
        seen.append(fd)

    monkeypatch.setattr(fcntl, "lockf", too_late)
    with archive.lock():
        assert not can_be_locked(folder)
    assert len(seen) == 2


def test_the_lock_is_given_back_when_the_run_fails(archive: Archive) -> None:
    with pytest.raises(RuntimeError), archive.lock():
        raise RuntimeError
    with archive.lock():
        pass


def test_one_run_does_not_lock_twice(archive: Archive) -> None:
    with archive.lock(), pytest.raises(Locked), archive.lock():
        pass


@pytest.mark.requirement("R38")
def test_what_a_crashed_run_left_half_written_is_removed_and_nothing_else(archive: Archive, folder: Path) -> None:
    (folder / f"tarragon.tmp-{'0' * 16}").write_bytes(b"x")
    (folder / "tarragon.tmp-mine").write_bytes(b"x")
    with archive.lock():
        pass
    assert archive.names() == ["tarragon.tmp-mine"]
