"""What a backup's events add up to, under the names of docs/format.md § 10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tarragon.api import FileSeen, FilesSame, Note, Role, SetCommitted, StoredVolume

if TYPE_CHECKING:
    from tarragon.api import Event, Outcome

#: The actions that end in statistics.
BACKUPS = ("backup", "full", "incremental")
#: Kinds of problem that are errors: an entry is not stored as it is.
_ERRORS = ("unreadable", "changed")


@dataclass
class Tally:
    """Counts of entries, and of bytes where a size is meant."""

    started: float = 0.0
    ended: float = 0.0
    walked: bool = False
    committed: bool = False
    source_files: int = 0
    source_size: int = 0
    new_files: int = 0
    new_size: int = 0
    deleted_files: int = 0
    changed_files: int = 0
    changed_size: int = 0
    raw_delta_size: int = 0
    stored_size: int = 0
    errors: int = 0
    #: Bytes of a large file, part of which is dealt with.
    in_ranges: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds of the walk; never negative, whatever was done to the clock."""
        return max(0.0, self.ended - self.started)

    @property
    def delta_entries(self) -> int:
        return self.new_files + self.changed_files + self.deleted_files

    @property
    def size_so_far(self) -> int:
        """Bytes of what is new or changed: unlike what stayed the same, they come in as the backup goes on."""
        return self.new_size + self.changed_size + self.in_ranges

    def record(self, event: Event) -> None:
        match event:
            case FileSeen():
                self._see(event)
            case FilesSame(entries, size):
                self.source_files += entries
                self.source_size += size
            case StoredVolume(role=Role.VOLUME):
                self.stored_size += event.size
            case SetCommitted():
                self.committed = True
            case Note("walk_started", data):
                self.started = float(data["time"])
            case Note("walk_ended", data):
                self.ended = float(data["time"])
                self.walked = True
            case Note("range", data):
                self.in_ranges += int(data["bytes"])
            case Note("problem", data):
                self.errors += data["kind"] in _ERRORS

    def _see(self, seen: FileSeen) -> None:
        self.in_ranges = 0  # ranges of one file follow each other, and with the last one the file is seen
        self.raw_delta_size += seen.delta_size
        if seen.change == "deleted":
            self.deleted_files += 1
        elif seen.change == "new":
            self.new_files += 1
            self.new_size += seen.size
        elif seen.change == "changed":
            self.changed_files += 1
            self.changed_size += seen.size
        if seen.change in ("new", "changed", "same"):
            self.source_files += 1
            self.source_size += seen.size

    def is_complete(self, outcome: Outcome) -> bool:
        """Whether the run was a backup that came to its end: with a set, or with nothing to be kept.

        A set may be committed and the run end with an error all the same: something was not readable.
        """
        return outcome.command in BACKUPS and self.walked and (self.committed or outcome.error is None)
