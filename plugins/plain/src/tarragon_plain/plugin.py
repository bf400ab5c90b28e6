"""none: the compressor and the cipher that leave bytes as they are (``--no-compression``, ``--no-encryption``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import hookimpl

if TYPE_CHECKING:
    from tarragon.api import Cipher, Compressor, Context

TARRAGON_API = (0, 1)


@hookimpl
def make_compressor(name: str, level: int | None, context: Context) -> Compressor | None:
    if name != "none":
        return None
    from .codec import PlainCompressor  # the codecs are made of streams: no cost to those who choose others

    return PlainCompressor()


@hookimpl
def make_cipher(name: str, context: Context) -> Cipher | None:
    if name != "none":
        return None
    from .codec import PlainCipher  # as above

    return PlainCipher()
