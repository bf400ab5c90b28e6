"""Words → option values, in passes: logging, the plugins a line needs, everything (docs/cli.md § 1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from tarragon.api.errors import BadOption
from tarragon.clock import parse_time
from tarragon.plugin.known import OPTIONS, TAKES
from tarragon.settings import defaults

from .options import DASHED, EXPANDED, GROUPS, OLD_NAMES, QUOTED, TIMES, UNSHORTENED
from .scan import Grammar, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tarragon.api.options import Option

    from .in_use import InUse
    from .scan import Found

    Table = Mapping[str, tuple[Option, str]]

CORE = {
    flag: (option, "tarragon-core")
    for group in GROUPS.values()
    for option in group
    for flag in (option.flag, *option.aliases)
}


class Parsed(NamedTuple):
    """What the options of a line say. ``page`` is the help page asked for; ``remarks`` are warnings for the user."""

    values: dict[str, Any]
    selection: tuple[tuple[str, str | None], ...]
    rest: list[str]
    page: str | None
    remarks: list[str]
    secrets: list[str]
    owners: dict[str, str]


def grammar_of(table: Table) -> Grammar:
    """The flags of a table and all that we know of: what is installed must not change what a line means."""
    takes = {**TAKES, "-h": 0}
    for flag, (option, _) in table.items():
        if flag not in TAKES:
            takes[flag] = 0 if option.action == "flag" else option.nargs
    takes |= {old: TAKES[new] for old, new in OLD_NAMES.items()}
    return Grammar(takes, OPTIONS, set(takes) - set(OPTIONS) - UNSHORTENED)


def parse(words: Sequence[str], in_use: InUse, env: Mapping[str, str]) -> Parsed:
    """Read all options. Raises BadOption, AmbiguousOption; BadOption names the package that is missing."""
    table: Table = {**CORE, **in_use.options()}
    grammar = grammar_of(table)
    kinds = grammar.classify(words)
    flags = {kind.flag for kind in kinds if kind is not None}
    if not all(flag in table or flag in OLD_NAMES or _is_help(flag) for flag in flags):
        in_use.ask_all()
        table = {**CORE, **in_use.options()}
        grammar = grammar_of(table)
        kinds = grammar.classify(words)
    page = next((kind.flag for kind in kinds if kind and _is_help(kind.flag)), None)
    if page:
        words = [word for word, kind in zip(words, kinds, strict=True) if kind is None]
        return Parsed({}, (), words, page, [], [], {})
    found, rest = scan(words, grammar, DASHED)
    return _Reading(table, env).read(found, rest)


def _is_help(flag: str | None) -> bool:
    return flag is not None and (flag == "-h" or flag == "--help" or flag.startswith("--help-"))


class _Reading:
    """One line being read."""

    def __init__(self, table: Table, env: Mapping[str, str]) -> None:
        self._table = table
        self._env = env
        self._values: dict[str, Any] = {}
        self._selection: list[tuple[str, str | None]] = []
        self._remarks: list[str] = []
        self._secrets: list[str] = []

    def read(self, found: Sequence[Found], rest: list[str]) -> Parsed:
        for flag, texts in found:
            self._take(flag, texts)
        self._from_environment()
        values = defaults(option for option, _ in self._table.values()) | self._values
        owners = {flag[2:].replace("-", "_"): package for flag, package in OPTIONS.items() if flag not in self._table}
        remarks, selection = self._remarks, tuple(self._selection)
        return Parsed(values, selection, rest, None, remarks, self._secrets, owners)

    def _take(self, flag: str, texts: tuple[str, ...]) -> None:
        if flag in OLD_NAMES:
            self._remarks.append(f"{flag} was changed in duplicity 2.0.0: write {OLD_NAMES[flag]}")
            flag = OLD_NAMES[flag]
        if flag not in self._table:
            if texts == ("",):
                return  # wrappers give options that nothing is set for an empty value: --ssh-options ''
            package = OPTIONS[flag]
            raise BadOption(f"{flag} belongs to {package}, which is not installed", hint=f"pip install {package}")
        option = self._table[flag][0]
        if option.deprecated:
            self._remarks.append(f"{flag}: {option.deprecated}")
        texts = tuple(prepared(option.flag, text) for text in texts)
        if option.secret:
            self._secrets += texts
        self._store(option, texts)

    def _store(self, option: Option, texts: tuple[str, ...]) -> None:
        converted = tuple(_converted(option, text) for text in texts)
        value = converted[0] if len(converted) == 1 else converted
        if option.action == "select":
            self._selection.append((option.flag.lstrip("-"), texts[0] if texts else None))
        elif option.action == "flag":
            self._values[option.name] = True if option.const is None else option.const
        elif option.action == "append":
            self._values[option.name] = (*self._values.get(option.name, ()), value)
        else:
            self._values[option.name] = value

    def _from_environment(self) -> None:
        for option, _ in self._table.values():
            if option.env and option.name not in self._values and option.env in self._env:
                text = self._env[option.env]
                if option.secret:
                    self._secrets.append(text)
                self._store(option, () if option.action == "flag" else (text,))


def prepared(flag: str, text: str) -> str:
    """A value before it is converted: paths expanded, quotes around the words for another program dropped."""
    if flag in EXPANDED:
        return os.path.expanduser(os.path.expandvars(text))
    if flag in QUOTED:
        return text.strip('"').strip("'")
    return text


def _converted(option: Option, text: str) -> Any:
    if option.choices and text not in option.choices:
        raise BadOption(f"{option.flag} cannot be '{text}'", hint=f"it is one of {', '.join(option.choices)}")
    convert: Callable[[str], Any] = option.type
    try:
        return convert(text)
    except (ValueError, TypeError) as err:
        what = "a whole number" if convert is int else option.metavar or "its value"
        raise BadOption(f"{option.flag} needs {what}, not '{text}'") from err


def times_read(parsed: Parsed, now: int) -> Parsed:
    """The same, with times as seconds since 1970; those among the selection as decimal numbers. Raises BadOption."""
    separator = parsed.values["time_separator"]
    values = dict(parsed.values)
    for name in (flag[2:].replace("-", "_") for flag in TIMES):
        if isinstance(values.get(name), str):
            values[name] = parse_time(values[name], now, separator)
    selection = tuple(
        (name, str(parse_time(text, now, separator)) if text is not None and f"--{name}" in TIMES else text)
        for name, text in parsed.selection
    )
    return parsed._replace(values=values, selection=selection)
