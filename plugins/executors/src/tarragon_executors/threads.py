"""The executor threads: for work that lets go of the interpreter lock (compression, hashing, gpg, deltas do)."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Threads:
    """Threads of this process. Closing with ``cancel`` does not wait for calls that have begun: none can be stopped."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="worker")

    def submit(self, work: Callable[..., T], /, *args: Any, near: Future[Any] | None = None) -> Future[T]:
        return self._pool.submit(work, *args)

    def close(self, *, cancel: bool = False) -> None:
        self._pool.shutdown(wait=not cancel, cancel_futures=cancel)
