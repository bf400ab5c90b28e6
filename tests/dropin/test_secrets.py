"""Canaries: no secret in the arguments or the environment of a program we start, in a log, an error or a file.

While a line runs, the process list is sampled: every descendant's arguments, and the environment of those that are
another program (a worker is a copy of ours, and a copy's environment is what the caller gave us).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
from pair import DROP_IN
from tarragon.plugin import finder

pytestmark = pytest.mark.slow

CANARIES = {
    "PASSPHRASE": "canary-passphrase-42",
    "SIGN_PASSPHRASE": "canary-sign-passphrase-43",
    "BACKEND_PASSWORD": "canary-backend-44",
    "FTP_PASSWORD": "canary-ftp-45",
}
IN_URL = "canary-url-46"


def _children(pid: int, thread: str) -> list[str]:
    """What a thread has started: the kernel tells, so that not every process has to be looked at again and again."""
    return Path("/proc", str(pid), "task", thread, "children").read_text().split()


class Sampler(threading.Thread):
    """Looks at the descendants of a process until it is told to stop."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.own = Path("/proc", str(root), "cmdline").read_bytes()
        self.seen: set[str] = set()
        self.arguments: set[bytes] = set()
        self.environments: set[bytes] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for pid in self._descendants():
                self._look(pid)
            time.sleep(0.003)

    def _descendants(self) -> list[int]:
        found = [self.root]
        for pid in found:
            try:
                threads = os.listdir(f"/proc/{pid}/task")
                found += [int(child) for thread in threads for child in _children(pid, thread)]
            except OSError:
                continue  # it is gone
        return found[1:]

    def _look(self, pid: int) -> None:
        proc = Path("/proc", str(pid))
        try:
            program = os.path.basename(os.readlink(proc / "exe"))
            arguments = (proc / "cmdline").read_bytes()
            environment = (proc / "environ").read_bytes()
        except OSError:
            return
        if b"\0" not in arguments or arguments == self.own:
            return  # not there yet, or a worker: a copy of ours, whose line the caller wrote
        self.arguments.add(arguments)
        if not program.startswith("python"):
            self.seen.add(program)
            self.environments.add(environment)


class Watched:
    """A home in which lines are run under the eyes of the sampler."""

    def __init__(self, home: programs.Household, place: Path) -> None:
        self.home = home
        self.place = place
        self.said = ""
        self.programs: set[str] = set()

    def run(self, *words: str, secrets: tuple[str, ...] = tuple(CANARIES), prefix: tuple[str, ...] = ()) -> int:
        log = self.place / "log"
        env = self.home.environment() | {name: CANARIES[name] for name in secrets}
        child = subprocess.Popen(
            [*prefix, DROP_IN.command, "-v9", f"--log-file={log}", *words],
            env=env,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        sampler = Sampler(child.pid)
        sampler.start()
        out = child.communicate(timeout=300)[0]
        sampler.done.set()
        sampler.join()
        said = out + log.read_bytes()
        self.said = said.decode("utf-8", "replace")
        self.programs |= sampler.seen
        for canary in (*CANARIES.values(), IN_URL):
            secret = canary.encode()
            assert secret not in said, self.said
            assert not [one for one in sampler.arguments if secret in one]
            assert not [one for one in sampler.environments if secret in one]
        return child.returncode

    def kept(self) -> list[Path]:
        """Files anywhere below the home or the place that hold a canary."""
        found = []
        for top in (self.home.folder, self.place):
            for path in top.rglob("*"):
                if path.is_file() and any(
                    canary.encode() in path.read_bytes() for canary in (*CANARIES.values(), IN_URL)
                ):
                    found.append(path)
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").write_bytes(os.urandom(300_000))
    with programs.Household() as home:
        yield Watched(home, tmp_path)


@pytest.mark.requirement("R24")
@pytest.mark.requirement("R31")
@pytest.mark.requirement("R32")
def test_a_symmetric_life_shows_no_secret(watched):
    assert watched.run("full", "--jsonstat", "src", "file://to") == 0
    (watched.place / "src" / "more").write_text("x")
    assert watched.run("incremental", "src", "file://to") == 0
    for words in (
        ["list-current-files", "file://to"],
        ["collection-status", "file://to"],
        ["verify", "file://to", "src"],
    ):
        assert watched.run(*words) == 0
    watched.home.forget()
    assert watched.run("restore", "file://to", "out") == 0
    assert "gpg" in watched.programs
    assert watched.kept() == []


@pytest.mark.requirement("R24")
@pytest.mark.requirement("R32")
def test_a_signing_key_that_needs_a_passphrase_gets_it_and_nobody_else(watched):
    gpg = ["gpg", "--homedir", str(watched.home.gnupg), "--batch", "--pinentry-mode", "loopback"]
    made = [*gpg, "--passphrase-fd", "0", "--quick-gen-key", "c <c@example.org>", "future-default", "default", "never"]
    subprocess.run(made, input=CANARIES["SIGN_PASSPHRASE"].encode(), check=True, capture_output=True)
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    key = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    words = ["full", f"--encrypt-sign-key={key}", "src", "file://to"]
    assert watched.run(*words, secrets=("SIGN_PASSPHRASE", "FTP_PASSWORD")) == 0
    assert "gpg" in watched.programs
    assert watched.kept() == []


@pytest.mark.requirement("R24")
@pytest.mark.requirement("R32")
def test_a_wrapper_that_calls_a_program_keeps_secrets_from_it(watched):
    if "par2" not in finder.names("wrapper") or shutil.which("par2") is None:
        pytest.skip("needs tarragon-par2 and the program par2")
    assert watched.run("full", "src", "par2+file://to") == 0
    assert "par2" in watched.programs
    assert watched.kept() == []


@pytest.mark.requirement("R31")
def test_errors_and_tracebacks_show_no_secret(watched):
    assert watched.run("full", "src", "file://to") == 0
    watched.home.forget()
    (watched.place / "wrong").write_text("another " + CANARIES["PASSPHRASE"])
    (watched.place / "wrong").chmod(0o600)
    status = watched.run("restore", "--passphrase-file=wrong", "file://to", "out", secrets=("SIGN_PASSPHRASE",))
    assert status == 31
    assert "Traceback" in watched.said


@pytest.mark.requirement("R31")
@pytest.mark.requirement("R32")
@pytest.mark.parametrize("scheme", ["sftp", "s3", "webdav", "ftp", "rsync", "lftp+sftp", "imap"])
def test_a_target_that_cannot_be_reached_shows_no_password(watched, scheme):
    if scheme not in finder.names("backend"):
        pytest.skip(f"no package for {scheme}:// is installed")
    url = f"{scheme}://somebody:{IN_URL}@127.0.0.1:9/there"
    words = ["full", "--num-retries=1", "--backend-retry-delay=0", "--timeout=5", "--no-encryption", "src", url]
    assert watched.run(*words) != 0
    assert watched.kept() == []


@pytest.mark.requirement("R24")
@pytest.mark.parametrize("way", ["file", "fd", "command"])
def test_a_passphrase_from_elsewhere_is_used_and_shows_nowhere(watched, way):
    secret = watched.place / "secret"
    secret.touch(mode=0o600)
    secret.write_text(CANARIES["PASSPHRASE"] + "\n")
    value = {"file": str(secret), "fd": "0", "command": f"cat {secret}"}[way]
    # As descriptor 0: the shell is told to open the file, so that no descriptor has to be passed through.
    prefix = ("/bin/sh", "-c", f'exec "$@" < {secret}', "sh") if way == "fd" else ()
    words = (f"--passphrase-{way}={value}", "src", "file://to")
    assert watched.run("full", *words, secrets=("FTP_PASSWORD",), prefix=prefix) == 0
    secret.unlink()
    assert watched.kept() == []
    watched.home.forget()
    assert watched.run("verify", "file://to", "src") == 0  # with the same one, from the environment


@pytest.mark.requirement("R24")
def test_the_order_of_secrets(watched):
    # What an option names comes before the variable.
    (watched.place / "other").write_text("another one\n")
    (watched.place / "other").chmod(0o600)
    assert watched.run("full", "--passphrase-file=other", "src", "file://to") == 0
    watched.home.forget()
    assert watched.run("verify", "file://to", "src") == 31
    assert watched.run("verify", "--passphrase-file=other", "file://to", "src") == 0
