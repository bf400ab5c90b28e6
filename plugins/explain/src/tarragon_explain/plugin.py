"""explain — which selection option decides about a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Command, Context

TARRAGON_API = (0, 1)


@hookimpl
def actions() -> Iterable[Action]:
    return (
        Action(
            "explain",
            "[selection options] [<source path>] <path> ...",
            "say of each path whether a backup would take it, and which option decides",
        ),
    )


@hookimpl
def make_command(word: str, context: Context) -> Command | None:
    if word != "explain":
        return None
    from .command import Explain  # only for those who ask for it

    return Explain(context)
