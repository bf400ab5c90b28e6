"""What something does beside its work: its output, its log records, its naps, the files it touches."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def output() -> Iterator[Callable[[], str]]:
    """Catch what is written to standard output and standard error, by Python or below it; the function tells it."""
    text = io.StringIO()
    with tempfile.TemporaryFile() as file:

        def told() -> str:
            file.seek(0)
            return text.getvalue() + file.read().decode(errors="replace")

        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            with redirect_stdout(text), redirect_stderr(text):
                yield told
        finally:
            for number, fd in enumerate(saved, 1):
                os.dup2(fd, number)
                os.close(fd)


@contextmanager
def records() -> Iterator[list[str]]:
    """Catch the text of what is logged, whoever logs it."""
    found: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(f"{record.getMessage()} {record.exc_info or ''}")

    keeper = Keeper()
    logging.getLogger().addHandler(keeper)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(keeper)


@contextmanager
def naps(package: str) -> Iterator[list[float]]:
    """Catch the sleeps that modules of ``package`` want to take; they are not taken."""
    found: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.partition(".")[0] == package:
            found.append(seconds)
        else:
            real(seconds)

    holders: list[Any] = [time]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == package and getattr(module, "sleep", None) is real:
            holders.append(module)
    try:
        for holder in holders:
            holder.sleep = sleep
        yield found
    finally:
        for holder in holders:
            holder.sleep = real


_EVENTS = ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.connect", "os.remove", "os.mkdir")
_LOOKS = ("stat", "lstat", "access", "readlink")
_watchers: dict[int, list[str]] = {}  # thread → what it touched; an audit hook cannot be taken off again


def _audit(event: str, args: Any) -> None:
    if event in _EVENTS and (found := _watchers.get(threading.get_ident())) is not None:
        found.append(f"{event} {args[0] if args else ''}")


@contextmanager
def touches() -> Iterator[list[str]]:
    """Catch what this thread opens, lists, looks at, starts or connects to."""
    if not _watchers:
        sys.addaudithook(_audit)
        _watchers[0] = []  # from now on there is a hook
    found: list[str] = []
    real = {name: getattr(os, name) for name in _LOOKS}

    def looking(name: str) -> Callable[..., Any]:
        def look(*args: Any, **more: Any) -> Any:
            found.append(f"{name} {args[0] if args else ''}")
            return real[name](*args, **more)

        return look

    for name in _LOOKS:
        setattr(os, name, looking(name))
    _watchers[threading.get_ident()] = found
    try:
        yield found
    finally:
        _watchers.pop(threading.get_ident())
        for name, function in real.items():
            setattr(os, name, function)
