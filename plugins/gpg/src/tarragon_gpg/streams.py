"""What sealing and opening hand out: a writer into gpg and a reader from it, whose close() is the verdict."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

from tarragon.api import CipherError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .child import Child

    #: Why a finished child is not to be trusted, or None.
    Judge = Callable[["Child"], CipherError | None]

_READ = 256 * 1024
#: Little is held back, here, in the packets and in the pipe: a volume is cut by the size that its file has.
_WRITE = 32 * 1024


class Packer(Protocol):
    """Turns plain bytes into the packets that gpg is to encrypt as they are."""

    def pack(self, data: memoryview) -> bytes: ...
    def finish(self) -> bytes: ...


class _Raw(io.RawIOBase):
    """The end of a pipe to gpg, and the verdict that is reached once."""

    def __init__(self, child: Child, judge: Judge) -> None:
        self._child = child
        self._judge = judge
        self._error: CipherError | None = None
        self._is_judged = False
        self.is_abandoned = False

    def verdict(self) -> None:
        """Let gpg finish and raise what is wrong with it; the same again at every call."""
        if not self._is_judged:
            try:
                self._child.finish()
                self._error = self._judge(self._child)
            except CipherError as err:
                self._error = err
            self._is_judged = True
        if self._error is not None:
            raise self._error

    def failed(self, err: CipherError) -> CipherError:
        """Remember that waiting for gpg failed."""
        self._error, self._is_judged = err, True
        return err

    def abandon(self) -> None:
        """End gpg; from here on nothing is written, read or judged."""
        self.is_abandoned = True
        self._child.abort()

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a pipe to gpg is not to be used directly")

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self.is_abandoned:
                self._end()
        finally:
            self._child.abort()
            super().close()

    def _end(self) -> None:
        self.verdict()

    def __del__(self) -> None:
        if hasattr(self, "is_abandoned"):
            self.abandon()


class _Inlet(_Raw):
    """What is written goes to gpg."""

    def __init__(self, child: Child, judge: Judge, packer: Packer | None, done: Callable[[], None]) -> None:
        super().__init__(child, judge)
        self._packer = packer
        self._done = done

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        plain = memoryview(data).cast("B")  # type: ignore[arg-type]  # io's buffers
        if not self.is_abandoned:
            self._give(plain if self._packer is None else memoryview(self._packer.pack(plain)))
        return len(plain)

    def _give(self, data: memoryview) -> None:
        try:
            while data:
                data = data[self._child.write(data) :]
        except BrokenPipeError as err:
            self.verdict()
            raise self.failed(CipherError("GnuPG ended before it had read everything", fields=("GPGError",))) from err
        except CipherError as err:
            raise self.failed(err) from None

    def _end(self) -> None:
        if self._packer is not None and not self._is_judged:
            self._give(memoryview(self._packer.finish()))
        self.verdict()
        self._done()


class _Outlet(_Raw):
    """What gpg gives can be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        room = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # io's buffers
        if self.is_abandoned or not room:
            return 0
        count = self._take(room)
        if not count:
            self.verdict()  # before the reader takes a broken end for the end
        return count

    def _take(self, buffer: memoryview) -> int:
        if self._is_judged:
            return 0
        try:
            return self._child.readinto(buffer)
        except CipherError as err:
            raise self.failed(err) from None

    def _end(self) -> None:
        rest = memoryview(bytearray(_READ))
        while self._take(rest):
            pass
        self.verdict()


class SealingWriter(io.BufferedWriter):
    """Plain bytes go in; close() returns only when the message is whole. Leaving a ``with`` by an error ends gpg."""

    def __init__(
        self, child: Child, judge: Judge, packer: Packer | None = None, done: Callable[[], None] = lambda: None
    ) -> None:
        self._inlet = _Inlet(child, judge, packer, done)
        super().__init__(self._inlet, _WRITE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._inlet.abandon()
        self.close()

    def __del__(self) -> None:
        self._inlet.abandon()


class OpeningReader(io.BufferedReader):
    """Plain bytes come out, to be trusted when close() returned. Leaving a ``with`` by an error ends gpg."""

    def __init__(self, child: Child, judge: Judge) -> None:
        self._outlet = _Outlet(child, judge)
        super().__init__(self._outlet, _READ)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._outlet.abandon()
        self.close()

    def __del__(self) -> None:
        self._outlet.abandon()
