"""Check, decrypt and expand a fetched object: the road back from the far side.

Nothing that comes out of here has not been checked: hashes before anything else, and a message of a cipher is read to
its end, and found good, before its first byte is handed on (R5).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api.codec import Cipher
from tarragon.api.errors import HashMismatch, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tarragon.api.backend import Role
    from tarragon.api.codec import Compressor

#: Read at a time.
CHUNK = 1 << 20


class Codecs:
    """The codecs that undo what a stored name ends in, each made once: ``.gz``, ``.gpg``, ``.p7m`` …"""

    def __init__(self, make: Callable[[str], Cipher | Compressor | None]) -> None:
        """``make`` is asked with a suffix without its dot."""
        self._make = make
        self._made: dict[str, Cipher | Compressor | None] = {}

    def layers(self, suffix: str) -> list[Cipher | Compressor]:
        """What to undo, in that order: the last suffix first. A suffix that nobody knows means plain (§ 1.3)."""
        found = []
        for word in reversed(suffix.split(".")):
            if not word:
                continue
            if word not in self._made:
                self._made[word] = self._make(word)
            codec = self._made[word]
            if codec is None:
                break
            found.append(codec)
        return found


def check_hash(name: str, wanted: str | None, found: str) -> None:
    """Raise HashMismatch unless the SHA-1, or SHA-256, is the one that is recorded. Without a record no check."""
    if wanted is not None and wanted != found:
        kind, where = ("SHA-256", "its record says") if len(wanted) == 64 else ("SHA-1", "the manifest says")
        raise HashMismatch(
            f"volume '{name}' is damaged: its {kind} is {found}, {where} {wanted}",
            hint="fetch it from a copy of the repository, or restore what is left with --ignore-errors",
        )


def unseal(
    stored: BinaryIO, layers: list[Cipher | Compressor], role: Role, scratch: Callable[[], BinaryIO], *, limit: int = 0
) -> BinaryIO:
    """The plain bytes of a fetched object, from its first byte.

    Takes over ``stored``, a real file whose hash was checked. Ciphers are undone into a ``scratch`` file at once;
    compressors are undone while reading. Raises CipherError and its kin, Malformed when more than ``limit`` bytes come
    out of a cipher (0: no limit).
    """
    stream = stored
    for codec in layers:
        stream.seek(0)
        if isinstance(codec, Cipher):
            stream = _decrypted(stream, codec, role, scratch(), limit)
        else:
            stream = codec.unpacking(stream)
    if stream is stored:
        stream.seek(0)
    return cast("BinaryIO", io.BufferedReader(stream, 1 << 16)) if isinstance(stream, io.RawIOBase) else stream


def _decrypted(stored: BinaryIO, cipher: Cipher, role: Role, plain: BinaryIO, limit: int) -> BinaryIO:
    written = 0
    try:
        # Leaving the block by an error ends the cipher's program at once; at its good end it has the last word.
        with stored, cipher.opening(stored, role) as reader:
            while data := reader.read(CHUNK):
                written += len(data)
                if limit and written > limit:
                    raise Malformed("a message expands beyond all measure")
                plain.write(data)
    except BaseException:
        plain.close()
        raise
    plain.flush()
    plain.seek(0)
    return plain
