"""Block: one whole tar entry on its way into a volume, and what a manifest must remember of it."""

from __future__ import annotations

from typing import NamedTuple


class Block(NamedTuple):
    """Header, data and padding of one entry of a difftar; volumes are cut between blocks.

    ``part`` is the part number of a split file, None for an unsplit entry and for a last part: what the manifest
    records (docs/format.md § 2.2).
    """

    data: bytes
    path: bytes
    part: int | None = None
