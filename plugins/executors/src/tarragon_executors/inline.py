"""The executor inline: work is done where and when it is submitted."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Inline:
    """Runs each call in submit(); its futures are done. An interrupt from the keyboard is not caught."""

    width = 1

    def __init__(self) -> None:
        self._is_closed = False

    def submit(self, work: Callable[..., T], /, *args: Any, near: Future[Any] | None = None) -> Future[T]:
        if self._is_closed:
            raise RuntimeError("the executor is closed")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work(*args))
        except Exception as err:  # noqa: BLE001 - whatever the work raises is its future's, as in concurrent.futures
            future.set_exception(err)
        return future

    def close(self, *, cancel: bool = False) -> None:
        self._is_closed = True
