"""Signer, signature and delta over the C kernel, which works without the GIL.

The kernel keeps its own growing output; after each call what is ready is taken from it once, as bytes.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from tarragon_librsync._kernel import ffi, lib
from tarragon_librsync.blocks import check_lengths
from tarragon_librsync.errors import BadDelta, BadSignature

if TYPE_CHECKING:
    from typing_extensions import Buffer

if lib.tl_select((os.environ.get("TARRAGON_LIBRSYNC") or "").encode() or ffi.NULL):
    raise ImportError(f"this machine has no kernel {os.environ['TARRAGON_LIBRSYNC']!r}")
KERNEL: str = ffi.string(lib.tl_kernel()).decode()
"""The instruction path in use: the best this CPU has, or the one asked for."""

_OPS_AT_ONCE = 4096
_DELTA, _SUMS = 0, 1
_FAULTS: dict[int, Exception] = {
    lib.TL_NO_MEMORY: MemoryError(),
    lib.TL_FINISHED: ValueError("already finished"),
}
_SIGNATURE_FAULTS = {
    lib.TL_BAD_MAGIC: "not a signature of MD4 and rolling sums",
    lib.TL_BAD_HEADER: "block length or sum length out of range",
    lib.TL_TRUNCATED: "the signature ends inside an entry",
}
_DELTA_FAULTS = {
    lib.TL_BAD_MAGIC: "not a delta",
    lib.TL_BAD_COMMAND: "a command that does not exist",
    lib.TL_TRUNCATED: "the delta ends before its end command",
    lib.TL_TRAILING: "something follows the end command",
}


def _view(data: Buffer) -> Any:
    """The memory of ``data``, to be used in a ``with``.

    It must be let go before an error leaves the function: a memoryview that is still lent out when the garbage
    collector clears the cycle of an exception and its frames crashes the interpreter.
    """
    return ffi.from_buffer("uint8_t[]", data)


class _Machine:
    """A running kernel job; calls from several threads take turns."""

    def __init__(self, old: Any, block_len: int, strong_len: int, flags: int, offset: int) -> None:
        state = lib.tl_delta_new(old, block_len, strong_len, flags, offset)
        if not state:
            raise MemoryError
        self._state = ffi.gc(state, lib.tl_delta_free)
        self._size = ffi.new("size_t *")
        self._turn = Lock()

    @property
    def read_size(self) -> int:
        """How many bytes an update should have for the kernel to work mostly in the caller's memory."""
        return max(1 << 20, 4 * int(lib.tl_delta_need(self._state)))

    def _step(self, result: int) -> None:
        if result:
            raise _FAULTS.get(result, RuntimeError(f"kernel result {result}"))

    def _take(self, which: int) -> bytes:
        data = lib.tl_delta_out(self._state, which, self._size)
        if not self._size[0]:
            return b""
        taken: bytes = ffi.buffer(data, self._size[0])[:]
        lib.tl_delta_taken(self._state, which)
        return taken


class Signer(_Machine):
    """Makes the signature of content given piece by piece.

    Byte for byte librsync's: MD4 and rolling sums (docs/format.md § 5.1). Without ``header`` the first 12 bytes are
    left out, for signatures made in parts.

    Example:
        >>> signer = Signer(512)
        >>> (signer.update(b"hello\\n") + signer.finish()).hex()
        '7273013600000200000000080ad002d863481c78ae04c201'
    """

    def __init__(self, block_len: int, strong_len: int = 8, header: bool = True) -> None:
        check_lengths(block_len, strong_len)
        super().__init__(ffi.NULL, block_len, strong_len, lib.TL_SIGN_HEADER if header else 0, 0)

    def update(self, data: Buffer) -> bytes:
        """Take more content; return the signature bytes that became complete."""
        with self._turn, _view(data) as view:
            self._step(lib.tl_delta_update(self._state, view, len(view)))
            return self._take(_SUMS)

    def finish(self) -> bytes:
        """Return the rest of the signature; nothing may follow."""
        with self._turn:
            self._step(lib.tl_delta_finish(self._state))
            return self._take(_SUMS)


class Signature:
    """A parsed signature of old content, which any number of deltas in any threads may use at once.

    Raises BadSignature for anything that is no whole MD4 signature with sums of 1 to 16 bytes.
    """

    def __init__(self, data: Buffer) -> None:
        error = ffi.new("int *")
        with _view(data) as view:
            state = lib.tl_sig_new(view, len(view), error)
        if not state:
            if error[0] == lib.TL_NO_MEMORY:
                raise MemoryError
            raise BadSignature(_SIGNATURE_FAULTS[error[0]])
        self._state = ffi.gc(state, lib.tl_sig_free, lib.tl_sig_memory(state))
        self.block_len = int(lib.tl_sig_block_len(state))
        self.strong_len = int(lib.tl_sig_strong_len(state))
        self.blocks = int(lib.tl_sig_blocks(state))

    @property
    def memory(self) -> int:
        """How many bytes the parsed form takes."""
        return int(lib.tl_sig_memory(self._state))


class Delta(_Machine):
    """Makes the delta of new content, given piece by piece, against an old signature.

    With ``sign_block_len`` the signature of the new content (8-byte strong sums) is made in the same pass. Deltas of
    consecutive ranges of one file, joined, are one delta: the first range with ``header`` only, the last with ``end``
    only, those between with neither; ``sign_header`` likewise for the signature, whose ranges must be cut at multiples
    of ``sign_block_len``. ``offset`` tells where the range begins; a wrong one makes the delta larger, never wrong.
    """

    def __init__(
        self,
        signature: Signature,
        *,
        sign_block_len: int | None = None,
        header: bool = True,
        end: bool = True,
        sign_header: bool = True,
        offset: int = 0,
    ) -> None:
        if sign_block_len is not None:
            check_lengths(sign_block_len, 8)
        flags = (lib.TL_HEADER * header) | (lib.TL_END * end) | (lib.TL_SIGN_HEADER * sign_header)
        self._signature = signature  # the kernel reads it as long as this delta lives
        super().__init__(signature._state, sign_block_len or 0, 8, flags, offset)

    def update(self, data: Buffer) -> bytes:
        """Take more content; return the delta bytes that are ready."""
        with self._turn, _view(data) as view:
            self._step(lib.tl_delta_update(self._state, view, len(view)))
            return self._take(_DELTA)

    def finish(self) -> bytes:
        """Return the rest of the delta; nothing may follow."""
        with self._turn:
            self._step(lib.tl_delta_finish(self._state))
            return self._take(_DELTA)

    @property
    def signature(self) -> bytes:
        """The new content's signature as far as it was made and not taken yet; whole after ``finish``."""
        with self._turn:
            return self._take(_SUMS)


class Commands:
    """The steps of a delta given piece by piece: literal bytes, or (offset, length) in the basis. Raises BadDelta."""

    def __init__(self) -> None:
        state = lib.tl_patch_new()
        if not state:
            raise MemoryError
        self._state = ffi.gc(state, lib.tl_patch_free)
        self._ops = ffi.new("tl_op[]", _OPS_AT_ONCE)

    def steps(self, data: Buffer) -> Iterator[bytes | tuple[int, int]]:
        """Yield the steps ``data`` completes."""
        with _view(data) as view:
            at = 0
            while at < len(view):
                at += yield from self._some(view + at, len(view) - at)

    def _some(self, data: Any, size: int) -> Generator[bytes | tuple[int, int], None, int]:
        taken, count = ffi.new("size_t *"), ffi.new("size_t *")
        fault = lib.tl_patch_parse(self._state, data, size, taken, self._ops, _OPS_AT_ONCE, count)
        for number in range(count[0]):
            step = self._ops[number]
            if step.kind:
                yield step.offset, step.length
            else:
                yield ffi.buffer(data + step.offset, step.length)[:]
        if fault:
            raise BadDelta(_DELTA_FAULTS[fault])
        return int(taken[0])

    def finish(self) -> None:
        """Raise BadDelta unless the end command was the last thing."""
        fault = lib.tl_patch_finish(self._state)
        if fault:
            raise BadDelta(_DELTA_FAULTS[fault])


def signatures(buffers: Sequence[Buffer], block_lens: Sequence[int]) -> list[bytes]:
    """The signatures of many small contents in one call, whole files each, with 8-byte strong sums."""
    if len(buffers) != len(block_lens):
        raise ValueError("as many block lengths as buffers are needed")
    for block_len in set(block_lens):
        check_lengths(block_len, 8)
    views: list[Any] = []
    try:
        views.extend(map(_view, buffers))
        return _batch(views, block_lens)
    finally:
        for view in views:
            ffi.release(view)


def _batch(views: list[Any], block_lens: Sequence[int]) -> list[bytes]:
    sizes = [len(view) for view in views]
    lengths = [12 + 12 * -(-size // block_len) for size, block_len in zip(sizes, block_lens, strict=True)]
    out = ffi.new("uint8_t[]", sum(lengths) + 1)
    fault = lib.tl_batch(
        ffi.new("uint8_t *[]", views), ffi.new("size_t[]", sizes), ffi.new("uint32_t[]", block_lens), len(views), out
    )
    if fault:
        raise MemoryError
    found, at = [], 0
    for length in lengths:
        found.append(ffi.buffer(out + at, length)[:])
        at += length
    return found
