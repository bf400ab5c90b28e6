"""The statistics as JSON, printed and stored beside the set (docs/format.md § 10.2)."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from tarragon.api import Note

from .tally import Tally
from .text import BESIDE, SHOW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger

    from tarragon.api import Event, Outcome


class Document:
    """Prints the JSON when a backup has come to its end, and gives the same bytes to be stored."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._tally = Tally()
        self._meta: Mapping[str, Any] | None = None

    def record(self, event: Event) -> None:
        if isinstance(event, Note) and event.kind == "set":
            self._meta = event.data
        self._tally.record(event)

    def document(self) -> bytes | None:
        """The JSON; None for a set that is not kept, and before the end of the walk."""
        if self._meta is None or not self._tally.walked or self._meta.get("skipped_inc"):
            return None
        return as_json(self._tally, self._meta).encode("ascii")

    def close(self, outcome: Outcome) -> None:
        if self._meta is not None and self._tally.is_complete(outcome):
            self._log.log(SHOW, "%s", as_json(self._tally, self._meta), extra=BESIDE)


def as_json(tally: Tally, meta: Mapping[str, Any]) -> str:
    """The object with its keys in duplicity's order, pure ASCII, without a line end.

    ``meta`` may hold ``ConcurrentTransferStats``, which stands before the times. The sizes at the target are not in it,
    as duplicity's readers know it.
    """
    backup_meta = dict(meta)
    transfers = backup_meta.pop("ConcurrentTransferStats", None)
    backup_meta["target"] = without_password(_text(backup_meta.get("target", "")))
    backup_meta["source"] = _text(backup_meta.get("source", ""))
    content: dict[str, Any] = {
        "Filename": None,
        "StartTime": tally.started,
        "EndTime": tally.ended,
        "ElapsedTime": tally.elapsed,
        "Errors": tally.errors,
        "TotalDestinationSizeChange": None,
        "SourceFiles": tally.source_files,
        "SourceFileSize": tally.source_size,
        "NewFiles": tally.new_files,
        "NewFileSize": tally.new_size,
        "DeletedFiles": tally.deleted_files,
        "ChangedFiles": tally.changed_files,
        "ChangedFileSize": tally.changed_size,
        "ChangedDeltaSize": 0,
        "DeltaEntries": tally.delta_entries,
        "RawDeltaSize": tally.raw_delta_size,
        **({} if transfers is None else {"ConcurrentTransferStats": transfers}),
        "StartTime_str": _stamp(tally.started),
        "EndTime_str": _stamp(tally.ended),
        "backup_meta": backup_meta,
    }
    return json.dumps(content, indent=4)


def without_password(url: str) -> str:
    """``url`` with ``***`` for its password: duplicity writes it into every statistics object, we do not."""
    head, sep, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    return f"{head}{sep}{user}:***@{host}{slash}{path}" if at and colon else url


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else os.fsdecode(value)


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
