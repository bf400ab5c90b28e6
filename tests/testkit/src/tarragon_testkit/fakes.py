"""Stand-ins for what is around a plugin or a station: a store in memory, one that fails on cue, a run's context."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO

from tarragon.api import (
    Backend,
    BackendWrapper,
    BadURL,
    Capability,
    NotFound,
    ObjectInfo,
    Role,
    Secret,
    UserError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tarragon.api import Repository, Source


class BytesSource:
    """Bytes to store (api.Source)."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha1(self) -> str:
        return hashlib.sha1(self.data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="testkit-") as file:
            file.write(self.data)
            file.flush()
            yield Path(file.name)


class MemoryBackend(Backend):
    """The reference: objects in a dict. Backends made over the same dict are connections to one store.

    ``roles`` tells the role with which an object was put. ``capabilities`` may be narrowed to see what a caller makes
    of a poorer store: what is not claimed behaves as the base class does it.
    """

    everything = (
        Capability.ATOMIC_PUT
        | Capability.RANGES
        | Capability.STAT
        | Capability.SIZES
        | Capability.DIGESTS
        | Capability.RENAME
        | Capability.BULK_DELETE
        | Capability.THREADS
        | Capability.EXCLUSIVE_PUT
    )

    def __init__(self, objects: dict[str, bytes] | None = None, capabilities: Capability = everything) -> None:
        self.objects: dict[str, bytes] = {} if objects is None else objects
        self.roles: dict[str, Role] = {}
        self.capabilities = capabilities

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for name, data in list(self.objects.items()):
            if name.startswith(prefix):
                yield self._info(name, data)

    def put(self, name: str, source: Source, role: Role) -> None:
        with source.open() as stream:
            data = stream.read()
        self.objects[name] = data
        self.roles[name] = role

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        data = self._data(name)
        return io.BytesIO(data[start:stop] if Capability.RANGES in self.capabilities else data)

    def delete(self, name: str) -> None:
        self._data(name)
        del self.objects[name]

    def stat(self, name: str) -> ObjectInfo:
        return self._info(name, self._data(name))

    def rename(self, old: str, new: str) -> None:
        if Capability.RENAME not in self.capabilities:
            super().rename(old, new)
        data = self._data(old)
        if old != new:
            self.objects[new] = data
            del self.objects[old]

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        if Capability.EXCLUSIVE_PUT not in self.capabilities:
            return super().put_new(name, source, role)
        with source.open() as stream:
            data = stream.read()
        return self.objects.setdefault(name, data) is data

    def _data(self, name: str) -> bytes:
        try:
            return self.objects[name]
        except KeyError:
            raise NotFound(f"no object '{name}'") from None

    def _info(self, name: str, data: bytes) -> ObjectInfo:
        size = len(data) if Capability.SIZES in self.capabilities else None
        digest = "sha1:" + hashlib.sha1(data).hexdigest() if Capability.DIGESTS in self.capabilities else None
        return ObjectInfo(name, size, None, digest)


class FaultyBackend(BackendWrapper):
    """A backend whose calls fail, or do harm, as scripted.

    ``faults`` maps a method's name to what its calls meet, in turn: None lets the call through, an exception is
    raised, anything callable gets the call's arguments behind the inner backend and answers in its place. Calls
    beyond the script go through. ``calls`` records every call's method and first argument.
    """

    def __init__(self, inner: Backend, faults: Mapping[str, Iterable[Any]] | None = None) -> None:
        super().__init__(inner)
        self.calls: list[tuple[str, Any]] = []
        self._faults = {method: list(script) for method, script in (faults or {}).items()}

    def count(self, method: str) -> int:
        """How many calls of ``method`` there were."""
        return sum(1 for called, _ in self.calls if called == method)

    def _call(self, method: str, *args: Any) -> Any:
        self.calls.append((method, args[0] if args else None))
        script = self._faults.get(method)
        fault = script.pop(0) if script else None
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            return fault(self.inner, *args)
        return getattr(self.inner, method)(*args)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from self._call("list", prefix)

    def put(self, name: str, source: Source, role: Role) -> None:
        self._call("put", name, source, role)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        stream: BinaryIO = self._call("read", name, start, stop)
        return stream

    def delete(self, name: str) -> None:
        self._call("delete", name)

    def stat(self, name: str) -> ObjectInfo:
        info: ObjectInfo = self._call("stat", name)
        return info

    def delete_many(self, names: Iterable[str]) -> None:
        self._call("delete_many", list(names))

    def rename(self, old: str, new: str) -> None:
        self._call("rename", old, new)

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        return bool(self._call("put_new", name, source, role))

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        cold: frozenset[str] = self._call("warm_up", list(names))
        return cold

    def reconnect(self) -> None:
        self._call("reconnect")

    def close(self) -> None:
        self._call("close")


class Options(SimpleNamespace):
    """Option values by attribute; one that was not given is an AttributeError that says so."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the test gave no option '{name}'")


class TestContext:
    """A run's context (api.Context) for tests of plugins.

    ``passwords`` are the answers to ``ask_password``, in turn, for which no variable is set; ``prompts`` records what
    was asked. ``open`` answers ``open_backend``.
    """

    __test__ = False  # not a test class, for all its name

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        passwords: Sequence[str] = (),
        *,
        hook: Any = None,
        repository: Any = None,
        open: Callable[[str], Backend] | None = None,
        tempdir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.options = Options(**(options or {}))
        self.env: Mapping[str, str] = dict(env or {})
        self.hook = hook
        self.log = logging.getLogger("tarragon.test")
        self.prompts: list[str] = []
        self.repository: Repository = repository
        self._passwords = list(passwords)
        self._open = open
        self._tempdir = tempdir

    def open_backend(self, url: str) -> Backend:
        if self._open is None:
            raise BadURL(f"the test opens no '{url}'")
        return self._open(url)

    def ask_password(self, prompt: str, *, env: tuple[str, ...] = ()) -> Secret:
        for name in env:
            if name in self.env:
                return Secret(self.env[name])
        self.prompts.append(prompt)
        if not self._passwords:
            raise UserError(f"the test has no answer to '{prompt}'")
        return Secret(self._passwords.pop(0))

    @contextmanager
    def temp_file(self, suffix: str = "") -> Iterator[Path]:
        fd, name = tempfile.mkstemp(suffix, "testkit-", self._tempdir)
        os.close(fd)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
