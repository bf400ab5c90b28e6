"""Lines: the connections of a store. Each operation has one; a call that does not come back costs its connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tarragon.api import Backend, BackendError, Capability, Interrupted, TarragonError, Transient

from .attempt import Attempt, GivenUp, Limits

if TYPE_CHECKING:
    from logging import Logger

    from .retry import Retry

T = TypeVar("T")


class Lines:
    """Connections to one place: one for all where the driver claims THREADS, else one for each operation under way.

    ``backend`` is a connection, the only one then, or what opens one. No more than ``max_parallel`` operations are
    under way at a time.
    """

    def __init__(self, backend: Backend | Callable[[], Backend], *, retry: Retry, limits: Limits, log: Logger) -> None:
        self._limits, self._retry, self._log = limits, retry, log
        self._lock = threading.Lock()
        self._all: list[Backend] = []
        self._idle: list[Backend] = []
        self._is_closed = False
        self.open = None if isinstance(backend, Backend) else backend
        if isinstance(backend, Backend):
            self._all.append(backend)
        self.first = backend if isinstance(backend, Backend) else self._opened()
        self._idle.append(self.first)
        self._is_shared = Capability.THREADS in self.first.capabilities
        self._free = threading.BoundedSemaphore(max(1, self.first.max_parallel if self._is_shared or self.open else 1))

    @contextmanager
    def one(self) -> Iterator[Line]:
        """A connection for one operation."""
        with self._free:
            line = Line(self, self.there_is() or self._opened())
            try:
                yield line
            finally:
                with self._lock:
                    if not self._is_shared and line.backend is not None:
                        self._idle.append(line.backend)

    def there_is(self) -> Backend | None:
        """A connection that is open and free."""
        with self._lock:
            if self._is_closed:
                raise BackendError("the connection is closed")
            if self._is_shared:
                return self._all[0] if self._all else None
            return self._idle.pop() if self._idle else None

    def connected(self) -> Backend:
        """A new connection; one try."""
        assert self.open is not None
        backend = self.guarded(self.open, "connect", self.open)
        with self._lock:
            self._all.append(backend)
        return backend

    def drop(self, backend: Backend) -> None:
        """Forget a connection in which a call hangs. It is not closed: that could hang too."""
        with self._lock:
            if backend in self._all:
                self._all.remove(backend)

    def _opened(self) -> Backend:
        return self._retry.run("connect", self.connected, lambda: None)

    def close(self) -> None:
        """Close all; may be called twice. What fails is only logged."""
        with self._lock:
            closing_now, self._all, self._idle, self._is_closed = self._all, [], [], True
        for backend in closing_now:
            try:
                self.guarded(backend, "close the connection", backend.close)
            except TarragonError as err:
                self._log.warning("cannot close the connection: %s", err)

    def attempt(self) -> Attempt:
        return Attempt(self._limits)

    def guarded(self, who: object, what: str, call: Callable[[], T], attempt: Attempt | None = None) -> T:
        """Make a call into a driver, in time, and let only typed errors out."""
        try:
            return (attempt or self.attempt()).run(call)
        except TarragonError:
            raise
        except Exception as err:
            driver = type(who).__module__
            self._log.warning("cannot %s: '%s' did not translate %s: %s", what, driver, type(err).__name__, err)
            self._log.debug("where it came from", exc_info=err)
            raise Transient(f"{type(err).__name__} in '{driver}': {err}") from err


class Line:
    """The connection of one operation; None where one was given up, until there is another."""

    def __init__(self, lines: Lines, backend: Backend) -> None:
        self._lines = lines
        self.backend: Backend | None = backend

    def call(self, what: str, call: Callable[[Backend, Attempt], T]) -> T:
        """Make one call into the driver."""
        backend = self.backend or self._renewed()
        attempt = self._lines.attempt()
        try:
            return self._lines.guarded(backend, what, lambda: call(backend, attempt), attempt)
        except (GivenUp, Interrupted, KeyboardInterrupt):
            if self._lines.open is not None:
                self._lines.drop(backend)
                self.backend = None
            raise

    def again(self) -> None:
        """Make the connection fit for another try."""
        if self.backend is None:
            self._renewed()
        else:
            self.call("reconnect", lambda backend, _: backend.reconnect())

    def _renewed(self) -> Backend:
        self.backend = backend = self._lines.there_is() or self._lines.connected()
        return backend
