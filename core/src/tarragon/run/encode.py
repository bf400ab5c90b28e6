"""A file's bytes on their way into entries: read in bounds, and encoded with their signature in one pass."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tarragon.delta import rsync
from tarragon.delta.difftar import DIFF, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes read at a time from a large file.
READ = 1 << 20


class Reading:
    """Bytes ``start`` to before ``stop`` of a file, never more; ``short`` tells that there were fewer.

    With ``pad`` what is missing, or cannot be read, is made up with NULs: other ranges are stored already.
    """

    def __init__(self, fd: int, start: int, stop: int, *, pad: bool) -> None:
        self._fd = fd
        self._at = start
        self._stop = stop
        self._pad = pad
        self.short = False

    def __iter__(self) -> Iterator[bytes]:
        while self._at < self._stop:
            wanted = min(READ, self._stop - self._at)
            try:
                data = b"" if self.short or self._fd < 0 else os.pread(self._fd, wanted, self._at)
            except OSError:
                if not self._pad:
                    raise
                data = b""
            if not data:
                self.short = True
                if not self._pad:
                    return
                data = bytes(wanted)
            self._at += len(data)
            yield data


class Encoder:
    """Content → what is stored of it (itself, or a delta), and its signature, in one pass."""

    def __init__(
        self,
        old: rsync.Old | None,
        block_len: int,
        *,
        first: bool = True,
        last: bool = True,
        offset: int = 0,
        owed: int = -1,
        tail: bytes = b"",
    ) -> None:
        """``owed`` ≥ 0: the delta so far ends in a literal that lacks so many bytes; the rest becomes literals too.

        ``tail`` are the bytes before ``offset`` since the last block of the signature.
        """
        self.what = SNAPSHOT if old is None else DIFF
        self.written = 0
        self._signature: list[bytes] = []
        self._delta = None
        self._owed, self._ends = owed, last
        if old is None or owed >= 0:
            self._signer = rsync.signer(block_len, header=first)
            self._signature.append(self._signer.update(tail))
        else:
            self._delta = rsync.delta(old, block_len, first=first, last=last, offset=offset)

    @property
    def signature(self) -> bytes:
        """The signature of all that was encoded."""
        return b"".join(self._signature)

    def encode(self, content: Iterator[bytes] | Reading) -> Iterator[bytes]:
        """The bytes to store."""
        if self._delta is None:
            for data in content:
                self._signature.append(self._signer.update(data))
                stored = data if self.what == SNAPSHOT else self._literal(data)
                self.written += len(stored)
                yield stored
            self._signature.append(self._signer.finish())
            if self.what == DIFF and self._ends:
                yield b"\0"
            return
        for data in content:
            stored = self._delta.update(data)
            self._signature.append(self._delta.signature)
            self.written += len(stored)
            yield stored
        stored = self._delta.finish()
        self._signature.append(self._delta.signature)
        self.written += len(stored)
        yield stored

    def _literal(self, data: bytes) -> bytes:
        """Content as a delta says it: what the last command lacks, then a command of its own (docs/format.md § 5.3)."""
        owed, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(owed)
        return owed + (b"\x43" + len(rest).to_bytes(4, "big") + rest if rest else b"")
