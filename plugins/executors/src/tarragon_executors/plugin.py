"""inline, threads and processes: where jobs run on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import hookimpl

if TYPE_CHECKING:
    from tarragon.api import Context, Executor

TARRAGON_API = (0, 1)


@hookimpl
def make_executor(name: str, width: int, context: Context) -> Executor | None:
    if name == "inline":
        from .inline import Inline  # concurrent.futures costs 5 ms

        return Inline()
    if name == "threads":
        from .threads import Threads  # as above

        return Threads(max(1, width))
    if name == "processes":
        from .processes import Processes  # multiprocessing costs 15 ms

        return Processes(max(1, width))
    return None
