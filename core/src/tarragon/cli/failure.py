"""Errors → exit status, message, hint and record (docs/cli.md § 9, § 11)."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tarragon.api.errors import (
    AmbiguousOption,
    BackendError,
    Interrupted,
    NoTempSpace,
    OpenFileLimit,
    SourceError,
    TarragonError,
)
from tarragon.store.attempt import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from tarragon.record import RunLog

UNEXPECTED = 30
_MORE_FILES = "allow more with 'ulimit -n 256'"


def answer(err: BaseException, log: RunLog, *, prog: str, compat: bool) -> int:
    """Tell the user, and programs that read the records, what ended the run; its exit status."""
    if isinstance(err, KeyboardInterrupt | Interrupted):
        text = str(err) or "interrupted"
        log.warning("%s", text if compat else f"{text}\nhint: {hint_of(Interrupted(text))}")
        return Interrupted.exit_code
    if isinstance(err, AmbiguousOption):
        # No record: 2 is never an error number (docs/cli.md § 9).
        _tell_terminal(log, f"usage: {prog} [options] action [options] words\n{prog}: error: {err.message}")
        return err.exit_code
    if known := _of_system(err):
        return _foreseen(known, log, compat)
    if isinstance(err, TarragonError):
        return _foreseen(err, log, compat)
    kind = type(err).__name__
    text = f"{kind}: {err}" if str(err) else kind
    _record(log, f"{text}\nhint: nobody has foreseen this; -v9 shows where it happened", UNEXPECTED, (kind,))
    _trace(err, log)
    return UNEXPECTED


def not_shown(err: OSError) -> TarragonError:
    """What ends a run that did what was asked, and could not show what it found."""
    text = f"what there is to show could not be written whole: {err.strerror}"
    return SourceError(text, hint="standard output or the log file needs room; all else was done")


def hint_of(err: TarragonError) -> str:
    """What can be done: what was said where it happened, else what holds for all errors of its kind."""
    if err.hint:
        return err.hint
    lines = Path(__file__).with_name("hints.txt").read_text(encoding="utf-8").splitlines()
    hints = dict(line.split(": ", 1) for line in lines)
    return next(hints[kind.__name__] for kind in type(err).__mro__ if kind.__name__ in hints)


def _of_system(err: BaseException | None) -> TarragonError | None:
    """Too few open files, whatever stumbled over it; no room, where nobody has said for what.

    To look further, for a traceback say, would take one more file.
    """
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        where = "the temporary folder, the cache or the state has no room left"
        return NoTempSpace(where, hint="free some space there, or choose others: --tempdir, --archive-dir")
    for _ in range(50):  # contexts may go in a circle
        if isinstance(err, OSError) and err.errno in (errno.EMFILE, errno.ENFILE):
            return OpenFileLimit("too many open files", hint=_MORE_FILES, fields=("OSError",))
        err = None if err is None else err.__cause__ or err.__context__
    return None


def _foreseen(err: TarragonError, log: RunLog, compat: bool) -> int:
    status = err.exit_code
    err.hint = hint_of(err)  # a report tells it too
    text = f"{err.message}\nhint: {err.hint}"
    _record(log, text, status, err.fields or _class_word(err))
    if err.__cause__ is not None:
        log.info("because of %s: %s", type(err.__cause__).__name__, err.__cause__)
    _trace(err, log)
    if compat and isinstance(err, BackendError) and 51 <= status <= 53:
        # 3.2.1 tells the reason in the record alone; the run ends with 50.
        _record(log, f"{type(err).__name__}: {err.message}", BackendError.exit_code, ("BackendException",))
        return BackendError.exit_code
    return status


def _record(log: RunLog, text: str, number: int, fields: Sequence[str]) -> None:
    log.error("%s", text, extra={"number": number, "fields": tuple(fields)})


def _class_word(err: TarragonError) -> tuple[str, ...]:
    """duplicity's word for the class of an error, of the nearest class of ours that has one and that number."""
    rows = Path(__file__).with_name("classes.txt").read_text(encoding="utf-8").splitlines()
    words = {tuple(row.split()[:2]): row.split()[2] for row in rows}
    word = next((words[key] for k in type(err).__mro__ if (key := (k.__name__, str(err.exit_code))) in words), "")
    if word:
        return (word,) if word != "-" else ()
    return (type(err).__name__,) if err.exit_code == UNEXPECTED else ()


def _trace(err: BaseException, log: RunLog) -> None:
    log.debug("where it happened:", exc_info=err)


def _tell_terminal(log: RunLog, text: str) -> None:
    from .log import Terminal  # only for this

    Terminal(log).write("stderr", f"{text}\n")


def asked_for_compat(words: Sequence[str]) -> bool:
    """Whether ``--compat-exit`` is on the line: known before the line is understood, so that its errors fit."""
    return "--compat-exit" in words


@contextlib.contextmanager
def interruptible() -> Iterator[Stop]:
    """SIGTERM ends the run as Ctrl-C does: with what is under way put in order. Other threads are told.

    By the same exception, which nothing that looks after errors can take for one of a single entry.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def end(number: int, _frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if number == signal.SIGTERM or handler is signal.default_int_handler:  # else it is to be ignored
            signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
