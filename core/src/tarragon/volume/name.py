"""Object names ↔ what they mean (docs/format.md § 1).

A leaf: values and grammar, no effects. Everything that reads a listing asks here what a name stands for, and everything
that stores an object has its name made here. Whatever does not fit the grammar is somebody else's file.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tarragon.api import BadOption, Role

FULL, INC = "full", "inc"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = int(datetime(1901, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) - 1
_CIPHERS = (".gpg", ".g", ".p7m")
_COMPRESSORS = (".gz", ".z")
_CODECS = re.compile(r"\.(?:gpg|g|p7m|gz|z)\Z")

# What may follow the kind word: printable ASCII, as object names are. Digits are spelled out: \d takes other scripts.
_SUFFIX = r"(?P<suffix>(?:\.[!-.0-~]*)?)"
_NUMBER = r"0*(?P<number>[1-9][0-9]{0,8})"
_SHORT_NUMBER = r"0*(?P<number>[1-9a-z][0-9a-z]{0,4})"
_STAMP = r"[0-9]{8}[Tt][0-9]{6}[Zz]"
_SHORT_TIME = r"[0-9a-z]{1,7}"
_PART, _SHORT_PART = r"(?P<part>(?:\.part)?)", r"(?P<part>(?:\.p)?)"
_T = "<T>"
#: What the names begin with that only Tarragon reads, behind the prefix of all names.
_OWN = "tarragon."
_SUMS = re.compile(rf"sums\.(?P<time>{_STAMP})\.json{_SUFFIX}")
#: Per role: the forms of a full and of an incremental set's object, long and short; <T> stands for a time.
_FORMS = {
    Role.VOLUME: (
        rf"duplicity-full\.<T>\.vol{_NUMBER}\.difftar{_PART}",
        rf"duplicity-inc\.<T>\.to\.<T>\.vol{_NUMBER}\.difftar",
        rf"df\.<T>\.{_SHORT_NUMBER}\.dt{_SHORT_PART}",
        rf"di\.<T>\.<T>\.{_SHORT_NUMBER}\.dt",
    ),
    Role.MANIFEST: (
        rf"duplicity-full\.<T>\.manifest{_PART}",
        rf"duplicity-inc\.<T>\.to\.<T>\.manifest{_PART}",
        rf"df\.<T>\.m{_SHORT_PART}",
        rf"di\.<T>\.<T>\.m{_SHORT_PART}",
    ),
    Role.SIGNATURES: (
        rf"duplicity-full-signatures\.<T>\.sigtar{_PART}",
        rf"duplicity-new-signatures\.<T>\.to\.<T>\.sigtar{_PART}",
        rf"dfs\.<T>\.st{_SHORT_PART}",
        rf"dns\.<T>\.<T>\.st{_SHORT_PART}",
    ),
    Role.STATS: (
        rf"duplicity-full\.<T>\.jsonstat{_PART}",
        rf"duplicity-inc\.<T>\.to\.<T>\.jsonstat{_PART}",
    ),
}


class SetTime(NamedTuple):
    """Which set: its kind, the time of the set before it, and its own. Of a full set both are the same."""

    kind: str
    start: int
    time: int

    @property
    def key(self) -> str:
        """The set's name in reports and commands: it stays the same while the set exists."""
        return f"{FULL}-{stamp(self.time)}" if self.kind == FULL else f"{INC}-{stamp(self.start)}-{stamp(self.time)}"


class ObjectName(NamedTuple):
    """A name, and what it stands for. ``suffix`` is what follows the kind word (and ``.part``), as it stands."""

    name: str
    role: Role
    of: SetTime
    number: int = 0
    partial: bool = False
    suffix: str = ""

    @property
    def encrypted(self) -> bool:
        return self.suffix.endswith(_CIPHERS)

    @property
    def compressed(self) -> bool:
        return self.suffix.endswith(_COMPRESSORS)

    @property
    def stem(self) -> str:
        """The name without codec suffix and ``.part``: equal at the target and in the cache (docs/format.md § 11.2)."""
        plain = _CODECS.sub("", self.name)
        return plain.removesuffix(".part").removesuffix(".p") if self.partial else plain


class Prefixes(NamedTuple):
    """What stands before the names: ``every`` before all, then the one of the role (docs/format.md § 1.2)."""

    every: str = ""
    archive: str = ""
    manifest: str = ""
    signature: str = ""
    stats: str = ""


class Names:
    """The names of one repository: its prefixes, and the character between hours and minutes in old names."""

    def __init__(self, prefixes: Prefixes = Prefixes(), time_separator: str = ":") -> None:  # noqa: B008 - immutable
        self.prefixes = prefixes
        if len(time_separator) != 1:
            raise BadOption(f"--time-separator takes exactly one character, not '{time_separator}'")
        own = {
            Role.VOLUME: prefixes.archive,
            Role.MANIFEST: prefixes.manifest,
            Role.SIGNATURES: prefixes.signature,
            Role.STATS: prefixes.stats,
        }
        self._before = {role: prefixes.every + prefix for role, prefix in own.items()}
        c = re.escape(time_separator)
        date = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}{c}[0-9]{{2}}{c}[0-9]{{2}}"
        time = rf"{_STAMP}|{date}(?:Z|[+-][0-9]{{2}}{c}[0-9]{{2}})"
        # The longest prefix goes first: a shorter one that it begins with must not claim its names.
        self._patterns = [
            (role, before, [_pattern(form, time) for form in _FORMS[role]])
            for role, before in sorted(self._before.items(), key=lambda item: -len(item[1]))
        ]

    def parse(self, name: str) -> ObjectName | None:
        """What ``name`` stands for, or None when it is not ours to touch. Never raises."""
        if name.endswith(".par2"):
            return None  # would read as a plain volume (docs/format.md § 15)
        for role, before, patterns in self._patterns:
            if not name.startswith(before):
                continue
            for pattern in patterns:
                found = pattern.fullmatch(name, len(before))
                if found:
                    return _meaning(name, role, found)
        return None

    def own(self, name: str) -> ObjectName | None:
        """A name that only Tarragon reads. Sums name a time, not the kind of the set: ``of.kind`` is ""."""
        before = self.prefixes.every + _OWN
        if not name.startswith(before):
            return None
        found = _SUMS.fullmatch(name, len(before))
        time = _seconds(found["time"], short=False) if found else None
        of = SetTime("", time or 0, time or 0)
        return ObjectName(name, Role.OWN, of, suffix=found["suffix"] if found else "")

    @property
    def lease(self) -> str:
        return f"{self.prefixes.every}{_OWN}lease"

    def sums(self, of: SetTime, suffix: str) -> str:
        return f"{self.prefixes.every}{_OWN}sums.{stamp(of.time)}.json{suffix}"

    def volume(self, of: SetTime, number: int, suffix: str) -> str:
        return f"{self._before[Role.VOLUME]}duplicity-{_times(of, 'full', 'inc')}.vol{number}.difftar{suffix}"

    def manifest(self, of: SetTime, suffix: str = "") -> str:
        return f"{self._before[Role.MANIFEST]}duplicity-{_times(of, 'full', 'inc')}.manifest{suffix}"

    def signatures(self, of: SetTime, suffix: str = "") -> str:
        words = _times(of, "full-signatures", "new-signatures")
        return f"{self._before[Role.SIGNATURES]}duplicity-{words}.sigtar{suffix}"

    def stats(self, of: SetTime, suffix: str = "") -> str:
        return f"{self._before[Role.STATS]}duplicity-{_times(of, 'full', 'inc')}.jsonstat{suffix}"


def _pattern(form: str, time: str) -> re.Pattern[str]:
    """The form with its times filled in: ``start`` and ``time`` of an incremental set, only ``time`` of a full one."""
    if _is_short(form):
        time = _SHORT_TIME
    last = f"(?P<time>{time})"
    first = f"(?P<start>{time})" if form.count(_T) == 2 else last
    return re.compile(form.replace(_T, first, 1).replace(_T, last, 1) + _SUFFIX)


def _is_short(form: str) -> bool:
    return not form.startswith("duplicity")


def _times(of: SetTime, full: str, inc: str) -> str:
    if of.kind == FULL:
        return f"{full}.{stamp(of.time)}"
    return f"{inc}.{stamp(of.start)}.to.{stamp(of.time)}"


def stamp(seconds: int) -> str:
    """A time as it stands in names."""
    return f"{_EPOCH + timedelta(seconds=seconds):%Y%m%dT%H%M%SZ}"


def _meaning(name: str, role: Role, found: re.Match[str]) -> ObjectName | None:
    parts = found.groupdict()
    short = _is_short(found.group())
    time = _seconds(parts["time"], short)
    start = _seconds(parts["start"], short) if "start" in parts else time
    if time is None or start is None:
        return None
    of = SetTime(INC if "start" in parts else FULL, start, time)
    number = int(parts.get("number", "0"), 36 if short else 10)
    return ObjectName(name, role, of, number, bool(parts.get("part")), parts["suffix"])


def _seconds(text: str, short: bool) -> int | None:
    """The time a matched word names; None when there is no such time, or not in the years 1901 to 2099."""
    seconds = int(text, 36) if short else _calendar(text)
    return seconds if seconds is not None and _FIRST <= seconds <= _LAST else None


def _calendar(text: str) -> int | None:
    """The seconds of ``20231114T221320Z``, or of ``2023-11-14T22:13:20`` and a zone, whose offset is taken off."""
    old = text[4] == "-"
    starts = (5, 8, 11, 14, 17) if old else (4, 6, 9, 11, 13)
    zone = text[19:].rstrip("Z") if old else ""
    hours, minutes = (int(zone[:3]), int(zone[0] + zone[4:])) if zone else (0, 0)
    if not (-24 < hours < 24 and -60 < minutes < 60):
        return None
    try:
        month, day, hour, minute, second = (int(text[i : i + 2]) for i in starts)
        moment = datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int((moment - _EPOCH).total_seconds()) - 3600 * hours - 60 * minutes
