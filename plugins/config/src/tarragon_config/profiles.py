"""The file of profiles → what each stands for. All of it is data: nothing is run, or looked up, to read it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from tarragon.api import Profile, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KEYS = ("source", "target", "select", "options", "secrets")
SECRETS = ("passphrase", "sign-passphrase", "backend-password")
WAYS = ("file", "command", "environment")
#: The variables that answer for a secret by themselves.
VARIABLES = {"passphrase": "PASSPHRASE", "sign-passphrase": "SIGN_PASSPHRASE", "backend-password": "BACKEND_PASSWORD"}
#: Options that say what of a source is meant: nothing to a restore.
SELECTING = frozenset(
    {
        "include",
        "exclude",
        "include-filelist",
        "exclude-filelist",
        "include-regexp",
        "exclude-regexp",
        "exclude-device-files",
        "exclude-if-present",
        "exclude-older-than",
        "exclude-other-filesystems",
        "files-from",
        "filter-globbing",
        "filter-literal",
        "filter-regexp",
        "filter-ignorecase",
        "filter-strictcase",
        "null-separator",
    }
)
#: Settings that are on unless they are switched off.
ON = frozenset({"encryption", "compression", "files-changed", "check-remote", "restore-ownership", "print-statistics"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PASSWORD = re.compile(r"[A-Za-z0-9+_]+://[^/@:]*:[^/@]+@")


def place(env: Mapping[str, str]) -> str:
    """Where the file is."""
    home = env.get("HOME") or os.path.expanduser("~")
    return os.path.join(env.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "tarragon", "config.toml")


def read(name: str, env: Mapping[str, str]) -> Profile:
    """One profile. Raises UserError for whatever is wrong with it or the file."""
    path = place(env)
    found = load(path)
    if name not in found:
        names = ", ".join(f"@{each}" for each in sorted(found)) or "none"
        raise UserError(f"there is no profile '{name}' in '{path}'", hint=f"profiles there: {names}")
    problems = list(problems_of(found[name]))
    if problems:
        raise UserError(
            f"profile '{name}' in '{path}': {problems[0]}", hint="tarragon config check shows all that is wrong"
        )
    return profile(found[name])


def load(path: str) -> dict[str, Any]:
    """The profiles of a file by name, not looked at yet. Raises UserError for a file that cannot be used at all."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno())
            whole = tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"there is no file of profiles '{path}'", hint="docs of tarragon-config show one") from None
    except OSError as err:
        raise UserError(f"the file of profiles '{path}' cannot be read: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UserError(
            f"'{path}' is not TOML: {err}", hint="text values stand in quotes: source = '/home/me'"
        ) from err
    if mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or mode.st_uid not in (0, os.geteuid()):
        # A command in it would be run, and a target in it be written to, as whoever calls us.
        raise UserError(f"'{path}' could be changed by others", hint=f"chmod 600 {path}")
    unknown = sorted(set(whole) - {"profile"})
    if unknown:
        raise UserError(f"'{path}': there is no '{unknown[0]}'", hint="a profile begins with a line [profile.name]")
    profiles = whole.get("profile", {})
    if not isinstance(profiles, dict):
        raise UserError(f"'{path}': 'profile' is no table", hint="a profile begins with a line [profile.name]")
    return profiles


# -- what may be wrong ------------------------------------------------------------------------------------------------


def problems_of(given: Any) -> Iterator[str]:
    """All that is wrong with a profile by itself; whether its options exist, only the whole command line shows."""
    if not isinstance(given, dict):
        yield "it is no table"
        return
    for key in sorted(set(given) - set(KEYS)):
        yield f"there is no '{key}' in a profile (there are {', '.join(KEYS)})"
    for key in ("source", "target"):
        if not isinstance(given.get(key, "x"), str) or given.get(key, "x") == "":
            yield f"'{key}' must be a text"
    target = given.get("target")
    if isinstance(target, str) and _PASSWORD.match(target):
        yield "'target' holds a password: write it without, and name where it is kept under 'secrets'"
    elif isinstance(target, str) and "://" not in target:
        yield f"'target' is no URL: '{target}' (a local folder is written file:///folder)"
    yield from _of_selection(given.get("select", []))
    yield from _of_options(given.get("options", {}))
    yield from _of_secrets(given.get("secrets", {}))


def _of_selection(select: Any) -> Iterator[str]:
    if not isinstance(select, list):
        yield "'select' must be a list of texts"
        return
    for line in select:
        if not isinstance(line, str) or line[:2] not in ("+ ", "- ") or not line[2:].strip():
            yield f"'select' has {line!r}: each of its texts begins with '+ ' (take) or '- ' (leave out)"


def _of_options(options: Any) -> Iterator[str]:
    if not isinstance(options, dict):
        yield "'options' must be a table"
        return
    for name, value in options.items():
        if name.startswith("-"):
            yield f"the option '{name}' is written without dashes"
        elif name in {f"{secret}-{way}" for secret in SECRETS for way in ("file", "fd", "command")}:
            yield f"'{name}' belongs under 'secrets'"
        elif not all(isinstance(each, str | int | float) for each in _flat(value)):
            yield f"the option '{name}' must be a text, a number, true or false, or a list of these"


def _of_secrets(secrets: Any) -> Iterator[str]:
    if not isinstance(secrets, dict):
        yield "'secrets' must be a table"
        return
    for name, ways in secrets.items():
        if name not in SECRETS:
            yield f"there is no secret '{name}' (there are {', '.join(SECRETS)})"
        elif not isinstance(ways, dict) or len(ways) != 1 or next(iter(ways)) not in WAYS:
            # What stands there may be the secret: it is not repeated.
            yield f"the secret '{name}' must name one place where it is kept: {{ {' = … } or { '.join(WAYS)} = … }}"
        else:
            way, value = next(iter(ways.items()))
            fits = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
            if not (fits if way == "command" else isinstance(value, str) and value):
                yield f"the secret '{name}': '{way}' must be a {'list of words' if way == 'command' else 'text'}"


def _flat(value: Any) -> Iterator[Any]:
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, list):
            yield from each
        else:
            yield each


# -- what it stands for -----------------------------------------------------------------------------------------------


def profile(given: Mapping[str, Any]) -> Profile:
    """What a profile without problems stands for."""
    options: list[str] = []
    selection: list[str] = []
    for name, value in given.get("options", {}).items():
        into = selection if name in SELECTING else options
        into += _words(name, value)
    for line in given.get("select", []):
        selection.append(f"--{'include' if line[0] == '+' else 'exclude'}={_home(line[2:].strip())}")
    for name, ways in given.get("secrets", {}).items():
        options += _secret(name, *next(iter(ways.items())))
    source = given.get("source")
    return Profile(tuple(options), tuple(selection), None if source is None else _home(source), given.get("target"))


def _words(name: str, value: Any) -> Iterable[str]:
    """The words of one option. A list is as many options; a list within it, one with several values."""
    if value is True:
        return [f"--{name}"]
    if value is False:
        return [f"--no-{name}"] if name in ON else []
    words: list[str] = []
    for each in value if isinstance(value, list) else [value]:
        words += [f"--{name}", *map(str, each)] if isinstance(each, list) else [f"--{name}={_home(str(each))}"]
    return words


def _secret(name: str, way: str, value: Any) -> Iterable[str]:
    if way == "command":
        return [f"--{name}-command={shlex.join(value)}"]
    if way == "file":
        return [f"--{name}-file={_home(value)}"]
    if value == VARIABLES[name]:
        return []
    return [f"--{name}-command={shlex.join(['printenv', '--', value])}"]


def _home(text: str) -> str:
    """No shell has seen the file: what it would make of ``~/`` is made here."""
    return os.path.expanduser(text) if text.startswith("~/") or text == "~" else text


def is_name(text: str) -> bool:
    """Whether a profile can be called so."""
    return bool(_NAME.fullmatch(text))
