"""Read the machine-readable records of docs/cli.md § 11."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

ENTRY = re.compile(rb"^INFO 10 (\d{8}T\d{6}Z) '(.*)' (\w+)$", re.MULTILINE)
ERROR = re.compile(rb"^ERROR (\d+)(?: (.*))?$", re.MULTILINE)
SET = re.compile(rb"^ (full|inc) (\d{8}T\d{6}Z) (\d+) (enc|noenc)$", re.MULTILINE)


class Listed(NamedTuple):
    """One line of list-current-files."""

    mtime: int
    type: str


def seconds(stamp: bytes) -> int:
    """``20231114T221320Z`` as seconds since 1970."""
    return int(datetime.strptime(stamp.decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


def path_of(field: bytes) -> bytes:
    """Undo the escapes of a quoted file name."""
    return os.fsencode(field.decode("utf-8").encode("latin-1", "backslashreplace").decode("unicode_escape"))


def listed(records: bytes) -> dict[bytes, Listed]:
    """The entries that list-current-files named."""
    return {path_of(match[2]): Listed(seconds(match[1]), match[3].decode()) for match in ENTRY.finditer(records)}


def sets(records: bytes) -> Iterator[tuple[str, int, int]]:
    """Kind, time and number of volumes of each set that collection-status named."""
    for match in SET.finditer(records):
        yield match[1].decode(), seconds(match[2]), int(match[3])


def errors(records: bytes) -> list[int]:
    """The numbers of the errors in the stream."""
    return [int(match[1]) for match in ERROR.finditer(records)]
