"""Executor: where jobs run. What ``concurrent.futures`` calls an Executor, plus a width and a wish for nearness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


class Executor(Protocol):
    """Runs calls, somewhere, at most ``width`` at a time; the core bounds how many are under way to width + 1."""

    width: int

    def submit(self, work: Callable[..., T], /, *args: Any, near: Future[Any] | None = None) -> Future[T]:
        """Run ``work(*args)``; with ``near``, on the worker that ran that call. Work and result must be picklable."""
        ...

    def close(self, *, cancel: bool = False) -> None:
        """Let workers end; with ``cancel`` drop what has not begun."""
        ...
