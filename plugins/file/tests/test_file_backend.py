from __future__ import annotations

import io
import os
import resource
import signal
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
from tarragon.api import BackendError, BadURL, NotFound, OutOfSpace, PermissionDenied, Role, Transient
from tarragon_file import backend as module
from tarragon_file.backend import FileBackend
from tarragon_testkit import BytesSource, TestContext, open_url


class FileAt(BytesSource):
    """A source that is a file which may be linked."""

    def __init__(self, path, data):
        super().__init__(data)
        self.path = path
        path.write_bytes(data)
        path.chmod(0o600)

    @contextmanager
    def as_file(self):
        yield self.path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


@pytest.fixture
def backend(folder):
    return FileBackend(str(folder))


def put(backend, name="vol", data=b"data", role=Role.VOLUME):
    backend.put(name, BytesSource(data), role)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file://a/b", "{here}/a/b"),
        ("file://a", "{here}/a"),
        ("file:///a/b", "/a/b"),
        ("file:///a/b//c/", "/a/b/c"),
        ("FILE:///a", "/a"),
        ("file:///a%20b/%41", "/a b/A"),
        ("file://a%20b/c%20d", "{here}/a%20b/c d"),
        ("file://u@h:80/d", "{here}/u@h:80/d"),
        ("file:///a?b=c", "/a"),
        ("file:///a#b", "/a"),
        ("file:///a%3Fb%23c", "/a?b#c"),
        ("file:///%FF%e2%82%ac", os.fsdecode(b"/\xff\xe2\x82\xac")),
    ],
)
def test_urls_name_the_folders_that_duplicity_names(url, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_url(url, TestContext()).folder == expected.format(here=tmp_path)


@pytest.mark.parametrize("url", ["file://", "file://?x", "file:///a%00b", "file:///a%0ab"])
def test_urls_that_name_no_folder_are_refused(url):
    with pytest.raises(BadURL):
        open_url(url, TestContext())


def test_a_relative_folder_stays_the_same_when_the_current_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = open_url("file://repo", TestContext())
    monkeypatch.chdir("/")
    put(backend)
    assert (tmp_path / "repo" / "vol").read_bytes() == b"data"


def test_opening_and_listing_make_nothing(backend, folder):
    assert list(backend.list()) == []
    assert not folder.exists()
    with pytest.raises(NotFound):
        backend.read("vol")
    backend.delete_many(["vol"])
    assert not folder.exists()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("role", [Role.VOLUME, Role.MANIFEST])
def test_files_and_folders_get_the_modes_that_the_umask_allows(backend, folder, tmp_path, umask, role):
    before = os.umask(umask)
    try:
        backend.put("vol", FileAt(tmp_path / "source", b"x"), role)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "vol")]
    assert modes == [0o777 & ~umask, 0o666 & ~umask]


def test_a_volume_on_the_same_file_system_is_linked(backend, folder, tmp_path):
    source = FileAt(tmp_path / "source", b"x")
    backend.put("vol", source, Role.VOLUME)
    backend.put("vol", source, Role.VOLUME)
    assert (folder / "vol").samefile(source.path)
    assert os.listdir(folder) == ["vol"]


@pytest.mark.requirement("R39")
def test_what_is_no_volume_is_copied_so_that_the_caches_file_keeps_its_mode(backend, folder, tmp_path):
    source = FileAt(tmp_path / "manifest", b"x")
    backend.put("manifest", source, Role.MANIFEST)
    assert not (folder / "manifest").samefile(source.path)
    assert stat.S_IMODE(source.path.stat().st_mode) == 0o600


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no second file system at hand")
def test_a_source_on_another_file_system_is_copied(backend, folder):
    source = FileAt(Path("/dev/shm") / f"tarragon-test-{os.getpid()}", bytes(3 << 20))
    try:
        backend.put("vol", source, Role.VOLUME)
    finally:
        source.path.unlink()
    assert (folder / "vol").read_bytes() == bytes(3 << 20)


@pytest.mark.requirement("R48")
@pytest.mark.parametrize("role", [Role.VOLUME, Role.MANIFEST])
def test_bytes_are_synced_before_the_rename_and_the_folder_after_it(backend, folder, tmp_path, monkeypatch, role):
    folder.mkdir()
    source, order = FileAt(tmp_path / "source", b"x"), []

    def fsync(fd, real=os.fsync):
        order.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        real(fd)

    def replace(old, new, real=os.replace):
        order.append("rename" if new.endswith("vol") else "link")
        real(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    backend.put("vol", source, role)
    assert [step for step in order if step != "link"] == ["sync file", "rename", "sync folder"]


@pytest.mark.requirement("R48")
def test_a_full_file_system_is_told_and_nothing_is_left(backend, folder, tmp_path):
    put(backend, "old")
    source = FileAt(tmp_path / "source", bytes(2 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # EFBIG stands in for ENOSPC
    try:
        with pytest.raises(OutOfSpace):
            backend.put("new", source, Role.MANIFEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(folder) == ["old"]


@pytest.mark.requirement("R48")
@pytest.mark.parametrize(("number", "kind"), [("ENOSPC", OutOfSpace), ("EDQUOT", OutOfSpace), ("EIO", Transient)])
def test_a_sync_that_fails_is_told_and_nothing_is_left(backend, folder, monkeypatch, number, kind):
    folder.mkdir()
    code = getattr(module.errno, number)

    def fsync(fd):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(kind):
        put(backend, role=Role.MANIFEST)
    assert os.listdir(folder) == []


@pytest.mark.requirement("R48")
def test_a_linked_file_that_cannot_be_synced_is_not_worth_another_try(backend, folder, tmp_path, monkeypatch):
    folder.mkdir()

    def fsync(fd):
        raise OSError(module.errno.EIO, "Input/output error")

    source = FileAt(tmp_path / "source", b"x")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackendError) as caught:
        backend.put("vol", source, Role.VOLUME)
    assert not isinstance(caught.value, Transient)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("kind", ["a file", "below a file", "a dangling link"])
def test_a_target_that_is_no_folder_is_told_with_a_hint(tmp_path, kind):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    backend = FileBackend(str(tmp_path / {"a file": "file", "below a file": "file/x", "a dangling link": "link"}[kind]))
    with pytest.raises(BackendError):
        list(backend.list())
    with pytest.raises(BackendError) as caught:
        put(backend)
    assert caught.value.hint
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_a_link_to_a_folder_is_that_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    put(FileBackend(str(tmp_path / "link")))
    assert os.listdir(tmp_path / "real") == ["vol"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not")
def test_what_may_not_be_read_or_written_is_permission_denied(backend, folder):
    put(backend)
    folder.chmod(0o700)
    os.seteuid(65534)
    try:
        for call in (lambda: list(backend.list()), lambda: put(backend), lambda: backend.read("vol")):
            with pytest.raises(PermissionDenied):
                call()
        for call in (backend.stat, backend.delete, lambda name: backend.rename(name, "other")):
            with pytest.raises(PermissionDenied):
                call("vol")
    finally:
        os.seteuid(0)
    assert os.listdir(folder) == ["vol"]


def test_only_regular_files_are_objects(backend, folder):
    folder.mkdir()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "dangling").symlink_to("nowhere")
    put(backend)
    assert [info.name for info in backend.list()] == ["vol"]
    with pytest.raises(NotFound):
        backend.stat("folder")
    for name in ("folder", "fifo"):
        with pytest.raises(BackendError):
            backend.read(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../escape", "/etc/passwd", "a\0b"])
def test_a_name_never_leads_out_of_the_folder(backend, name):
    calls = [backend.stat, backend.read, backend.delete, lambda name: put(backend, name)]
    for call in (*calls, lambda name: backend.rename("vol", name), lambda name: backend.delete_many([name])):
        with pytest.raises(BackendError):
            call(name)


def test_names_that_are_no_text_are_listed_all_the_same(backend, folder):
    folder.mkdir()
    (folder / os.fsdecode(b"\xff")).touch()
    assert [os.fsencode(info.name) for info in backend.list()] == [b"\xff"]


@pytest.mark.requirement("R62")
def test_nothing_stays_open(backend):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        put(backend, f"v{number}")
        backend.read(f"v{number}", 1, 2).close()
    list(backend.list())
    assert len(os.listdir("/proc/self/fd")) == before


class CountingSource(BytesSource):
    """Tells how many bytes were taken through its stream: what the core slows down."""

    passed = 0

    def open(self):
        counting = self

        class Stream(io.BytesIO):
            def read(self, size=-1):
                data = super().read(size)
                counting.passed += len(data)
                return data

        return Stream(self.data)


@pytest.mark.parametrize("role", [Role.VOLUME, Role.MANIFEST])
def test_with_a_limit_every_byte_passes_the_core(tmp_path, role):
    data = os.urandom(1_000_001)
    for limit in (0, 5):
        source = CountingSource(data)
        backend = open_url(f"file://{tmp_path}", TestContext({"limit_upload": limit}))
        backend.put(f"vol{limit}", source, role)
        assert (tmp_path / f"vol{limit}").read_bytes() == data
        assert source.passed == (len(data) if limit else 0)
