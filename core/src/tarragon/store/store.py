"""Store: the one type over any backend. It retries, reconnects, checks what was put, and believes no answer unseen.

Between volume (sealed files) and the far side; run/ is its only user. Drivers translate, all else happens here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    ColdObject,
    NotFound,
    ObjectInfo,
    Pace,
    PermissionDenied,
    StoredVolume,
    TarragonError,
    Transient,
    Unsupported,
    UserError,
    ValidationFailed,
    WrongSize,
)
from tarragon.record import NOTICE

from .attempt import Attempt, Bucket, Limits, Stop
from .check import check, checked_stat, is_sound, pieces
from .lines import Line, Lines
from .retry import Retry
from .source import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from logging import Logger

    from tarragon.api import Role, Source

T = TypeVar("T")
_Kinds = tuple[type[TarragonError], ...]

#: Answers that say nothing was changed: what stands at the far side is not ours to clean up.
_UNTOUCHED = (PermissionDenied, NotFound, ColdObject, Unsupported, UserError)
#: Names in one call of ``delete_many``.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object's bytes in a local file, whose position is its start, and what was counted while they came in.

    One of the two hashes: the one that was asked for.
    """

    file: BinaryIO
    size: int
    sha1: str
    sha256: str = ""


class Store:
    """Objects of one place.

    ``backend`` is a connection, or what opens one: then each operation under way has a connection of its own where
    the driver does not claim THREADS. No more than ``backend.max_parallel`` operations are under way at a time.
    A call in which nothing moves for ``timeout_s`` (0: for ever) is given up with its connection. Limits are KiB/s of
    all connections together. ``on_stored`` is told of every object that was put and checked. ``file_prefix`` begins the
    names of unfinished puts. ``stop`` ends what waits. All methods may be called from several threads.
    """

    def __init__(
        self,
        backend: Backend | Callable[[], Backend],
        *,
        log: Logger,
        num_retries: int = 5,
        retry_delay_s: float = 30,
        timeout_s: float = 30,
        limit_upload: float = 0,
        limit_download: float = 0,
        on_stored: Callable[[StoredVolume], None] | None = None,
        file_prefix: str = "",
        max_listed: int = 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        stop: Stop | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        stop = stop or Stop()
        self._log, self._on_stored, self._max_listed, self._clock = log, on_stored, max_listed, clock
        self._temporary = file_prefix + "tarragon.tmp-"
        self._pause = sleep or stop.pause
        self._retry = Retry(num_retries, retry_delay_s, self._pause, log)
        limits = Limits(timeout_s, Bucket(limit_upload), Bucket(limit_download), stop)
        self._lines = Lines(backend, retry=self._retry, limits=limits, log=log)
        first = self._lines.first
        self.capabilities = first.capabilities
        for way, limit, pace in (
            ("up", limit_upload, first.upload_pace),
            ("down", limit_download, first.download_pace),
        ):
            if limit and pace is Pace.NONE:
                log.warning("--limit-%sload has no effect: the target's driver cannot be slowed down", way)
        self._told: set[str] = set()

    def put(self, name: str, source: Source, role: Role, number: int = 0) -> StoredVolume:
        """Store ``source`` under ``name`` and see that it is there: by its size, and by the far side's digest, else by
        reading some of it back.

        Raises WrongSize or ValidationFailed when it still is not after the last try.
        """
        self._must_write(f"store '{name}'")
        started = self._clock()
        digest = self._run(
            f"store '{name}'",
            lambda line: self._put_once(line, name, source, role),
            (Transient, WrongSize, ValidationFailed),
        )
        sha256 = source.sha256 if isinstance(source, FileSource) else ""
        stored = StoredVolume(name, role, source.size, source.sha1, sha256, number, self._clock() - started, digest)
        self._log.info("stored %s, %d bytes", name, stored.size)
        if self._on_stored:
            self._on_stored(stored)
        return stored

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        """Store only if the name is free, for leases; False when it is taken, maybe by a try of our own. Unsupported
        without EXCLUSIVE_PUT.
        """
        self._must_write(f"store '{name}'")
        if Capability.EXCLUSIVE_PUT not in self.capabilities:
            raise Unsupported("the target cannot create objects exclusively")
        return self._call(
            f"store '{name}'", lambda backend, attempt: backend.put_new(name, attempt.metered(source), role)
        )

    def fetch(self, name: str, into: BinaryIO, *, size: int | None = None, strong: bool = False) -> Fetched:
        """Copy the object into the file ``into``, from its start. Raises WrongSize when it is not ``size`` bytes long.

        ``size`` is what a listing told, and counts for nothing where the driver claims no SIZES: a damaged object
        that a wrapper mends on its way has another. ``strong`` takes its SHA-256 instead of its SHA-1.
        Never more than ``size`` bytes and a piece are taken. What ``into`` raises ends it: trying again does not help.
        """
        if Capability.SIZES not in self.capabilities:
            size = None
        return self._call(
            f"fetch '{name}'",
            lambda backend, attempt: _fetch_once(backend, attempt, name, into, size, strong),
            (Transient, WrongSize),
        )

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Every object whose name begins with ``prefix``, by name; what cannot be one of ours is ignored and counted.

        Raises BackendError when there is no end to them.
        """
        return self._call(
            "list the target",
            lambda backend, attempt: _list_once(backend, attempt, prefix, self._max_listed, self._log),
        )

    def stat(self, name: str) -> ObjectInfo:
        """What the far side tells of one object. Raises NotFound."""
        return self._call(f"look at '{name}'", lambda backend, _: checked_stat(backend, name))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, in that order where the driver knows one; those that are not there are no error."""
        gone = list(names)
        self._must_write("delete")
        many = _MANY if Capability.BULK_DELETE in self.capabilities else 1
        for at in range(0, len(gone), many):
            self._call(f"delete {len(gone)} objects", _deleting(gone[at : at + many]))
        if gone:
            self._log.info("deleted %d objects", len(gone))

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that cannot be read before they are warmed up."""
        return self._cold("see which of %d objects are cold", names, lambda backend, wanted: backend.cold(wanted))

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask that cold objects become readable; those that are still cold."""
        return self._cold("warm up %d objects", names, lambda backend, wanted: backend.warm_up(wanted))

    def _cold(
        self, what: str, names: Iterable[str], ask: Callable[[Backend, Iterable[str]], frozenset[str]]
    ) -> frozenset[str]:
        wanted = frozenset(names)
        if not wanted or Capability.COLD not in self.capabilities:
            return frozenset()
        return wanted & self._call(what % len(wanted), lambda backend, attempt: ask(backend, attempt.alive(wanted)))

    def close(self) -> None:
        """Let go of the far side; may be called twice. What fails now is only logged: all was checked before."""
        self._lines.close()

    def _run(self, what: str, work: Callable[[Line], T], retried: _Kinds = (Transient,)) -> T:
        with self._lines.one() as line:
            return self._retry.run(what, lambda: work(line), line.again, retried)

    def _call(self, what: str, call: Callable[[Backend, Attempt], T], retried: _Kinds = (Transient,)) -> T:
        return self._run(what, lambda line: line.call(what, call), retried)

    def _must_write(self, what: str) -> None:
        if Capability.READ_ONLY in self.capabilities:
            raise Unsupported(f"cannot {what}: the target can only be read")

    def _put_once(self, line: Line, name: str, source: Source, role: Role) -> str:
        what = f"store '{name}'"
        can = line.backend.capabilities if line.backend else self.capabilities  # a driver may find out what it cannot
        moves = Capability.RENAME in can and Capability.ATOMIC_PUT not in can
        target = self._temporary + token_hex(4) if moves else name
        try:
            line.call(what, lambda backend, attempt: backend.put(target, attempt.metered(source), role))
            digest = check(line, target, source, self._pause, self._tell_once)
            if moves:
                line.call(what, lambda backend, _: backend.rename(target, name))
            return digest
        except BaseException as err:
            if Capability.ATOMIC_PUT not in can and not isinstance(err, _UNTOUCHED):
                self._discard(line, target)
            raise

    def _discard(self, line: Line, name: str) -> None:
        """Remove what a failed put may have left; a store that refuses to delete keeps it, unreferenced."""
        with suppress(TarragonError):
            line.call(f"remove the unfinished '{name}'", lambda backend, _: backend.delete(name))

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._log.log(NOTICE, "%s", text)


def _deleting(names: list[str]) -> Callable[[Backend, Attempt], None]:
    return lambda backend, attempt: backend.delete_many(attempt.alive(names))


def _fetch_once(
    backend: Backend, attempt: Attempt, name: str, into: BinaryIO, size: int | None, strong: bool
) -> Fetched:
    digest = hashlib.sha256() if strong else hashlib.sha1(usedforsecurity=False)
    total = 0
    with attempt.going():
        into.seek(0)
        into.truncate()
    for piece in pieces(backend, attempt, name, size=size):
        total += len(piece)
        digest.update(piece)
        with attempt.going():
            into.write(piece)
    with attempt.going():
        into.flush()
        into.seek(0)
    return Fetched(into, total, "", digest.hexdigest()) if strong else Fetched(into, total, digest.hexdigest())


def _list_once(backend: Backend, attempt: Attempt, prefix: str, most: int, log: Logger) -> list[ObjectInfo]:
    found: dict[str, ObjectInfo] = {}
    ignored = 0
    for number, info in enumerate(attempt.alive(backend.list(prefix))):
        if number == most:
            raise BackendError(f"the target lists more than {most} objects")
        if is_sound(info) and info.name.startswith(prefix):
            found[info.name] = info
        else:
            ignored += 1
    if ignored:
        log.info("ignored %d objects whose names are not of a backup", ignored)
    return [found[name] for name in sorted(found)]
