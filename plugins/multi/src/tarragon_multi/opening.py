"""From the URL and its JSON file to the stores that they name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, unquote_plus

from tarragon.api import BackendError, BadURL, TarragonError, parse_url

from .mirror import MirrorBackend
from .part import Part
from .stripe import StripeBackend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tarragon.api import Backend, BackendURL, Context

_LARGEST = 1 << 20
_CHOICES = {"mode": ("stripe", "mirror"), "onfail": ("continue", "abort")}
_EXAMPLE = '[{"url": "file:///one"}, {"url": "sftp://host/two"}]'


@dataclass(frozen=True)
class Query:
    """What stands behind ``?``. ``subpath`` is glued to every store's URL, as it is."""

    mode: str = "stripe"
    onfail: str = "continue"
    subpath: str = ""


@dataclass(frozen=True)
class Named:
    """One store as the file names it."""

    url: str
    env: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    description: str = ""


def opened(url: BackendURL, context: Context) -> Backend:
    """Connect to the stores. Raises BadURL, or what a store raises.

    A mirror that cannot be reached, where the others may go on without it, is left out, with a warning.
    """
    query = read_query(url.query)
    named = read_file(path_of(url))
    if query.mode == "stripe" and any(each.prefixes for each in named):
        _refuse("'prefixes' say which mirrors keep a file: they need mode=mirror")
    may_lack = query.mode == "mirror" and query.onfail == "continue"
    parts = [_part(number, each, query, context, may_lack=may_lack) for number, each in enumerate(named)]
    reached = [part for part in parts if part.refusal is None]
    if not reached:
        assert parts[0].refusal is not None
        raise parts[0].refusal
    kind = StripeBackend if query.mode == "stripe" else MirrorBackend
    return kind(parts, context, may_lack=query.onfail == "continue")


def _part(number: int, named: Named, query: Query, context: Context, *, may_lack: bool) -> Part:
    raw = named.url + query.subpath
    shown = named.description or str(parse_url(raw))
    try:
        return Part(number, shown, named.prefixes, context.open_backend(raw, named.env))
    except BackendError as err:
        if not may_lack:
            raise
        context.log.warning("mirror '%s' cannot be reached and is left out: %s", shown, err)
        return Part(number, shown, named.prefixes, None, err)


def path_of(url: BackendURL) -> str:
    """The file's path, never a relative one: both ``multi:///a/c.json`` and ``multi://a/c.json`` are ``/a/c.json``."""
    first, slash, rest = url.rest.partition("?")[0].partition("#")[0].partition("/")
    path = "/" + (first + slash + unquote(rest, errors="surrogateescape")).lstrip("/")
    if path == "/" or "\0" in path:
        _refuse("a multi:// URL names a JSON file: multi:///folder/config.json")
    return path


def read_query(text: str) -> Query:
    """Read ``mode=…&onfail=…&subpath=…``. Raises BadURL."""
    found: dict[str, str] = {}
    for word in text.partition("#")[0].split("&"):
        if not word:
            continue
        name, equals, value = word.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        if not equals or name in found or name not in ("subpath", *_CHOICES):
            _refuse(f"'{word}' is no query of multi://, or stands there twice", "mode=, onfail= and subpath= are")
        if value and name in _CHOICES and value not in _CHOICES[name]:
            _refuse(f"{name} cannot be '{value}'", f"it is {' or '.join(_CHOICES[name])}")
        found[name] = value
    return Query(**{name: value for name, value in found.items() if value})


def read_file(path: str) -> list[Named]:
    """Read the stores that the file names. Raises BadURL; what it holds is in no message, it may be secret."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_LARGEST))
    except OSError as err:
        _refuse(f"cannot read '{path}': {err.strerror}", cause=err)
    except (ValueError, RecursionError) as err:
        _refuse(f"'{path}' is no JSON: {type(err).__name__}", f"it reads {_EXAMPLE}", cause=err)
    if not isinstance(found, list) or not found:
        _refuse(f"'{path}' is no list of stores", f"it reads {_EXAMPLE}")
    return [_named(each, f"store {number} of '{path}'") for number, each in enumerate(found, 1)]


def _named(each: Any, which: str) -> Named:
    if not isinstance(each, dict) or not isinstance(each.get("url"), str):
        _refuse(f"{which} has no 'url'")
    env = each.get("env", [])
    if not isinstance(env, list) or not all(
        isinstance(pair, dict) and isinstance(pair.get("name"), str) and isinstance(pair.get("value"), str)
        for pair in env
    ):
        _refuse(f"'env' of {which} is no list of objects with 'name' and 'value'")
    prefixes = each.get("prefixes", [])
    if not isinstance(prefixes, list) or not all(isinstance(prefix, str) for prefix in prefixes):
        _refuse(f"'prefixes' of {which} is no list of words")
    description = each.get("description", "")
    return Named(
        each["url"],
        {pair["name"]: pair["value"] for pair in env},
        tuple(prefixes),
        description if isinstance(description, str) else "",
    )


def _refuse(message: str, hint: str = "", cause: BaseException | None = None) -> NoReturn:
    error: TarragonError = BadURL(message, hint=hint)
    error.exit_code = 50  # 3.2.1's answer to all of these (docs/cli.md § 4)
    raise error from cause
