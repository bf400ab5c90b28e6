"""Changes → jobs: runs of the archive order that make about one volume each.

Cuts depend on the source and on a ratio fixed for the run, never on what has come back, so that entries and restored
content are the same for every width and executor.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.entry import REG
from tarragon.delta import rsync
from tarragon.delta.compare import DELETED, Change, Kept
from tarragon.delta.difftar import PART
from tarragon.volume.seal import RESERVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: A job holds its changes in memory; a tree of empty files must not become one job.
MOST_CHANGES = 16384
#: What an entry costs besides its data: its headers here and in the signatures.
OVERHEAD = 1024


class Range(NamedTuple):
    """A part of a large file: bytes ``start`` to before ``stop``; the last one goes on to the file's end.

    ``block_len`` is that of the whole file's signature; ranges begin at multiples of it and of a part, but for one
    behind a file that was cut off without a journal: ``owed`` and ``tail`` are what that one left (run/encode.py).
    """

    ordinal: int
    start: int
    stop: int
    last: bool
    block_len: int
    owed: int = -1
    tail: str = ""


class Item(NamedTuple):
    """One change, or one range of a large file that changed."""

    change: Change
    range: Range | None = None


class Job(NamedTuple):
    """What one worker builds whole: plain data."""

    items: tuple[Item, ...]
    kept: tuple[Kept, ...] = ()


def jobs(
    changes: Iterable[Change | Kept],
    volsize: int,
    ratio: float,
    max_blocksize: int,
    readable: Callable[[bytes], bool] = lambda path: True,
    begun: Mapping[bytes, Range] = MappingProxyType({}),
) -> Iterator[Job]:
    """Group changes into jobs; a file larger than one and a half volumes is cut into ranges, a job each.

    Such a file is asked for with ``readable`` first: what one range stores no other can take back. ``begun`` are the
    last ranges of files that are stored in part. There is at least one job, so that an empty set has its empty volume
    (docs/format.md § 2.3).
    """
    target = max(PART, int((volsize - RESERVE) / ratio))
    items: list[Item] = []
    kept: list[Kept] = []
    cost = 0
    made = False  # whether there was a job
    for change in changes:
        if isinstance(change, Kept):
            kept.append(change)
            continue
        size = _cost(change)
        if items and (cost + size > target * 1.5 or cost >= target or len(items) >= MOST_CHANGES):
            yield Job(tuple(items), tuple(kept))
            items, kept, cost, made = [], [], 0, True
        after = begun.get(change.entry.path)
        if size > target * 1.5 or after is not None:
            if not readable(change.entry.path):
                kept.append(Kept(change.entry.path, "no permission"))
                continue
            for part in ranges(change.entry.size, target, max_blocksize, after):
                yield Job((Item(change, part),), tuple(kept))
                kept, made = [], True
            continue
        items.append(Item(change))
        cost += size
    if items or kept or not made:
        yield Job(tuple(items), tuple(kept))


def _cost(change: Change) -> int:
    has_data = change.kind != DELETED and change.entry.kind == REG
    return OVERHEAD + (change.entry.size if has_data else 0)


def ranges(size: int, target: int, max_blocksize: int, after: Range | None = None) -> Iterator[Range]:
    """Cut a file of ``size`` bytes, or what is ``after`` a range, into equal ranges of about ``target`` bytes."""
    block_len = after.block_len if after is not None else rsync.block_length(size, max_blocksize)
    step = math.lcm(PART, block_len)
    count = max(1, round(size / target))
    length = -(-size // count)
    length = max(step, -(-length // step) * step)
    before = after if after is not None else Range(-1, 0, 0, False, block_len)
    while not before.last:
        stop = (before.stop // length + 1) * length
        ordinal, last = before.ordinal + 1, stop >= size
        yield Range(ordinal, before.stop, size if last else stop, last, block_len, before.owed, before.tail)
        before = Range(ordinal, before.stop, stop, last, block_len)
