"""Profiles: what ``@name`` in front of a line stands for, and the places that a line may then leave out.

Only the first words of a line are profiles: further on ``@name`` may be a value, or a folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api.errors import BadOption
from tarragon.api.hooks import Profile
from tarragon.api.url import is_url

from .words import ACTIONS, ALIASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Actions that read a source: what a profile selects means something to them, and it may name the source.
READING = ("backup", "full", "incremental", "verify")


def profile_of(words: Sequence[str], env: Mapping[str, str]) -> tuple[Profile, list[str]]:
    """What the profiles in front of a line come to together, and the line without them. Raises UserError."""
    from tarragon.plugin import finder  # only for who has profiles
    from tarragon.plugin.hub import Hub

    hub = Hub()
    for name in sorted(finder.names("profile")):
        hub.use("profile", name)
    count = next((at for at, word in enumerate(words) if not is_profile(word)), len(words))
    found: list[Profile | None] = [hub.ask("read_profile", name=word[1:], env=env) for word in words[:count]]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        raise BadOption("nothing installed reads profiles", hint="pip install tarragon-config")
    options = tuple(word for each in known for word in each.options)
    selection = tuple(word for each in known for word in each.selection)
    source = [None, *(each.source for each in known if each.source is not None)][-1]
    target = [None, *(each.target for each in known if each.target is not None)][-1]
    return Profile(options, selection, source, target), list(words[count:])


def is_profile(word: str) -> bool:
    """Whether a word in front of a line names a profile. A folder of that name is written ``./@name``."""
    return len(word) > 1 and word[0] == "@" and "/" not in word


def action_of(rest: Sequence[str]) -> str:
    """The action that a line names; empty when it names none of the core's."""
    first = ALIASES.get(rest[0], rest[0]) if rest else ""
    return first if first in ACTIONS else ""


def placed(rest: Sequence[str], profile: Profile) -> list[str]:
    """A line with the places of its profile put in where it leaves them out.

    Where to restore to must be said: no restore ever writes over the source because somebody forgot a word.
    """
    action, line = action_of(rest), list(rest)
    has_url = any(is_url(word) for word in line)
    if not action:
        return line if has_url or profile.target is None or not line else [*line, profile.target]
    wanted = ACTIONS[action]
    if profile.target is not None and not has_url and len(line) - 1 < len(wanted):
        at = next(at for at, kind in enumerate(wanted, 1) if kind.endswith("URL"))
        line.insert(at if len(line) >= at else len(line), profile.target)
    if profile.source is not None and action in READING and len(line) - 1 < len(wanted):
        line.insert(1 if wanted[0] == "source path" else 2, profile.source)
    return line
