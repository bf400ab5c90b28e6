"""Where log records go: the terminal, and the machine-readable stream of docs/cli.md § 8 and § 11."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
from typing import IO, TYPE_CHECKING, TextIO

from tarragon.record import NOTICE, SHOW, RunLog, quoted_field

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NOTICE", "SHOW", "RunLog", "make_log", "quoted_field", "threshold", "verbosity"]

#: -v 0 to 9 → the lowest level that is shown. 6 and 8 add a few lines each (levels 16 and 12).
_THRESHOLDS = (40, 40, 30, NOTICE, NOTICE, 20, 16, 16, 12, 10)
_WORDS = {"error": 0, "warning": 2, "notice": 3, "info": 5, "debug": 9}
_LETTERS = {word[0]: value for word, value in _WORDS.items()}

#: A list of files must stay right when a file is called like a weak passphrase: there only longer secrets are hidden.
OUTPUT_SECRET = 12
#: The reader has gone away, or there never was one: no error.
_GONE = (errno.EPIPE, errno.EBADF)


def verbosity(text: str) -> int:
    """0 to 9 for what ``-v`` was given. Raises BadOption."""
    word = text.lower()
    if word in _WORDS or word in _LETTERS:
        return _WORDS.get(word, _LETTERS.get(word, 0))
    with contextlib.suppress(ValueError):
        if 0 <= int(text) <= 9:
            return int(text)
    from tarragon.api.errors import BadOption  # the api costs 20 ms: --version does without

    raise BadOption(
        f"'{text}' is not a verbosity", hint="-v takes 0 to 9, or error, warning, notice, info, debug (3 is notice)"
    )


def threshold(level: int) -> int:
    """The lowest level of records that verbosity 0 to 9 shows."""
    return _THRESHOLDS[level]


def make_log(
    level: int = 3, *, machine: Iterable[IO[bytes]] = (), timestamp: bool = False, aside: bool = False
) -> RunLog:
    """The log of a run. Records go to the terminal and to every stream of ``machine``.

    ``aside`` leaves standard output to a report: text goes to standard error, and what the report lists is left out.
    """
    log = RunLog(threshold(level))
    log.addHandler(Terminal(log, timestamp, aside))
    for stream in machine:
        log.addHandler(Machine(log, stream))
    return log


def keyword(record: logging.LogRecord) -> str:
    """The word that stands for a record's level."""
    if record.levelno >= SHOW:
        return "NOTICE" if _number(record) in (1, 16) else "INFO"
    for level, word in ((40, "ERROR"), (30, "WARNING"), (NOTICE, "NOTICE"), (11, "INFO")):
        if record.levelno >= level:
            return word
    return "DEBUG"


def _number(record: logging.LogRecord) -> int:
    return int(getattr(record, "number", 1))


class _Handler(logging.Handler):
    """Common to both: text without secrets."""

    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self.log = log

    def text(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        shortest = OUTPUT_SECRET if record.levelno >= SHOW else 4
        if record.exc_info:
            text = f"{text}\n{''.join(traceback.format_exception(*record.exc_info)).rstrip()}"
        return self.log.redacted(text, shortest)

    def missed(self, record: logging.LogRecord, err: Exception | None) -> None:
        """Remember what nobody will read, if it is what the run is for and a reader waits for it."""
        is_answer = record.levelno >= SHOW and not getattr(record, "beside", False)
        if is_answer and isinstance(err, OSError) and err.errno not in _GONE:
            self.log.lost = err

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A mistake of ours in a log call must be seen in tests, and what cannot be written must not end a backup."""
        kind, err, _ = sys.exc_info()
        if kind is not None and not issubclass(kind, OSError):
            raise err if err else kind()


class Terminal(_Handler):
    """Errors to standard error, all else to standard output. A closed one is given up quietly."""

    def __init__(self, log: RunLog, timestamp: bool = False, aside: bool = False) -> None:
        super().__init__(log)
        self._timestamp = timestamp
        self._aside = aside
        self._closed: dict[str, Exception] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = self.text(record)
        if (not text and _number(record) != 1) or (self._aside and getattr(record, "about", None) is not None):
            return
        if self._timestamp:
            stamp = logging.Formatter().formatTime(record)
            text = f"{stamp} {keyword(record):<6} {text}"
        stream = "stderr" if self._aside or 40 <= record.levelno < SHOW else "stdout"
        self.write(stream, f"{self._folded(stream, text) if record.levelno < SHOW else text}\n")
        self.missed(record, self._closed.get(stream))

    def _folded(self, stream: str, text: str) -> str:
        """Messages, not output, in whole words, where a person reads them at a terminal."""
        if not (getattr(sys, stream) and getattr(sys, stream).isatty()):
            return text
        import shutil  # for terminals only
        import textwrap

        width = max(20, shutil.get_terminal_size().columns - 1)
        fold = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ")
        return "\n".join(fold.fill(line) if len(line) > width else line for line in text.split("\n"))

    def write(self, name: str, text: str) -> None:
        """Write to "stdout" or "stderr"."""
        stream = getattr(sys, name)
        if stream is None or name in self._closed:
            return
        try:
            _write_text(stream, text)
        except (OSError, ValueError) as err:
            self._closed[name] = err
            _abandon(stream)


def _write_text(stream: TextIO, text: str) -> None:
    """File names that are not UTF-8 come out as the bytes they are; what the terminal cannot show, as escapes."""
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text)
        return
    encoding = stream.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "backslashreplace")
    stream.flush()
    binary.write(data)
    binary.flush()


def _abandon(stream: IO[str]) -> None:
    """Let the interpreter's own flush at exit find nothing to complain about."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, stream.fileno())
        os.close(null)


class Machine(_Handler):
    """Keyword line, data lines, text lines, an empty line; see docs/cli.md § 11."""

    def __init__(self, log: RunLog, stream: IO[bytes]) -> None:
        super().__init__(log)
        self._stream = stream
        self._failed: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._failed is None:
            self._write(record)
        self.missed(record, self._failed)

    def _write(self, record: logging.LogRecord) -> None:
        text = self.text(record)
        fields = [self.log.redacted(str(field), OUTPUT_SECRET) for field in getattr(record, "fields", ())]
        lines = [" ".join([keyword(record), str(_number(record)), *fields])]
        lines += [self.log.redacted(line, OUTPUT_SECRET) for line in getattr(record, "data", ())]
        if text:
            lines += [f". {line}" for line in text.split("\n")]
        data = "\n".join(lines).encode("utf-8", "backslashreplace") + b"\n\n"
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError as err:
            self._failed = err

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        super().close()
