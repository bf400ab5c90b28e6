"""Store: the one type over any backend. It retries, reconnects, checks what was put, and believes no answer unseen.

Between volume (sealed files) and the far side; run/ is its only user. Drivers translate, all else happens here.
"""

from __future__ import annotations

import errno
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    ColdObject,
    NoTempSpace,
    NotFound,
    ObjectInfo,
    PermissionDenied,
    SourceError,
    StoredVolume,
    TarragonError,
    Transient,
    Unsupported,
    UserError,
    ValidationFailed,
    WrongSize,
)

from .retry import Retry
from .source import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from logging import Logger

    from tarragon.api import Role, Source

T = TypeVar("T")

_PIECE = 1 << 20
_NAME = re.compile(r"[ -.0-~]{1,1024}")  # ASCII without control characters and slash
_DIGEST = re.compile(r"sha1:[0-9a-f]{40}|md5:[0-9a-f]{32}")
#: Answers that say nothing was changed: what stands at the far side is not ours to clean up.
_UNTOUCHED = (PermissionDenied, NotFound, ColdObject, Unsupported, UserError)


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
    ``on_stored`` is told of every object that was put and checked. ``file_prefix`` begins the names of unfinished
    puts. All methods may be called from several threads.
    """

    def __init__(
        self,
        backend: Backend | Callable[[], Backend],
        *,
        log: Logger,
        num_retries: int = 5,
        retry_delay_s: float = 30,
        on_stored: Callable[[StoredVolume], None] | None = None,
        file_prefix: str = "",
        max_listed: int = 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._log, self._on_stored, self._max_listed, self._clock = log, on_stored, max_listed, clock
        self._temporary = file_prefix + "tarragon.tmp-"
        self._retry = Retry(num_retries, retry_delay_s, sleep, log)
        self._open = None if isinstance(backend, Backend) else backend
        first = backend if isinstance(backend, Backend) else self._retry.run("connect", backend, lambda: None)
        self.capabilities = first.capabilities
        self._is_shared = Capability.THREADS in first.capabilities
        self._all, self._idle = [first], [first]
        width = first.max_parallel if self._is_shared or self._open else 1
        self._free = threading.BoundedSemaphore(max(1, width))
        self._lock = threading.Lock()
        self._told_unchecked = False

    def put(self, name: str, source: Source, role: Role, number: int = 0) -> StoredVolume:
        """Store ``source`` under ``name`` and see that it is there: by the far side's digest, else by its size.

        Raises WrongSize or ValidationFailed when it still is not after the last try.
        """
        self._must_write(f"store '{name}'")
        started = self._clock()
        digest = self._run(
            f"store '{name}'",
            lambda backend: self._put_once(backend, name, source, role),
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
        return self._run(f"store '{name}'", lambda backend: backend.put_new(name, source, role))

    def fetch(self, name: str, into: BinaryIO, *, size: int | None = None, strong: bool = False) -> Fetched:
        """Copy the object into the file ``into``, from its start. Raises WrongSize when it is not ``size`` bytes long.

        ``size`` is what a listing told, and counts for nothing where the driver claims no SIZES: a damaged object
        that a wrapper mends on its way has another. ``strong`` takes its SHA-256 instead of its SHA-1.
        Never more than ``size`` bytes and a piece are taken. Raises NoTempSpace where ``into`` has no room.
        """
        if Capability.SIZES not in self.capabilities:
            size = None
        return self._run(
            f"fetch '{name}'", lambda backend: _fetch_once(backend, name, into, size, strong), (Transient, WrongSize)
        )

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Every object whose name begins with ``prefix``, by name; what cannot be one of ours is ignored and counted.

        Raises BackendError when there is no end to them.
        """
        return self._run("list the target", lambda backend: _list_once(backend, prefix, self._max_listed, self._log))

    def stat(self, name: str) -> ObjectInfo:
        """What the far side tells of one object. Raises NotFound."""
        return self._run(f"look at '{name}'", lambda backend: _checked_stat(backend, name))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, in that order where the driver knows one; those that are not there are no error."""
        gone = list(names)
        self._must_write("delete")
        if gone:
            self._run(f"delete {len(gone)} objects", lambda backend: backend.delete_many(gone))
            self._log.info("deleted %d objects", len(gone))

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that cannot be read before they are warmed up."""
        wanted = frozenset(names)
        if not wanted or Capability.COLD not in self.capabilities:
            return frozenset()
        return self._run(f"see whether {len(wanted)} objects are cold", lambda backend: backend.cold(wanted)) & wanted

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask that cold objects become readable; those that are still cold."""
        wanted = frozenset(names)
        if not wanted or Capability.COLD not in self.capabilities:
            return frozenset()
        return self._run(f"warm up {len(wanted)} objects", lambda backend: backend.warm_up(wanted)) & wanted

    def close(self) -> None:
        """Let go of the far side; may be called twice. What fails now is only logged: all was checked before."""
        with self._lock:
            closing_now, self._all, self._idle = self._all, [], []
        for backend in closing_now:
            try:
                self._guarded(backend, "close the connection", backend.close)
            except TarragonError as err:
                self._log.warning("cannot close the connection: %s", err)

    def _run(
        self,
        what: str,
        operation: Callable[[Backend], T],
        retried: tuple[type[TarragonError], ...] = (Transient,),
    ) -> T:
        with self._connection() as backend:
            return self._retry.run(
                what,
                lambda: self._guarded(backend, what, lambda: operation(backend)),
                lambda: self._guarded(backend, "reconnect", backend.reconnect),
                retried,
            )

    @contextmanager
    def _connection(self) -> Iterator[Backend]:
        with self._free:
            with self._lock:
                backend = self._all[0] if self._is_shared and self._all else self._idle.pop() if self._idle else None
            if backend is None:
                backend = self._opened()
            try:
                yield backend
            finally:
                with self._lock:
                    if not self._is_shared:
                        self._idle.append(backend)

    def _opened(self) -> Backend:
        if self._open is None or not self._all:
            raise BackendError("the connection is closed")
        opener = self._open
        backend = self._retry.run("connect", opener, lambda: None)
        with self._lock:
            self._all.append(backend)
        return backend

    def _guarded(self, backend: Backend, what: str, operation: Callable[[], T]) -> T:
        """Let only typed errors out."""
        try:
            return operation()
        except TarragonError:
            raise
        except Exception as err:
            driver = type(backend).__module__
            self._log.warning("cannot %s: '%s' did not translate %s: %s", what, driver, type(err).__name__, err)
            self._log.debug("where it came from", exc_info=err)
            raise Transient(f"{type(err).__name__} in '{driver}': {err}") from err

    def _must_write(self, what: str) -> None:
        if Capability.READ_ONLY in self.capabilities:
            raise Unsupported(f"cannot {what}: the target can only be read")

    def _put_once(self, backend: Backend, name: str, source: Source, role: Role) -> str:
        if Capability.ATOMIC_PUT in backend.capabilities:
            backend.put(name, source, role)
            return self._check(backend, name, source)
        moves = Capability.RENAME in backend.capabilities
        target = self._temporary + token_hex(4) if moves else name
        try:
            backend.put(target, source, role)
            digest = self._check(backend, target, source)
            if moves:
                backend.rename(target, name)
            return digest
        except BaseException as err:
            if not isinstance(err, _UNTOUCHED):
                self._discard(backend, target)
            raise

    def _discard(self, backend: Backend, name: str) -> None:
        """Remove what a failed put may have left; a store that refuses to delete keeps it, unreferenced."""
        with suppress(TarragonError):
            self._guarded(backend, f"remove the unfinished '{name}'", lambda: backend.delete(name))

    def _check(self, backend: Backend, name: str, source: Source) -> str:
        """See that an object is what was put; the far side's digest of it, "" where it tells none."""
        try:
            info = _checked_stat(backend, name)
        except NotFound as err:
            raise ValidationFailed(f"'{name}' is not there after it was stored") from err
        if info.size is not None and info.size != source.size:
            raise WrongSize(f"'{name}' has {info.size} bytes at the target, {source.size} were stored")
        kind, _, digest = (info.digest or "").partition(":")
        if digest and digest != (source.sha1 if kind == "sha1" else _md5(source)):
            raise ValidationFailed(f"'{name}' has another {kind} sum at the target than what was stored")
        if not digest and info.size is None and not self._told_unchecked:
            self._told_unchecked = True
            self._log.log(25, "the target tells neither size nor sum: uploads are not checked")
        return info.digest or ""


def _fetch_once(backend: Backend, name: str, into: BinaryIO, size: int | None, strong: bool) -> Fetched:
    digest = hashlib.sha256() if strong else hashlib.sha1(usedforsecurity=False)
    total = 0
    with _local_errors():
        into.seek(0)
        into.truncate()
    with closing(backend.read(name)) as stream:
        while piece := stream.read(_PIECE):
            total += len(piece)
            if size is not None and total > size:
                raise WrongSize(f"'{name}' has more than the expected {size} bytes")
            digest.update(piece)
            with _local_errors():
                into.write(piece)
    if size is not None and total != size:
        raise WrongSize(f"'{name}' has {total} bytes, {size} were expected")
    with _local_errors():
        into.flush()
        into.seek(0)
    return Fetched(into, total, "", digest.hexdigest()) if strong else Fetched(into, total, digest.hexdigest())


@contextmanager
def _local_errors() -> Iterator[None]:
    """A full temporary folder is not the far side's failure, and trying again does not help."""
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoTempSpace("no room for what was fetched", hint="choose another folder with --tempdir") from err
        raise SourceError(f"cannot write a temporary file: {err.strerror}") from err


def _list_once(backend: Backend, prefix: str, most: int, log: Logger) -> list[ObjectInfo]:
    found: dict[str, ObjectInfo] = {}
    ignored = 0
    for number, info in enumerate(backend.list(prefix)):
        if number == most:
            raise BackendError(f"the target lists more than {most} objects")
        if _is_sound(info) and info.name.startswith(prefix):
            found[info.name] = info
        else:
            ignored += 1
    if ignored:
        log.info("ignored %d objects whose names are not of a backup", ignored)
    return [found[name] for name in sorted(found)]


def _checked_stat(backend: Backend, name: str) -> ObjectInfo:
    info = backend.stat(name)
    if not _is_sound(info) or info.name != name:
        raise BackendError(f"the driver's answer about '{name}' is of another object, or of a wrong type")
    return info


def _is_sound(info: object) -> bool:
    """Whether a driver's answer is what the protocol promises: what comes from elsewhere is not taken on trust."""
    return (
        isinstance(info, ObjectInfo)
        and isinstance(info.name, str)
        and _NAME.fullmatch(info.name) is not None
        and (info.size is None or (type(info.size) is int and info.size >= 0))
        and (info.modified is None or type(info.modified) in (int, float))
        and (info.digest is None or (isinstance(info.digest, str) and _DIGEST.fullmatch(info.digest) is not None))
    )


def _md5(source: Source) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with source.open() as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
