"""Times as duplicity writes and reads them ↔ seconds since 1970 (docs/cli.md § 6).

Nothing here looks at the clock: what "now" is, the caller says, so that a run has one time.
"""

from __future__ import annotations

import calendar
import re
import time

from tarragon.api.errors import BadOption

#: 1901-01-01 and 9999-12-31: a count of seconds or an interval that leads beyond is cut to these.
EARLIEST, LATEST = -2177452800, 253402300799

_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_DAY_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)Z", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[-/](\d\d?)[-/](\d\d?)", re.ASCII)
_YEAR_LAST = re.compile(r"(\d\d?)[-/](\d\d?)[-/](\d{4})", re.ASCII)
_INTERVAL = re.compile(r"(?:\d+[smhDWMY])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhDWMY])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "D": 86400, "W": 7 * 86400, "M": 30 * 86400, "Y": 365 * 86400}
_HINT = "a time reads like 3D or 2W, 2024-01-31, 2024-01-31T07:00:00+02:00, 20240131T070000Z, or now"


def parse_time(text: str, now: int, separator: str = ":") -> int:
    """The second that ``text`` means, in any form of docs/cli.md § 6. Raises BadOption with the bad string in it."""
    if text == "now":
        return now
    if text.isascii() and text.isdigit():
        return _within(_number(text))
    if _INTERVAL.fullmatch(text):
        return _within(now - parse_interval(text))
    for form in (_from_stamp, _from_day, lambda word: _from_iso(word, separator)):
        found = form(text)
        if found is not None:
            return found
    raise BadOption(f"'{text}' is not a time", hint=_HINT)


def parse_interval(text: str) -> int:
    """How many seconds ``1h78m`` is. Raises BadOption."""
    if not _INTERVAL.fullmatch(text):
        raise BadOption(f"'{text}' is not an interval", hint="an interval reads like 12h, 3D, 2W, 6M or 1Y")
    return sum(_number(count) * _SECONDS[unit] for count, unit in _PART.findall(text))


def to_stamp(seconds: int) -> str:
    """``20231114T221320Z``, as in the names of stored files."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def pretty(seconds: float) -> str:
    """``Sun Nov 22 03:03:40 2026``: local time in English words, whatever the locale."""
    return time.asctime(time.localtime(seconds))


def _number(digits: str) -> int:
    """Python refuses to read more than 4300 digits; far fewer are beyond any time."""
    return int(digits) if len(digits) < 30 else 10**30


def _within(seconds: int) -> int:
    return max(EARLIEST, min(seconds, LATEST))


def _is_moment(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> bool:
    in_day = hour < 24 and minute < 60 and second < 62
    return 1901 <= year <= 2099 and 1 <= month <= 12 and 1 <= day <= 31 and in_day


def _is_day_of_month(year: int, month: int, day: int) -> bool:
    return day <= calendar.monthrange(year, month)[1]


def _from_stamp(text: str) -> int | None:
    found = _STAMP.fullmatch(text)
    numbers = [int(word) for word in found.groups()] if found else []
    if not numbers or not _is_moment(*numbers) or not _is_day_of_month(*numbers[:3]):
        return None
    return calendar.timegm((*numbers, 0, 0, 0))


def _from_day(text: str) -> int | None:
    """Local midnight. A day that its month has not (2024-02-30) runs into the next one, as duplicity has it."""
    if found := _YEAR_FIRST.fullmatch(text) or _DAY_STAMP.fullmatch(text):
        year, month, day = (int(word) for word in found.groups())
    elif found := _YEAR_LAST.fullmatch(text):
        month, day, year = (int(word) for word in found.groups())
    else:
        return None
    return _local(year, month, day) if _is_moment(year, month, day) else None


def _from_iso(text: str, separator: str) -> int | None:
    mark = re.escape(separator)
    found = re.fullmatch(
        rf"(\d{{4}})-(\d\d)-(\d\d)T(\d\d){mark}(\d\d){mark}(\d\d)(|Z|[+-]\d\d{mark}\d\d)", text, re.ASCII
    )
    numbers = [int(word) for word in found.groups()[:6]] if found else []
    if not found or not _is_moment(*numbers) or not _is_day_of_month(*numbers[:3]):
        return None
    zone = found.group(7)
    if not zone:
        return _local(*numbers)
    return calendar.timegm((*numbers, 0, 0, 0)) - (0 if zone == "Z" else _offset(zone))


def _offset(zone: str) -> int:
    """Seconds east of Greenwich of ``+02:00``."""
    seconds = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _local(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Local standard time; summer time is not considered (docs/cli.md § 6)."""
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0)) + time.timezone
