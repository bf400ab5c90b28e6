"""What --ssh-options and the ssh_config files say about a host: one value per word, the first that was found.

Reads what OpenSSH's ssh_config(5) describes; a ``Match exec`` is never true, because it would need a shell.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tarragon.api import BackendError, BadOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
#: Words that may occur several times, and then add up.
_LISTS = frozenset({"identityfile", "certificatefile"})
#: Words whose value is a list of words that may be quoted.
_SEVERAL = frozenset({"userknownhostsfile", "globalknownhostsfile", "proxycommand"})
#: ssh's short options that have a word, and the word of ssh_config that they stand for.
_SHORT = {
    "-i": "identityfile",
    "-p": "port",
    "-P": "port",
    "-l": "user",
    "-J": "proxyjump",
    "-c": "ciphers",
    "-m": "macs",
    "-b": "bindaddress",
    "-F": "-f",
}
_SWITCHES = {"-C": ("compression", "yes"), "-4": ("addressfamily", "inet"), "-6": ("addressfamily", "inet6")}
_DEEPEST = 16

Found = dict[str, list[str]]


def from_options(text: str) -> Found:
    """The words of ``--ssh-options``. As duplicity has it, the last of several values of one word counts.

    Raises BadOption for quotes that do not close, or an option without its value.
    """
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise BadOption(f"--ssh-options cannot be split into words: {err}") from err
    found: Found = {}
    while words:
        word = words.pop(0)
        if word in _SWITCHES:
            key, value = _SWITCHES[word]
        elif word.startswith("-o"):
            setting = word[2:] or (words.pop(0) if words else "")
            parts = _LINE.fullmatch(setting.strip())
            if not parts or not parts.group(2):
                raise BadOption(f"--ssh-options: '{word}' is not followed by name=value", hint="write -oName=value")
            key, value = parts.group(1).lower(), parts.group(2)
            value = value if key in _SEVERAL else value.strip("\"'")
        elif word[:2] in _SHORT:
            key, value = _SHORT[word[:2]], word[2:] or (words.pop(0) if words else "")
            if not value:
                raise BadOption(f"--ssh-options: '{word}' lacks its value")
        else:
            continue  # -q, -v and the like change nothing here
        found[key] = [*found.get(key, []), value] if key in _LISTS else [value]
    return found


class Config:
    """The settings of one file for one host, known as ``host`` on the command line."""

    def __init__(self, host: str, user: str | None, home: str, local_user: str) -> None:
        self.found: Found = {}
        self.left_out: list[str] = []
        self._host, self._user, self._home, self._local_user = host, user, home, local_user

    def read(self, path: str) -> None:
        """Add what the file says. One that is not there says nothing; raises BackendError for one that is broken."""
        for keyword, value in self._lines(path, True, 0):
            self._set(keyword, value)

    def _lines(self, path: str, applies: bool, depth: int) -> Iterator[tuple[str, str]]:
        """The settings that apply. A block begins with Host or Match and ends with the next, or with its file."""
        enclosing = applies
        for number, line in enumerate(_text(path).splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            parts = _LINE.fullmatch(line)
            if not parts:
                raise BackendError(f"line {number} of '{path}' is no setting of ssh_config")
            keyword, value = parts.group(1).lower(), parts.group(2).strip()
            if keyword == "host":
                applies = enclosing and is_listed(self._host, _words(value, path, number))
            elif keyword == "match":
                applies = enclosing and self._matches(_words(value, path, number), path)
            elif applies and keyword == "include" and depth < _DEEPEST:
                for pattern in _words(value, path, number):
                    for one in sorted(glob.glob(self._whole(pattern, path))):
                        yield from self._lines(one, True, depth + 1)
            elif applies:
                yield keyword, value

    def _set(self, keyword: str, value: str) -> None:
        if keyword not in _SEVERAL and len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if keyword in _LISTS:
            self.found.setdefault(keyword, []).append(value)
        else:
            self.found.setdefault(keyword, [value])

    def _whole(self, pattern: str, path: str) -> str:
        """Relative names of an Include are below the folder of its kind."""
        pattern = os.path.join(self._home, pattern[2:]) if pattern.startswith("~/") else pattern
        folder = "/etc/ssh" if path.startswith("/etc/ssh/") else os.path.join(self._home, ".ssh")
        return os.path.join(folder, pattern)

    def _matches(self, words: list[str], path: str) -> bool:
        """Whether all criteria of a Match line hold."""
        while words:
            word = words.pop(0).lower()
            negated, word = word.startswith("!"), word.removeprefix("!")
            if word == "all":
                return True
            if word in ("canonical", "final"):
                return False  # there is no second pass here
            pattern = words.pop(0) if words else ""
            seen = {
                "host": self.found.get("hostname", [self._host])[0],
                "originalhost": self._host,
                "user": self._user or self.found.get("user", [self._local_user])[0],
                "localuser": self._local_user,
            }.get(word)
            if seen is None:
                self.left_out.append(f"'Match {word}' in '{path}'")
                return False
            if is_listed(seen, pattern.split(",")) is negated:
                return False
        return True


def _words(text: str, path: str, number: int) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as err:
        raise BackendError(f"line {number} of '{path}' has quotes that do not close") from err


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as err:
        raise BackendError(f"cannot read '{path}': {err.strerror}") from err


def is_listed(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of ssh's patterns (``*``, ``?``), and none of those behind a ``!``."""
    fits = False
    for pattern in patterns:
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!").lower()
        if fnmatchcase(name.lower(), pattern.replace("[", "[[]")):
            if negated:
                return False
            fits = True
    return fits


def settings_of(
    options: str, host: str, user: str | None, env: Mapping[str, str], local_user: str
) -> tuple[Found, list[str]]:
    """Everything that is said about ``host``: options first, then the user's file, then the system's.

    Second: what of the files was left out. Raises BadOption and BackendError.
    """
    found = from_options(options)
    home = home_of(env)
    named = found.pop("-f", [""])[0]
    files = [expanded(named, env, {})] if named else [os.path.join(home, ".ssh", "config"), "/etc/ssh/ssh_config"]
    config = Config(host, user or found.get("user", [None])[0], home, local_user)
    for path in files if named.lower() != "none" else ():
        config.read(path)
    return {**config.found, **found}, config.left_out


def home_of(env: Mapping[str, str]) -> str:
    """The user's home folder."""
    return env.get("HOME") or os.path.expanduser("~")


def expanded(text: str, env: Mapping[str, str], tokens: Mapping[str, str]) -> str:
    """``~`` and percent tokens filled in; tokens that are not known stay as they are."""
    home = home_of(env)
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    known = {"%": "%", "d": home, **tokens}
    return re.sub(r"%(.)", lambda token: known.get(token.group(1), token.group(0)), text)
