"""The block that is printed after a backup (docs/format.md § 10.1)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .tally import Tally

if TYPE_CHECKING:
    from logging import Logger

    from tarragon.api import Event, Outcome

#: The level of output that is shown at every verbosity.
SHOW = 60
#: A backup is no worse when these cannot be shown.
BESIDE = {"number": 1, "beside": True}
_TITLE = "--------------[ Backup Statistics ]--------------"


class Text:
    """Prints the block when a backup has come to its end."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._tally = Tally()

    def record(self, event: Event) -> None:
        self._tally.record(event)

    def document(self) -> None:
        """Nothing: the block is for people."""

    def close(self, outcome: Outcome) -> None:
        if self._tally.is_complete(outcome):
            self._log.log(SHOW, "%s", block(self._tally), extra=BESIDE)


def block(tally: Tally) -> str:
    """The block with its closing line and the empty line behind it."""
    lines = [
        _TITLE,
        f"StartTime {_moment(tally.started)}",
        f"EndTime {_moment(tally.ended)}",
        f"ElapsedTime {tally.elapsed:.2f} ({duration(tally.elapsed)})",
        f"SourceFiles {tally.source_files}",
        f"SourceFileSize {_size(tally.source_size)}",
        f"NewFiles {tally.new_files}",
        f"NewFileSize {_size(tally.new_size)}",
        f"DeletedFiles {tally.deleted_files}",
        f"ChangedFiles {tally.changed_files}",
        f"ChangedFileSize {_size(tally.changed_size)}",
        f"ChangedDeltaSize {_size(0)}",
        f"DeltaEntries {tally.delta_entries}",
        f"RawDeltaSize {_size(tally.raw_delta_size)}",
        f"TotalDestinationSizeChange {_size(tally.stored_size)}",
        f"Errors {tally.errors}",
        "-" * len(_TITLE),
        "",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """``2 hours 1 minute 5.20 seconds``: units that are zero are left out, but for the seconds."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    units = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in ((hours, "hour"), (minutes, "minute"))]
    units = [unit for unit in units if not unit.startswith("0 ")]
    return " ".join([*units, f"{rest / 100:.2f} seconds"])


def readable(size: int) -> str:
    """Three significant digits and a unit: ``8.01 KB``. Bytes below 1024 are counted."""
    if size < 1024:
        return "1 byte" if size == 1 else f"{size} bytes"
    amount = float(size)
    for unit in ("KB", "MB", "GB", "TB"):
        amount /= 1024
        if amount < 1024 or unit == "TB":
            break
    decimals = 2 if amount < 10 else 1 if amount < 100 else 0
    return f"{amount:.{decimals}f} {unit}"


def _size(size: int) -> str:
    return f"{size} ({readable(size)})"


def _moment(seconds: float) -> str:
    return f"{seconds:.2f} ({time.asctime(time.localtime(seconds))})"
