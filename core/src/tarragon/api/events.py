"""What a statistics sink hears while a run goes on, and how the run ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backend import Role

NEW, CHANGED, DELETED, SAME, UNREADABLE, RESTORED = "new", "changed", "deleted", "same", "unreadable", "restored"


class FileSeen(NamedTuple):
    """One entry was dealt with. ``change`` is one of the words above; ``delta_size`` the bytes put into entries for it.

    ``read`` says whether its content was read (a regular file, new or changed).
    """

    path: bytes
    kind: str
    change: str
    size: int = 0
    delta_size: int = 0


class FilesSame(NamedTuple):
    """That many entries, of ``size`` bytes in all by the file system, were found unchanged."""

    entries: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """An object that is at the far side, and was checked there."""

    name: str
    role: Role
    size: int
    sha1: str
    sha256: str = ""
    number: int = 0
    seconds: float = 0.0
    digest: str = ""  # what the far side made of it ("sha1:…", "md5:…"), "" where it makes none


@dataclass(frozen=True, slots=True)
class SetInfo:
    """One backup set as commands, observers and reports see it.

    ``kind`` is "full" or "inc". ``time`` is the set's own time, ``start`` that of the set before it (of a full: its
    own), both in seconds since 1970. ``key`` names the set: it stays the same while the set exists.
    """

    key: str
    kind: str
    start: int
    time: int
    volumes: int
    encrypted: bool
    whole: bool = True
    chain: int = 0


class SetCommitted(NamedTuple):
    """The manifest of a set is at the far side and was read back."""

    info: SetInfo


class Note(NamedTuple):
    """Anything else worth counting or showing: ``kind`` is a word, ``data`` plain values."""

    kind: str
    data: Mapping[str, Any]


Event = FileSeen | FilesSame | StoredVolume | SetCommitted | Note


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. ``error`` is None after a run that did all it was asked.

    ``facts`` holds what the command found out, as plain values (docs/plugin-authors: statistics sinks).
    """

    command: str
    exit_code: int
    started: float
    ended: float
    error: BaseException | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Sink(Protocol):
    """Something that listens: a statistics block, a file for a monitor, a progress line."""

    def record(self, event: Event) -> None: ...

    def document(self) -> bytes | None:
        """What to store beside the set as its statistics object (docs/format.md § 10.2); None for nothing.

        Asked once, after the volumes are stored and ``Note("set")`` was recorded.
        """
        ...

    def close(self, outcome: Outcome) -> None: ...
