"""The help pages: actions, and options grouped by what they are for and who brings them, in 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tarragon.plugin.known import OPTIONS, PLUGINS, package_for

from .manual import manual
from .options import BACKUP, GROUPS, JSON, LOGGING, RESTORE
from .words import ACTIONS, ALIASES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tarragon.api.options import Option

    from .in_use import InUse

WIDTH = 80
_COLUMN = 32
_WRITING = ("backup", "full", "incremental")
_URLS = """A place is written as a URL: scheme://[user[:password]@]host[:port]/path, or scheme://path where there is
no host. For schemes with a host /path is relative to the login folder and //path absolute. file://folder is relative to
the current folder, file:///folder absolute. User, password and path are percent-encoded. A password is better left out
and put into the variable BACKEND_PASSWORD."""
_RULES = """Options may stand anywhere. A long option may be shortened as long as it stays unique. A path and a URL
alone mean backup, a URL and a path alone restore."""
_MORE = "'{prog} ACTION --help' shows what one action does and takes, --help-urls how places are written."


def page(flag: str, words: Sequence[str], in_use: InUse, prog: str) -> str:
    """The page that ``--help``, ``--help-urls`` or ``--help-ACTION`` asks for; ``words`` may name an action."""
    if flag == "--help-urls":
        return _urls()
    in_use.ask_all()
    commands = {} if prog == "duplicity" else in_use.actions()
    named = [flag.removeprefix("--help-")] if flag.startswith("--help-") else words
    known = (ALIASES.get(word, word) for word in named)
    action = next((word for word in known if word in ACTIONS or word in commands), None)
    ours = () if prog == "duplicity" else JSON
    table = {one.flag: (one, "") for group in (ours, *GROUPS.values()) for one in group} | {**in_use.options()}
    if action in ACTIONS:
        about = manual(prog)[action]
        head = [_usage(prog, action, _words(action)), "", about.text, "", about.examples]
        wanted = [table[each][0] for each in about.options if each in table]
    elif action is not None:
        command, owner = commands[action]
        head = [
            _usage(prog, action, command.words),
            "",
            *textwrap.wrap(f"{command.help} ({owner})", WIDTH, break_on_hyphens=False),
        ]
        wanted = list(dict.fromkeys(option for option, its in in_use.options().values() if its == owner))
    else:
        return "\n".join([*_overview(prog, in_use), *_sections("", in_use, (), ours)])
    shown = {option.flag for option in wanted}
    first = [_section(f"most used with '{action}'", wanted)] if wanted else []
    return "\n".join([*head, *first, *_sections(action, in_use, shown, ours)])


def _words(action: str) -> str:
    return " ".join(f"<{word}>" for word in ACTIONS[action])


def _usage(prog: str, action: str, words: str) -> str:
    short = [alias for alias, whole in ALIASES.items() if whole == action]
    also = f"\n  the same: {', '.join(short)}" if short else ""
    return f"usage:\n  {prog} [options] {action} {words}".rstrip() + also


def _overview(prog: str, in_use: InUse) -> Iterable[str]:
    profile = "" if prog == "duplicity" else "[@profile] "
    yield f"usage: {prog} {profile}[options] action words"
    for text in (_RULES, _MORE.format(prog=prog)):
        yield from textwrap.wrap(text, WIDTH)
    yield "\nactions:"
    for action, about in manual(prog).items():
        short = ", ".join(alias for alias, whole in ALIASES.items() if whole == action)
        yield f"  {action} {_words(action)}".ljust(WIDTH - len(short)) + short
        yield f"      {about.line}"
    if prog == "duplicity":
        return
    yield "\nactions that packages bring:"
    for word, (command, owner) in sorted(in_use.actions().items()):
        yield from textwrap.wrap(f"{word} {command.words}", WIDTH - 2, initial_indent="  ", subsequent_indent="      ")
        yield from textwrap.wrap(
            f"{command.help} ({owner})",
            WIDTH,
            initial_indent=" " * 6,
            subsequent_indent=" " * 6,
            break_on_hyphens=False,
        )


def _sections(action: str, in_use: InUse, shown: Collection[str], ours: Sequence[Option]) -> Iterable[str]:
    for title, options in GROUPS.items():
        unwanted = RESTORE if action in _WRITING else BACKUP if action in ACTIONS else None
        if title and options is not unwanted:
            yield _section(title, [*options, *(ours if options is LOGGING else ())], shown)
    by_owner: dict[str, dict[str, Option]] = {}
    for option, owner in in_use.options().values():
        by_owner.setdefault(owner, {})[option.flag] = option
    for owner, found in sorted(by_owner.items()):
        if set(found) - set(shown):
            yield _section(owner, found.values(), shown)
    for package in sorted(set(OPTIONS.values()) - set(by_owner) - {"tarragon-core"}):
        flags = ", ".join(flag for flag, owner in OPTIONS.items() if owner == package)
        lines = textwrap.wrap(flags, WIDTH - 2, break_on_hyphens=False)
        yield "\n".join([f"\n{package} (not installed):", *(f"  {line}" for line in lines)])


def _section(title: str, options: Iterable[Option], shown: Collection[str] = ()) -> str:
    entries = [_entry(option) for option in options if not option.hidden and option.flag not in shown]
    return "\n".join([f"\n{title}:", *entries])


def value_of(option: Option) -> str:
    """What stands behind a flag, with a blank in front; nothing for one that takes no value."""
    return "" if option.action == "flag" or not option.nargs else f" {option.metavar or 'value'}"


def text_of(option: Option) -> str:
    """What an option does, with its default."""
    text = option.help[:1].lower() + option.help[1:] if option.help[1:2].islower() else option.help
    if option.default not in (None, "", (), [], False, True) and value_of(option) and f"({option.default})" not in text:
        text += f" (default: {option.default})"
    return text


def _entry(option: Option) -> str:
    """One option; its text begins in the same column everywhere."""
    names = "  " + ", ".join((option.flag, *option.aliases)) + value_of(option)
    gap = " " * _COLUMN
    lines = textwrap.wrap(text_of(option), WIDTH - _COLUMN, break_on_hyphens=False) or [""]
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
