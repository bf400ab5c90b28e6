"""Who gets in, and with what: keys, agent, passwords, ssh_config."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from server import running
from ssh_server import Sshd, needs_users
from tarragon.api import BackendError, BadOption, PermissionDenied, Transient, UserError

WITHOUT_KEY = "-q"


def works(backend):
    assert list(backend.list()) == []
    backend.close()


@contextmanager
def agent(sshd, *keys):
    """An agent that holds these keys; its socket."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    sock = re.search(r"SSH_AUTH_SOCK=([^;]+)", said).group(1)
    pid = int(re.search(r"SSH_AGENT_PID=(\d+)", said).group(1))
    try:
        for key in keys:
            env = {**os.environ, "SSH_AUTH_SOCK": sock}
            subprocess.run(["ssh-add", "-q", key], check=True, env=env, stdin=subprocess.DEVNULL)
        yield sock
    finally:
        os.kill(pid, 15)


@pytest.mark.parametrize(
    "form", ["-oIdentityFile={}", "-i {}", "-i{}", "-o IdentityFile={}", "'-oIdentityFile=\"{}\"'"]
)
def test_a_key_opens_in_every_form_of_the_option(sshd, form):
    works(sshd.open(options=form.format(sshd.key)))


def test_an_rsa_key_in_pem_form_opens(sshd):
    works(sshd.open(options=f"-i {sshd.rsa_key}"))


@needs_users
def test_the_password_of_the_url_opens(sshd):
    works(sshd.open(options=WITHOUT_KEY, password=sshd.password))


@needs_users
@pytest.mark.parametrize("name", ["BACKEND_PASSWORD", "FTP_PASSWORD"])
def test_the_password_of_the_environment_opens(sshd, name):
    works(sshd.open(options=WITHOUT_KEY, env={name: sshd.password, "OTHER": "x"}))


@needs_users
def test_an_empty_password_counts_as_none(sshd):
    works(sshd.open(options=WITHOUT_KEY, env={"BACKEND_PASSWORD": "", "FTP_PASSWORD": sshd.password}))


@needs_users
def test_the_user_is_asked_only_with_askpass(sshd):
    context = sshd.context(WITHOUT_KEY, ssh_askpass=True, passwords=[sshd.password])
    from tarragon_testkit import open_url

    works(open_url(sshd.url(), context))
    assert context.prompts == [f"Password for '{sshd.user}@{sshd.host}'"]
    silent = sshd.context(WITHOUT_KEY, passwords=[sshd.password])
    with pytest.raises(PermissionDenied):
        open_url(sshd.url(), silent)
    assert silent.prompts == []


def test_nobody_is_asked_when_a_key_opens(sshd):
    works(sshd.open(ssh_askpass=True))


def test_the_password_is_the_passphrase_of_a_key_too(sshd):
    works(sshd.open(options=f"-i {sshd.locked_key}", env={"BACKEND_PASSWORD": "key phrase"}))


def test_the_passphrase_of_a_key_is_asked_for_with_askpass(sshd):
    works(sshd.open(options=f"-i {sshd.locked_key}", ssh_askpass=True, passwords=["key phrase"]))


def test_a_key_in_the_agent_opens(sshd):
    with agent(sshd, sshd.key) as sock:
        works(sshd.open(options=WITHOUT_KEY, env={"SSH_AUTH_SOCK": sock}))
        works(sshd.open(options=f"-oIdentityAgent={sock}"))
        works(sshd.open(options=f"-oIdentitiesOnly=yes -i {sshd.key}.pub", env={"SSH_AUTH_SOCK": sock}))
        with pytest.raises(PermissionDenied):
            sshd.open(options="-oIdentityAgent=none", env={"SSH_AUTH_SOCK": sock})
        with pytest.raises(PermissionDenied):
            sshd.open(options=f"-oIdentitiesOnly=yes -i {sshd.locked_key}.pub", env={"SSH_AUTH_SOCK": sock})


def test_an_agent_that_is_not_there_is_said_and_does_no_harm(sshd, tmp_path):
    works(sshd.open(env={"SSH_AUTH_SOCK": str(tmp_path / "gone")}))
    with pytest.raises(PermissionDenied, match="the agent does not answer"):
        sshd.open(options=WITHOUT_KEY, env={"SSH_AUTH_SOCK": str(tmp_path / "gone")})


def test_the_usual_keys_are_tried(sshd, tmp_path):
    (tmp_path / ".ssh").mkdir()
    shutil.copy(sshd.key, tmp_path / ".ssh" / "id_ed25519")
    works(sshd.open(options=WITHOUT_KEY, env={"HOME": str(tmp_path)}))


def test_a_certificate_beside_the_key_is_used(tmp_path):
    """The server knows only who signed the key, not the key itself."""
    tmp_path.chmod(0o755)
    for name in ("authority", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with running("sshd.sh", TB_SSHD_LINES=f"TrustedUserCAKeys {tmp_path}/authority.pub") as told:
        sshd = Sshd(told)
        with pytest.raises(PermissionDenied):
            sshd.open(options=f"-i {tmp_path}/key")
        sign = ["ssh-keygen", "-q", "-s", "authority", "-I", "test", "-n", sshd.user, "key.pub"]
        subprocess.run(sign, cwd=tmp_path, check=True, capture_output=True)
        works(sshd.open(options=f"-i {tmp_path}/key"))


@needs_users
def test_two_locks_are_opened_one_after_the_other(sshd):
    works(sshd.open(user="tbtwo", password=sshd.password))
    with pytest.raises(PermissionDenied, match="it takes password"):
        sshd.open(user="tbtwo")
    with pytest.raises(PermissionDenied):
        sshd.open(options=WITHOUT_KEY, user="tbtwo", password=sshd.password)


@needs_users
def test_a_wrong_password_is_permission_denied_with_a_hint_and_without_the_password(sshd):
    with pytest.raises(PermissionDenied) as caught:
        sshd.open(options=WITHOUT_KEY, password="secret-canary")
    assert "tried the password" in caught.value.message
    assert caught.value.hint
    assert "secret-canary" not in repr((caught.value.message, caught.value.hint, caught.value.__cause__))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("no key"), "is no key that can be read"),
        (lambda path: path.mkdir(), "cannot read the key"),
        (lambda path: None, "cannot read the key"),
    ],
)
def test_a_key_that_cannot_be_read_is_named(sshd, tmp_path, make, said):
    make(tmp_path / "key")
    with pytest.raises(PermissionDenied, match=said) as caught:
        sshd.open(options=f"-i {tmp_path}/key")
    assert str(tmp_path / "key") in caught.value.message


def test_a_locked_key_without_its_passphrase_is_named(sshd):
    with pytest.raises(PermissionDenied, match="has a passphrase, and none is given"):
        sshd.open(options=f"-i {sshd.locked_key}")
    with pytest.raises(PermissionDenied, match="or its passphrase is another"):
        sshd.open(options=f"-i {sshd.locked_key}", env={"BACKEND_PASSWORD": "wrong phrase"})


@needs_users
def test_a_server_that_is_slow_to_decide_has_refused_nothing(tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    slow = f"AuthorizedKeysCommand {shutil.which('sleep')} 20\nAuthorizedKeysCommandUser root"
    with running("sshd.sh", TB_SSHD_LINES=slow) as told, pytest.raises(Transient, match="in time"):
        Sshd(told).open(options=f"-oIdentityFile={tmp_path / 'key'} -oIdentitiesOnly=yes", timeout=3)


def test_a_server_that_hangs_up_after_many_keys_is_told_as_such(sshd, tmp_path):
    for number in range(8):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / f"k{number}")]
        subprocess.run(words, check=True)
    options = " ".join(f"-i {tmp_path}/k{number}" for number in range(8))
    with pytest.raises(PermissionDenied) as caught:
        sshd.open(options=options)
    assert "hung up" in caught.value.message
    assert "IdentitiesOnly" in caught.value.hint


# -- ssh_config ---------------------------------------------------------------------------------------------------


@pytest.fixture
def config(sshd, tmp_path):
    """Write the user's ssh_config; what opens a backend through it by the alias 'vault'."""
    (tmp_path / ".ssh").mkdir()

    def write(text, **files):
        for name, more in files.items():
            (tmp_path / ".ssh" / name).write_text(more)
        (tmp_path / ".ssh" / "config").write_text(text)

        def opened(url="sftp://vault", options=""):
            from tarragon_testkit import open_url

            context = sshd.context()
            context.options.ssh_options = (options,)
            context.env = {**context.env, "HOME": str(tmp_path)}
            return open_url(url, context)

        return opened

    return write


def full(sshd):
    return (
        f"HostName {sshd.host}\nPort {sshd.port}\nUser {sshd.user}\nIdentityFile {sshd.key}\n"
        f"UserKnownHostsFile {sshd.known_hosts}\n"
    )


@pytest.mark.parametrize(
    "head", ["Host vault", "Host x va?lt", "HOST=vault", "Host *\n", "Match originalhost vault", ""]
)
def test_the_users_ssh_config_says_where_and_who(sshd, config, head):
    works(config(f"{head}\n{full(sshd)}\nHost other\nPort 1\n")())


@pytest.mark.parametrize(
    "head", ["Host other", "Host * !vault", "Match originalhost other", "Match !originalhost vault"]
)
def test_what_is_for_others_is_left_out(sshd, config, head):
    works(config(f"{head}\nPort 1\nUser nobody\nHost *\n{full(sshd)}")())


def test_included_files_are_read(sshd, config):
    works(config("Host vault\nInclude parts/none part\nHost *\nPort 1\n", part=full(sshd))())


def test_the_url_beats_the_options_and_they_beat_the_file(sshd, config):
    opened = config(f"Host vault\nPort 1\nUser nobody\n{full(sshd)}")
    works(opened(options=f"-oPort={sshd.port} -l {sshd.user}"))
    works(opened(f"sftp://{sshd.user}@vault:{sshd.port}", options="-p 1 -oUser=nobody"))


def test_no_file_is_read_when_none_is_asked_for(sshd, config):
    opened = config("!!\n")
    with pytest.raises(BackendError, match="line 1 of"):
        opened()
    options = f"-F none -oHostName={sshd.host} -p {sshd.port} -l {sshd.user} -i {sshd.key}"
    works(opened(options=f"{options} -oUserKnownHostsFile={sshd.known_hosts}"))


PROXY = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
open(sys.argv[3], 'w').write(repr((sys.argv[1:], sorted(n for n in os.environ if 'PASS' in n))))
def up():
    while data := os.read(0, 65536):
        sock.sendall(data)
    sock.shutdown(1)
threading.Thread(target=up, daemon=True).start()
while data := sock.recv(65536):
    os.write(1, data)
"""


@pytest.mark.requirement("R29")
def test_a_proxy_command_is_run_without_a_shell_and_without_secrets(sshd, config, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_PASSWORD", "x")
    (tmp_path / "proxy.py").write_text(PROXY)
    trap = f"x;touch${{IFS}}{tmp_path}/trap $(touch {tmp_path}/trap)"
    command = f"exec {sys.executable} {tmp_path}/proxy.py %h %p {tmp_path}/seen '{trap}' %%"
    opened = config(f"Host vault\n{full(sshd)}\nProxyCommand {command}\n")
    works(opened())
    expected = [sshd.host, str(sshd.port), f"{tmp_path}/seen", trap, "%"]
    assert (tmp_path / "seen").read_text() == repr((expected, []))
    assert not (tmp_path / "trap").exists()


def test_a_proxy_that_ends_at_once_or_is_not_there_is_told(sshd, config):
    with pytest.raises(BackendError):
        config(f"Host vault\n{full(sshd)}\nProxyCommand /bin/false\n")()
    with pytest.raises(BackendError, match="cannot run the ProxyCommand"):
        config(f"Host vault\n{full(sshd)}\nProxyCommand /no/such/program %h\n")()


@pytest.mark.requirement("R29")
@pytest.mark.parametrize("keyword", ["exec", "localnetwork"])
def test_a_condition_that_needs_a_shell_never_holds_and_runs_nothing(sshd, config, tmp_path, keyword):
    works(config(f'Match {keyword} "touch {tmp_path}/trap"\nPort 1\nHost *\n{full(sshd)}')())
    assert not (tmp_path / "trap").exists()


@pytest.mark.requirement("R29")
def test_a_jump_is_made_by_ssh_with_the_hosts_behind_the_options_end(sshd, config, tmp_path):
    (tmp_path / "ssh").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/seen\n")
    (tmp_path / "ssh").chmod(0o755)
    opened = config(f"Host vault\n{full(sshd)}\nProxyJump a,me@b:7\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BackendError):
        patch.setenv("PATH", path)
        opened()
    seen = (tmp_path / "seen").read_text().split("\n")
    assert seen[:-1] == ["-J", "a", "-oBatchMode=yes", "-W", f"[{sshd.host}]:{sshd.port}", "--", "ssh://me@b:7"]
    with pytest.raises(BadOption):
        config(f"Host vault\n{full(sshd)}\nProxyJump -oProxyCommand=x\n")()


@pytest.mark.parametrize("options", ["'-oIdentityFile=x", "-oIdentityFile", "-i", "-p x", "-oPort=0", "-oPort=99999"])
def test_options_that_cannot_be_understood_are_refused(sshd, options):
    with pytest.raises(UserError):
        sshd.open(options=options).close()


# -- algorithms -----------------------------------------------------------------------------------------------------


STRICT = """
KexAlgorithms curve25519-sha256
Ciphers aes256-gcm@openssh.com
MACs hmac-sha2-512-etm@openssh.com
HostKeyAlgorithms ssh-ed25519
PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512
"""


def test_a_server_that_takes_only_new_algorithms_is_reached():
    with running("sshd.sh", TB_SSHD_LINES=STRICT) as told:
        sshd = Sshd(told)
        works(sshd.open())
        works(sshd.open(options=f"-i {sshd.rsa_key}"))
        works(sshd.open(options=f"-i {sshd.key} -oCiphers=aes128-ctr,aes256-gcm@openssh.com -C"))
        with pytest.raises(BackendError, match="no algorithm that both sides know"):
            sshd.open(options=f"-i {sshd.key} -oCiphers=aes128-ctr")
        with pytest.raises(BackendError, match="is known here"):
            sshd.open(options=f"-i {sshd.key} -oCiphers=rot13")
