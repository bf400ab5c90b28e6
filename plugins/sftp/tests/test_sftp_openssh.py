"""pexpect+sftp and pexpect+scp: the same folder, reached by OpenSSH's own program."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from server import free_port
from ssh_server import needs_users
from tarragon.api import BackendError, BadOption, PermissionDenied, Role, Transient, UserError
from tarragon_sftp.openssh import words_of
from tarragon_testkit import BackendContract, BytesSource

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no program ssh (apt-get install openssh-client)")
pytestmark = needs_ssh
BOTH = pytest.mark.parametrize("scheme", ["pexpect+sftp", "pexpect+scp"])


@pytest.mark.slow
class TestByOpenSsh(BackendContract):
    # What is special is the way there; the folder is the same.
    many = 20
    examples = 1

    @pytest.fixture(autouse=True)
    def _server(self, sshd):
        self.sshd, self.folder = sshd, sshd.new_folder() + "/not/yet there"

    def connect(self, tmp_path, context):
        return opened(self.sshd, self.folder)


def opened(sshd, folder="", options="", *, scheme="pexpect+sftp", key=True, known="", **more):
    words = f"-oUserKnownHostsFile={known or sshd.known_hosts} -oGlobalKnownHostsFile=/dev/null -F none"
    key = f"-oIdentitiesOnly=yes -i {sshd.key}" if key else "-oIdentityFile=none -oIdentityAgent=none"
    options = (words, key, options)
    return sshd.open(folder, scheme=scheme, ssh_options=options, **more)


def works(backend):
    with closing(backend):
        backend.put("vol", BytesSource(b"data"), Role.VOLUME)
        assert [info.name for info in backend.list()] == ["vol"]


@BOTH
def test_an_object_lies_where_the_url_says(sshd, scheme):
    where = sshd.new_folder()
    works(opened(sshd, f"{where}//a%20b/", scheme=scheme))
    assert Path(sshd.home, where[1:], "a b", "vol").read_bytes() == b"data"


@needs_users
@pytest.mark.parametrize("way", ["url", "BACKEND_PASSWORD", "FTP_PASSWORD", "askpass"])
def test_a_password_gets_in_and_is_in_no_process(sshd, tmp_path, way):
    more = {
        "url": {"password": sshd.password},
        "askpass": {"ssh_askpass": True, "passwords": [sshd.password]},
    }.get(way, {"env": {way: sshd.password}})
    backend = opened(sshd, key=False, **more)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat, seen = (path / "stat").read_text(), (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if f" {os.getpid()} " in stat.rpartition(")")[2][:20]:
            assert sshd.password.encode() not in seen
    works(backend)


@needs_users
def test_a_wrong_password_is_permission_denied_and_offered_once(sshd):
    with pytest.raises(PermissionDenied) as caught:
        opened(sshd, key=False, password="secret-canary")
    assert caught.value.hint
    assert "secret-canary" not in repr((caught.value.message, caught.value.hint, caught.value.__cause__))


def test_the_passphrase_of_a_key_is_the_password_too(sshd):
    works(opened(sshd, options=f"-i {sshd.locked_key}", key=False, env={"BACKEND_PASSWORD": "key phrase"}))


@pytest.mark.requirement("R26")
def test_nobody_is_asked_without_askpass_and_with_it_not_without_a_terminal(sshd):
    with pytest.raises(PermissionDenied):
        opened(sshd, key=False)
    with pytest.raises(UserError, match="no answer to"):  # as the test's context says it; a run has exit status 30
        opened(sshd, options=f"-i {sshd.locked_key}", key=False, ssh_askpass=True)


@needs_users
def test_two_locks_are_opened_one_after_the_other(sshd):
    works(opened(sshd, user="tbtwo", password=sshd.password))


@pytest.mark.requirement("R34")
@pytest.mark.parametrize("options", ["", "-oStrictHostKeyChecking=no", "-oStrictHostKeyChecking=accept-new"])
def test_a_host_that_is_not_known_is_refused_and_not_added(sshd, tmp_path, options):
    (tmp_path / "known").touch()
    with pytest.raises(BackendError) as caught:
        opened(sshd, options=options, known=str(tmp_path / "known"))
    assert not isinstance(caught.value, Transient)
    assert shlex.split(caught.value.hint.split("accept it with: ")[1])[0] == "ssh"
    assert (tmp_path / "known").read_bytes() == b""


@pytest.mark.requirement("R34")
def test_a_key_that_has_changed_is_refused(sshd, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[{sshd.host}]:{sshd.port} {key}\n")
    with pytest.raises(BackendError, match=r"(?i)host key") as caught:
        opened(sshd, known=str(tmp_path / "known"))
    assert not isinstance(caught.value, Transient)
    assert "ssh-keygen -R" in caught.value.hint


# -- --sftp-command and --scp-command -------------------------------------------------------------------------------


FAKE = """#!{python}
import json, os, sys
with open({log!r}, "a") as file:
    print(json.dumps([sys.argv[1:], sorted(n for n in os.environ if "PASS" in n)]), file=file)
os.execv({real!r}, ["ssh", *sys.argv[1:]])
"""


@pytest.fixture
def programs(tmp_path):
    """A folder with an OpenSSH of its own, whose ssh notes how it is called."""
    log = tmp_path / "log"
    (tmp_path / "bin").mkdir()
    for name in ("sftp", "scp"):
        (tmp_path / "bin" / name).write_text("#!/bin/false\n")
        (tmp_path / "bin" / name).chmod(0o755)
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(FAKE.format(python=sys.executable, log=str(log), real=shutil.which("ssh")))
    ssh.chmod(0o755)
    return tmp_path / "bin", lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.requirement("R29")
@BOTH
def test_the_ssh_beside_the_command_is_run_with_the_commands_words_and_the_host_behind_the_options_end(
    sshd, programs, scheme
):
    folder, calls = programs
    option = "scp_command" if scheme.endswith("scp") else "sftp_command"
    given = {option: f"{folder}/{'scp' if 'scp' in option else 'sftp'} -P {sshd.port} -C -p -l 500"}
    works(opened(sshd, options="'-oLogLevel=ERROR'", scheme=scheme, env={"SOME_PASSWORD": "x"}, **given))
    ((words, secrets),) = calls()
    assert words[-3:] == ["--", sshd.host, "sftp"]
    assert words[0] == "-oStrictHostKeyChecking=yes"
    assert [f"-p{sshd.port}", "-C"] == [word for word in words if word in ("-p", f"-p{sshd.port}", "-C", "-l500")]
    assert secrets == [] or secrets == ["SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"]


def test_another_ssh_can_be_named(programs, sshd):
    folder, calls = programs
    works(opened(sshd, sftp_command=f"sftp -S {folder}/ssh"))
    assert len(calls()) == 1


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("mysftp.sh", ""),
        ("sftp host", ""),
        ("sftp -Z", ""),
        ("sftp", "-i"),
        ("sftp 'x", ""),
        ("", "--help"),
        ("", "; rm -rf x"),
    ],
)
def test_words_that_are_no_options_are_refused(command, options):
    with pytest.raises(BadOption):
        words_of(command, options, os.environ["PATH"])


def test_a_missing_program_is_told(tmp_path):
    with pytest.raises(BackendError, match="no program"):
        words_of(None, "", str(tmp_path))


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_host_that_does_not_answer_may_answer_later(sshd):
    with pytest.raises(Transient, match="refused"):
        opened(sshd, port=free_port())


def test_a_setting_that_ssh_does_not_know_is_told(sshd):
    with pytest.raises(BackendError, match="Bad configuration option") as caught:
        opened(sshd, options="-oNoSuchThing=1")
    assert not isinstance(caught.value, Transient)


@pytest.mark.requirement("R64")
@pytest.mark.parametrize("fault", ["reset", "stall"])
def test_a_connection_that_breaks_or_stalls_is_noticed_and_made_anew(sshd, fault):
    with FaultyProxy(sshd.port) as proxy:
        name = f"-oHostKeyAlias=[{sshd.host}]:{sshd.port}"
        backend = opened(sshd, sshd.new_folder(), name, port=proxy.port, timeout=3)
        with closing(backend):
            proxy.break_after(500_000, fault)
            with pytest.raises(Transient):
                backend.put("vol", BytesSource(bytes(8_000_000)), Role.VOLUME)
            assert proxy.faults == 1
            backend.reconnect()
            assert list(backend.list()) == []
            backend.put("vol", BytesSource(b"data"), Role.VOLUME)
            assert [info.size for info in backend.list()] == [4]


@pytest.mark.requirement("R62")
def test_nothing_stays_open_or_behind(sshd, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened(sshd).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        backend = opened(sshd, env={"BACKEND_PASSWORD": "x"})
        backend.reconnect()
        backend.close()
        backend.close()
    until = time.monotonic() + 2
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < until:
        time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert os.listdir(tmp_path) == []
