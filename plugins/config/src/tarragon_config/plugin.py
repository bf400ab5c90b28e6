"""config, and @name — profiles in one TOML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Action, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tarragon.api import Command, Context, Profile

TARRAGON_API = (0, 1)


@hookimpl
def actions() -> Iterable[Action]:
    return (
        Action(
            "config",
            "check | show | from-duply <profile>",
            "check the file of profiles, show what one stands for, or write one from a profile of duply",
        ),
    )


@hookimpl
def read_profile(name: str, env: Mapping[str, str]) -> Profile:
    from .profiles import read  # with tomllib, and only for who has profiles

    return read(name, env)


@hookimpl
def make_command(word: str, context: Context) -> Command | None:
    if word != "config":
        return None
    from .command import Config  # only for those who ask for it

    return Config(context)
