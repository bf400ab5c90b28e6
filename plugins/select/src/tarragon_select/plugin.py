"""The selection options, as docs/cli.md § 7 describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Context, Filter, FilterMode

TARRAGON_API = (0, 1)


def _condition(flag: str, metavar: str | None, text: str) -> Option:
    return Option(flag=flag, metavar=metavar, help=text, action="select", nargs=0 if metavar is None else 1)


def _switch(flag: str, change: dict[str, object], text: str) -> Option:
    return Option(flag=flag, const=change, help=text, action="select", nargs=0)


#: These make no filter: ``const`` says which fields of the FilterMode they set for all options that follow.
SWITCHES = (
    _switch("--filter-globbing", {"syntax": "glob"}, "patterns that follow are shell globs (the default)"),
    _switch("--filter-literal", {"syntax": "literal"}, "patterns that follow are literal paths"),
    _switch("--filter-regexp", {"syntax": "regexp"}, "patterns that follow are regular expressions"),
    _switch("--filter-ignorecase", {"ignore_case": True}, "patterns that follow ignore case"),
    _switch("--filter-strictcase", {"ignore_case": False}, "patterns that follow respect case (the default)"),
)

OPTIONS = (
    _condition("--include", "shell_pattern", "take what matches, all below it and the folders above it"),
    _condition("--exclude", "shell_pattern", "leave out what matches, with all below it"),
    _condition("--include-filelist", "filename", "take what matches a line of this file; '- ' in front leaves out"),
    _condition("--exclude-filelist", "filename", "leave out what matches a line of this file; '+ ' in front takes"),
    _condition("--include-regexp", "regex", "take paths in which the regular expression is found"),
    _condition("--exclude-regexp", "regex", "leave out paths in which the regular expression is found"),
    _condition("--exclude-device-files", None, "leave out block and character devices"),
    _condition("--exclude-if-present", "filename", "leave out folders that hold something of this name"),
    _condition("--exclude-older-than", "time", "leave out regular files last changed before this time"),
    _condition("--exclude-other-filesystems", None, "leave out what is on another file system than the source"),
    *SWITCHES,
    Option(flag="--files-from", metavar="filename", help="take exactly the paths in this list, relative to the source"),
    Option(flag="--null-separator", action="flag", default=False, help="lists are split at NUL instead of newline"),
)


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def make_filter(option: str, argument: str | None, mode: FilterMode, root: bytes, context: Context) -> Filter | None:
    from .conditions import condition  # with re and what builds on it: only where something is selected

    return condition(option, argument, mode, root, context)
