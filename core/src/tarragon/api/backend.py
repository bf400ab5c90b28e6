"""Backend: what a driver for a kind of storage implements, and what it may claim to do better."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, Flag, IntEnum, auto
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Protocol

from .errors import NotFound, TarragonError, Unsupported, WrongSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class Capability(Flag):
    """What a backend does better than the base class does for it."""

    NONE = 0
    ATOMIC_PUT = auto()  #: a reader sees all of an object or nothing of it
    RANGES = auto()  #: read(start, stop) costs only that much
    STAT = auto()  #: stat() without a listing
    SIZES = auto()  #: list() and stat() know sizes
    DIGESTS = auto()  #: stat() knows a sha1 or md5 computed by the far side
    RENAME = auto()
    BULK_DELETE = auto()
    COLD = auto()  #: objects may need warm_up() before they can be read: cold() knows which
    THREADS = auto()  #: one instance may be used from several threads
    READ_ONLY = auto()
    EXCLUSIVE_PUT = auto()  #: put_new() fails when the name exists, atomically: leases


class Pace(IntEnum):
    """Who keeps to ``--limit-upload`` or ``--limit-download``, and sees whether bytes move; the worst is the last."""

    STREAM = 0  #: the core: they pass through Source.open() or the stream of read() when they are on the wire
    OWN = 1  #: the driver: it gives a program the limit (context.options.limit_upload: KiB/s, 0: none), or is paced()
    NONE = 2  #: nobody can: the run says so when it starts


class Role(Enum):
    """What an object is for; drivers and wrappers are told, so that none guesses from names."""

    VOLUME = "volume"
    SIGNATURES = "signatures"
    MANIFEST = "manifest"
    STATS = "stats"
    RECOVERY = "recovery"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing tells of one object. ``digest`` is ``"sha1:…"`` or ``"md5:…"``, lower-case hex."""

    name: str
    size: int | None = None
    modified: float | None = None
    digest: str | None = None


class Source(Protocol):
    """Bytes to store; may be read again from the start, so that a second try needs no help from the driver."""

    @property
    def size(self) -> int: ...
    @property
    def sha1(self) -> str: ...
    def open(self) -> BinaryIO: ...
    def as_file(self) -> AbstractContextManager[Path]:
        """The bytes as a file, for drivers that call a program. Must not be changed; may be hard-linked.

        A driver that stores what it finds there has another ``upload_pace`` than STREAM.
        """
        ...


class Backend(ABC):
    """A flat set of named, immutable objects.

    Names are ASCII without a slash. The far side must keep what a finished put() gave it, and show it to other
    connections at once or after a delay that the driver documents. A driver never retries, never sleeps, never logs
    passwords and never prints: it translates the far side's answers into ``tarragon.api`` errors.

    Calls come one at a time where THREADS is not claimed, but not always from the same thread. One in which nothing
    moves for ``--timeout`` seconds is given up, and the object with it: another connection is opened. A driver that
    moves bytes where the core cannot see them tells so (``tarragon.api.operation``).
    """

    capabilities: Capability = Capability.NONE
    max_parallel: int = 4
    upload_pace: Pace = Pace.STREAM
    download_pace: Pace = Pace.STREAM

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose name begins with ``prefix``, in any order."""

    @abstractmethod
    def put(self, name: str, source: Source, role: Role) -> None:
        """Store ``source`` under ``name``, replacing what was there."""

    @abstractmethod
    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """The object's bytes from ``start`` to before ``stop``. Without RANGES ``start`` and ``stop`` may be ignored.

        Raises NotFound, here or at the first read.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove the object. Raises NotFound when it is not there."""

    def stat(self, name: str) -> ObjectInfo:
        """What is known of one object. Raises NotFound."""
        for info in self.list(name):
            if info.name == name:
                return info
        raise NotFound(f"no object '{name}'")

    def delete_many(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        for name in names:
            try:
                self.delete(name)
            except NotFound:
                continue

    def rename(self, old: str, new: str) -> None:
        """Give an object another name, replacing what was there."""
        raise Unsupported(f"{type(self).__name__} cannot rename objects")

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        """Store only if the name is free; False when it is taken."""
        raise Unsupported(f"{type(self).__name__} cannot create objects exclusively")

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that cannot be read before they are warm. Asks for nothing: warm_up() may cost money."""
        return frozenset()

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask that cold objects become readable; the names that are still cold. May be asked again and again."""
        return frozenset()

    def reconnect(self) -> None:  # noqa: B027 - a driver without a connection has nothing to do
        """Forget a connection that may be broken; called before a retry."""

    def close(self) -> None:  # noqa: B027 - a driver without a connection has nothing to do
        """Let go of the far side; may be called twice."""


class BackendWrapper(Backend):
    """A backend around another: passes every call on unless a subclass says otherwise."""

    loses: ClassVar[Capability] = Capability.NONE

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities & ~self.loses
        self.max_parallel = inner.max_parallel
        self.upload_pace = max(type(self).upload_pace, inner.upload_pace)
        self.download_pace = max(type(self).download_pace, inner.download_pace)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.inner.list(prefix)

    def put(self, name: str, source: Source, role: Role) -> None:
        self.inner.put(name, source, role)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        return self.inner.read(name, start, stop)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def stat(self, name: str) -> ObjectInfo:
        return self.inner.stat(name)

    def delete_many(self, names: Iterable[str]) -> None:
        self.inner.delete_many(names)

    def rename(self, old: str, new: str) -> None:
        self.inner.rename(old, new)

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        return self.inner.put_new(name, source, role)

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        return self.inner.cold(names)

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        return self.inner.warm_up(names)

    def reconnect(self) -> None:
        self.inner.reconnect()

    def close(self) -> None:
        self.inner.close()


def puts_whole(backend: Backend) -> bool:
    """Whether ``put_whole`` shows readers all of an object or nothing of it."""
    return bool((Capability.ATOMIC_PUT | Capability.RENAME) & backend.capabilities)


def put_whole(backend: Backend, name: str, source: Source, role: Role, file_prefix: str = "") -> None:
    """Store so that no reader meets a part of an object, where the backend can: for plugins that combine backends.

    Where it must be, the object is put under a temporary name, its size is looked at, and it is renamed;
    ``file_prefix`` is the option's value and begins that name. Raises WrongSize and what the backend raises.
    """
    if Capability.ATOMIC_PUT in backend.capabilities or Capability.RENAME not in backend.capabilities:
        backend.put(name, source, role)
        return
    temporary = f"{file_prefix}tarragon.tmp-{os.urandom(4).hex()}"
    try:
        backend.put(temporary, source, role)
        size = backend.stat(temporary).size
        if size not in (None, source.size):
            raise WrongSize(f"'{name}' has {size} bytes at the target, {source.size} were stored")
        backend.rename(temporary, name)
    except BaseException:
        with suppress(TarragonError):
            backend.delete(temporary)
        raise
