"""A path's chain of patches → its bytes (docs/format.md § 7.2)."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon.api.entry import REG, Entry, order_key

from . import rsync
from .difftar import DIFF, GONE, LOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .difftar import Patch


class Step(NamedTuple):
    """One set's patch; ``age`` is the set's place in the chain, 0 for the full."""

    age: int
    patch: Patch


class PatchSequence(NamedTuple):
    """All that the sets of a chain say of one path, oldest first."""

    path: bytes
    steps: tuple[Step, ...]


class RestoredEntry(NamedTuple):
    """An entry as it was. ``data`` is a regular file's content; taking it raises Malformed when it cannot be had.

    ``patched`` tells whether deltas were applied. ``lost`` says why it cannot be had at all, ``newest_intact`` is the
    place in the chain of the newest set whose version of it is whole, None when there is none.
    """

    entry: Entry
    data: Iterator[bytes]
    patched: bool = False
    lost: str = ""
    newest_intact: int | None = None


def merge(sets: Sequence[Iterable[Patch]]) -> Iterator[PatchSequence]:
    """Bring together what the sets, oldest first, say of each path, in archive order.

    The data of a sequence must be taken before the next one is asked for.
    """
    streams = [iter(patches) for patches in sets]
    heap: list[tuple[bytes, int, Patch]] = []
    for age, stream in enumerate(streams):
        _push(heap, age, stream)
    while heap:
        key = heap[0][0]
        steps = []
        while heap and heap[0][0] == key:
            _, age, patch = heapq.heappop(heap)
            steps.append(Step(age, patch))
        yield PatchSequence(steps[0].patch.entry.path, tuple(steps))
        for step in steps:
            _push(heap, step.age, streams[step.age])


def _push(heap: list[tuple[bytes, int, Patch]], age: int, stream: Iterator[Patch]) -> None:
    patch = next(stream, None)
    if patch is not None:
        heapq.heappush(heap, (order_key(patch.entry.path), age, patch))


def apply(sequence: PatchSequence, scratch: Callable[[], BinaryIO]) -> RestoredEntry | None:
    """The entry that a sequence comes to; None when it was deleted.

    The last step that is no diff is the base, the deltas behind it follow one after the other; all metadata come from
    the last step. ``scratch`` gives a new temporary file for each step between.
    """
    steps = sequence.steps
    base = len(steps) - 1
    while base > 0 and steps[base].patch.what == DIFF:
        base -= 1
    used = steps[base:]
    last = used[-1].patch
    first = used[0].patch
    lost = next((step.patch.reason for step in used if step.patch.what == LOST), "")
    if not lost and first.what == DIFF:
        lost = "there is a diff of it, and nothing complete before"
    if not lost and first.what == GONE:
        if len(used) == 1:
            return None
        lost = "there is a diff of it after its deletion"
    if not lost and len(used) > 1 and first.entry.kind != REG:
        lost = "there is a diff of something that was no regular file"
    if lost:
        return RestoredEntry(last.entry, iter(()), lost=lost, newest_intact=newest_intact(steps))
    if last.entry.kind != REG:
        return RestoredEntry(last.entry, iter(()))
    return RestoredEntry(last.entry, _content(used, scratch), len(used) > 1, newest_intact=newest_intact(steps[:-1]))


def newest_intact(steps: Sequence[Step]) -> int | None:
    """The place in the chain of the newest version before a loss that is whole, as far as can be told unread."""
    newest = None
    whole = False
    for step in steps:
        if step.patch.what == DIFF:
            newest = step.age if whole else newest
        else:
            whole = step.patch.what not in (GONE, LOST)
            newest = step.age if whole else newest
        if step.patch.what == LOST:
            whole = False
    return newest


def _content(steps: Sequence[Step], scratch: Callable[[], BinaryIO]) -> Iterator[bytes]:
    content = steps[0].patch.data
    for step in steps[1:]:
        basis = scratch()
        for piece in content:
            basis.write(piece)
        content = _patched(basis, step.patch.data)
    yield from content


def _patched(basis: BinaryIO, delta: Iterator[bytes]) -> Iterator[bytes]:
    with basis:
        basis.seek(0)
        yield from rsync.patched(basis, delta)
