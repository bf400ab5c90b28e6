"""Backups on a host behind ssh, from the command line: ours alone, broken connections, secrets, and with duplicity."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from programs import Household, Program, describe, judged
from sites import Site, filled

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))

from faulty_proxy import FaultyProxy
from server import running

IS_ROOT = os.geteuid() == 0


class Host(Site):
    """A site whose repository is a folder of a host."""

    def __init__(self, place: Path, program: Program, home: Household, told: dict[str, str], scheme: str) -> None:
        super().__init__(place, program, home)
        self.scheme, self.told = scheme, told
        self.folder = f"{place.name}/deep er"
        self.repo = Path(told["TB_SSH_HOME"], self.folder)
        self.url = self.url_of(int(told["TB_SSH_PORT"]))
        options = f"-oIdentityFile={told['TB_SSH_KEY']} -oUserKnownHostsFile={told['TB_SSH_KNOWN_HOSTS']}"
        self.options = (
            "--no-encryption",
            "--num-retries",
            "3",
            "--backend-retry-delay",
            "0",
            "--timeout",  # a machine that is busy with other tests may take its time to log somebody in
            "110",
            f"--ssh-options={options}",
        )

    def url_of(self, port: int, password: str = "") -> str:
        login = self.told["TB_SSH_USER"] + (f":{password}" if password else "")
        return f"{self.scheme}://{login}@{self.told['TB_SSH_HOST']}:{port}/{self.folder.replace(' ', '%20')}"


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, str]]:
    with running("sshd.sh") as told:
        yield dict(told)


@pytest.fixture
def host_of(tmp_path, ours, home, told):
    def host(scheme: str, program: Program = ours) -> Host:
        return filled(Host(tmp_path, program, home, told, scheme))

    return host


SCHEMES = ["sftp", "scp", "pexpect+sftp"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_full_an_increment_a_restore_and_a_verify(host_of, home, scheme):
    host = host_of(scheme)
    assert host.backup("full").status == 0
    host.write("a", b"second")
    host.write("new", Random(2).randbytes(2_500_000))
    answer = host.backup("incremental", "--volsize", "1")
    assert answer.status == 0, answer
    assert len(list(host.repo.glob("duplicity-inc.*.difftar.gz"))) >= 2
    home.forget()
    assert host.is_restored()
    answer = host.run("verify", "--compare-data", host.url, host.source)
    assert answer.status == 0, answer
    answer = host.run("remove-all-but-n-full", "1", "--force", host.url)
    assert answer.status == 0, answer
    assert not [name for name in host.names() if "tmp" in name or name.endswith(".part")]


@pytest.mark.parametrize("begins", ["ours", "theirs"])
@pytest.mark.parametrize("scheme", ["sftp", "scp"])
def test_duplicity_and_we_go_on_with_each_others_repositories(host_of, tmp_path, ours, real, home, scheme, begins):
    must_have_paramiko(real)
    first, second = (ours, real) if begins == "ours" else (real, ours)
    host = host_of(scheme, first)
    answer = host.backup("full")
    assert answer.status == 0, answer
    host.program = second
    home.forget()
    host.write("a", b"second")
    answer = host.backup("incremental")
    assert answer.status == 0, answer
    assert [name for name in host.names() if name.startswith("duplicity-inc.")]
    describe(host.source, tmp_path / "now.tsv")
    for program in (first, second):
        host.program = program
        home.forget()
        answer = host.restore()
        assert answer.status == 0, answer
        equal, difference = judged(tmp_path / "now.tsv", host.out)
        assert equal, difference


def must_have_paramiko(real: Program) -> None:
    """duplicity's sftp needs that library; tests/judge/duplicity_environment.py installs it."""
    python = Path(real.command).parent / "python"
    if python.exists() and subprocess.run([python, "-c", "import paramiko"], capture_output=True).returncode:
        pytest.skip("the real duplicity has no paramiko: run tests/judge/duplicity_environment.py again")


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_connection_that_breaks_in_the_middle_of_a_backup_and_of_a_restore_ends_well(host_of, told, fault):
    host = host_of("sftp")
    host.write("big", Random(3).randbytes(6_000_000))
    with FaultyProxy(int(told["TB_SSH_PORT"])) as proxy:
        straight, host.url = host.url, host.url_of(proxy.port)
        alias = f" -oHostKeyAlias=[{told['TB_SSH_HOST']}]:{told['TB_SSH_PORT']}"
        host.options = (*host.options[:-1], host.options[-1] + alias)
        proxy.break_after(3_500_000, fault)
        answer = host.backup("full", "--volsize", "2")
        assert answer.status == 0, answer
        assert proxy.faults == 1
        proxy.break_after(3_500_000, fault, "down")
        assert host.is_restored()
        assert proxy.faults == 2
    host.url = straight
    assert [name for name in host.names() if name.startswith("tarragon.tmp")] == []
    assert host.run("verify", "--compare-data", host.url, host.source).status == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root can give the server users of its own")
@pytest.mark.requirement("R31")
@pytest.mark.parametrize("scheme", ["sftp", "scp"])
@pytest.mark.parametrize("way", ["url", "environment"])
def test_no_output_holds_the_password_at_the_highest_verbosity(host_of, tmp_path, told, scheme, way):
    """Right and wrong, with an unknown host key, with a broken connection: all traces are printed at -v9."""
    host = host_of(scheme)
    known = f"--ssh-options=-oUserKnownHostsFile={told['TB_SSH_KNOWN_HOSTS']}"
    said = b""
    with FaultyProxy(int(told["TB_SSH_PORT"])) as proxy:
        proxy.break_after(2_000, "reset")
        cases = [
            ("tbpass", int(told["TB_SSH_PORT"]), known, 0),
            ("canary%2Fwrong", int(told["TB_SSH_PORT"]), known, 51),
            ("canary%2Fwrong", int(told["TB_SSH_PORT"]), "--ssh-options=-oUserKnownHostsFile=/dev/null", 50),
            ("canary%2Fwrong", proxy.port, known, 50),
            ("canary%2Fwrong", 1, known, 50),
        ]
        for password, port, options, status in cases:
            host.options = ("--no-encryption", "-v9", "--num-retries", "1", "--timeout", "110", options)
            if way == "url":
                host.url = host.url_of(port, password)
            else:
                host.url, host.environment = host.url_of(port), {"BACKEND_PASSWORD": password.replace("%2F", "/")}
            answer = host.backup("full")
            assert answer.status == status, answer
            said += answer.out + answer.err
    assert b"Traceback" in said
    for secret in (b"tbpass", b"canary", b"%2Fwrong"):
        assert secret not in said


@pytest.mark.requirement("R34")
def test_an_unattended_backup_to_an_unknown_host_ends_with_an_error_and_a_hint(host_of, tmp_path):
    host = host_of("sftp")
    (tmp_path / "known").touch()
    options = f"--ssh-options=-oUserKnownHostsFile={tmp_path}/known -oStrictHostKeyChecking=no"
    host.options = ("--no-encryption", options)
    answer = host.backup("full")
    assert answer.status == 50, answer
    assert "is not known" in answer.text
    assert "hint: compare the fingerprint" in answer.text
    assert (tmp_path / "known").read_bytes() == b""
    assert host.names() == []
