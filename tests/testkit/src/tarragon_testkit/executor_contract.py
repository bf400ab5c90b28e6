"""The promises of executors, one function each; the name is the promise."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from tarragon.api import Executor, UserError

from .harness import Contract, raises

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 30


class ExecutorHarness:
    """Makes executors of a width, and closes them. ``is_parallel``: more than one call can be under way."""

    def __init__(self, make: Callable[[int], Executor], *, is_parallel: bool) -> None:
        self._make, self.is_parallel = make, is_parallel
        self._made: list[Executor] = []

    def executor(self, width: int = 2) -> Executor:
        self._made.append(self._make(width))
        return self._made[-1]

    def close(self) -> None:
        for executor in self._made:
            executor.close(cancel=True)


def doubled(number: int) -> int:
    """Work that any worker can do."""
    return 2 * number


def asleep(seconds: float) -> tuple[float, float]:
    """Sleep; when that began and ended, by a clock that is the same in all processes of a machine."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    time.sleep(seconds)
    return began, time.clock_gettime(time.CLOCK_MONOTONIC)


def failing(message: str) -> None:
    raise UserError(message, hint="a hint")


EXECUTOR = Contract()
check = EXECUTOR.check


@check()
def work_is_done_and_answers(h: ExecutorHarness) -> None:
    executor = h.executor()
    futures = [executor.submit(doubled, number) for number in range(20)]
    assert [future.result(_PATIENCE_S) for future in futures] == list(range(0, 40, 2))


@check()
def what_the_work_raises_is_raised_by_its_future(h: ExecutorHarness) -> None:
    executor = h.executor()
    future = executor.submit(failing, "as foreseen")
    error = raises(UserError, lambda: future.result(_PATIENCE_S))
    assert isinstance(error, UserError)
    assert (error.message, error.hint) == ("as foreseen", "a hint")
    assert executor.submit(doubled, 1).result(_PATIENCE_S) == 2


@check()
def its_width_is_told_and_kept(h: ExecutorHarness) -> None:
    executor = h.executor(2)
    assert executor.width == (2 if h.is_parallel else 1)
    spans = [future.result(_PATIENCE_S) for future in [executor.submit(asleep, 0.05) for _ in range(6)]]
    under_way = max(sum(began <= start < ended for began, ended in spans) for start, _ in spans)
    assert under_way == executor.width


@check()
def work_can_be_wished_near_other_work(h: ExecutorHarness) -> None:
    executor = h.executor()
    first = executor.submit(doubled, 1)
    assert executor.submit(doubled, 2, near=first).result(_PATIENCE_S) == 4


@check()
def closing_waits_for_what_was_submitted(h: ExecutorHarness) -> None:
    executor = h.executor()
    futures = [executor.submit(asleep, 0.05) for _ in range(4)]
    executor.close()
    assert all(future.done() and not future.cancelled() for future in futures)


@check()
def it_can_be_closed_twice_and_takes_nothing_afterwards(h: ExecutorHarness) -> None:
    executor = h.executor()
    executor.close()
    executor.close(cancel=True)
    raises(Exception, lambda: executor.submit(doubled, 1))


@check()
def cancelling_drops_what_has_not_begun_within_a_second(h: ExecutorHarness) -> None:
    if not h.is_parallel:
        return  # there is nothing that has not begun
    executor = h.executor(1)
    futures: list[Future[tuple[float, float]]] = [executor.submit(asleep, 0.2) for _ in range(50)]
    began = time.monotonic()
    executor.close(cancel=True)
    assert time.monotonic() - began < 2
    raises((CancelledError, Exception), lambda: futures[-1].result(1))
