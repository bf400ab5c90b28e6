"""The program par2: makes the recovery files of a file, and mends the file with them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tarragon.api import BackendError, BadOption, MissingPackage

if TYPE_CHECKING:
    from pathlib import Path

    from tarragon.api import Context

#: What the recovery files are called here; at the far side the object's name stands in its place.
LOCAL = "recovery"
_WRONG_WORDS = 3
#: Threads of par2 that wait for each other spin, unless told not to: beside our own workers that took eight times the
#: CPU (8 MiB on two busy cores: 5.6 s, and 0.7 s so).
_ENV = {"LC_ALL": "C", "OMP_WAIT_POLICY": "passive"}
_KEPT = {"PATH", "TMPDIR", "LD_LIBRARY_PATH"}


@dataclass(frozen=True)
class Par2:
    """How to call it. A call gets a folder of its own, so that it meets no other file whatever the names are."""

    program: str | None
    words: tuple[str, ...]
    redundancy: int
    volumes: int
    env: dict[str, str]

    def create(self, name: str, folder: Path) -> list[Path]:
        """Make the recovery files of the file ``name`` in ``folder``; where they are, the smallest first.

        With one volume where the file has too few blocks for several. Raises BackendError, MissingPackage.
        """
        for volumes in dict.fromkeys((self.volumes, 1)):
            amount = (f"-r{self.redundancy}", f"-n{volumes}", *self.words)
            ended = self._run("c", *amount, "-q", "-q", f"-a{LOCAL}.par2", "--", f"./{name}", folder=folder)
            made = sorted(folder.glob(f"{LOCAL}*.par2"), key=lambda path: path.stat().st_size)
            if ended.returncode == 0 and made:
                return made
            for path in made:
                path.unlink()
        raise BackendError(
            f"par2 cannot make recovery files for '{name}': {_said(ended)}",
            hint="look at --par2-options, --par2-redundancy (1 to 100) and --par2-volumes",
        )

    def repair(self, name: str, folder: Path) -> str:
        """Mend the file ``name`` in ``folder``, or make it anew; what par2 said where it cannot, else ""."""
        for words in dict.fromkeys((self.words, ())):
            ended = self._run("r", *words, "-q", "-q", "--", f"./{LOCAL}.par2", f"./{name}", folder=folder)
            if ended.returncode != _WRONG_WORDS:  # else they are words for making recovery files
                break
        return "" if ended.returncode == 0 else _said(ended)

    def must_be_there(self) -> str:
        """Where the program is. Raises MissingPackage."""
        if self.program is None:
            raise MissingPackage(
                "par2+ needs the program 'par2', which is not installed",
                hint="install par2cmdline (Debian: apt install par2)",
            )
        return self.program

    def _run(self, *words: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
        command = [self.must_be_there(), *words]
        try:
            return subprocess.run(
                command, cwd=folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError as err:
            raise BackendError(f"cannot run '{command[0]}': {err.strerror}") from err


def program(context: Context) -> Par2:
    """The program as the options of the run want it called. Raises BadOption."""
    options, env = context.options, context.env
    joined = " ".join(options.par2_options or ())
    try:
        words = tuple(shlex.split(joined))
    except ValueError as err:
        raise BadOption(f"--par2-options: '{joined}' cannot be split into words: {err}") from err
    kept = {name: env[name] for name in env if name in _KEPT or name.startswith("OMP_")}
    found = shutil.which("par2", path=env.get("PATH"))
    return Par2(found, words, options.par2_redundancy, options.par2_volumes, {**_ENV, **kept})


def _said(ended: subprocess.CompletedProcess[bytes]) -> str:
    lines = (ended.stderr + b"\n" + ended.stdout).decode("utf-8", "replace").split("\n")
    words = "; ".join(line.strip() for line in lines if line.strip())
    return words[:300] or f"exit status {ended.returncode}"
