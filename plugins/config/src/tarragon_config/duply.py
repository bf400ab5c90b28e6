"""A profile of duply → one of ours. Its ``conf`` is a script for a shell: it is read, never run (R37)."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tarragon.api import UserError

from .toml import dumped

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASSIGNMENT = re.compile(r"\s*(export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_URL = re.compile(r"([A-Za-z0-9+_]+://)(?:([^/@:]*)(?::([^/@]*))?@)?(.*)", re.DOTALL)
#: In duply's conf, and of no use to us.
_IGNORED = frozenset(
    {"GPG_TEST", "GPG_EXPORT", "GPG_IMPORT", "GPG_AGENT", "GPG_USEAGENT", "PYTHON", "DUPL_PYTHON_BIN", "CMD_PREFIX"}
)
#: Options that a second use adds to; of all others the last one counts.
_ADDING = frozenset(
    {"encrypt-key", "hidden-encrypt-key", "encrypt-sign-key", "gpg-options", "ssh-options", "rsync-options"}
    | {"par2-options", "exclude", "include", "exclude-regexp", "include-regexp", "exclude-if-present"}
    | {"exclude-filelist", "include-filelist"}
)
#: What other actions take from the conf, and the line that does the same.
_RETENTION = {
    "MAX_AGE": "tarragon @{name} remove-older-than {value} --force",
    "MAX_FULL_BACKUPS": "tarragon @{name} remove-all-but-n-full {value} --force",
    "MAX_FULLS_WITH_INCRS": "tarragon @{name} remove-all-inc-of-but-n-full {value} --force",
}
_NOT_COPIED = "a {what} stands in duply's conf and was not copied: put it into a file of mode 600, or a password store"
_LARGEST = 1 << 20


class Made(NamedTuple):
    """A profile as TOML, with what could not be carried over as comments in it and as ``notes``."""

    name: str
    toml: str
    notes: tuple[str, ...]


@dataclass
class _Conf:
    """What a conf says: values, and what was in it that only a shell understands."""

    values: dict[str, str] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def profile(name: str, env: Mapping[str, str]) -> Made:
    """The profile of duply that is called ``name``, or whose folder that is. Raises UserError."""
    folder = _folder(name, env)
    conf = parsed(_text(os.path.join(folder, "conf")), env)
    return _Making(os.path.basename(folder), folder, conf).made()


def _folder(name: str, env: Mapping[str, str]) -> str:
    """Where duply looks: the folder itself, ``/etc/duply``, ``~/.duply``."""
    home = env.get("HOME", "")
    places = [name] if "/" in name else [f"/etc/duply/{name}", f"{home}/.duply/{name}"]
    for place in places:
        if os.path.isfile(os.path.join(place, "conf")):
            return os.path.abspath(place)
    raise UserError(f"there is no profile '{name}' of duply", hint=f"looked for conf in {', '.join(places)}")


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as err:
        raise UserError(f"'{path}' cannot be read: {err.strerror}") from err


# -- the conf ---------------------------------------------------------------------------------------------------------


def parsed(text: str, env: Mapping[str, str]) -> _Conf:
    """Assignments of plain values; variables that were assigned before, or HOME, are filled in."""
    conf = _Conf()
    for line in _lines(text):
        match = _ASSIGNMENT.fullmatch(line)
        value = _value(match.group(3), {"HOME": env.get("HOME", ""), **conf.values}) if match else None
        if match is None or value is None:
            conf.unread.append(match.group(2) if match else line.split()[0])
            continue
        conf.values[match.group(2)] = value
        if match.group(1):
            conf.exported[match.group(2)] = value
    return conf


def _lines(text: str) -> list[str]:
    """The lines of a conf without comments; a quote that stays open takes the next line along."""
    found: list[str] = []
    pending = ""
    for line in text.split("\n"):
        whole = f"{pending}\n{line}" if pending else line
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if whole.endswith("\\"):
            pending = whole[:-1]
            continue
        try:
            shlex.split(whole, comments=True)
        except ValueError:
            pending = whole
            continue
        pending = ""
        found.append(whole.strip())
    return [*found, pending.strip()] if pending.strip() else found


def _value(text: str, known: Mapping[str, str]) -> str | None:
    """What a shell would make of the right side of an assignment; None for what only a shell can tell."""
    found = ""
    lexer = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|(\\.)|([^\s'\"\\;&|<>()]+)|(\s+#.*|\s*)$|(.)", re.DOTALL)
    for match in lexer.finditer(text.strip()):
        single, double, escaped, bare, end, other = match.groups()
        if other is not None:
            return None
        if end is not None:
            break
        if single is not None:
            found += single
        elif escaped is not None:
            found += escaped[1]
        else:
            part = _filled(re.sub(r"\\([\"\\$`])", "\0\\1", double) if double is not None else bare, known)
            if part is None:
                return None
            found += part
    return found


def _filled(text: str, known: Mapping[str, str]) -> str | None:
    """Variables filled in; None where something would have to be run or is not known."""
    plain = re.sub(r"\0.", "", text)
    if "`" in plain or "$(" in plain or re.search(r"\$\{[^}]*[^A-Za-z0-9_}]", plain):
        return None
    wanted = [one or two for one, two in _VARIABLE.findall(plain)]
    if not set(wanted) <= set(known) | {"DUPL_PARAMS"}:
        return None
    filled = re.sub(r"(?<!\0)" + _VARIABLE.pattern, lambda match: known.get(match[1] or match[2], ""), text)
    return filled.replace("\0", "")


# -- the profile ------------------------------------------------------------------------------------------------------


class _Making:
    """One profile on its way from duply's conf."""

    def __init__(self, name: str, folder: str, conf: _Conf) -> None:
        self._name, self._folder, self._conf = name, folder, conf
        self._left = dict(conf.values)
        self._options: dict[str, Any] = {"name": f"duply_{name}"}  # duply's cache goes on being used
        self._secrets: dict[str, Any] = {}
        self._notes: list[str] = []

    def made(self) -> Made:
        source = self._take("SOURCE")
        target = self._target()
        self._plain()
        self._keys()
        self._parameters()
        self._files()
        self._rest()
        lines = [f"# from duply's profile in {self._folder}", *(f"# {note}" for note in self._notes)]
        values = {name: value for name, value in (("source", source), ("target", target)) if value}
        lines += dumped(("profile", self._name), values)
        lines += dumped(("profile", self._name, "options"), self._options)
        if self._secrets:
            lines += dumped(("profile", self._name, "secrets"), self._secrets)
        return Made(self._name, "\n".join(lines), tuple(self._notes))

    def _take(self, name: str) -> str:
        return self._left.pop(name, "")

    def _target(self) -> str:
        """The URL with its user, and without its password."""
        match = _URL.fullmatch(self._take("TARGET"))
        user, password = self._take("TARGET_USER"), self._take("TARGET_PASS")
        if match is None:
            self._notes.append("no target in the conf: name one")
            return ""
        scheme, in_url, in_url_password, rest = match.groups()
        user = in_url if in_url is not None else quote(user, safe="")
        if password or in_url_password:
            self._secret("backend-password", "target's password")
        return f"{scheme}{user}@{rest}" if user else f"{scheme}{rest}"

    def _secret(self, name: str, what: str) -> None:
        path = f"~/.config/tarragon/{self._name}.{name}"
        self._secrets[name] = {"file": path}
        self._notes.append(f"{_NOT_COPIED.format(what=what)} ({path} is what stands below)")

    def _plain(self) -> None:
        for variable, option in (("VERBOSITY", "verbosity"), ("TEMP_DIR", "tempdir")):
            value = self._take(variable)
            if value:
                self._options[option] = int(value) if value.isdigit() else value
        folder = self._take("ARCH_DIR")
        if folder:
            self._options["archive-dir"] = folder

    def _keys(self) -> None:
        both = self._take("GPG_KEY")
        keys = [key.strip() for key in (self._take("GPG_KEYS_ENC") or both).split(",") if key.strip()]
        signer = self._take("GPG_KEY_SIGN") or both
        password, signing = self._take("GPG_PW"), self._take("GPG_PW_SIGN")
        options = self._take("GPG_OPTS")
        if options:
            self._options["gpg-options"] = options
        if both == "disabled":
            self._options["encryption"] = False
            return
        if keys:
            self._options["encrypt-key"] = keys if len(keys) > 1 else keys[0]
        if signer and signer != "disabled":
            self._options["sign-key"] = signer
        if password:
            self._secret("passphrase", "passphrase")
        if signing:
            self._secret("sign-passphrase", "passphrase of the signing key")

    def _parameters(self) -> None:
        """DUPL_PARAMS: words for duplicity, as the shell would split them."""
        words = shlex.split(self._take("DUPL_PARAMS"))
        for variable in ("MAX_FULLBKP_AGE", "VOLSIZE"):  # of use only in DUPL_PARAMS, where they have been filled in
            self._left.pop(variable, None)
        at = 0
        while at < len(words):
            name, equals, value = words[at].removeprefix("--").partition("=")
            if not words[at].startswith("--"):
                self._notes.append(f"'{words[at]}' of DUPL_PARAMS was not carried over")
            elif equals or (at + 1 < len(words) and not words[at + 1].startswith("-")):
                self._add(name, value if equals else words[at + 1])
                at += not equals
            elif name.startswith("no-"):
                self._options[name[3:]] = False
            else:
                self._options[name] = True
            at += 1

    def _add(self, name: str, value: str) -> None:
        """An option with a value; where a second use adds to the first, as many values."""
        before = self._options.get(name) if name in _ADDING else None
        known = before if isinstance(before, list) else [] if before is None else [before]
        one = int(value) if value.isdecimal() and name not in _ADDING else value
        self._options[name] = [*known, one] if known else one

    def _files(self) -> None:
        """The list of patterns, and scripts that duply runs around a backup."""
        path = os.path.join(self._folder, "exclude")
        named = self._take("FILELIST") or path
        if os.path.exists(named):
            self._options["exclude-filelist"] = named
        for script in ("pre", "post"):
            if os.path.exists(os.path.join(self._folder, script)):
                self._notes.append(f"the script '{script}' is not run: call it before or after tarragon")

    def _rest(self) -> None:
        for variable, line in _RETENTION.items():
            value = self._take(variable)
            if value:
                self._notes.append(f"{variable}={value}: {line.format(name=self._name, value=value)}")
        for variable in [each for each in self._left if each in self._conf.exported]:
            self._left.pop(variable)
            self._notes.append(f"{variable} is exported there: set it in the environment that calls tarragon")
        for variable in sorted(set(self._left) - _IGNORED):
            self._notes.append(f"{variable} was not carried over")
        for what in self._conf.unread:
            self._notes.append(f"'{what}' needs a shell to be understood and was not carried over")
