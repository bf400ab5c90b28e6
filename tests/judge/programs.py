"""Run Tarragon and the real duplicity, each as a process with an environment of its own.

Everything here treats a program as a black box: a command line, an exit status, two streams. The program under test is
the command ``tarragon`` beside the running interpreter; ``TARRAGON_PROGRAM`` names another one (the tests themselves
were tried with duplicity in that place). The real duplicity lives in ``.venv-duplicity`` beside ``.venv``
(duplicity_environment.py makes it); ``TARRAGON_DUPLICITY`` names another one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
GOLDEN = CHECKOUT / "tests" / "golden"
JUDGE = Path(__file__).resolve().parent
IS_ROOT = os.geteuid() == 0

ENCRYPT_KEY = "055BF1B198969A0406708C4827AE08AF13B87367"
SIGN_KEY = "DDCD82D34F16ECE121DF2BAE3D1CEA8989547814"


class Program(NamedTuple):
    """A command that understands duplicity's command line."""

    command: str
    is_ours: bool

    @property
    def letter(self) -> str:
        """``T`` for Tarragon, ``D`` for duplicity."""
        return "T" if self.is_ours else "D"

    def exists(self) -> bool:
        return shutil.which(self.command) is not None


class Answer(NamedTuple):
    """What a program said: its exit status, its two streams, and its machine-readable records."""

    words: tuple[str, ...]
    status: int
    out: bytes
    err: bytes
    records: bytes = b""

    @property
    def text(self) -> str:
        """Both streams, for assertions on messages and for reports."""
        return (self.out + self.err).decode("utf-8", "backslashreplace")

    def __str__(self) -> str:
        return f"$ {' '.join(self.words)}\nexit status {self.status}\n{self.text[-4000:]}"


def program_under_test() -> Program:
    """The command to test."""
    named = os.environ.get("TARRAGON_PROGRAM")
    if named:
        return Program(named, Path(named).name.startswith("tarragon"))
    return Program(str(Path(sys.executable).parent / "tarragon"), True)


def duplicity() -> Program:
    """The real duplicity 3.2.1, which may be missing: ask ``exists()``."""
    ours = CHECKOUT / ".venv-duplicity" / "bin" / "duplicity"
    return Program(os.environ.get("TARRAGON_DUPLICITY", str(ours)), False)


class Household:
    """A home folder: cache, state, configuration, temporary files and gpg keys that nothing else on the machine sees.

    The folder has a short path of its own because gpg-agent's socket must fit into 108 bytes. ``close`` removes it and
    ends the agent that gpg started there.
    """

    def __init__(self, owner: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tg-"))
        self.gnupg = self.folder / "gnupg"
        self.gnupg.mkdir(mode=0o700)
        (self.folder / "tmp").mkdir()
        for name in ("gpg.conf", "gpg-agent.conf"):  # passphrases of tests need no million rounds of hashing
            (self.gnupg / name).write_text("s2k-count 65536\n")
        self.owner = owner
        if owner is not None:
            for path in (self.folder, self.gnupg, self.folder / "tmp"):
                os.chown(path, owner, owner)

    def __enter__(self) -> Household:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        ending = ["gpgconf", "--homedir", str(self.gnupg), "--kill", "all"]
        subprocess.run(ending, check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """What a program started here sees; of the caller's environment only the instruction path that is forced."""
        path = {name: os.environ[name] for name in ("TARRAGON_LIBRSYNC",) if name in os.environ}
        return path | {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.folder / "tmp"),
            "GNUPGHOME": str(self.gnupg),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
        }

    def import_keys(self, *files: Path) -> None:
        """Put keys into the ring of this home."""
        for file in files:
            words = ["gpg", "--homedir", str(self.gnupg), "--batch", "--quiet", "--pinentry-mode", "loopback"]
            subprocess.run([*words, "--passphrase", "", "--import", str(file)], check=True, capture_output=True)

    def import_golden_keys(self) -> None:
        """Put the two throwaway keys of the golden set into the ring."""
        self.import_keys(*sorted((GOLDEN / "keys").glob("*-secret.asc")))

    def forget(self) -> None:
        """Lose cache and state, as another machine would."""
        for name in ("cache", "state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def run(
        self,
        program: Program,
        *words: str | Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        wait_s: float = 300,
        records: bool = False,
        prefix: tuple[str, ...] = (),
    ) -> Answer:
        """Run ``program`` and wait for it; standard input is empty and there is no terminal.

        ``prefix`` is a command to run it under (``setpriv``, ``prlimit``); with ``records`` the machine-readable stream
        is collected too. A program that does not end in ``wait_s`` raises ``subprocess.TimeoutExpired``.
        """
        given = tuple(str(word) for word in words)
        log = self.folder / "records.log"
        extra = ("--log-file", str(log)) if records else ()
        log.unlink(missing_ok=True)
        ended = subprocess.run(
            [*prefix, program.command, *given, *extra],
            env=self.environment() | (env or {}),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=wait_s,
            check=False,
            start_new_session=True,
        )
        seen = log.read_bytes() if records and log.exists() else b""
        return Answer((program.command, *given), ended.returncode, ended.stdout, ended.stderr, seen)


NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def nobody_can_run(program: Program) -> bool:
    """Whether we are root, and another user can reach the program (a checkout below /root is closed to others)."""
    if not IS_ROOT:
        return False
    command = [*AS_NOBODY, program.command, "--version"]
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def judged(*words: str | Path) -> tuple[bool, str]:
    """Ask compare_tree.py, in a process of its own: are they equal, and what did it say?"""
    command = [sys.executable, str(JUDGE / "compare_tree.py"), *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    return ended.returncode == 0, ended.stdout + ended.stderr


def describe(tree: Path, into: Path) -> None:
    """Write the description of a tree with compare_tree.py."""
    command = [sys.executable, str(JUDGE / "compare_tree.py"), "--describe", str(tree)]
    with into.open("wb") as file:
        subprocess.run(command, stdout=file, check=True)


def tree_hash(*trees: Path) -> str:
    """Ask tree_hash.py for the hash of some trees."""
    command = [sys.executable, str(JUDGE / "tree_hash.py"), *map(str, trees)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def ownership() -> tuple[str, ...]:
    """The options of compare_tree.py that fit the user who runs the tests."""
    return () if IS_ROOT else ("--no-owner", "--no-devices")
