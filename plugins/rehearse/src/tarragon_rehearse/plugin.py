"""rehearse — restore something that nobody needs yet, and see whether it comes out right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, BadOption, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) < 10**6:
        raise BadOption(f"'{text}' is no number to rehearse", hint="a whole number, 1 or more")
    return int(text)


OPTIONS = (
    Option(
        flag="--rehearse-versions", metavar="number", type=_count, default=1, help="how many versions, chosen at random"
    ),
    Option(
        flag="--rehearse-files", metavar="number", type=_count, default=20, help="how many files of each, at random"
    ),
    Option(
        flag="--source",
        metavar="path",
        help="compare files of the newest version with these, too, where they have not changed since",
    ),
    Option(flag="--seed", metavar="text", help="choose as a rehearsal with this seed did, which every rehearsal tells"),
)

ACTIONS = (
    Action(
        "rehearse",
        "[--rehearse-versions n] <target URL>",
        "restore files chosen at random with a clean cache, and compare them with what was backed up",
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
    if word != "rehearse":
        return None
    from .command import Rehearse  # only for those who ask for it

    return Rehearse(context)
