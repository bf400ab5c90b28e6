"""check-backend — the promises of a backend, asked of a store of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)

OPTIONS = (
    Option(
        flag="--settle",
        metavar="seconds",
        type=float,
        default=0.0,
        help="how late the store may show a change (check-backend)",
    ),
    Option(
        flag="--many",
        metavar="number",
        type=int,
        default=1200,
        help="empty objects to store, more than a page of a listing (check-backend)",
    ),
    Option(
        flag="--small",
        action="flag",
        default=False,
        help="bytes cost money: store nothing above 1 MiB, and 30 objects at most (check-backend)",
    ),
)


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def actions() -> Iterable[Action]:
    return (
        Action(
            "check-backend",
            "[--small] [--settle seconds] <target URL>",
            "ask a store of yours for every promise that a backup counts on; what that stores is deleted again",
        ),
    )


@hookimpl
def make_command(word: str, context: Context) -> Command | None:
    if word != "check-backend":
        return None
    from .check_backend import CheckBackend  # with all checks

    return CheckBackend(context)
