"""How far a backup has come: records for programs, and lines of text (docs/cli.md § 8, § 11)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tarragon.api import Note, Role, StoredVolume

from .tally import BACKUPS, Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from tarragon.api import Event, Outcome

INFO, NOTICE = 20, 25
_WIDTH = 40


class SourceBytes:
    """``INFO 2``: the bytes of what is new or changed so far, after each volume, once a second, and at the end.

    A dry run ends with the total: programs that make one first know from it how far the backup has come.
    """

    def __init__(self, log: Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._tally = Tally()
        self._told = -1
        self._last = clock()
        self._volumes = 0

    def record(self, event: Event) -> None:
        self._tally.record(event)
        if isinstance(event, StoredVolume) and event.role is Role.VOLUME:
            self._volumes += 1
            self._tell(f"{self._volumes} volumes stored" if self._volumes > 1 else "1 volume stored")
        elif self._clock() - self._last >= 1:
            self._tell("")

    def document(self) -> None:
        """Nothing: this is about the run, not the set."""

    def close(self, outcome: Outcome) -> None:
        if outcome.command in BACKUPS and self._tally.size_so_far != self._told:
            self._tell("")

    def _tell(self, text: str) -> None:
        self._last = self._clock()
        self._told = self._tally.size_so_far
        self._log.log(INFO, "%s", text, extra={"number": 2, "fields": (str(self._told),)})


class Progress:
    """``NOTICE 16``, and a line of text for each.

    The total, of what is new or changed, comes from ``Note("total", {"bytes": …})``; without it there is neither
    percentage nor time left. ``quiet`` leaves the text out: on a terminal there is a line that is kept up to date.
    """

    def __init__(
        self,
        log: Logger,
        rate_s: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        quiet: bool = False,
    ) -> None:
        self._log = log
        self._rate = max(1, rate_s)
        self._clock = clock
        self._quiet = quiet
        self._tally = Tally()
        self._total: int | None = None
        self._begin: float | None = None
        self._last = 0.0
        self._before = (-1, -1)

    def record(self, event: Event) -> None:
        now = self._clock()
        if self._begin is None:
            self._begin = self._last = now
        self._tally.record(event)
        if isinstance(event, Note) and event.kind == "total":
            self._total = int(event.data["bytes"])
        if now - self._last >= self._rate:
            self._last = now
            self._report(now - self._begin, done=False)

    def document(self) -> None:
        """Nothing: this is about the run, not the set."""

    def close(self, outcome: Outcome) -> None:
        if self._begin is not None and self._tally.is_complete(outcome):
            self._report(self._clock() - self._begin, done=True)

    def _report(self, seconds: float, *, done: bool) -> None:
        sent = self._tally.stored_size
        now = (sent, self._tally.size_so_far)
        stalled = not done and now == self._before
        self._before = now
        speed = int(sent / seconds) if seconds > 0 else sent
        percent = 100 if done else self._percent()
        left = 0 if done or not percent else round(seconds * (100 - percent) / percent)
        fields = (sent, int(seconds), percent or 0, left, speed, int(stalled))
        text = line(sent, int(seconds), speed, percent, left, stalled=stalled)
        extra = {"number": 16, "fields": tuple(str(field) for field in fields)}
        self._log.log(NOTICE, "%s", "" if self._quiet else text, extra=extra)

    def _percent(self) -> int | None:
        """How much of what is new or changed is dealt with: 99 at the most, while the last volume is on its way."""
        if not self._total:
            return None
        return min(99, self._tally.size_so_far * 100 // self._total)


def line(sent: int, seconds: int, speed: int, percent: int | None, left: int, *, stalled: bool = False) -> str:
    """``9.4MB 00:00:01 [2.8MB/s] [=====>     ] 31% ETA 2sec``; the bar is left out where the total is unknown."""
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    text = f"{_short(sent)} {clock} [{_short(speed)}/s]"
    if percent is not None:
        bar = "=" * (_WIDTH * percent // 100) + ">"
        text += f" [{bar:<{_WIDTH + 1}}] {percent}%"
    if stalled:
        return f"{text} stalled"
    return text if percent is None else f"{text} ETA {_left(left, known=percent > 0)}"


def _short(size: int) -> str:
    amount = size / 1024
    for unit in ("KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}TB"


def _left(seconds: int, *, known: bool) -> str:
    if not known:
        return "?"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours}h {minutes}min"
    return f"{minutes}min {seconds % 60}sec" if minutes else f"{seconds}sec"
