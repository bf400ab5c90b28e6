"""One store of several, and what is known of how well it serves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import Transient, ValidationFailed, WrongSize, put_whole

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from tarragon.api import Backend, BackendError, Role, Source, TarragonError

_FIRST = 1 << 16
#: What the core's Store tries again, and so do we by handing it on.
TRIED_AGAIN = (Transient, WrongSize, ValidationFailed)


class Part:
    """A store. ``refusal`` is why it could not be opened: then every use of it raises that.

    ``failures`` counts what went wrong while reading; ``is_given_up`` after all tries of an operation were in vain, so
    that the next one does not wait for it again.
    """

    def __init__(
        self,
        number: int,
        shown: str,
        prefixes: tuple[str, ...] = (),
        backend: Backend | None = None,
        refusal: BackendError | None = None,
    ) -> None:
        self.number, self.shown, self.prefixes = number, shown, prefixes
        self.refusal = refusal
        self._backend = backend
        self.failures = 0
        self.is_given_up = refusal is not None

    @property
    def backend(self) -> Backend:
        if self._backend is None:
            assert self.refusal is not None
            raise self.refusal
        return self._backend

    def put(self, name: str, source: Source, role: Role, file_prefix: str) -> None:
        """Store, and look at what stands there then: each copy counts, not only the first one that is asked for."""
        put_whole(self.backend, name, source, role, file_prefix)
        info = self.backend.stat(name)
        if info.size not in (None, source.size):
            raise WrongSize(f"'{name}' has {info.size} bytes at '{self.shown}', {source.size} were stored")
        if (info.digest or "").startswith("sha1:") and info.digest != f"sha1:{source.sha1}":
            raise ValidationFailed(f"'{name}' has another sha1 sum at '{self.shown}' than what was stored")

    def failed(self, err: TarragonError) -> None:
        """Note a failure of which all tries have been used up."""
        self.failures += 1
        self.is_given_up = self.is_given_up or isinstance(err, TRIED_AGAIN)


def opened(part: Part, name: str, start: int, stop: int | None) -> BinaryIO:
    """The object's bytes from that store; whether it is there has been seen when this returns."""
    stream = part.backend.read(name, start, stop)
    try:
        first = stream.read(_FIRST)
    except BaseException:
        stream.close()
        raise
    return cast("BinaryIO", io.BufferedReader(_Stream(part, stream, first), _FIRST))


class _Stream(io.RawIOBase):
    """A stream whose first bytes have been read. What goes wrong later is held against the store."""

    def __init__(self, part: Part, stream: BinaryIO, first: bytes) -> None:
        self._part, self._stream, self._first = part, stream, first

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        if self._first:
            piece, self._first = self._first[: len(space)], self._first[len(space) :]
        else:
            try:
                piece = self._stream.read(len(space))
            except BaseException:
                self._part.failures += 1
                raise
        space[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
