"""Whole jobs over streams: signature, delta, both in one pass, patch. Memory stays the same for any file size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tarragon_librsync.errors import BadDelta, BasisMismatch

if TYPE_CHECKING:
    from tarragon_librsync.native import Commands, Delta

CHUNK = 1 << 20


def _pieces(stream: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    while piece := stream.read(size):
        yield piece


def signed(signer: Any, stream: BinaryIO) -> bytes:
    """The whole signature ``signer`` makes of ``stream``."""
    parts = [signer.update(piece) for piece in _pieces(stream, signer.read_size)]
    return b"".join([*parts, signer.finish()])


def deltas(delta: Delta, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the delta that ``delta`` makes of ``stream``, in pieces."""
    for piece in _pieces(stream, delta.read_size):
        if ready := delta.update(piece):
            yield ready
    if ready := delta.finish():
        yield ready


class DeltaAndSignature:
    """The delta of a stream, as an iterator of bytes; its ``signature`` is whole once the iterator is exhausted."""

    def __init__(self, delta: Delta, stream: BinaryIO) -> None:
        self._delta = delta
        self._pieces = deltas(delta, stream)
        self._sums: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        finally:
            self._sums.append(self._delta.signature)

    @property
    def signature(self) -> bytes:
        """The new content's signature, as far as the iteration came."""
        return b"".join(self._sums)


def patched(
    commands: Commands, basis: BinaryIO, delta: BinaryIO | Iterable[bytes], limit: int | None
) -> Iterator[bytes]:
    """Carry out the steps of a delta: yield the new content in chunks of at most about 1 MiB.

    Raises BadDelta for what is no whole delta, or when more than ``limit`` bytes come out; BasisMismatch when a copy
    reaches outside the basis. What was yielded before is then worthless.
    """
    size = basis.seek(0, 2)
    pieces = _pieces(cast(BinaryIO, delta)) if hasattr(delta, "read") else delta
    room = limit
    waiting = bytearray()
    for chunk in _contents(commands, basis, size, pieces):
        if room is not None:
            room -= len(chunk)
            if room < 0:
                raise BadDelta(f"the result is longer than {limit} bytes")
        if waiting and len(waiting) + len(chunk) > CHUNK:
            yield bytes(waiting)
            waiting.clear()
        if not waiting and len(chunk) >= CHUNK // 2:
            yield chunk
        else:
            waiting += chunk
    if waiting:
        yield bytes(waiting)


def _contents(commands: Commands, basis: BinaryIO, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), CHUNK):  # a piece may be of any size, a chunk may not
            for step in commands.steps(piece[start : start + CHUNK]):
                if isinstance(step, tuple):
                    yield from _copied(basis, size, *step)
                else:
                    yield step
    commands.finish()


def _copied(basis: BinaryIO, size: int, offset: int, length: int) -> Iterator[bytes]:
    if offset + length > size:
        raise BasisMismatch(f"{length} bytes at {offset} wanted, the basis has {size}")
    basis.seek(offset)
    while length:
        chunk = basis.read(min(length, CHUNK))
        if not chunk:
            raise BasisMismatch(f"the basis ended {length} bytes early")
        length -= len(chunk)
        yield chunk
