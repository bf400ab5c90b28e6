"""The backends and wrappers of seeded-faults.toml: each is the reference with one fault."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import time
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import quote

from tarragon.api import Backend, BackendWrapper, Capability, NotFound, Role
from tarragon_testkit import BytesSource, MemoryBackend

PASSWORD = "correct horse/battery"


class SameSizeSkipped(MemoryBackend):
    def put(self, name, source, role):
        if len(self.objects.get(name, b"-" * (source.size + 1))) != source.size:
            super().put(name, source, role)


class OneReadOfTheSource(MemoryBackend):
    def put(self, name, source, role):
        with source.open() as stream:
            super().put(name, BytesSource(stream.read(source.size)), role)


class MovesTheSource(MemoryBackend):
    def put(self, name, source, role):
        with source.as_file() as path:
            data = path.read_bytes()
            path.rename(path.with_name("moved"))
        super().put(name, BytesSource(data), role)


class LeavesTheSourceOpen(MemoryBackend):
    def put(self, name, source, role):
        super().put(name, BytesSource(source.open().read()), role)


class StoresLater(MemoryBackend):
    """Whatever is asked next, the queue is emptied first; but the source may be gone by then."""

    def __init__(self, objects, *more):
        super().__init__(objects, *more)
        self.queue = []

    def put(self, name, source, role):
        self.flush()
        self.queue.append((name, source, role))

    def flush(self):
        while self.queue:
            super().put(*self.queue.pop())

    def list(self, prefix=""):
        self.flush()
        return super().list(prefix)

    def _data(self, name):
        self.flush()
        return super()._data(name)


class FoundByPrefix(MemoryBackend):
    def read(self, name, start=0, stop=None):
        found = [each for each in sorted(self.objects) if each.startswith(name)]
        return super().read(found[-1] if found else name, start, stop)


class _Chunks(io.BytesIO):
    def read(self, size=-1, /):
        return super().read(1000 if size is None or size < 0 else size)


class OneChunk(MemoryBackend):
    def read(self, name, start=0, stop=None):
        return _Chunks(super().read(name, start, stop).read())


class PatternPrefix(MemoryBackend):
    def list(self, prefix=""):
        return (info for info in super().list() if fnmatch.fnmatchcase(info.name, prefix + "*"))


class ListOnce(MemoryBackend):
    def __init__(self, *more):
        super().__init__(*more)
        self.known = None

    def list(self, prefix=""):
        if self.known is None:
            self.known = list(super().list())
        return (info for info in self.known if info.name.startswith(prefix))

    def put(self, name, source, role):
        super().put(name, source, role)
        if self.known is not None:
            self.known = [info for info in self.known if info.name != name] + [self.stat(name)]

    def delete(self, name):
        super().delete(name)
        self.known = None

    def delete_many(self, names):
        super().delete_many(names)
        self.known = None

    def rename(self, old, new):
        super().rename(old, new)
        self.known = None

    def put_new(self, name, source, role):
        self.known = None
        return super().put_new(name, source, role)


class StaleStat(MemoryBackend):
    def __init__(self, *more):
        super().__init__(*more)
        self.told = {}

    def stat(self, name):
        self._data(name)
        return self.told.setdefault(name, super().stat(name))


class PartsDigest(MemoryBackend):
    def _info(self, name, data):
        info = super()._info(name, data)
        part = 5 << 20
        if len(data) <= part:
            return info
        parts = [hashlib.md5(data[at : at + part]).digest() for at in range(0, len(data), part)]
        return replace(info, digest="md5:" + hashlib.md5(b"".join(parts)).hexdigest())


class MillisecondTimes(MemoryBackend):
    def _info(self, name, data):
        return replace(super()._info(name, data), modified=time.time() * 1000)


class BulkOfThousand(MemoryBackend):
    def delete_many(self, names):
        super().delete_many(list(names)[:1000])


class TellsThePassword(MemoryBackend):
    def _data(self, name):
        if name not in self.objects:
            raise NotFound(f"404 for ftp://me:{PASSWORD}@host/{name}")
        return super()._data(name)


class Prints(MemoryBackend):
    def list(self, prefix=""):
        for info in super().list(prefix):
            print(info)
            yield info


class RetriesItself(MemoryBackend):
    def _data(self, name):
        for _ in range(3):
            if name in self.objects:
                break
            time.sleep(0.001)
        return super()._data(name)


class SharedSession(MemoryBackend):
    """The session is the store's: a dict of objects has one."""

    sessions: dict[int, SimpleNamespace] = {}

    def __init__(self, objects, *more):
        super().__init__(objects, *more)
        self.session = self.sessions.setdefault(id(objects), SimpleNamespace(is_open=True, objects=objects))

    def _data(self, name):
        if not self.session.is_open:
            raise ConnectionError("session closed")
        return super()._data(name)

    def close(self):
        self.session.is_open = False


class AllCold(MemoryBackend):
    def warm_up(self, names):
        return frozenset(names)


class CheckThenPut(MemoryBackend):
    def put_new(self, name, source, role):
        if name in self.objects:
            return False
        time.sleep(0.2)  # the way to the server
        self.put(name, source, role)
        return True


class SharedState(MemoryBackend):
    def put(self, name, source, role):
        self.current = name
        time.sleep(0.02)  # the way to the server
        super().put(self.current, source, role)


class ClaimsTooMuch(MemoryBackend):
    stat = Backend.stat


class ReconnectForgets(MemoryBackend):
    def reconnect(self):
        self.objects = None


class EscapedNames(MemoryBackend):
    def put(self, name, source, role):
        super().put(quote(name), source, role)

    def _data(self, name):
        return super()._data(quote(name))


class ErrorPageAsContent(MemoryBackend):
    def read(self, name, start=0, stop=None):
        if name not in self.objects:
            return io.BytesIO(b"<html>404")
        return super().read(name, start, stop)


class StuckAfterAFailedPut(MemoryBackend):
    is_stuck = False

    def put(self, name, source, role):
        if self.is_stuck:
            raise ConnectionError("half a request was sent")
        try:
            super().put(name, source, role)
        except OSError:
            self.is_stuck = True
            raise


# -- wrappers: something that stores a sum beside each object, as par2 stores recovery files --------------------------

OWN = ".sum"


class Sums(BackendWrapper):
    """The wrapper without faults, but for those that its subclasses have."""

    loses = Capability.RENAME | Capability.EXCLUSIVE_PUT | Capability.BULK_DELETE

    def list(self, prefix=""):
        return (info for info in super().list(prefix) if not info.name.endswith(OWN))

    def put(self, name, source, role):
        super().put(name + OWN, BytesSource(source.sha1.encode()), Role.RECOVERY)
        super().put(name, source, role)

    def delete(self, name):
        super().delete(name)
        super().delete_many([name + OWN])

    def delete_many(self, names):
        self.inner.delete_many([each for name in names for each in (name, name + OWN)])

    def rename(self, old, new):
        return Backend.rename(self, old, new)

    def put_new(self, name, source, role):
        return Backend.put_new(self, name, source, role)


class HidesNothing(Sums):
    def list(self, prefix=""):
        return self.inner.list(prefix)


class LeavesItsOwnBehind(Sums):
    def delete(self, name):
        self.inner.delete(name)


class ForgetsTheRole(Sums):
    def put(self, name, source, role):
        super().put(name, source, Role.VOLUME)


class KeepsTheInnerOpen(Sums):
    def close(self):
        pass


class DropsReconnect(Sums):
    def reconnect(self):
        pass


class SwallowsErrors(Sums):
    def read(self, name, start=0, stop=None):
        try:
            return super().read(name, start, stop)
        except Exception as err:
            raise NotFound(name) from err


class KeepsWhatItLoses(Sums):
    def read(self, name, start=0, stop=None):
        return super().read(name)
