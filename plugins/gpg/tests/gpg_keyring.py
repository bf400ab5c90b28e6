"""A keyring of its own, a run's context, and a count of what is left behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tarragon.api import Role, Secret, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api import Cipher

KEYS = Path(__file__).parent / "keys"
ENC = "055BF1B198969A0406708C4827AE08AF13B87367"
SIGN = "DDCD82D34F16ECE121DF2BAE3D1CEA8989547814"

PLAIN = b"one line of many, and all alike\n" * 20_000
SYMMETRIC: dict[str, Any] = {"env": {"PASSPHRASE": "open sesame"}}
PUBLIC: dict[str, Any] = {"env": {"PASSPHRASE": "encpass"}, "encrypt_key": [ENC]}
SIGNED: dict[str, Any] = {
    "env": {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"},
    "encrypt_key": [ENC],
    "sign_key": SIGN,
}
BOTH: dict[str, Any] = {"env": {"PASSPHRASE": "signpass", "SIGN_PASSPHRASE": "signpass"}, "sign_key": SIGN}


class FakeContext:
    """The little of a run that a plugin may see, without a terminal unless ``typed`` gives answers."""

    def __init__(self, env: dict[str, str], typed: list[str] | None = None, **options: Any) -> None:
        given: dict[str, Any] = {
            "action": "backup",
            "encrypt_key": None,
            "hidden_encrypt_key": None,
            "sign_key": None,
            "encrypt_sign_key": None,
            "encrypt_secret_keyring": None,
            "gpg_binary": None,
            "gpg_options": None,
            "use_agent": False,
            "use_gpgsm": False,
            "compression": True,
        }
        self.options = SimpleNamespace(**(given | options))
        self.env = env
        self.typed = typed
        self.asked: list[str] = []
        self.log = logging.getLogger("tarragon.test")

    def ask_password(self, prompt: str, *, env: tuple[str, ...] = ()) -> Secret:
        for name in env:
            if name in self.env:
                return Secret(self.env[name])
        if not self.typed:
            raise UserError(f"no terminal to ask for '{prompt}'")
        self.asked.append(prompt)
        return Secret(self.typed.pop(0))

    @contextlib.contextmanager
    def temp_file(self, suffix: str = "") -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            yield Path(file.name)


class Keyring:
    """A GNUPGHOME below /tmp: sockets of its agent need a short path."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="tg", dir="/tmp"))
        # A fifth of a second for each passphrase is what guessers should pay, not tests.
        (self.home / "gpg.conf").write_text("s2k-count 1024\n")
        (self.home / "gpg-agent.conf").write_text("s2k-count 1024\n")
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "GNUPGHOME": str(self.home), "LC_ALL": "C"}

    def gpg(self, *words: str, passphrase: str = "", data: bytes | None = None, program: str = "gpg") -> bytes:
        """Stock gpg or gpgsm, outside of what is tested."""
        quiet = ["-q", "--trust-model", "always"] if program == "gpg" else []
        reading, writing = os.pipe()
        os.write(writing, passphrase.encode())
        os.close(writing)
        try:
            return subprocess.run(
                [program, "--batch", "--no-tty", *quiet, "--pinentry-mode", "loopback"]
                + ["--passphrase-fd", str(reading), *words],
                env=self.env,
                input=data,
                capture_output=True,
                check=True,
                pass_fds=(reading,),
            ).stdout
        finally:
            os.close(reading)

    def add(self, name: str, secret: str = "") -> None:
        self.gpg("--import", str(KEYS / f"{name}-public.asc"))
        if secret:
            self.gpg("--import", str(KEYS / f"{name}-secret.asc"), passphrase=secret)

    def context(self, typed: list[str] | None = None, env: dict[str, str] | None = None, **options: Any) -> Any:
        """A Context of this keyring; Any, because it has only what a cipher asks for."""
        return FakeContext(self.env | (env or {}), typed, **options)

    def forget(self) -> None:
        """End the agent, which remembers passphrases."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env, check=False)

    def close(self) -> None:
        self.forget()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    """Both keys with their secrets."""
    ring = Keyring()
    ring.add("enc", "encpass")
    ring.add("sign", "signpass")
    yield ring
    ring.close()


@pytest.fixture
def fresh() -> Iterator[Keyring]:
    """An empty keyring to be filled by the test."""
    ring = Keyring()
    yield ring
    ring.close()


def sealed(cipher: Cipher, plain: bytes, role: Role = Role.VOLUME) -> bytes:
    with tempfile.TemporaryFile() as file:
        with cipher.sealing(file, role) as writer:
            writer.write(plain)
        file.seek(0)
        return file.read()


def opened(cipher: Cipher, message: bytes, role: Role = Role.VOLUME) -> bytes:
    with tempfile.TemporaryFile() as file:
        file.write(message)
        file.seek(0)
        with cipher.opening(file, role) as reader:
            return reader.read()


def fake_gpg(folder: Path, body: str) -> str:
    """A program that stands in for gpg, in shell."""
    program = folder / "fake-gpg"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o700)
    return str(program)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No descriptor and no child of ours more than before."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert not set(os.listdir("/proc/self/fd")) - before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def golden() -> Path:
    """Repositories made by the real duplicity (tests/golden)."""
    folder = Path(os.environ.get("TARRAGON_GOLDEN", Path(__file__).parents[3] / "tests" / "golden"))
    if not (folder / "gpg-symmetric").is_dir():
        pytest.skip(f"no golden archives in {folder}")
    return folder
