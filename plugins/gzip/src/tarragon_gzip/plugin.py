"""gzip: what volumes, signatures and statistics are packed with unless something else is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import BadOption, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Compressor, Context

TARRAGON_API = (0, 1)
NAMES = ("gzip", "gz", "z")


@hookimpl
def make_compressor(name: str, level: int | None, context: Context) -> Compressor | None:
    if name not in NAMES:
        return None
    if level is not None and not 1 <= level <= 9:
        raise BadOption(f"gzip has levels from 1 to 9, not {level}")
    from .codec import Gzip  # with zlib and what replaces it

    return Gzip(6 if level is None else level)
