"""The inside of an OpenPGP message, packed by us: Compressed(ZIP, Literal), for ``gpg --no-literal``.

gpg compresses at a tenth of the speed at which it encrypts. Both packets are what gpg itself writes for a stream
of unknown length: an old-format compressed packet that lasts to the end (RFC 4880 § 4.2.1, length type 3), and in it
a literal packet in partial lengths (§ 4.2.2.4).
"""

from __future__ import annotations

import importlib
import zlib
from typing import Protocol

_COMPRESSED = b"\xa3\x01"  #: tag 8, to the end; algorithm 1, ZIP: raw deflate
_LITERAL = b"\xcb"  #: tag 11, new format
_HEADER = b"b\x00\x00\x00\x00\x00"  #: binary, no name, no date
_POWER = 15
_PART = 1 << _POWER
_LEVEL = 3
_PART_LENGTH = bytes([224 + _POWER])


class _Deflater(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


def deflater() -> _Deflater:
    """A raw deflate stream at level 3: igzip's where the package isal is installed, else zlib's (README, Who packs)."""
    try:
        library = importlib.import_module("isal.isal_zlib")  # the extra "fast"
    except ImportError:
        library = zlib
    stream: _Deflater = library.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream


class PacketPacker:
    """Plain bytes to packets, streaming."""

    def __init__(self) -> None:
        self._deflater = deflater()
        self._held = bytearray(_HEADER)
        self._packed = [_COMPRESSED, self._deflater.compress(_LITERAL)]

    def pack(self, data: memoryview) -> bytes:
        """What can be written now that ``data`` was added."""
        self._held += data
        whole = len(self._held) // _PART * _PART
        with memoryview(self._held) as held:
            for start in range(0, whole, _PART):
                self._add(_PART_LENGTH, held[start : start + _PART])
        del self._held[:whole]
        return self._taken()

    def finish(self) -> bytes:
        """The end of the packets."""
        size = len(self._held)  # the last part has a definite length: five bytes can say any
        self._add(b"\xff" + size.to_bytes(4, "big"), memoryview(bytes(self._held)))
        self._packed.append(self._deflater.flush())
        return self._taken()

    def _add(self, length: bytes, part: memoryview) -> None:
        self._packed += [self._deflater.compress(length), self._deflater.compress(part)]

    def _taken(self) -> bytes:
        packed = b"".join(self._packed)
        self._packed = []
        return packed
