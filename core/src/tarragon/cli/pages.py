"""The help pages: options grouped by what they are for and who brings them, in 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tarragon.plugin.known import OPTIONS, PLUGINS, package_for

from .options import BACKUP, GROUPS, RESTORE
from .words import ACTIONS, ALIASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api.options import Option

    from .in_use import InUse

WIDTH = 80
_COLUMN = 32
_WRITING = ("backup", "full", "incremental")
_URLS = """A place is written as a URL: scheme://[user[:password]@]host[:port]/path, or scheme://path where there is
no host. For schemes with a host /path is relative to the login folder and //path absolute. file://folder is relative to
the current folder, file:///folder absolute. User, password and path are percent-encoded. A password is better left out
and put into the variable BACKEND_PASSWORD."""


def page(flag: str, in_use: InUse, prog: str) -> str:
    """The page that ``--help``, ``--help-urls`` or ``--help-ACTION`` asks for."""
    if flag == "--help-urls":
        return _urls()
    name = flag.removeprefix("--help-")
    action = ALIASES.get(name, name)
    in_use.ask_all()
    head = _usage(prog, [action] if action in ACTIONS else list(ACTIONS))
    return "\n".join([head, *_sections(action, in_use)])


def _usage(prog: str, actions: Iterable[str]) -> str:
    lines = ["usage:"]
    for action in actions:
        words = " ".join(f"<{word}>" for word in ACTIONS[action])
        short = [alias for alias, whole in ALIASES.items() if whole == action]
        lines.append(f"  {prog} [options] {action} {words}".ljust(66) + f" {', '.join(short)}")
    lines.append("Options may stand anywhere. A path and a URL alone mean backup, a URL and a path")
    return "\n".join([*lines, "alone restore. A long option may be shortened as long as it stays unique."])


def _sections(action: str, in_use: InUse) -> Iterable[str]:
    for title, options in GROUPS.items():
        unwanted = RESTORE if action in _WRITING else BACKUP if action in ACTIONS else None
        if title and options is not unwanted:
            yield _section(title, options)
    by_owner: dict[str, dict[str, Option]] = {}
    for option, owner in in_use.options().values():
        by_owner.setdefault(owner, {})[option.flag] = option
    for owner, found in sorted(by_owner.items()):
        yield _section(owner, found.values())
    for package in sorted(set(OPTIONS.values()) - set(by_owner) - {"tarragon-core"}):
        flags = ", ".join(flag for flag, owner in OPTIONS.items() if owner == package)
        lines = textwrap.wrap(flags, WIDTH - 2, break_on_hyphens=False)
        yield "\n".join([f"\n{package} (not installed):", *(f"  {line}" for line in lines)])


def _section(title: str, options: Iterable[Option]) -> str:
    return "\n".join([f"\n{title}:", *(_entry(option) for option in options if not option.hidden)])


def _entry(option: Option) -> str:
    """One option; its text begins in the same column everywhere."""
    value = "" if option.action == "flag" or not option.nargs else f" {option.metavar or 'value'}"
    names = "  " + ", ".join((option.flag, *option.aliases)) + value
    text = option.help
    if option.default not in (None, "", (), [], False, True) and value:
        text += f" (default: {option.default})"
    gap = " " * _COLUMN
    lines = textwrap.wrap(text, WIDTH - _COLUMN, break_on_hyphens=False) or [""]
    if len(names) >= _COLUMN:
        return "\n".join([names, *(gap + line for line in lines)])
    return "\n".join([names.ljust(_COLUMN) + lines[0], *(gap + line for line in lines[1:])])


def _urls() -> str:
    from tarragon.plugin import finder  # only here

    installed = finder.names("backend")
    lines = [*textwrap.wrap(_URLS, WIDTH), "", "Schemes, and the packages that bring them (* is installed):", ""]
    known = {scheme for schemes in PLUGINS["backend"].values() for scheme in schemes.split()}
    for scheme in sorted(known | installed):
        mark = "*" if scheme in installed else " "
        lines.append(f" {mark} {scheme + '://':<20} {package_for('backend', scheme)}".rstrip())
    return "\n".join([*lines, "", "In front of any of them: par2+ (adds recovery files), gio+ (through GIO)."])
