"""Compress, encrypt and hash a volume onto a temporary file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon import tar
from tarragon.api.backend import Role
from tarragon.api.errors import ValidationFailed

from .unseal import unseal

if TYPE_CHECKING:
    from tarragon.api.codec import Cipher, Compressor
    from tarragon.block import Block
    from tarragon.temp import TempFolder

#: Kept free in every volume, as 3.2.1 does (docs/format.md § 8.1).
RESERVE = 51200
#: The largest entry: a part, its header, a pax header with a path of any length we write, and padding.
LARGEST_ENTRY = 65536


class SealedVolume(NamedTuple):
    """A volume that is ready to be stored; its number is not known yet, and not in its bytes.

    ``path`` is the file that holds it. ``first`` and ``last`` are the paths of its first and last entry with their part
    numbers, as a manifest records them; None when it holds no entry. ``raw`` counts the tar bytes before packing.
    """

    path: Path
    size: int
    sha1: str
    sha256: str
    first: tuple[bytes, int | None] | None
    last: tuple[bytes, int | None] | None
    raw: int = 0


class Sealer:
    """Opens volumes, one after the other. Picklable: what it opens stays in the worker that opened it.

    With ``verify`` a finished volume is decrypted and expanded again, and must give what went into it (R50).
    """

    def __init__(
        self, compressor: Compressor | None, cipher: Cipher | None, temp: TempFolder, *, verify: bool = False
    ) -> None:
        self.verify = verify
        self.compressor = None if cipher is not None and cipher.packs else compressor
        self.cipher = cipher
        self.temp = temp

    @property
    def suffix(self) -> str:
        """What the stored names end in (docs/format.md § 1.1)."""
        packed = self.compressor.suffix if self.compressor is not None else ""
        return packed + (self.cipher.suffix if self.cipher is not None else "")

    @property
    def ratio(self) -> float:
        """About how many stored bytes one source byte takes."""
        of = self.compressor.ratio if self.compressor is not None else 1.0
        return of * (self.cipher.ratio if self.cipher is not None else 1.0)

    def begin(self) -> UnsealedVolume:
        """Open a new volume."""
        return UnsealedVolume(self, self.temp)

    def writer(self, file: BinaryIO, role: Role) -> tuple[BinaryIO, list[BinaryIO]]:
        """Where plain bytes go on their way into ``file``, and what to close in which order to end it.

        A manifest is never compressed (docs/format.md § 1.1).
        """
        into = file
        closing: list[BinaryIO] = []
        if self.cipher is not None and self.cipher.suffix:
            into = self.cipher.sealing(into, role)
            closing.insert(0, into)
        if self.compressor is not None and self.compressor.suffix and role is not Role.MANIFEST:
            into = self.compressor.packing(into)
            closing.insert(0, into)
        return into, closing

    def must_give(self, path: Path, sha256: str) -> None:
        """Raise ValidationFailed unless a finished volume gives plain bytes of this hash; WrongKey without the key."""
        layers = [codec for codec in (self.cipher, self.compressor) if codec is not None and codec.suffix]
        with unseal(open(path, "rb"), layers, Role.VOLUME, self.temp.file) as plain:
            found = hashlib.file_digest(plain, "sha256").hexdigest()  # type: ignore[arg-type]
        if found != sha256:
            raise ValidationFailed(
                "a volume does not give back what went into it, and is not stored",
                hint="memory, or what packs or encrypts, is at fault: test this machine before the next backup",
            )


class UnsealedVolume:
    """A volume being written. Must be finished or abandoned."""

    def __init__(self, sealer: Sealer, temp: TempFolder) -> None:
        self._temp = temp
        self._sealer = sealer
        self._plain = hashlib.sha256() if sealer.verify else None
        self._path = temp.named()
        self._file: BinaryIO = open(self._path, "r+b")
        self._into, self._closing = sealer.writer(self._file, Role.VOLUME)
        self._can_flush = bool(self._closing) and sealer.compressor is not None
        self._raw = 0  # bytes of tar written
        self._since = 0  # of them, since the file was last measured
        self._measured = 0  # bytes of the file then
        self._first: tuple[bytes, int | None] | None = None
        self._last: tuple[bytes, int | None] | None = None

    def has_room(self, limit: int) -> bool:
        """Whether one more entry fits a volume of ``limit`` stored bytes.

        What is still inside a codec counts in full until it has come out, so the file is measured only when it could
        be full.
        """
        if self._measured + self._since + LARGEST_ENTRY <= limit:
            return True
        if self._can_flush:
            self._into.flush()
            self._since = 0
        else:
            self._file.flush()
            self._since = min(self._since, LARGEST_ENTRY)  # at most a pipe's worth is still on its way
        self._measured = os.fstat(self._file.fileno()).st_size
        return self._measured + LARGEST_ENTRY <= limit

    def write(self, block: Block) -> None:
        """Add one entry."""
        self._pack(block.data)
        self._raw += len(block.data)
        self._since += len(block.data)
        if self._first is None:
            self._first = (block.path, block.part)
        self._last = (block.path, block.part)

    def _pack(self, data: bytes) -> None:
        self._into.write(data)
        if self._plain is not None:
            self._plain.update(data)

    def finish(self) -> SealedVolume:
        """End the tar and the codecs, and hash what came out."""
        try:
            self._pack(tar.end_of_archive(self._raw))
            for stream in self._closing:
                stream.close()
            size, sha1, sha256 = digests(self._file)
            if self._plain is not None:
                self._file.flush()
                self._sealer.must_give(self._path, self._plain.hexdigest())
        except BaseException:
            self.abandon()
            raise
        self._file.close()
        return SealedVolume(self._path, size, sha1, sha256, self._first, self._last, self._raw)

    def abandon(self) -> None:
        """Throw the volume away."""
        for stream in self._closing:
            try:
                stream.close()
            except Exception:  # noqa: BLE001, S110 - it is thrown away; the error that led here is on its way
                pass
        self._file.close()
        self._temp.discard(self._path)


def digests(file: BinaryIO) -> tuple[int, str, str]:
    """Size, SHA-1 and SHA-256 of a whole file, in hex."""
    file.seek(0)
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    size = 0
    while data := file.read(1 << 20):
        sha1.update(data)
        sha256.update(data)
        size += len(data)
    return size, sha1.hexdigest(), sha256.hexdigest()
