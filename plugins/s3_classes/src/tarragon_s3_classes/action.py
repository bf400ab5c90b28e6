"""thaw — ask archived volumes back, as few as will do, wait for them, and restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, BadOption, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1
    if not 0 <= amount < 10**6:
        raise BadOption(f"'{text}' is no time to wait", hint="a number, 0 or more")
    return amount


OPTIONS = (
    Option(
        flag="--thaw-wait",
        metavar="hours",
        type=_amount,
        default=72.0,
        help="how long to wait for volumes that were asked back; 0: only ask",
    ),
    Option(
        flag="--thaw-poll",
        metavar="seconds",
        type=_amount,
        default=300.0,
        help="how long to wait between two looks at them",
    ),
)


@hookimpl
def actions() -> Iterable[Action]:
    return (
        Action(
            "thaw",
            "[--time time] [--path path] <target URL> [<folder>]",
            "ask archived volumes back, as few as will do, wait for them, and restore",
        ),
    )


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def make_command(word: str, context: Context) -> Command | None:
    if word != "thaw":
        return None
    from .thaw import Thaw  # only for those who ask for it

    return Thaw(context)
