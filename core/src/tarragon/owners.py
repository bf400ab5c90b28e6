"""Owners: names of users and groups on this machine ↔ their numbers, each looked up once."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Owned(Protocol):
    """Anything with the four owner fields of a header."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def uname(self) -> bytes: ...
    @property
    def gname(self) -> bytes: ...


class Owners:
    """One run's view of the user database; its answers do not change while the run lasts."""

    def __init__(self, *, numeric: bool = False) -> None:
        self._numeric = numeric
        self._unames = _Answers[int, bytes](lambda uid: _encoded(pwd.getpwuid(uid).pw_name), b"")
        self._gnames = _Answers[int, bytes](lambda gid: _encoded(grp.getgrgid(gid).gr_name), b"")
        self._uids = _Answers[bytes, int | None](lambda name: pwd.getpwnam(_decoded(name)).pw_uid, None)
        self._gids = _Answers[bytes, int | None](lambda name: grp.getgrnam(_decoded(name)).gr_gid, None)

    def uname(self, uid: int) -> bytes:
        """The user's name here; empty when there is none."""
        return self._unames[uid]

    def gname(self, gid: int) -> bytes:
        """The group's name here; empty when there is none."""
        return self._gnames[gid]

    def here(self, stored: Owned) -> tuple[int, int]:
        """The numbers that stored owners have on this machine.

        A name that exists here wins over the number, user and group separately (docs/format.md § 7.3, trap 23);
        with ``numeric`` the stored numbers count.
        """
        if self._numeric:
            return stored.uid, stored.gid
        uid = self._uids[stored.uname] if stored.uname else None
        gid = self._gids[stored.gname] if stored.gname else None
        return stored.uid if uid is None else uid, stored.gid if gid is None else gid


K = TypeVar("K")
V = TypeVar("V")


class _Answers(dict[K, V]):
    """A dictionary that looks up what it has not, once; ``otherwise`` for what the database does not know."""

    def __init__(self, look_up: Callable[[K], V], otherwise: V) -> None:
        super().__init__()
        self._look_up = look_up
        self._otherwise = otherwise

    def __missing__(self, key: K) -> V:
        try:
            answer = self._look_up(key)
        except (KeyError, OverflowError, ValueError):  # unknown; too large for uid_t; a NUL in the name
            answer = self._otherwise
        self[key] = answer
        return answer


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
