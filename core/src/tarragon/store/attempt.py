"""Attempt: one call into a driver, made in a thread of its own, so that a call that hangs can be given up (R64).

Deadlines are on what does not move, never on how long a transfer takes: each byte at a stream begins the time anew.
"""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast

from tarragon.api.errors import Interrupted, Transient
from tarragon.api.operation import OPERATION, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from tarragon.api import Source

T = TypeVar("T")

#: The name of threads that are inside a driver: one that is left at the end of the program hangs there.
FAR_SIDE = "tarragon far side"
#: What moves fewer bytes than this within the timeout does not move: else a byte a second could hold us for ever (R35).
LEAST = 1 << 16
#: What may still be in the system's buffers when a source has been read to its end.
_TAIL = 4 * LEAST
_LOOK_S = 0.5
#: A run that is stopped gives up what is under way after so long, and what it begins then after the second (R53).
_GRACE_S, _LAST_S = 4.0, 1.5
_NEVER = float("inf")


class GivenUp(Transient):
    """A call into a driver did not come back in time: it may still hang there, and its connection with it."""


class Stop:
    """Whether the run is to end: pauses end at once, calls into drivers a little later. Without locks, for signals."""

    def __init__(self) -> None:
        self.at = _NEVER

    def set(self) -> None:
        """The run is to end: what is under way has a little time left."""
        self.at = min(self.at, time.monotonic() + _GRACE_S)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Interrupted when the run is to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.at < _NEVER:
                raise Interrupted("the run is stopped")
            time.sleep(min(left, _LOOK_S))


class Bucket:
    """So many KiB a second, for all who take from it together; 0: as many as they want."""

    def __init__(self, kib_s: float) -> None:
        self._rate = kib_s * 1024
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int, alive: Callable[[], object]) -> None:
        """Return when so many bytes may have passed; ``alive`` is called while that is waited for."""
        if not self._rate or not count:
            return
        with self._lock:
            self._free_at = due = max(time.monotonic(), self._free_at) + count / self._rate
        while (left := due - time.monotonic()) > 0:
            alive()
            time.sleep(min(left, _LOOK_S / 5))


class Limits(NamedTuple):
    """What the calls of one store have in common."""

    timeout_s: float
    up: Bucket
    down: Bucket
    stop: Stop


class Attempt(Operation):
    """One call. ``run`` makes it and waits; everything else is called from inside."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._timeout_s = limits.timeout_s or _NEVER
        self._lock = threading.Lock()
        self._is_over = self._reports = False
        self._came = 0
        # One that begins when the run is to end: to put things in order at the far side.
        self._stop_at = _NEVER if limits.stop.at == _NEVER else max(limits.stop.at, time.monotonic() + _LAST_S)
        self._until = time.monotonic() + self._timeout_s
        self._question: Callable[[], None] | None = None

    def run(self, call: Callable[[], T]) -> T:
        """What ``call`` answers or raises. Raises GivenUp when nothing moves, Interrupted when the run is to end."""
        done: Future[T] = Future()
        threading.Thread(target=self._inside, args=(done, call), name=FAR_SIDE, daemon=True).start()
        try:
            while not wait((done,), min(_LOOK_S, self._timeout_s)).done:
                self._look()
            return done.result()
        finally:
            with self._lock:
                self._is_over = True

    def _inside(self, done: Future[T], call: Callable[[], T]) -> None:
        OPERATION.set(self)
        _settle(done, call)

    def _look(self) -> None:
        if question := self._question:
            self._question = None
            question()
            self.allow(0)
        now = time.monotonic()
        if now >= (self._stop_at if self._stop_at < _NEVER else self._limits.stop.at):
            raise Interrupted("the run is stopped")
        if now >= self._until:
            raise GivenUp(f"nothing moved for {self._timeout_s:g} s")

    # -- from inside --------------------------------------------------------------------------------------------------

    def allow(self, count: int) -> None:
        """Something moved; so many bytes may follow unseen. Raises GivenUp when it is too late."""
        with self.going():
            self._until = time.monotonic() + self._timeout_s * (1 if self._reports else max(1, count / LEAST))

    @contextmanager
    def going(self) -> Iterator[None]:
        """For what must not happen after the call was given up."""
        with self._lock:
            if self._is_over:
                raise GivenUp("this was given up")
            yield

    def asked(self, question: Callable[[], T]) -> T:
        """Let the thread that waits for this call answer; that may take as long as people take."""
        answer: Future[T] = Future()
        self._until = _NEVER
        self._question = lambda: _settle(answer, question)
        return answer.result()

    def moved(self, count: int = 0) -> None:
        self._reports = True
        self.allow(0)

    def wanted(self) -> None:
        with self.going():
            return

    def sent(self, count: int) -> None:
        """A driver has taken so many bytes of a source."""
        self._limits.up.take(count, lambda: self.allow(0))
        self.allow(count or _TAIL)

    def received(self, count: int) -> None:
        """A driver has given, or fetched for itself, so many bytes of an object."""
        self._limits.down.take(count, lambda: self.allow(0))
        self._came += count
        self.allow(count or self._came)  # at its end: for what the driver makes of it now

    def alive(self, items: Iterable[T]) -> Iterator[T]:
        """The same; each that is taken is a sign of life."""
        for item in items:
            self.allow(0)
            yield item

    def metered(self, source: Source) -> Source:
        return cast("Source", _Metered(source, self))

    def paced(self, stream: BinaryIO) -> BinaryIO:
        return cast("BinaryIO", _Stream(stream, self.received))


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as err:  # noqa: BLE001 - it is raised where the answer is waited for
        future.set_exception(err)


def at_home(question: Callable[[], T]) -> T:
    """Ask people: from inside a driver's call, in the thread that waits for it."""
    current = OPERATION.get()
    return current.asked(question) if isinstance(current, Attempt) else question()


def is_held() -> bool:
    """Whether a call hangs in a driver that nobody waits for any more."""
    inside = [thread for thread in threading.enumerate() if thread.name == FAR_SIDE]
    until = time.monotonic() + 2
    for thread in inside:
        with suppress(RuntimeError):  # the signal that ends the run came while it was being started
            thread.join(max(0, until - time.monotonic()))  # it may be ending its program
    return any(thread.is_alive() for thread in inside)


class _Metered:
    """A source that sees what is taken from it."""

    def __init__(self, source: Source, attempt: Attempt) -> None:
        self._source, self._attempt = source, attempt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)  # what it is, not what it holds

    def open(self) -> BinaryIO:
        return cast("BinaryIO", _Stream(self._source.open(), self._attempt.sent))

    def as_file(self) -> AbstractContextManager[Path]:
        self._attempt.allow(self._source.size)  # what becomes of a file cannot be seen
        return self._source.as_file()


class _Stream(io.RawIOBase):
    """A stream that tells of every byte that passes. Without a descriptor, for bytes could pass there unseen."""

    def __init__(self, stream: BinaryIO, passed: Callable[[int], None]) -> None:
        self._passed = passed
        self._stream = stream
        self.seekable, self.seek, self.tell = stream.seekable, stream.seek, stream.tell  # type: ignore[method-assign]

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._passed(len(data))
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        data = self.read(len(space))
        space[: len(data)] = data
        return len(data)

    def close(self) -> None:
        super().close()
        self._stream.close()
