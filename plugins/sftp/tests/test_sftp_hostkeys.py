"""Host keys are enforced: no key is ever added, and nobody is asked (R34)."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ssh_server import Sshd
from tarragon.api import BackendError, Transient

pytestmark = pytest.mark.requirement("R34")


@pytest.fixture
def known(sshd: Sshd, tmp_path: Path) -> Path:
    """A file of known hosts that the test may change."""
    path = tmp_path / "known hosts"
    path.write_bytes(Path(sshd.known_hosts).read_bytes())
    return path


def with_keys(sshd: Sshd, known: Path, more: str = "") -> str:
    return f'-oIdentityFile={sshd.key} "-oUserKnownHostsFile=\\"{known}\\"" {more}'


def another_key(place: Path, kind: str = "ed25519") -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(place / kind)], check=True)
    return " ".join((place / f"{kind}.pub").read_text().split()[:2])


def refused(sshd: Sshd, known: Path, more: str = "", **words: str) -> BackendError:
    before = known.read_bytes() if known.exists() else None
    context = {"passwords": ("yes",), "ssh_askpass": True}
    with pytest.raises(BackendError) as caught:
        sshd.open("/x", with_keys(sshd, known, more), **context, **words)
    assert not isinstance(caught.value, Transient)  # trying again would not help
    assert (known.read_bytes() if known.exists() else None) == before
    return caught.value


def test_a_host_that_is_not_known_is_refused_with_its_fingerprint_and_the_command_to_run(sshd, known):
    known.write_text("")
    error = refused(sshd, known)
    shown = subprocess.run(["ssh-keygen", "-lf", f"{sshd.place}/host.pub"], capture_output=True, text=True).stdout
    assert shown.split()[1] in error.message
    command = error.hint.split("accept it with: ")[1]
    assert shlex.split(command)[-3:] == ["-p", str(sshd.port), f"{sshd.user}@{sshd.host}"]


def test_the_command_of_the_hint_makes_the_host_known(sshd, known):
    known.write_text("")
    words = shlex.split(refused(sshd, known).hint.split("accept it with: ")[1])
    # What a user would answer with "yes" at the terminal.
    unattended = ["-F", "none", "-oStrictHostKeyChecking=accept-new", "-oBatchMode=yes", "-i", sshd.key]
    words[1] = f'-oUserKnownHostsFile="{known}"'
    subprocess.run([words[0], *unattended, *words[1:], "true"], check=True, capture_output=True)
    sshd.open("/x", with_keys(sshd, known)).close()


def test_a_missing_file_knows_nobody(sshd, tmp_path):
    assert "is not known" in refused(sshd, tmp_path / "nowhere").message
    assert not (tmp_path / "nowhere").exists()


def test_a_key_that_has_changed_is_refused_with_the_command_that_forgets_the_old_one(sshd, known, tmp_path):
    known.write_text(f"[{sshd.host}]:{sshd.port} {another_key(tmp_path)}\n")
    error = refused(sshd, known)
    assert "has changed" in error.message
    assert f"line 1 of '{known}'" in error.message
    subprocess.run(shlex.split(error.hint.split("with: ")[1]), check=True, capture_output=True)
    assert "is not known" in refused(sshd, known).message


def test_a_host_known_by_another_kind_of_key_is_not_known_by_this_one(sshd, known, tmp_path):
    known.write_text(f"[{sshd.host}]:{sshd.port} {another_key(tmp_path, 'ecdsa')}\n")
    error = refused(sshd, known)
    assert "known by another kind of key: ecdsa-sha2-nistp256" in error.message


def test_a_revoked_key_is_refused_though_it_is_known(sshd, known):
    known.write_text(known.read_text() + "@revoked " + re.sub(r"^\S+", "*", known.read_text()))
    assert "is revoked" in refused(sshd, known).message


def test_no_option_switches_the_check_off(sshd, known):
    known.write_text("")
    for more in ("-oStrictHostKeyChecking=no", "-oStrictHostKeyChecking=accept-new", "-oUserKnownHostsFile=/dev/null"):
        assert "is not known" in refused(sshd, known, more).message


def test_scp_checks_as_well(sshd, known):
    known.write_text("")
    assert "is not known" in refused(sshd, known, scheme="scp").message


def test_the_port_belongs_to_the_name(sshd, known):
    known.write_text(known.read_text().replace(f"[{sshd.host}]:{sshd.port}", sshd.host))
    assert "is not known" in refused(sshd, known).message


@pytest.mark.parametrize("how", ["hashed", "pattern", "list", "alias", "global"])
def test_a_known_key_is_found_however_it_is_written_down(sshd, known, how):
    line = known.read_text()
    name = f"[{sshd.host}]:{sshd.port}"
    more = ""
    if how == "hashed":
        subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
        assert known.read_text().startswith("|1|")
    elif how == "pattern":
        known.write_text(line.replace(name, f"[127.0.0.?]:{sshd.port}"))
    elif how == "list":
        known.write_text("# comment\n\nnonsense\n" + line.replace(name, f"other,{name}"))
    elif how == "alias":
        known.write_text(line.replace(name, "the-vault"))
        more = "-oHostKeyAlias=the-vault"
    else:
        more = f'"-oGlobalKnownHostsFile=\\"{known}\\"" -oUserKnownHostsFile=/dev/null'
    sshd.open("/x", with_keys(sshd, known, more)).close()


def test_a_pattern_with_an_exception_does_not_know_the_exception(sshd, known):
    known.write_text(known.read_text().replace(f"[{sshd.host}]", f"!{sshd.host},*,[*]"))
    known.write_text(known.read_text().replace(f"!{sshd.host}", f"![{sshd.host}]:{sshd.port}"))
    assert "is not known" in refused(sshd, known).message


def test_the_kind_of_key_that_is_known_is_asked_for_first(tmp_path):
    """A server with several keys shows the one by which it is known."""
    from server import running

    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "ecdsa")], check=True)
    tmp_path.chmod(0o755)
    with running("sshd.sh", TB_SSHD_LINES=f"HostKey {tmp_path}/ecdsa") as told:
        sshd = Sshd(told)
        known = tmp_path / "known"
        kind, key = (tmp_path / "ecdsa.pub").read_text().split()[:2]
        known.write_text(f"[{sshd.host}]:{sshd.port} {kind} {key}\n")
        sshd.open("/x", with_keys(sshd, known)).close()
