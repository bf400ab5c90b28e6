"""Errors → exit status, message, hint and record (docs/cli.md § 9, § 11)."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from typing import TYPE_CHECKING

from tarragon.api.errors import (
    AmbiguousOption,
    BackendError,
    BadURL,
    CipherError,
    CollectionError,
    Interrupted,
    Locked,
    OpenFileLimit,
    SourceError,
    TarragonError,
    UnknownScheme,
    UserError,
)
from tarragon.store.attempt import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from tarragon.record import RunLog

#: duplicity's class words in ``ERROR`` records, by our classes; the first that fits counts.
_CLASS_WORDS: tuple[tuple[type[TarragonError], int, str], ...] = (
    (Locked, 23, ""),
    (BadURL, 23, "InvalidBackendURL"),
    (UnknownScheme, 23, "UnsupportedBackendScheme"),
    (UserError, 23, "CommandLineError"),
    (CollectionError, 30, "CollectionsError"),
    (SourceError, 30, "OSError"),
    (CipherError, 31, "GPGError"),
    (BackendError, 50, "BackendException"),
)
UNEXPECTED = 30


def answer(err: BaseException, log: RunLog, *, prog: str, compat: bool) -> int:
    """Tell the user, and programs that read the records, what ended the run; its exit status."""
    if isinstance(err, KeyboardInterrupt | Interrupted):
        log.warning("%s", err if str(err) else "interrupted")
        return Interrupted.exit_code
    if isinstance(err, AmbiguousOption):
        # No record: 2 is never an error number (docs/cli.md § 9).
        _tell_terminal(log, f"usage: {prog} [options] action [options] words\n{prog}: error: {err.message}")
        return err.exit_code
    if limit := _file_limit(err):
        return _foreseen(limit, log, compat)
    if isinstance(err, TarragonError):
        return _foreseen(err, log, compat)
    kind = type(err).__name__
    _record(log, f"{kind}: {err}" if str(err) else kind, UNEXPECTED, (kind,))
    _trace(err, log)
    return UNEXPECTED


def _file_limit(err: BaseException | None) -> OpenFileLimit | None:
    """Too few open files, whatever stumbled over it; to look further, for a traceback say, would take one more."""
    while err is not None:
        if isinstance(err, OSError) and err.errno in (errno.EMFILE, errno.ENFILE):
            return OpenFileLimit(
                "too many open files", hint="allow more with 'ulimit -n 256'; most runs need fewer than 64"
            )
        err = err.__cause__ or err.__context__
    return None


def _foreseen(err: TarragonError, log: RunLog, compat: bool) -> int:
    status = err.exit_code
    text = f"{err.message}\nhint: {err.hint}" if err.hint else err.message
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
    for kind, status, word in _CLASS_WORDS:
        if isinstance(err, kind) and err.exit_code == status:
            return (word,) if word else ()
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
