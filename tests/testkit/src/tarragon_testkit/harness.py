"""What checks are made of, and what backends are checked with. No pytest here: anything may run them."""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tarragon.api import Backend, Capability, Role

from .fakes import BytesSource

Promise = TypeVar("Promise", bound=Callable[[Any], None])

NAMES = (
    "duplicity-full.20231114T221320Z.vol1.difftar.gz",
    "duplicity-full.20231114T221320Z.vol1000.difftar.gpg",
    "duplicity-inc.20231114T221320Z.to.20231115T221320Z.manifest.gpg",
    "duplicity-full-signatures.20231114T221320Z.sigtar.gz",
    "duplicity-full.2023-11-14T22:13:20+01:00.vol7.difftar",
    "duplicity-full.20231114T221320Z.vol1.difftar.gz.vol000+01.more",
    "my.host-duplicity-full.20231114T221320Z.jsonstat.gz",
    "a_b=c,d ~!@#$%^&()[]{};'-tarragon.sums.20231114T221320Z.json.gz",
)


class NotAsked(Exception):
    """This promise is not asked of this one; the text says why."""


@dataclass(frozen=True)
class Check:
    """One promise. It is asked only of backends that claim ``needs``, and not of those that claim ``lacks``."""

    name: str
    run: Callable[[Any], None]
    needs: Capability = Capability.NONE
    lacks: Capability = Capability.NONE

    def skip_reason(self, claimed: Capability) -> str:
        """Why this is no promise of a backend with these capabilities; "" when it is one."""
        if self.needs & ~claimed:
            return f"{self.needs & ~claimed} is not claimed"
        if self.lacks & claimed:
            return f"{self.lacks & claimed} is claimed"
        return ""


@dataclass
class Contract:
    """The checks of one kind of plugin, in the order of their definition."""

    checks: list[Check] = field(default_factory=list)

    def check(
        self, *, needs: Capability = Capability.NONE, lacks: Capability = Capability.NONE
    ) -> Callable[[Promise], Promise]:
        """Make a function a promise of this contract."""

        def add(promise: Promise) -> Promise:
            self.checks.append(Check(promise.__name__, promise, needs, lacks))
            return promise

        return add


class Harness:
    """A store under test, and the short words the checks are written in.

    ``open`` connects anew to the same store. ``settle_s``: how late a change may be seen. ``small``: bytes cost money.
    ``many``: more objects than one page of a listing. ``large``: more bytes than one part of an upload. ``secrets``:
    what no message may hold. What was put is deleted at close; ``salt`` stands in the name of each.
    """

    def __init__(
        self,
        open: Callable[[], Backend],
        *,
        settle_s: float = 0,
        small: bool = False,
        many: int = 1200,
        large: int = 9 << 20,
        secrets: Sequence[str] = (),
    ) -> None:
        self._open, self.settle_s, self.small, self.many = open, settle_s, small, many
        self.large = min(large, 1 << 20) if small else large
        self.secrets = tuple(secret for secret in secrets if secret)
        self._connections: list[Backend] = []
        self._made: set[str] = set()
        self.salt = random.randbytes(4).hex()
        self.backend = self.connect()

    def connect(self) -> Backend:
        """A connection of its own to the same store."""
        self._connections.append(self._open())
        return self._connections[-1]

    def name(self, word: str = "") -> str:
        """A name that is new in this store."""
        name = f"duplicity-{self.salt}-{len(self._made)}{word}.difftar"
        self._made.add(name)
        return name

    def own(self, name: str) -> str:
        """``name`` behind a prefix of this test: on a store in use it must be nobody else's."""
        return f"{self.salt}-{name}"

    def put(self, data: bytes, name: str = "", role: Role = Role.VOLUME, backend: Backend | None = None) -> str:
        """Store bytes; the name, a new one unless given."""
        if Capability.READ_ONLY in self.backend.capabilities:
            raise NotAsked("READ_ONLY is claimed")
        name = name or self.name()
        self._made.add(name)
        (backend or self.backend).put(name, BytesSource(data), role)
        return name

    def read(self, name: str, start: int = 0, stop: int | None = None, backend: Backend | None = None) -> bytes:
        backend = backend or self.backend
        if Capability.COLD in backend.capabilities and not self.eventually(lambda: not backend.warm_up([name])):
            raise NotAsked("it takes longer to warm up than it takes to settle")
        with closing(backend.read(name, start, stop)) as stream:
            return drained(stream)

    def names(self, prefix: str = "", backend: Backend | None = None) -> set[str]:
        """The listed names that are of this test."""
        return {info.name for info in (backend or self.backend).list(prefix)} & self._made

    def eventually(self, holds: Callable[[], object]) -> bool:
        """Whether something holds, now or before the store has settled."""
        until = time.monotonic() + self.settle_s
        while not holds():
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Delete what was put, and let go of all connections."""
        self.backend.delete_many(sorted(self._made))
        for connection in self._connections:
            connection.close()


def drained(stream: BinaryIO) -> bytes:
    """All there is, also from streams that give less than was asked for."""
    pieces = []
    while piece := stream.read(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


class WatchedSource(BytesSource):
    """A source that notes what is done with it. ``wipe()`` is what the core does after a put: the bytes are gone."""

    def __init__(self, data: bytes, *, piece: int = 1 << 30) -> None:
        super().__init__(data)
        self.opened: list[BinaryIO] = []
        self.spoilt = False
        self._piece = piece
        self._is_gone = False

    def open(self) -> BinaryIO:
        self._must_be_there()
        self.opened.append(_Pieces(self.data, self._piece))
        return self.opened[-1]

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        self._must_be_there()
        with tempfile.TemporaryDirectory(prefix="testkit-") as folder:
            path = Path(folder) / "source"
            path.write_bytes(self.data)
            yield path
            self.spoilt = self.spoilt or not path.is_file() or path.read_bytes() != self.data

    def wipe(self) -> None:
        self._is_gone = True
        for stream in self.opened:
            stream.close()

    def _must_be_there(self) -> None:
        if self._is_gone:
            raise OSError("the source is gone")


class _Pieces(io.BytesIO):
    """Gives at most ``piece`` bytes at a time when it is asked for a number of them, as a pipe does."""

    def __init__(self, data: bytes, piece: int) -> None:
        super().__init__(data)
        self._piece = piece

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, self._piece))

    read1 = read

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[: self._piece])


class BrokenSource(BytesSource):
    """A source that fails half way."""

    def open(self) -> BinaryIO:
        return io.BufferedReader(_HalfReader(self.data))

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        raise OSError("the source broke")
        yield


class _HalfReader(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._left = data[: len(data) // 2]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._left:
            raise OSError("the source broke")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def same(found: bytes, wanted: bytes) -> None:
    """Raise AssertionError, with where they part, unless the bytes are equal.

    For bytes of any length: an assert would show both whole, and with CI set pytest spends minutes on their difference.
    """
    if found != wanted:
        part = next((at for at, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
        where = "one begins with the other" if part is None else f"byte {part} is the first that differs"
        raise AssertionError(f"{len(found)} bytes instead of {len(wanted)}; {where}")


def raises(
    kind: type[BaseException] | tuple[type[BaseException], ...], call: Callable[..., object], *args: object
) -> BaseException:
    """The exception of that kind that ``call(*args)`` must raise."""
    try:
        answer = call(*args)
    except kind as err:
        return err
    raise AssertionError(f"no {kind}, but {answer!r:.80}")
