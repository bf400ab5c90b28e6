"""par2+ — recovery files beside everything that is stored, on any backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Option, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Backend, Context

TARRAGON_API = (0, 1)

OPTIONS = (
    Option(
        flag="--par2-options",
        metavar="options",
        action="append",
        help="More words for every call of par2; quotes around the value are taken off, several values are joined",
    ),
    Option(
        flag="--par2-redundancy",
        metavar="percent",
        type=int,
        default=10,
        help="How much of a stored file can be lost and still be mended",
    ),
    Option(
        flag="--par2-volumes",
        metavar="number",
        type=int,
        default=1,
        help="Number of recovery files beside each stored file",
    ),
)


@hookimpl
def options() -> tuple[Option, ...]:
    return OPTIONS


@hookimpl
def wrap_backend(prefix: str, inner: Backend, context: Context) -> Backend | None:
    if prefix != "par2":
        return None
    from .backend import Par2Backend  # only for those whose URL it is

    return Par2Backend(inner, context)
