"""``--json``: a run as one document on standard output (docs/report.schema.json).

The document begins with what is known at once. Then comes ``result``, what the action found; what may be long in it, a
list of files say, is written as it comes, an element a line. How the run ended stands at the end.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from tarragon.api import Note, Outcome, SetCommitted, SetInfo, TarragonError, hookimpl

from .tally import BACKUPS, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tarragon.api import Context, Event, Sink

SCHEMA = "tarragon-report/1"
#: More messages and problems than anybody reads are counted, not kept.
MOST = 10_000
_WORDS = ((40, "error"), (30, "warning"), (25, "notice"), (11, "info"))
_SHOWN = 60
#: Exit status → what it means where no error ended the run.
OUTCOMES = {0: "success", 1: "different", 100: "incomplete", 101: "incomplete", 102: "alarm"}
#: What is long in the result of an action. Of a backup or a restore it is there for a dry run.
LISTS = {"list-current-files": "entries", "verify": "differences", "restore": "entries"} | dict.fromkeys(
    BACKUPS, "changes"
)
_DRY = (*BACKUPS, "restore")
#: Facts that hold a second since 1970.
_MOMENTS = frozenset({"time", "start", "modified", "newest_intact", "when"})


class Report(logging.Handler):
    """Hears the log, the events and the end of a run, and writes the document.

    Standard output is written to directly: the log does not, where a report is asked for.
    """

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        log.addHandler(self)
        self._log = log
        self._begun = time.time()
        self._command: str | None = None
        self._facts: Mapping[str, Any] = {}
        self._messages: list[dict[str, Any]] = []
        self._problems: list[dict[str, Any]] = []
        self._dropped = 0
        self._tally = Tally()
        self._set: SetInfo | None = None
        self._list: str | None = None
        self._count = 0
        self._is_open = True

    # -- what is heard ------------------------------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        about = getattr(record, "about", None)
        if about is not None:
            self._stream(*about)
        elif record.levelno < _SHOWN and (record.levelno >= 25 or self._log.isEnabledFor(10)):
            level = next((word for least, word in _WORDS if record.levelno >= least), "debug")
            text = self._hidden(record.getMessage())
            self._keep(self._messages, {"level": level, "number": getattr(record, "number", 1), "text": text})

    def _keep(self, among: list[dict[str, Any]], what: dict[str, Any]) -> None:
        if len(among) < MOST:
            among.append(what)
        else:
            self._dropped += 1

    def record(self, event: Event) -> None:
        self._tally.record(event)
        if isinstance(event, Note) and event.kind == "problem":
            self._keep(self._problems, dict(event.data))
        elif isinstance(event, SetCommitted):
            self._set = event.info

    def document(self) -> None:
        """Nothing: this is about the run, not the set."""

    def close(self, outcome: Outcome | None = None) -> None:
        """As a sink and as a handler: nothing to let go of."""
        if outcome is None:
            super().close()

    @hookimpl
    def make_sinks(self, names: Sequence[str]) -> Iterable[Sink]:
        return [self]

    @hookimpl
    def run_started(self, command: str) -> None:
        self._command = command

    @hookimpl
    def run_finished(self, outcome: Outcome, context: Context) -> None:
        self._facts = outcome.facts

    # -- what is written ----------------------------------------------------------------------------------------------

    @hookimpl
    def ended(self, exit_code: int, error: BaseException | None) -> None:
        facts = dict(self._facts)
        alarms = facts.pop("alarms", [])
        if self._list is None:
            self._write(self._head())
        result = self._result(facts)
        self._write(("\n], " if self._list else "") + _members(result) + "}, ")
        tail = {
            "ended": _moment(time.time()),
            "exit_code": exit_code,
            "outcome": "failure" if error is not None else OUTCOMES.get(exit_code, "failure"),
            "error": self._error(exit_code, error),
            "alarms": alarms,
            "messages": self._messages,
            "dropped": self._dropped,
        }
        self._write(_members(_plain(tail)) + "}\n", is_last=True)

    def _head(self) -> str:
        head = {
            "schema": SCHEMA,
            "program": "tarragon",
            "version": _version(),
            "command": self._command,
            "started": _moment(self._begun),
        }
        return "{" + _members(head) + ', "result": {'

    def _result(self, facts: dict[str, Any]) -> dict[str, Any]:
        if self._command in BACKUPS:
            facts["problems"] = self._problems
            facts["set"] = self._set
            facts["statistics"] = _statistics(self._tally) if self._tally.walked else None
        empty = LISTS.get(self._command or "")
        if empty and not self._list and (self._command not in _DRY or facts.get("dry_run")):
            facts[empty] = []
        found: dict[str, Any] = _plain(facts)
        return found

    def _stream(self, name: str, values: Mapping[str, Any]) -> None:
        """One element of the list that is written as it comes."""
        if self._list is None:
            self._list = name
            self._write(f"{self._head()}{json.dumps(name)}: [\n")
        self._write((",\n" if self._count else "") + json.dumps(_plain(values)))
        self._count += 1

    def _error(self, exit_code: int, error: BaseException | None) -> dict[str, Any] | None:
        if error is None:
            return None
        known = error if isinstance(error, TarragonError) else None
        return {
            "kind": type(error).__name__,
            "number": known.exit_code if known else exit_code,
            "message": self._hidden(str(error) or type(error).__name__),
            "hint": self._hidden(known.hint) if known else "",
        }

    def _hidden(self, text: str) -> str:
        """Text without what the log never shows."""
        return str(getattr(self._log, "redacted", str)(text))

    def _write(self, text: str, *, is_last: bool = False) -> None:
        stream = sys.stdout
        if stream is None or not self._is_open:
            return
        try:
            stream.write(text)
            if is_last:
                stream.flush()
        except (OSError, ValueError) as err:
            self._is_open = False
            if isinstance(err, OSError) and err.errno != errno.EPIPE:
                self._log.lost = err  # type: ignore[attr-defined] # of the run's log: tarragon.api.hooks, make_report
            with contextlib.suppress(OSError, ValueError):
                # A reader that has gone away has read enough.
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, stream.fileno())  # the interpreter's own flush at exit finds nothing to complain about
                os.close(null)


def _version() -> str:
    from importlib.metadata import version  # the entry points have loaded it

    return version("tarragon-core")


def _members(values: Mapping[str, Any]) -> str:
    """The members of an object without its braces."""
    return json.dumps(values)[1:-1]


def _plain(value: Any) -> Any:
    """A fact as JSON can say it.

    A name that is not UTF-8 has U+FFFD where bytes could not be read, and ``NAME_b64`` beside it holds all its bytes.
    """
    if isinstance(value, bytes | str):
        return _text(value)
    if isinstance(value, SetInfo):
        return _plain({name: getattr(value, name) for name in value.__slots__})
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if not hasattr(value, "items"):
        return value
    found: dict[str, Any] = {}
    for key, each in value.items():
        name = _text(key)
        if name in _MOMENTS and isinstance(each, int):
            found[name] = _moment(each)
            continue
        found[name] = _plain(each)
        if isinstance(each, bytes | str) and not _is_text(each):
            found[f"{name}_b64"] = base64.b64encode(os.fsencode(each)).decode("ascii")
    return found


def _is_text(value: bytes | str) -> bool:
    try:
        value.decode("utf-8") if isinstance(value, bytes) else value.encode("utf-8")
    except UnicodeError:
        return False
    return True


def _text(value: bytes | str) -> str:
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "replace")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _statistics(tally: Tally) -> dict[str, Any]:
    return {
        "source_files": tally.source_files,
        "source_bytes": tally.source_size,
        "new_files": tally.new_files,
        "new_bytes": tally.new_size,
        "changed_files": tally.changed_files,
        "changed_bytes": tally.changed_size,
        "deleted_files": tally.deleted_files,
        "delta_bytes": tally.raw_delta_size,
        "stored_bytes": tally.stored_size,
        "errors": tally.errors,
        "seconds": round(tally.elapsed, 3),
    }
