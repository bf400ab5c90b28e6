"""The preload shim from Python: build it, arm it for one run, and read what it counted."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("shim.c")


class Call(NamedTuple):
    """One counted call: its number, in which of the folders, what it was, and on what."""

    number: int
    place: str
    op: str
    path: str
    is_hit: bool


def is_possible() -> bool:
    """Whether this system can preload at all."""
    return sys.platform == "linux" and shutil.which("cc") is not None


@lru_cache(maxsize=1)
def library() -> Path:
    """The shim, built once for this process in a folder that outlives it by nothing that matters."""
    made = Path(tempfile.mkdtemp(prefix="tg-shim-")) / "shim.so"
    words = ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(words, check=True)
    return made


class Shim:
    """The shim for the runs of one stage, one after the other. ``folders`` are named places."""

    def __init__(self, place: Path, folders: dict[str, Path]) -> None:
        self._counter = place / "shim.counter"
        self._log = place / "shim.log"
        self._folders = folders

    def armed(self, at: int = 0, act: str = "", ops: str = "changes", *, error: int = 0, until: int | None = None
              ) -> dict[str, str]:  # fmt: skip
        """The environment of a run in which call number ``at`` goes wrong; 0 only counts."""
        self._counter.write_bytes(bytes(8))
        self._log.unlink(missing_ok=True)
        env = {
            "LD_PRELOAD": str(library()),
            "SHIM_FOLDERS": ":".join(f"{name}={os.path.realpath(path)}" for name, path in self._folders.items()),
            "SHIM_OPS": ops,
            "SHIM_COUNTER": str(self._counter),
            "SHIM_LOG": str(self._log),
            "SHIM_AT": str(at),
            "SHIM_DO": act,
            "SHIM_ERROR": str(error),
        }
        return env if until is None else env | {"SHIM_UNTIL": str(until)}

    @property
    def count(self) -> int:
        """How many calls counted in the last run."""
        (number,) = struct.unpack("Q", self._counter.read_bytes()[:8])
        return int(number)

    def calls(self) -> list[Call]:
        """The counted calls of the last run, in order."""
        found = []
        lines = self._log.read_text("utf-8", "backslashreplace").splitlines() if self._log.exists() else []
        for line in lines:
            number, place, op, path, *hit = line.split("\t")
            found.append(Call(int(number), place, op, path, bool(hit)))
        return sorted(found)

    def hit(self) -> Call | None:
        """The call that went wrong."""
        return next((call for call in self.calls() if call.is_hit), None)

    def totals(self) -> Counter[str]:
        """Counted calls by place."""
        return Counter(call.place for call in self.calls())
