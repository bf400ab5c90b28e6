"""When to try an operation on the far side again: the only place that waits and repeats (no driver does)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tarragon.api import TarragonError, Transient

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

T = TypeVar("T")

#: How much longer to wait when the far side says that it is overloaded (docs/cli.md § 3, ``--backend-retry-delay``).
OVERLOADED = 3


@dataclass(frozen=True)
class Retry:
    """The rule: ``tries`` attempts in all, ``delay_s`` between two, or longer where the far side asks for it."""

    tries: int
    delay_s: float
    sleep: Callable[[float], object]
    log: Logger

    def run(
        self,
        what: str,
        operation: Callable[[], T],
        again: Callable[[], None],
        retried: tuple[type[TarragonError], ...] = (Transient,),
    ) -> T:
        """What ``operation`` answers. Errors of the classes ``retried`` are met by calling ``again``, then trying anew.

        ``again`` counts as part of the attempt. The last attempt's error is raised as it is, any other at once.
        """
        attempt = 1
        while True:
            try:
                if attempt > 1:
                    again()
                return operation()
            except retried as err:
                if attempt >= self.tries:
                    raise
                wait_s = self._wait_s(err)
                self.log.warning(
                    "cannot %s (try %d of %d): %s; next try in %g s", what, attempt, self.tries, err, wait_s
                )
                self.sleep(wait_s)
                attempt += 1

    def _wait_s(self, err: TarragonError) -> float:
        if not isinstance(err, Transient):
            return self.delay_s
        return max(err.retry_after or 0.0, self.delay_s * (OVERLOADED if err.overloaded else 1))
