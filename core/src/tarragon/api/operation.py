"""Operation: the call that a driver is in, for drivers whose bytes do not simply pass through the streams of the core.

The core gives up a call in which nothing moves for ``--timeout`` seconds, and keeps transfers within ``--limit-upload``
and ``--limit-download``. Both happen at the streams that it gives and gets; a driver that reads ahead, or copies by
itself, tells here what the core cannot see.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from .backend import Source


class Operation:
    """What a driver may tell of the call it is in; all methods may be called from any thread.

    This one, outside a run, does nothing.
    """

    def moved(self, count: int = 0) -> None:
        """So many bytes more are on the wire; with 0: it is alive. From then on only these calls count as progress.

        Raises a TarragonError when the call was given up.
        """

    def wanted(self) -> None:
        """Raise a TarragonError when nobody waits for this call any more: who waits for a program asks now and then."""

    def metered(self, source: Source) -> Source:
        """A source of the driver's own, whose bytes go out within the limits as those of the source it was given."""
        return source

    def paced(self, stream: BinaryIO) -> BinaryIO:
        """A stream whose bytes come in within the limits: for a driver that copies them before it hands them out."""
        return stream


#: Set by the core in the thread of each call. The one variable of the API: an SDK's callback has no other way to it.
OPERATION: ContextVar[Operation] = ContextVar("tarragon.operation", default=Operation())  # noqa: B039 - it has no state


def operation() -> Operation:
    """The call that this thread is in. Ask in the method itself: threads that an SDK starts do not know it.

    >>> alive = operation()
    >>> client.upload(source.open(), callback=alive.moved)  # doctest: +SKIP
    """
    return OPERATION.get()
