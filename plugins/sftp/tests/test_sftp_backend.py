"""What is special about a folder behind ssh: which folder it is, what is told when it goes wrong, and what is left."""

from __future__ import annotations

import logging
import os
import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from server import free_port, running
from ssh_server import Sshd, needs_users
from tarragon.api import (
    BackendError,
    BadURL,
    Capability,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    Role,
    TarragonError,
    Transient,
)
from tarragon.store.store import Store
from tarragon_sftp.make import folder_of
from tarragon_testkit import BytesSource, TestContext, open_url
from tarragon_testkit.harness import BrokenSource

SCHEMES = ["sftp", "ssh", "scp", "paramiko+sftp", "paramiko+scp", "pexpect+sftp", "pexpect+scp"]
BOTH = pytest.mark.parametrize("scheme", ["sftp", "scp"])


def put(backend, name="vol", data=b"data", role=Role.VOLUME):
    backend.put(name, BytesSource(data), role)


def got(backend, name="vol", *ends):
    with closing(backend.read(name, *ends)) as stream:
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


def names(backend):
    return sorted(info.name for info in backend.list())


@pytest.fixture
def fresh(sshd, request):
    """What opens backends that are closed after the test."""
    opened = []

    def open_(*words, **more):
        opened.append(sshd.open(*words, **more))
        return opened[-1]

    yield open_
    for backend in opened:
        backend.close()


# -- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("", ""),
        ("/", "/"),
        ("/a", "a"),
        ("/a//b/", "a/b"),
        ("//a/b", "/a/b"),
        ("///a", "/a"),
        ("//", "/"),
        ("/~/a", "~/a"),
    ],
)
def test_urls_name_the_folders_that_duplicity_names(path, folder):
    assert folder_of(path) == folder


@BOTH
@pytest.mark.parametrize(
    ("folder", "below"),
    [
        ("/rel/a//b/", "rel/a/b"),
        ("/{home}/abs", "abs"),
        ("/a%20b/c%2Fd/%C3%A9%25", "a b/c/d/é%"),
        ("", "."),
        ("/~", "~"),
    ],
)
def test_an_object_lies_where_the_url_says(sshd, fresh, scheme, folder, below):
    name = f"vol-{scheme}"
    put(fresh(folder.format(home=sshd.home) if folder else "?x", scheme=scheme), name)
    path = Path(sshd.home, below, name)
    assert path.read_bytes() == b"data"
    path.unlink()


@pytest.mark.requirement("R30")
@pytest.mark.parametrize(
    "scheme", ["sftp", "ssh", "scp", "paramiko+sftp", "paramiko+scp", "pexpect+sftp", "pexpect+scp"]
)
@pytest.mark.parametrize(
    "rest",
    [
        "", "/x", "-oProxyCommand=touch%20trap/x", "u@-h/x", "-lroot@h/x", "h:99999/x", "h:port/x", "h:/%0a", "h%0a/x",
        "h%20x/x", "h;touch%20trap/x", "$(touch%20trap)/x", "u%0d@h/x", "h%00/x", "%2doProxyCommand=x/x",
    ],
)  # fmt: skip
def test_hosts_and_paths_that_could_be_taken_for_something_else_are_refused(scheme, rest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"ssh_options": (), "ssh_askpass": False, "timeout": 1, "scp_command": None, "sftp_command": None}
    with pytest.raises(BadURL):
        open_url(f"{scheme}://{rest}", TestContext(options, {"HOME": str(tmp_path)}))
    assert os.listdir(tmp_path) == []


@BOTH
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../escape", "/etc/passwd", "a\0b"])
def test_a_name_never_leads_out_of_the_folder(fresh, scheme, name):
    backend = fresh(scheme=scheme)
    for call in (backend.stat, backend.read, backend.delete, lambda name: put(backend, name)):
        with pytest.raises(BackendError):
            call(name)
    with pytest.raises(BackendError):
        backend.rename("vol", name)


NASTY = [
    "-oProxyCommand=touch trap", ";touch trap", "$(touch trap)", "`touch trap`", "'", '"', "a b", "-rf", "*", "\\",
    "@h:x", "%0a", "~", "#", "|touch trap", ">trap", "é", "\udcff",
]  # fmt: skip


@pytest.mark.requirement("R29")
@BOTH
@pytest.mark.parametrize("nasty", NASTY)
def test_a_name_is_a_name_for_the_remote_shell_too(sshd, fresh, scheme, nasty):
    from urllib.parse import quote

    where = sshd.new_folder()
    backend = fresh(f"{where}/{quote(nasty, safe='', errors='surrogateescape')}", scheme=scheme)
    put(backend, nasty)
    assert names(backend) == [nasty]
    assert got(backend, nasty) == b"data"
    assert backend.stat(nasty).size == 4
    backend.rename(nasty, "other")
    backend.rename("other", nasty)
    folder = Path(sshd.home, where[1:])
    assert [os.listdir(folder), os.listdir(folder / nasty)] == [[nasty], [nasty]]
    backend.delete(nasty)
    assert os.listdir(folder / nasty) == []
    assert not list(Path(sshd.home).glob("**/trap"))


# -- what is stored and what is told ------------------------------------------------------------------------------


@BOTH
def test_opening_and_looking_make_nothing(sshd, fresh, scheme):
    where = sshd.new_folder()
    backend = fresh(f"{where}/x/y", scheme=scheme)
    assert names(backend) == []
    for call in (backend.stat, backend.read, backend.delete):
        with pytest.raises(NotFound):
            call("vol")
    backend.delete_many(["vol"])
    assert not Path(sshd.home, where[1:]).exists()


@BOTH
def test_only_regular_files_are_objects(sshd, fresh, scheme):
    where = sshd.new_folder()
    backend = fresh(where, scheme=scheme)
    put(backend)
    folder = Path(sshd.home, where[1:])
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "dangling").symlink_to("nowhere")
    (folder / ".hidden.part").touch()
    assert names(backend) == [".hidden.part", "vol"]
    for name in ("folder", "fifo"):
        with pytest.raises(NotFound):
            backend.stat(name)
    with pytest.raises(BackendError):
        backend.read("folder")


@BOTH
def test_a_target_that_is_a_file_is_told(sshd, fresh, scheme):
    where = sshd.new_folder()
    put(fresh(where, scheme=scheme))
    for below in ("vol", "vol/deeper"):
        backend = fresh(f"{where}/{below}", scheme=scheme)
        with pytest.raises(BackendError):
            put(backend)
    assert os.listdir(Path(sshd.home, where[1:])) == ["vol"]


@needs_users
@BOTH
def test_what_may_not_be_written_or_read_is_permission_denied(fresh, scheme):
    backend = fresh("//etc", scheme=scheme)
    with pytest.raises(PermissionDenied):
        put(backend, "tarragon-test")
    for call in (lambda: got(backend, "shadow"), lambda: backend.delete("hostname")):
        with pytest.raises(PermissionDenied):
            call()


@needs_users
@pytest.mark.requirement("R48")
@BOTH
def test_a_full_disk_is_told_and_nothing_is_left(sshd, fresh, scheme):
    backend = fresh(f"/{scheme}", user="tbfull", scheme=scheme)
    put(backend, "old", b"old")
    with pytest.raises(OutOfSpace):
        put(backend, "new", random.Random(1).randbytes(6_000_000))
    if scheme == "scp":
        backend.delete("new")  # only Store knows that it must be: the driver claims no ATOMIC_PUT
    assert names(backend) == ["old"]
    put(backend, "new", b"small")
    assert got(backend, "new") == b"small"
    backend.delete_many(["old", "new"])


@needs_users
@pytest.mark.requirement("R18")
def test_a_server_that_lets_nothing_be_renamed_or_removed_is_written_to_all_the_same(fresh):
    backend = fresh(user="tbkeep")
    put(backend, "one", b"1")
    assert Capability.ATOMIC_PUT not in backend.capabilities
    assert Capability.RENAME not in backend.capabilities
    put(backend, "two", b"2")
    left = [name for name in names(backend) if name.startswith("tarragon.tmp-")]
    assert len(left) == 1  # of the first put, which could not know
    assert [got(backend, name) for name in ("one", "two")] == [b"1", b"2"]
    with pytest.raises(PermissionDenied):
        backend.delete("one")
    assert backend.put_new("lease", BytesSource(b"x"), Role.OWN)
    assert not backend.put_new("lease", BytesSource(b"y"), Role.OWN)
    assert got(backend, "lease") == b"x"


@BOTH
def test_a_source_that_breaks_leaves_nothing_and_is_not_the_servers_fault(fresh, scheme):
    backend = fresh(scheme=scheme)
    with pytest.raises(TarragonError) as caught:
        backend.put("vol", BrokenSource(bytes(3_000_000)), Role.VOLUME)
    assert not isinstance(caught.value, BackendError)
    put(backend, "after")
    assert [name for name in names(backend) if name != "vol"] == ["after"]
    if scheme == "sftp":
        assert names(backend) == ["after"]


def test_the_clients_umask_means_nothing_and_the_servers_counts(sshd, fresh):
    where = sshd.new_folder()
    put(fresh(where))
    assert Path(sshd.home, where[1:], "vol").stat().st_mode & 0o777 == 0o644
    assert Path(sshd.home, where[1:]).stat().st_mode & 0o777 == 0o755


def test_short_answers_of_the_server_are_no_end(fresh, monkeypatch):
    """Servers may give less than was asked for: the gap is asked for again, in its place."""
    from tarragon_sftp.protocol import Session

    data = random.Random(2).randbytes(1_000_000)
    backend = fresh()
    put(backend, data=data)
    real = Session.ask_read
    monkeypatch.setattr(Session, "ask_read", lambda self, handle, at, size: real(self, handle, at, min(size, 10_007)))
    assert got(backend) == data
    assert got(backend, "vol", 12_345, 654_321) == data[12_345:654_321]


def test_an_object_that_shrinks_while_it_is_read_is_no_shorter_object(sshd, fresh):
    where = sshd.new_folder()
    backend = fresh(where)
    put(backend, data=bytes(8_000_000))
    with closing(backend.read("vol")) as stream, pytest.raises(Transient):
        stream.read(10)
        os.truncate(Path(sshd.home, where[1:], "vol"), 1000)
        while stream.read(1 << 20):
            pass


# -- broken connections ---------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(sshd):
    with FaultyProxy(sshd.port) as proxy:
        yield proxy


def behind(sshd, proxy, scheme, where, **more):
    options = f"-i {sshd.key} -oHostKeyAlias=[{sshd.host}]:{sshd.port}"
    return sshd.open(where, options, scheme=scheme, port=proxy.port, **more)


@BOTH
@pytest.mark.parametrize("fault", ["reset", "close"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_that_breaks_in_the_middle_is_mended_and_nothing_wrong_is_stored(
    sshd, proxy, scheme, fault, direction
):
    """Through the Store, which retries: a put broken half way, then a read broken half way."""
    where, data = sshd.new_folder(), random.Random(3).randbytes(4_000_000)
    log = logging.getLogger("tarragon.test")
    store = Store(lambda: behind(sshd, proxy, scheme, where), log=log, retry_delay_s=0)
    with closing(store):
        proxy.break_after(2_000_000 if direction == "up" else 600, fault, direction)
        store.put("vol", BytesSource(data), Role.VOLUME)
        assert proxy.faults == 1
        stored = [(info.name, info.size) for info in store.list()]
        if scheme == "scp":  # what was under way goes with the next writer: it cannot be removed by a broken connection
            stored = [found for found in stored if not found[0].startswith("tarragon.tmp-")]
        assert stored == [("vol", len(data))]
        proxy.break_after(2_000_000 if direction == "down" else 200, fault, direction)
        with open(os.path.join(sshd.home, where[1:], "fetched"), "w+b") as file:
            assert store.fetch("vol", file, size=len(data)).file.read() == data
        assert proxy.faults == 2
    assert Path(sshd.home, where[1:], "vol").read_bytes() == data


@BOTH
@pytest.mark.requirement("R64")
def test_a_server_that_says_nothing_is_given_up_after_the_timeout(sshd, proxy, scheme):
    backend = behind(sshd, proxy, scheme, sshd.new_folder(), timeout=2)
    put(backend, "before")
    proxy.break_after(500_000, "stall")
    with pytest.raises(Transient):
        put(backend, data=bytes(8_000_000))
    backend.reconnect()
    put(backend, data=b"after")
    assert got(backend) == b"after"
    backend.close()


def descendants(server):
    """The processes that this server made, and no other one of this machine."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, todo = [], [server]
    while todo:
        parent = todo.pop()
        children = [pid for pid, its_parent in parents.items() if its_parent == parent]
        found += children
        todo += children
    return found


@needs_users
def test_a_server_process_that_dies_is_a_broken_connection(sshd, fresh):
    where = sshd.new_folder()
    backend = fresh(where)
    put(backend, data=bytes(6_000_000))
    with closing(backend.read("vol")) as stream, pytest.raises(Transient):
        stream.read(10)
        for pid in descendants(int(Path(sshd.place, "pids").read_text().split()[0])):
            os.kill(pid, 9)
        while stream.read(1 << 20):
            pass
    with pytest.raises(Transient):
        backend.stat("vol")
    backend.reconnect()
    assert backend.stat("vol").size == 6_000_000


def test_a_host_that_does_not_answer_may_answer_later_and_one_without_an_address_will_not(sshd):
    with pytest.raises(Transient, match="refused"):
        sshd.open(port=free_port())
    with pytest.raises(BackendError) as caught:
        open_url("sftp://no-such-host.invalid/x", sshd.context())
    assert caught.value.message


def test_what_is_no_ssh_server_is_told(sshd):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            sock, _ = listening.accept()
            with sock:
                sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 5)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Transient):
            sshd.open(port=listening.getsockname()[1], timeout=3)


def test_a_login_that_prints_something_is_told_as_such():
    with running("sshd.sh", TB_SFTP="/bin/echo Welcome, this is not SFTP") as told:
        sshd = Sshd(told)
        with pytest.raises(BackendError, match="does the login of that host print something"):
            sshd.open()


def test_paramiko_prints_nothing(sshd, capfd):
    with pytest.raises(BackendError):
        sshd.open(options=f"-i {sshd.key} -oUserKnownHostsFile=/dev/null")
    with pytest.raises(Transient):
        sshd.open(port=free_port())
    assert capfd.readouterr() == ("", "")


@pytest.mark.requirement("R62")
@BOTH
def test_nothing_stays_open(sshd, scheme):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    sshd.open(scheme=scheme).close()
    before = descriptors()
    for _ in range(3):
        backend = sshd.open(scheme=scheme)
        put(backend)
        backend.read("vol", 1, 2).close()
        backend.reconnect()
        got(backend)
        backend.close()
    until = time.monotonic() + 5
    while descriptors() > before and time.monotonic() < until:
        time.sleep(0.05)  # paramiko's thread closes the last one
    assert descriptors() <= before


# -- servers that know less -----------------------------------------------------------------------------------------


def test_a_name_that_is_in_use_is_replaced_by_a_rename_without_openssh_extensions(plain):
    put(plain, "old", b"old")
    put(plain, "new", b"new")
    plain.rename("new", "old")
    assert (names(plain), got(plain, "old")) == (["old"], b"new")
    with pytest.raises(NotFound):
        plain.rename("missing", "old")
    assert got(plain, "old") == b"new"


@pytest.fixture
def plain(plain_sshd):
    backend = plain_sshd.open()
    yield backend
    backend.close()
