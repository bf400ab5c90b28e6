"""What is left of a command line after the options → action, path, URL (docs/cli.md § 1, § 2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.errors import BadOption
from tarragon.api.url import is_url
from tarragon.clock import parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Action → what it takes, in order.
ACTIONS = {
    "backup": ("source path", "target URL"),
    "full": ("source path", "target URL"),
    "incremental": ("source path", "target URL"),
    "restore": ("source URL", "target path"),
    "verify": ("source URL", "target path"),
    "list-current-files": ("target URL",),
    "collection-status": ("target URL",),
    "cleanup": ("target URL",),
    "remove-older-than": ("time", "target URL"),
    "remove-all-but-n-full": ("count", "target URL"),
    "remove-all-inc-of-but-n-full": ("count", "target URL"),
}
ALIASES = {
    "bu": "backup",
    "fb": "full",
    "ib": "incremental",
    "inc": "incremental",
    "incr": "incremental",
    "rb": "restore",
    "vb": "verify",
    "ls": "list-current-files",
    "st": "collection-status",
    "cl": "cleanup",
    "ro": "remove-older-than",
    "ra": "remove-all-but-n-full",
    "ri": "remove-all-inc-of-but-n-full",
}
REMOVED = (
    "--exclude-filelist-stdin",
    "--exclude-globbing-filelist",
    "--include-filelist-stdin",
    "--include-globbing-filelist",
    "--old-filenames",
    "--s3-european-buckets",
    "--s3-multipart-max-timeout",
    "--s3-use-multiprocessing",
    "--s3-use-new-style",
    "--short-filenames",
)


class Line(NamedTuple):
    """The positionals, understood. ``notice`` is what the user should be told about it."""

    action: str
    source: bytes | None = None
    url: str | None = None
    words: tuple[str, ...] = ()
    notice: str = ""


def read(rest: Sequence[str], now: int, *, commands: Collection[str] = (), separator: str = ":") -> Line:
    """Action, path, URL and other words. ``commands`` are the action words of plugins.

    A time and a count come out as decimal numbers. Raises BadOption, in duplicity's order of checks.
    """
    actions = {*ACTIONS, *ALIASES, *commands}
    notice = ""
    if len(rest) == 2 and rest[0] not in actions:
        implied = _implied(rest, actions)
        notice = f"no action given: '{implied}', because of a {'path' if implied == 'backup' else 'URL'} first"
        rest = [implied, *rest]
    _refuse_removed(rest)
    if not rest or rest[0] not in actions:
        unknown = [word for word in rest if word.startswith("-")]
        raise _no_option(unknown[0]) if unknown else BadOption(_no_action(rest), hint=_actions_hint(actions))
    action, words = ALIASES.get(rest[0], rest[0]), rest[1:]
    if action not in ACTIONS:
        return _command(action, words)
    wanted = ACTIONS[action]
    if len(words) != len(wanted):
        raise _wrong_count(action, wanted, words)
    return _checked(action, words, now, separator)._replace(notice=notice)


def _implied(rest: Sequence[str], actions: Collection[str]) -> str:
    """The action that two words mean by themselves: path and URL, or URL and path."""
    first, second = (is_url(word) for word in rest)
    if first == second and not any(word in REMOVED for word in rest):
        raise BadOption(f"'{rest[0]}' is no action, and not a path and a URL either", hint=_actions_hint(actions))
    return "restore" if first else "backup"


def _refuse_removed(rest: Sequence[str]) -> None:
    for word in rest:
        if word in REMOVED:
            raise BadOption(f"{word} was removed in duplicity 2.0.0", hint=f"so were {', '.join(REMOVED)}")


def _no_action(rest: Sequence[str]) -> str:
    return f"'{rest[0]}' is no action, and the words do not imply one" if rest else "an action is missing"


def _actions_hint(actions: Collection[str]) -> str:
    whole = [word for word in ACTIONS if word in actions]
    more = sorted(set(actions) - set(ACTIONS) - set(ALIASES))
    return f"actions: {', '.join([*whole, *more])}; --help shows all options"


def _wrong_count(action: str, wanted: Sequence[str], words: Sequence[str]) -> BadOption:
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        return _no_option(unknown[0])
    got = ", ".join(f"'{word}'" for word in words)
    number = f"got {len(words)}" + (f": {got}" if words else "")
    return BadOption(f"'{action}' takes {' and '.join(f'a {word}' for word in wanted)}; {number}")


def _no_option(word: str) -> BadOption:
    from .suggest import closest  # only for a mistake

    name = word.partition("=")[0]
    hint = "-- does not end the options here" if word == "--" else closest(word)
    return BadOption(f"there is no option {name}", hint=hint)


def _command(action: str, words: Sequence[str]) -> Line:
    """A plugin's action: the first URL is the target, all else is for the plugin."""
    url = next((word for word in words if is_url(word)), None)
    others = list(words)
    if url is not None:
        others.remove(url)
    return Line(action, url=url, words=tuple(others))


def _checked(action: str, words: Sequence[str], now: int, separator: str) -> Line:
    """Each positional in turn, as what it should be."""
    line = Line(action)
    for kind, word in zip(ACTIONS[action], words, strict=True):
        if kind.endswith("URL"):
            line = line._replace(url=_url(word, kind))
        elif kind == "source path":
            line = line._replace(source=_source(word))
        elif kind == "target path":
            line = line._replace(source=_path(word, kind))
        elif kind == "time":
            line = line._replace(words=(str(parse_time(word, now, separator)),))
        else:
            line = line._replace(words=(_count(word),))
    return line


def _url(word: str, kind: str) -> str:
    if not is_url(word):
        raise BadOption(f"the {kind} is no URL: '{word}'", hint="a local folder is written file:///folder")
    return word


def _path(word: str, kind: str) -> bytes:
    if is_url(word):
        raise BadOption(f"the {kind} must be a path, not a URL: '{word}'")
    return os.fsencode(word)


def _source(word: str) -> bytes:
    path = _path(word, "source path")
    if b"\0" in path or not os.path.exists(path):
        raise BadOption(f"the source path '{word}' does not exist")
    return path


def _count(word: str) -> str:
    try:
        return str(int(word))
    except ValueError:
        raise BadOption(f"'{word}' is not a count", hint="a whole number of full backups to keep") from None
