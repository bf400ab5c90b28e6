"""Stores to test against: one that keeps every promise, and some that are slow, late, cold, faulty or liars."""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tarragon.api import Backend, BackendWrapper, Capability, ColdObject, NotFound, ObjectInfo, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tarragon.api import Source


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
        with tempfile.TemporaryDirectory(prefix="testkit-") as folder:
            path = Path(folder) / "source"
            path.write_bytes(self.data)
            yield path


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

    _lock = threading.Lock()  # of put_new: what it looks at is the dict, which connections share

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

    def delete_many(self, names: Iterable[str]) -> None:
        for name in names:
            self.objects.pop(name, None)

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
        with self._lock:
            if name in self.objects:
                return False
            self.objects[name] = data
            return True

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

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        cold: frozenset[str] = self._call("cold", list(names))
        return cold

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        cold: frozenset[str] = self._call("warm_up", list(names))
        return cold

    def reconnect(self) -> None:
        self._call("reconnect")

    def close(self) -> None:
        self._call("close")


class SlowBackend(BackendWrapper):
    """A backend whose calls take ``delay_s`` longer each."""

    def __init__(self, inner: Backend, delay_s: float = 0.01) -> None:
        super().__init__(inner)
        self._delay_s = delay_s

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        time.sleep(self._delay_s)
        return super().list(prefix)

    def put(self, name: str, source: Source, role: Role) -> None:
        time.sleep(self._delay_s)
        super().put(name, source, role)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        time.sleep(self._delay_s)
        return super().read(name, start, stop)

    def delete(self, name: str) -> None:
        time.sleep(self._delay_s)
        super().delete(name)

    def stat(self, name: str) -> ObjectInfo:
        time.sleep(self._delay_s)
        return super().stat(name)

    def delete_many(self, names: Iterable[str]) -> None:
        time.sleep(self._delay_s)
        super().delete_many(names)


class LateBackend(BackendWrapper):
    """A backend whose listings show a change only after ``after`` more listings.

    What is new is not listed yet, what is deleted is listed still; reading is up to date. ``late`` is the state of the
    store: connections share it.
    """

    loses = Capability.STAT

    def __init__(
        self, inner: Backend, after: int = 2, late: dict[str, tuple[int, ObjectInfo | None]] | None = None
    ) -> None:
        super().__init__(inner)
        self._after, self._late = after, {} if late is None else late

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        shown = {info.name: info for info in super().list(prefix)}
        for name, (left, before) in list(self._late.items()):
            if left <= 0:
                self._late.pop(name, None)
                continue
            self._late[name] = left - 1, before
            shown.pop(name, None)
            if before is not None and name.startswith(prefix):
                shown[name] = before
        return iter(list(shown.values()))

    def stat(self, name: str) -> ObjectInfo:
        return Backend.stat(self, name)

    def put(self, name: str, source: Source, role: Role) -> None:
        before = self._seen(name)
        super().put(name, source, role)
        self._late[name] = self._after, before

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        before = self._seen(name)
        done = super().put_new(name, source, role)
        self._late[name] = self._after, before
        return done

    def delete(self, name: str) -> None:
        before = self._seen(name)
        super().delete(name)
        self._late[name] = self._after, before

    def delete_many(self, names: Iterable[str]) -> None:
        for name in names:
            before = self._seen(name)
            super().delete_many([name])
            self._late[name] = self._after, before

    def rename(self, old: str, new: str) -> None:
        befores = {name: self._seen(name) for name in (old, new)}
        super().rename(old, new)
        self._late |= {name: (self._after, before) for name, before in befores.items()}

    def _seen(self, name: str) -> ObjectInfo | None:
        """What a listing shows of an object now."""
        if name in self._late:
            return self._late[name][1]
        try:
            return self.inner.stat(name)
        except NotFound:
            return None


class ColdBackend(BackendWrapper):
    """A backend that keeps volumes cold: they can be read once warm_up() has been asked ``asks`` times.

    ``cold`` is the state of the store, how often each name must still be asked for: connections share it.
    """

    def __init__(self, inner: Backend, asks: int = 2, cold: dict[str, int] | None = None) -> None:
        super().__init__(inner)
        self.capabilities |= Capability.COLD
        self._asks, self._cold = asks, {} if cold is None else cold

    def put(self, name: str, source: Source, role: Role) -> None:
        super().put(name, source, role)
        self._cold[name] = self._asks if role is Role.VOLUME else 0

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self._cold[new] = self._cold.pop(old, 0)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        self.inner.stat(name)
        if self._cold.get(name, 0) > 0:
            raise ColdObject(f"'{name}' is cold")
        return super().read(name, start, stop)

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(name for name in names if self._cold.get(name, 0) > 0)

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        wanted = list(names)
        for name in wanted:
            self._cold[name] = max(0, self._cold.get(name, 0) - 1)
        return frozenset(name for name in wanted if self._cold[name])


class LyingBackend(BackendWrapper):
    """A backend that does not do what it says.

    ``lies``: "size" and "digest" tell wrong ones, "listing" leaves one object out, "ghost" lists one that is not
    there, "put" stores nothing, "short" stores half, "data" reads other bytes, "delete" deletes nothing.
    """

    every = frozenset({"size", "digest", "listing", "ghost", "put", "short", "data", "delete"})

    def __init__(self, inner: Backend, lies: Iterable[str] = every) -> None:
        super().__init__(inner)
        self.lies = frozenset(lies)
        if unknown := self.lies - self.every:
            raise ValueError(f"no such lies: {sorted(unknown)}")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        shown = sorted(super().list(prefix), key=lambda info: info.name)
        if "listing" in self.lies:
            shown = shown[:-1]
        if "ghost" in self.lies:
            shown.append(ObjectInfo(f"{prefix}ghost", 1))
        return iter([self._told(info) for info in shown])

    def stat(self, name: str) -> ObjectInfo:
        return self._told(super().stat(name))

    def put(self, name: str, source: Source, role: Role) -> None:
        if "put" in self.lies:
            return
        if "short" in self.lies:
            with source.open() as stream:
                data = stream.read()
            source = BytesSource(data[: len(data) // 2])
        super().put(name, source, role)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        if "data" not in self.lies:
            return super().read(name, start, stop)
        with closing(super().read(name, start, stop)) as stream:
            return io.BytesIO(bytes(reversed(stream.read())))

    def delete(self, name: str) -> None:
        if "delete" in self.lies:
            self.inner.stat(name)
        else:
            super().delete(name)

    def delete_many(self, names: Iterable[str]) -> None:
        if "delete" not in self.lies:
            super().delete_many(names)

    def _told(self, info: ObjectInfo) -> ObjectInfo:
        size, digest = info.size, info.digest
        if "size" in self.lies and size is not None:
            size += 1
        if "digest" in self.lies and digest is not None:
            digest = "sha1:" + "0" * 40
        return ObjectInfo(info.name, size, info.modified, digest)
