"""What is special about an image: where it is, its sessions, and what is told when it cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tarragon.api import BackendError, BadOption, BadURL, OutOfSpace, PermissionDenied, Role, Transient
from tarragon_testkit import BytesSource, TestContext, open_url
from tarragon_xorriso.plugin import place

needs_xorriso = pytest.mark.skipif(
    shutil.which("xorriso") is None, reason="no program xorriso: apt-get install xorriso"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, or become somebody who may not")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.iso"
    path.touch()
    return path


def opened(image, folder="/bk", **env):
    return open_url(f"xorriso://{image}:{folder}", TestContext(env={"PATH": os.environ["PATH"], **env}))


def put(backend, name="vol", data=b"data"):
    backend.put(name, BytesSource(data), Role.VOLUME)


def got(backend, name="vol"):
    with closing(backend.read(name)) as stream:
        return stream.read()


def names(backend):
    return sorted(info.name for info in backend.list())


def told(image, *words):
    """What xorriso itself says of the image."""
    command = ["xorriso", "-indev", f"stdio:{image}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sessions(image):
    return told(image, "-toc").count("ISO session")


# -- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "device", "folder"),
    [
        ("/dev/sr0", "/dev/sr0", "/"),
        ("/dev/sr0:", "/dev/sr0", "/"),
        ("/dev/sr0:bk", "/dev/sr0", "/bk"),
        ("/dev/sr0:/a//b/", "/dev/sr0", "/a/b"),
        ("image.iso", "{here}/image.iso", "/"),
        ("image.iso:/bk", "{here}/image.iso", "/bk"),
        ("dir%41/%41.iso:/%41%20b", "{here}/dir%41/A.iso", "/A b"),
        ("/a/b.iso:/c:d", "/a/b.iso", "/c:d"),
        ("/a.iso:/c?x#y", "/a.iso", "/c"),
        ("-dev/x.iso", "{here}/-dev/x.iso", "/"),
    ],
)
def test_urls_name_the_devices_and_folders_that_duplicity_names(rest, device, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place(rest) == (device.format(here=tmp_path), folder)


@pytest.mark.requirement("R30")
@pytest.mark.parametrize("rest", ["", ":/bk", "?x", "/a%00b", "/a.iso:/../x", "/a.iso:/./x", "/a%0Ab"])
def test_urls_that_name_no_place_are_refused(rest):
    with pytest.raises(BadURL):
        open_url(f"xorriso://{rest}", TestContext(env={"PATH": os.environ["PATH"]}))


def test_an_image_that_is_not_there_is_refused_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(BadURL) as caught:
        opened(tmp_path / "missing.iso")
    assert f"touch '{tmp_path}/missing.iso'" in caught.value.hint
    assert os.listdir(tmp_path) == []


# -- sessions -----------------------------------------------------------------------------------------------------


@needs_xorriso
def test_looking_writes_nothing(image):
    backend = opened(image)
    assert names(backend) == []
    backend.delete_many(["missing"])
    assert image.stat().st_size == 0


@needs_xorriso
def test_every_change_appends_a_session_and_leaves_the_older_ones_as_they_were(image):
    backend = opened(image)
    put(backend, "a", b"1")
    first = image.read_bytes()
    put(backend, "b", b"2")
    put(backend, "a", b"changed")
    assert sessions(image) == 3
    # The head of a growing image is at its beginning; what the first session wrote behind it has not changed.
    start, size = map(int, re.search(r"ISO session  :   1 ,\s*(\d+) ,\s*(\d+)s", told(image, "-toc")).groups())
    own = slice(start * 2048, (start + size) * 2048)
    assert image.read_bytes()[own] == first[own]
    older = subprocess.run(
        ["xorriso", "-load", "session", "1", "-indev", f"stdio:{image}", "-find", "/bk", "-type", "f"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert older.stdout == "'/bk/a'\n"
    assert (got(backend, "a"), got(backend, "b")) == (b"changed", b"2")


@needs_xorriso
def test_what_is_deleted_goes_in_one_session_and_keeps_its_space(image):
    backend = opened(image)
    for name in "abc":
        put(backend, name, bytes(300_000))
    before = image.stat().st_size
    backend.delete_many(["a", "missing", "b", "a"])
    assert (names(backend), sessions(image)) == (["c"], 4)
    assert image.stat().st_size >= before
    backend.delete_many(["missing"])
    assert sessions(image) == 4


@needs_xorriso
def test_the_image_has_rock_ridge_and_joliet_and_the_long_names_of_a_backup(image):
    name = "duplicity-new-signatures.20231114T221320Z.to.20231115T221320Z.sigtar.gpg"
    put(opened(image), name)
    assert "ISO offers   : Rock_Ridge Joliet" in told(image, "-toc")
    assert told(image, "-find", "/bk", "-type", "f") == f"'/bk/{name}'\n"


@needs_xorriso
def test_foreign_files_and_folders_are_left_alone(image, tmp_path):
    (tmp_path / "foreign").write_text("x")
    words = ["xorriso", "-dev", f"stdio:{image}", "-volid", "MINE", "-map", str(tmp_path / "foreign"), "/other/file"]
    subprocess.run([*words, "-mkdir", "/bk/folder", "--", "-commit"], check=True, capture_output=True)
    backend = opened(image)
    put(backend)
    assert names(backend) == ["vol"]
    assert told(image, "-find", "/other", "-type", "f") == "'/other/file'\n"
    assert (
        "Volume id    : 'MINE'"
        in subprocess.run(["xorriso", "-indev", f"stdio:{image}"], capture_output=True, text=True, check=True).stderr
    )


NASTY = [
    "-oProxyCommand=x", ";touch trap", "$(touch trap)", "'", '"', "a b", "-rf", "*", "?", "[a-z]", "\\", "--", "-end",
    "a=b", "#x",
]  # fmt: skip


@needs_xorriso
@pytest.mark.requirement("R29")
def test_a_name_is_a_name_and_no_command_or_pattern(image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = opened(image, "/a'%20*%5B;x")
    for name in NASTY:
        put(backend, name, name.encode())
    assert names(backend) == sorted(NASTY)
    assert [got(backend, name).decode() for name in NASTY] == NASTY
    assert [backend.stat(name).size for name in NASTY] == [len(name) for name in NASTY]
    backend.delete("*")
    backend.delete_many(["?", "--"])
    assert names(backend) == sorted(set(NASTY) - {"*", "?", "--"})
    assert sorted(os.listdir(tmp_path)) == ["image.iso"]


@needs_xorriso
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../escape", "a\0b", "a\nb"])
def test_a_name_never_leads_out_of_the_folder(image, name):
    backend = opened(image)
    for call in (backend.stat, backend.read, backend.delete, lambda name: put(backend, name)):
        with pytest.raises(BackendError):
            call(name)


# -- the environment ------------------------------------------------------------------------------------------------

FAKE = """#!{python}
import json, os, sys
with open({log!r}, "a") as file:
    print(json.dumps([sys.argv[1:], sorted(n for n in os.environ if "PASS" in n)]), file=file)
os.execv({real!r}, ["xorriso", *sys.argv[1:]])
"""


@pytest.fixture
def fake(tmp_path):
    """A program that notes how it is called, and then is xorriso."""
    path, log = tmp_path / "my xorriso", tmp_path / "log"
    path.write_text(FAKE.format(python=sys.executable, log=str(log), real=shutil.which("xorriso")))
    path.chmod(0o755)

    def calls():
        import json

        return [json.loads(line) for line in log.read_text().splitlines()]

    return path, calls


@needs_xorriso
@pytest.mark.parametrize(("given", "expected"), [(None, "min"), ("min", "min"), ("max", "max"), ("fast", "min")])
def test_program_speed_and_words_come_from_the_environment_and_secrets_do_not_go_along(image, fake, given, expected):
    path, calls = fake
    env = {"XORRISO_PATH": str(path), "XORRISO_ARGS": "-volid 'MY BACKUP' -padding 0", "SOME_PASSWORD": "x"}
    env |= {"XORRISO_WRITE_SPEED": given} if given else {}
    put(opened(image, **env))
    ((words, secrets),) = calls()
    assert words[words.index("-speed") + 1] == expected
    assert words.index("-padding") < words.index("-dev")
    assert words[words.index("-dev") + 1] == f"stdio:{image}"
    assert secrets == []
    said = subprocess.run(["xorriso", "-indev", f"stdio:{image}"], capture_output=True, text=True, check=True).stderr
    assert "Volume id    : 'MY BACKUP'" in said


@needs_xorriso
def test_a_drive_is_called_by_its_own_name(fake):
    """No drive is at hand: what stands here for one is refused by xorriso, but must be asked for as a drive is."""
    path, calls = fake
    backend = opened("/dev/null", XORRISO_PATH=str(path))
    with pytest.raises(BackendError):
        put(backend)
    ((words, _),) = calls()
    assert words[words.index("-dev") + 1] == "/dev/null"


@needs_xorriso
def test_only_the_disc_that_is_asserted_is_read_and_written(image):
    put(opened(image, XORRISO_ARGS="-volid BACKUP_7"))
    put(opened(image, XORRISO_ASSERT_VOLID="BACKUP_*"), "more")
    other = opened(image, XORRISO_ASSERT_VOLID="OTHER*")
    for call in (lambda: names(other), lambda: put(other, "x"), lambda: other.delete_many(["vol"])):
        with pytest.raises(BackendError, match="Volume id does not match"):
            call()
    assert names(opened(image)) == ["more", "vol"]


def test_a_missing_program_and_words_that_cannot_be_split_are_told(image):
    with pytest.raises(BackendError, match="no program"):
        opened(image, XORRISO_PATH="/no/such/xorriso")
    if shutil.which("xorriso"):
        with pytest.raises(BadOption):
            opened(image, XORRISO_ARGS="'-volid")


# -- what goes wrong --------------------------------------------------------------------------------------------------


@needs_xorriso
@needs_root
@pytest.mark.requirement("R48")
def test_a_full_medium_is_told_and_the_last_session_stays(tmp_path):
    (tmp_path / "disc").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path / "disc")], check=True)
    try:
        image = tmp_path / "disc" / "image.iso"
        image.touch()
        backend = opened(image)
        put(backend, "old", random.Random(1).randbytes(1_000_000))
        with pytest.raises(OutOfSpace):
            put(backend, "new", random.Random(2).randbytes(3_000_000))
        assert names(backend) == ["old"]
        assert got(backend, "old") == random.Random(1).randbytes(1_000_000)
        put(backend, "small")
        assert names(backend) == ["old", "small"]
    finally:
        subprocess.run(["umount", str(tmp_path / "disc")], check=True)


AS_NOBODY = """
import os, sys
sys.path[:] = {path!r}
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from tarragon.api import BackendError, Role
from tarragon_testkit import BytesSource, TestContext, open_url
context = TestContext(env=dict(PATH="/usr/bin:/bin"), tempdir="/tmp")
backend = open_url("xorriso://{image}:/bk", context)
for call in (lambda: list(backend.list()), lambda: backend.put("x", BytesSource(b"x"), Role.VOLUME)):
    try:
        print(type(call()).__name__)
    except BackendError as err:
        print(type(err).__name__)
"""


@needs_xorriso
@needs_root
def test_an_image_that_may_not_be_written_or_read_is_permission_denied():
    """In a process of its own, as the program we start must be somebody else too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        image = Path(folder) / "image.iso"
        image.touch()
        put(opened(image))
        seen = []
        for mode in (0o444, 0o000):
            image.chmod(mode)
            command = [sys.executable, "-c", AS_NOBODY.format(path=sys.path, image=image)]
            run = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
            if "No module named" in run.stderr or "Permission" in run.stderr:
                pytest.skip("others cannot reach this checkout")
            seen.append(run.stdout.split())
        assert seen == [["list", "PermissionDenied"], ["PermissionDenied", "PermissionDenied"]]


@needs_xorriso
@pytest.mark.requirement("R14")
def test_what_is_no_image_is_no_empty_store_and_stays_as_it_is(image):
    junk = random.Random(3).randbytes(2_000_000)
    image.write_bytes(junk)
    backend = opened(image)
    for call in (lambda: names(backend), lambda: put(backend), lambda: got(backend)):
        with pytest.raises(BackendError):
            call()
    assert image.read_bytes() == junk


@needs_xorriso
def test_an_image_in_use_by_another_run_is_waited_for_by_a_retry(image):
    backend = opened(image)
    put(backend)
    with image.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for call in (lambda: put(backend, "x"), lambda: names(backend)):
            with pytest.raises(Transient, match="another run is using"):
                call()
        fcntl.flock(other, fcntl.LOCK_SH)
        assert names(backend) == ["vol"]
    put(backend, "x")


@needs_xorriso
@pytest.mark.requirement("R45")
def test_a_program_that_is_killed_while_it_writes_leaves_the_session_before(image):
    backend = opened(image)
    put(backend, "old", b"old")
    caught = []

    def storing():
        try:
            put(backend, "new", random.Random(4).randbytes(40_000_000))
        except BackendError as err:
            caught.append(err)

    before = image.stat().st_size
    thread = threading.Thread(target=storing)
    thread.start()
    while image.stat().st_size == before and thread.is_alive():
        time.sleep(0.001)
    for pid in children("xorriso"):
        os.kill(pid, signal.SIGKILL)
    thread.join()
    if not caught:
        pytest.skip("it was done before it could be killed")
    assert names(backend) == ["old"]
    assert got(backend, "old") == b"old"
    put(backend, "new", b"new")
    assert (names(backend), got(backend, "new")) == (["new", "old"], b"new")


STORES = """
import sys
from tarragon.api import Role
from tarragon_testkit import BytesSource, TestContext, open_url
backend = open_url(sys.argv[1], TestContext(env={"PATH": sys.argv[2], "XORRISO_PATH": sys.argv[3]}))
backend.put("vol", BytesSource(b"data"), Role.VOLUME)
"""


@pytest.mark.requirement("R47")
def test_nobody_writes_beside_a_program_that_has_outlived_a_killed_run(image, tmp_path):
    left = tmp_path / "pid"
    slow = script(tmp_path / "slow", f"echo $$ >{left}.new; mv {left}.new {left}; exec sleep 60\n")
    words = (sys.executable, "-c", STORES, f"xorriso://{image}:/bk", os.environ["PATH"], slow)
    with subprocess.Popen(words) as process:
        while not left.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    try:
        with pytest.raises(Transient, match="another run is using"):
            put(opened(image, XORRISO_PATH="true"))
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)
    until = time.monotonic() + 10
    while time.monotonic() < until:  # it is gone when the kernel has got round to it
        try:
            put(opened(image, XORRISO_PATH="true"))
            return
        except Transient:
            time.sleep(0.01)
    pytest.fail("the lock outlives its holders")


def children(name):
    """The processes of that name that we started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = re.match(r"(\d+) \((.*)\) \S (\d+)", path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields and fields.group(2) == name and int(fields.group(3)) == os.getpid():
            found.append(int(fields.group(1)))
    return found


@needs_xorriso
@pytest.mark.requirement("R62")
def test_nothing_stays_open_or_behind(image, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    backend = opened(image)
    for number in range(3):
        put(backend, f"v{number}")
        got(backend, f"v{number}")
    names(backend)
    backend.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["image.iso"]


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@needs_xorriso
def test_an_image_that_the_program_takes_for_blank_is_not_begun_anew(image):
    """As it does with one of which it cannot read the beginning: all that is there would be written over."""
    backend = opened(image)
    put(backend, "one")
    again = opened(image)
    assert names(again) == ["one"]
    image.write_bytes(b"")
    for each in (backend, again):
        with pytest.raises(Transient, match="cannot be read"):
            put(each, "two")
    assert image.read_bytes() == b""


@needs_xorriso
def test_an_image_that_the_program_cannot_find_may_be_found_again(image, tmp_path):
    put(opened(image))
    blind = script(tmp_path / "blind", "echo 'libisofs: SORRY : No ISO 9660 image at LBA 0' >&2; exit 32")
    with pytest.raises(Transient, match="did not find the image"):
        names(opened(image, XORRISO_PATH=blind))


@needs_xorriso
def test_after_a_session_that_fails_the_one_before_is_the_newest_again(image, tmp_path):
    put(opened(image), "one")
    harm = f"printf garbage | dd of={image} conv=notrunc bs=1 seek=32768; exit 32"
    fails = script(tmp_path / "fails", f'xorriso "$@"; case "$*" in *-commit*) {harm};; esac')
    with pytest.raises(BackendError):
        put(opened(image, XORRISO_PATH=fails), "two")
    assert names(opened(image)) == ["one"]
    new = tmp_path / "new.iso"
    new.touch()
    half = script(tmp_path / "half", f"head -c 100000 /dev/zero > {new}; exit 32")
    with pytest.raises(BackendError):
        opened(new, XORRISO_PATH=half)._xorriso.write("try", "-map", "/etc/hostname", "/x")
    assert new.read_bytes() == b""


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [("pread", errno.EIO, Transient), ("stat", errno.ESTALE, Transient), ("fsync", errno.ENOSPC, OutOfSpace),
     ("open", errno.EIO, Transient), ("open", errno.EROFS, PermissionDenied), ("open", errno.ENXIO, BackendError)],
)  # fmt: skip
@pytest.mark.requirement("R33")
def test_what_the_system_says_of_an_image_is_translated(image, monkeypatch, call, number, kind):
    backend = opened(image, XORRISO_PATH="true")
    real = getattr(os, call)

    def fails(where, *more, **named):
        # Of the image alone: pytest and the temporary file use these too.
        if where == str(image) or call in ("pread", "fsync"):
            raise OSError(number, os.strerror(number))
        return real(where, *more, **named)

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(kind) as caught:
        put(backend)
    assert type(caught.value) is kind
    assert str(image) in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind"),
    [("Cannot write desired amount of 32768 bytes. write(2) returned -1. : Input/output error", Transient),
     ("write(2) returned -1. : Stale file handle", Transient), ("write(2) returned -1. : No space left", OutOfSpace),
     ("what nobody knows", BackendError)],
)  # fmt: skip
def test_what_the_program_complains_of_is_told_by_its_meaning(image, tmp_path, said, kind):
    fails = script(tmp_path / "fails", f"echo 'libburn : FAILURE : {said}' >&2; exit 32")
    with pytest.raises(kind, match=re.escape(said)) as caught:
        put(opened(image, XORRISO_PATH=fails))
    assert type(caught.value) is kind


@pytest.mark.requirement("R64")
def test_the_program_of_a_call_that_was_given_up_ends(image, tmp_path):
    from logging import getLogger

    from tarragon.store.store import Store

    hangs = script(tmp_path / "hangs", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    store = Store(lambda: opened(image, XORRISO_PATH=hangs), log=getLogger("test"), num_retries=1, timeout_s=1)
    with pytest.raises(Transient, match="nothing moved"):
        store.list()
    pid, until = int((tmp_path / "pid").read_text()), time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)
