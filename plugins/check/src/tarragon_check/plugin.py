"""check and accept-loss — what stands at the target, against what the manifests say and what this client remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, BadOption, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise BadOption(f"'{text}' is no share", hint="more than 0 and at most 100 percent")
    return percent


OPTIONS = (
    Option(flag="--quick", action="flag", help="compare the listing with the manifests (the default); fetch no volume"),
    Option(
        flag="--sample",
        metavar="percent",
        type=_percent,
        help="also read this share of the volumes to their end, each time others, until all have been read",
    ),
    Option(flag="--full", action="flag", help="also read every volume, manifest and signature file to its end"),
)

ACTIONS = (
    Action(
        "check",
        "[--quick | --sample percent | --full] <target URL>",
        "compare the target with its manifests; read a share of its volumes, or all, to their end",
    ),
    Action(
        "accept-loss",
        "[set ...] [--force] <target URL>",
        "end alarms: say that what is missing or changed at the target is to stay as it is",
    ),
)


@hookimpl
def actions() -> Iterable[Action]:
    return ACTIONS


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def make_command(word: str, context: Context) -> Command | None:
    if word == "check":
        from .command import Check  # only for those who ask for it

        return Check(context)
    if word == "accept-loss":
        from .accept import AcceptLoss  # only for those who ask for it

        return AcceptLoss(context)
    return None
