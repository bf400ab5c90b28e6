"""Content that passes by, compared with a signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tarragon_librsync.blocks import SIGNATURE_MAGIC, check_lengths
from tarragon_librsync.errors import BadSignature

_HEADER = 12
_BATCH_STRONG_LEN = 8


class Comparison:
    """Whether content, given piece by piece, is what a signature was made of.

    Content that comes in one piece, as that of most files does, costs one call of the kernel: each lets other threads
    run, and waits for its turn again.
    """

    def __init__(
        self,
        signature: bytes,
        signer: Callable[[int, int], Any],
        batch: Callable[[Sequence[bytes], Sequence[int]], list[bytes]],
    ) -> None:
        """Works with a Signer and with ``signatures``. Raises BadSignature."""
        block_len, strong_len = int.from_bytes(signature[4:8], "big"), int.from_bytes(signature[8:12], "big")
        if signature[:4] != SIGNATURE_MAGIC or len(signature) < _HEADER:
            raise BadSignature("not a signature of MD4 and rolling sums")
        try:
            check_lengths(block_len, strong_len)
        except ValueError as err:
            raise BadSignature(str(err)) from err
        self._signer, self._batch = signer, batch
        self._signature, self._block_len, self._strong_len = signature, block_len, strong_len
        self._first: bytes | None = None
        self._running: Any = None
        self._at = 0
        self.is_same = True

    def update(self, data: bytes) -> None:
        """Take more content. ``is_same`` turns False once a block differs; what follows is then of no use."""
        if self._running is None:
            if self._first is None and self._strong_len == _BATCH_STRONG_LEN:
                self._first = bytes(data)
                return
            self._running = self._signer(self._block_len, self._strong_len)
            self._compare(self._running.update(self._first or b""))
            self._first = None
        self._compare(self._running.update(data))

    def fits(self) -> bool:
        """Whether that was all of the content, and the signature's."""
        if self._first is not None:
            return self._signature == self._batch([self._first], [self._block_len])[0]
        if self._running is None:
            return len(self._signature) == _HEADER
        self._compare(self._running.finish())
        return self.is_same and self._at == len(self._signature)

    def _compare(self, made: bytes) -> None:
        self.is_same = self.is_same and self._signature.startswith(made, self._at)
        self._at += len(made)
