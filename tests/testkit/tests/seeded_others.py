"""The filters, sinks, codecs, executors and plugin modules of seeded-faults.toml: each has one fault."""

from __future__ import annotations

import io
import types
import zlib
from concurrent.futures import Future, ThreadPoolExecutor

from tarragon.api import (
    TARRAGON_API,
    Cipher,
    Compressor,
    FileSeen,
    FilesSame,
    Malformed,
    Note,
    Option,
    SetCommitted,
    StoredVolume,
    Verdict,
    hookimpl,
)


class Filter:
    """A filter without faults: leaves out what is called ``x``."""

    can_exclude = True
    rank = 0

    def __call__(self, entry):
        return Verdict.EXCLUDE if entry.name == b"x" else None


class Remembers(Filter):
    def __init__(self):
        self.asked = 0

    def __call__(self, entry):
        self.asked += 1
        return Verdict.EXCLUDE if self.asked % 7 == 0 else None


class TextOnly(Filter):
    def __call__(self, entry):
        return Verdict.EXCLUDE if entry.path.decode() == "x" else None


class ExcludesInSecret(Filter):
    can_exclude = False

    def __call__(self, entry):
        return Verdict.EXCLUDE if entry.size > 2000 else None


class AnswersTrue(Filter):
    def __call__(self, entry):
        return entry.name == b"x"


class LooksAtTheDisk(Filter):
    def __call__(self, entry):
        try:
            with open(b"/nowhere/" + entry.path[:50].replace(b"\0", b""), "rb") as file:
                return Verdict.EXCLUDE if file.read(1) == b"#" else None
        except OSError:
            return None


class Sink:
    """A sink without faults: counts."""

    def __init__(self, log):
        self.log, self.count = log, {}

    def record(self, event):
        kind = type(event).__name__
        self.count[kind] = self.count.get(kind, 0) + 1

    def document(self):
        return repr(self.count).encode()

    def close(self, outcome):
        self.log.info("%s", self.count)


class KnownEventsOnly(Sink):
    def __init__(self, log):
        super().__init__(log)
        self.count = dict.fromkeys(
            (kind.__name__ for kind in (FileSeen, FilesSame, Note, SetCommitted, StoredVolume)), 0
        )

    def record(self, event):
        self.count[type(event).__name__] += 1


class NeedsAStart(Sink):
    def record(self, event):
        self.started = True

    def close(self, outcome):
        assert self.started


class PrintsItself(Sink):
    def close(self, outcome):
        print(self.count)


class TextDocument(Sink):
    def document(self):
        return repr(self.count)


class WholeInMemory(Compressor):
    suffix = ".zz"
    ratio = 0.5

    def packing(self, into):
        return _Packer(into)

    def unpacking(self, source):
        try:
            return io.BytesIO(zlib.decompress(source.read()))
        except zlib.error as err:
            raise Malformed(str(err)) from err


class _Packer(io.RawIOBase):
    def __init__(self, into):
        self.into, self.packer = into, zlib.compressobj()

    def writable(self):
        return True

    def write(self, data):
        self.into.write(self.packer.compress(data))
        return len(data)

    def close(self):
        if not self.closed:
            self.into.write(self.packer.flush())
        super().close()


class SameEachTime(Cipher):
    suffix = ".xor"

    def sealing(self, into, role):
        return _Xor(into)

    def opening(self, source, role):
        return io.BytesIO(bytes(byte ^ 85 for byte in source.read()))


class _Xor(io.RawIOBase):
    def __init__(self, into):
        self.into = into

    def writable(self):
        return True

    def write(self, data):
        return self.into.write(bytes(byte ^ 85 for byte in data))


class LosesErrors:
    def __init__(self, width):
        self.width, self._threads = width, ThreadPoolExecutor(width)

    def submit(self, work, /, *args, near=None):
        def run():
            try:
                return work(*args)
            except Exception as err:  # noqa: BLE001 - that is the fault
                raise RuntimeError(str(err)) from None

        future: Future = self._threads.submit(run)
        return future

    def close(self, *, cancel=False):
        self._threads.shutdown(cancel_futures=cancel)


def module(name, **members):
    """A plugin module without faults, but for those given."""
    made = types.ModuleType(name)
    made.TARRAGON_API = TARRAGON_API
    for key, value in members.items():
        setattr(made, key, hookimpl(value) if isinstance(value, types.FunctionType) else value)
    return made


OPTION = Option(flag="--acme-region", metavar="name", help="where the box stands")
README = "acme://host/box\n\n`--acme-region name`: where the box stands"

#: Fault → what is otherwise than in a plugin without faults: members, README, needs.
MODULES = {
    "NoNumber": {"members": {"TARRAGON_API": None}},
    "ImportsItsSdk": {"source": "import yaml\n"},
    "MisspeltHook": {"members": {"open_backends": lambda url: None}},
    "AnswersEverything": {"members": {"open_backend": lambda url: object()}},
    "UndocumentedOption": {"readme": "acme://host/box"},
    "TakesAFlagOfTheCore": {"members": {"options": lambda: (Option(flag="--volsize", help="mine"),)}},
    "ExactPin": {"needs": ["acme>=1", "tarragon-core==0.1.0"]},
}
