"""The line that a person at a terminal sees while a run goes on, and the terminal that it is drawn on.

Nothing is drawn where there is no terminal: no log and no mail ever has it.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from tarragon.api import FileSeen, Note

from .tally import BACKUPS, Tally
from .text import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from logging import Logger, LogRecord

    from tarragon.api import Event, Outcome

NOTICE = 25
_EVERY_S = 0.5
#: A rate means nothing before this.
_SETTLED_S = 2.0
#: The share that must be done before anything is said of the rest.
_TELLING = 0.01


class Line:
    """One line of a terminal that is drawn again and again, and wiped before anything else is written."""

    def __init__(self, log: Logger, stream: TextIO) -> None:
        self._log = log
        self._stream: TextIO | None = stream
        self._drawn = False
        log.addFilter(self._wiped)

    def draw(self, text: str) -> None:
        if self._log.isEnabledFor(NOTICE):
            self._write(f"\r\x1b[K{text}")
            self._drawn = True

    def end(self) -> None:
        """Wipe the line for good."""
        self._log.removeFilter(self._wiped)
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _wiped(self, record: LogRecord) -> bool:
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False
        return True

    def _write(self, text: str) -> None:
        stream = self._stream  # uploads log from threads of their own, and what they log wipes the line
        if stream is None:
            return
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):
            self._stream = None  # a terminal that is gone must not end a backup


def terminal(env: Mapping[str, str]) -> TextIO | None:
    """Where a line can be drawn: standard error, else standard output, if that is a terminal and no dumb one."""
    if env.get("TERM", "dumb") == "dumb":
        return None
    for stream in (sys.stderr, sys.stdout):
        try:
            if stream is not None and stream.isatty():
                return stream
        except ValueError:  # closed
            continue
    return None


class Live:
    """How far a backup, a restore or a verify has come: bytes, files, rate, and what is left where that is known.

    What is left is told from ``Note("total")`` (``--progress`` looks at the source first) or from the volumes that a
    restore needs: the line says which.
    """

    def __init__(self, log: Logger, stream: TextIO, action: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = Line(log, stream)
        self._action = action
        self._clock = clock
        self._begin = self._last = clock()
        self._tally = Tally()
        self._looked = 0
        self._restored = (0, 0)
        self._total: int | None = None
        self._volumes = (0, 0)

    def record(self, event: Event) -> None:
        self._tally.record(event)
        match event:
            case FileSeen(change="restored"):
                self._restored = self._restored[0] + 1, self._restored[1] + event.size
            case Note("total", data):
                self._total = int(data["bytes"])
            case Note("looked", data):
                self._looked = int(data["entries"])
            case Note("volume", data):
                self._volumes = int(data["done"]), int(data["of"])
        now = self._clock()
        if now - self._last >= _EVERY_S:
            self._last = now
            width = min(80, shutil.get_terminal_size().columns) - 1
            self._line.draw(self.text(now - self._begin)[:width])

    def document(self) -> None:
        """Nothing: this is about the run, not the set."""

    def close(self, outcome: Outcome) -> None:
        self._line.end()

    def text(self, seconds: float) -> str:
        """``1.20 GB of 2.90 GB new, 1234 files, 12.3 MB/s, 2 min left``."""
        if self._action in BACKUPS:
            done, files = self._tally.size_so_far, self._tally.new_files + self._tally.changed_files
            share = done / self._total if self._total else None
            of = f" of {readable(self._total)}" if self._total else ""
            parts = [f"{self._looked} looked at"] if self._looked and not share else []
            parts += [f"{readable(done)}{of} new", f"{files} files"]
        else:
            files, done = self._restored
            have, all_of = self._volumes
            share = have / all_of if all_of else None
            parts = [f"{have} of {all_of} volumes"] if all_of else []
            parts += [f"{files} files, {readable(done)}"] if files else []
        if seconds >= _SETTLED_S and done:
            parts.append(f"{readable(round(done / seconds))}/s")
        if share is not None and share >= _TELLING and seconds >= _SETTLED_S:
            parts.append(f"{left(seconds * (1 - min(1.0, share)) / min(1.0, share))} left")
        else:
            parts.append(f"{int(seconds) // 60}:{int(seconds) % 60:02} min")
        return ", ".join(parts)


def left(seconds: float) -> str:
    """``1 h 20 min``, ``3 min``, ``20 s``: no more exact than it can be."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def is_wanted(action: str, log: Logger, env: Mapping[str, str]) -> bool:
    """Whether an action takes long, and the user did not ask for silence."""
    return action in (*BACKUPS, "restore", "verify") and log.isEnabledFor(NOTICE) and not env.get("CI")
