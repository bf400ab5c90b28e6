"""prune — delete backup sets that no rule keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tarragon.api import Action, BadOption, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) < 10**6:
        raise BadOption(f"'{text}' is not a number of sets to keep", hint="a whole number, 1 or more")
    return int(text)


def _duration(text: str) -> str:
    if not re.fullmatch(r"(?:\d+[smhDWMY])+", text, re.ASCII):
        raise BadOption(f"'{text}' is not a duration", hint="a duration reads like 12h, 3D, 2W, 6M or 1Y")
    return text


def _keep(period: str, text: str) -> Option:
    return Option(flag=f"--keep-{period}", metavar="number", type=_count, help=text)


OPTIONS = (
    _keep("last", "keep the newest sets, this many"),
    _keep("daily", "keep the newest set of each day, for this many days that have one"),
    _keep("weekly", "keep the newest set of each week (Monday to Sunday), for this many weeks that have one"),
    _keep("monthly", "keep the newest set of each month, for this many months that have one"),
    _keep("yearly", "keep the newest set of each year, for this many years that have one"),
    Option(flag="--keep-within", metavar="duration", type=_duration, help="keep all sets younger than this"),
    Option(flag="--pin", metavar="set", action="append", help="from now on keep this set: its key, or a time"),
    Option(flag="--unpin", metavar="set", action="append", help="no longer keep this set because of a pin"),
)

ACTIONS = (
    Action(
        "prune",
        "--keep-... [--pin set] [--force] <target URL>",
        "delete sets that no rule keeps; without --force only say which",
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
    if word != "prune":
        return None
    from .command import Prune  # only for those who ask for it

    return Prune(context)
