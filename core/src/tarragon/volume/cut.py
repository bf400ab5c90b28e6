"""Cut the stream of blocks into volumes.

Between delta and seal: takes blocks in order, gives sealed volumes in order, each with the first and last path it
holds, because that is what the manifest records and what a resumed run starts from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .seal import RESERVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tarragon.block import Block

    from .seal import SealedVolume, Sealer


def cut(blocks: Iterable[Block], sealer: Sealer, volsize: int) -> Iterator[SealedVolume]:
    """Yield volumes of at most about ``volsize`` bytes after sealing.

    A volume is closed before the first block that could take it past ``volsize`` (docs/format.md § 8.1), but takes
    at least one block. There is always at least one volume, even for an empty stream.
    """
    limit = volsize - RESERVE
    volume = sealer.begin()
    try:
        empty = True
        for block in blocks:
            if not empty and not volume.has_room(limit):
                yield volume.finish()
                volume = sealer.begin()
            volume.write(block)
            empty = False
    except BaseException:
        volume.abandon()
        raise
    yield volume.finish()
