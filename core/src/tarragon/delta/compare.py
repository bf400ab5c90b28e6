"""Merge the tree with what the last sets know: what changed (docs/format.md § 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api.entry import DIR, FIFO, REG, SYM, Entry, order_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tarragon.owners import Owners

    from .sigtar import Known

ADDED, MODIFIED, DELETED = "added", "modified", "deleted"


class Change(NamedTuple):
    """One thing to record, as plain data.

    ``entry`` is the new state; of something deleted, what was known of it. ``signature`` is the old one where a
    regular file stays one: its bytes, or the name of a spool file that holds them.
    """

    kind: str
    entry: Entry
    signature: bytes | str | None = None
    was: str = ""


class Kept(NamedTuple):
    """Something that cannot be read: it keeps its last stored version, and so does all below it."""

    path: bytes
    reason: str
    number: int = 10


@dataclass
class Tally:
    """What was found and needs no record."""

    same: int = 0
    same_size: int = 0


def changes(
    entries: Iterable[Entry | Kept],
    known: Iterable[Known],
    owners: Owners,
    tally: Tally,
    *,
    readable: Callable[[bytes], bool] = lambda path: True,
    stale: Callable[[Entry, Known], bytes | None] = lambda entry, known: None,
    spool: Callable[[bytes], bytes | str] = lambda signature: signature,
) -> Iterator[Change | Kept]:
    """Merge the tree with what the last sets know.

    A file that takes the place of something else is asked for with ``readable`` before anything below its old state is
    given up. ``stale`` looks again at what seems the same: the old signature of a file that it does not fit. ``spool``
    may park a large signature. The root is never deleted.
    """
    knowns = iter(known)
    old = next(knowns, None)
    for entry in entries:
        key = order_key(entry.path)
        while old is not None and (old_key := order_key(old.entry.path)) < key:
            if old.entry.path:
                yield Change(DELETED, old.entry, was=old.entry.kind)
            old = next(knowns, None)
        matching = old if old is not None and old_key == key else None
        signature = None
        if isinstance(entry, Entry):
            if matching is None:
                yield Change(ADDED, entry)
            elif entry.kind != matching.entry.kind and entry.kind == REG and not readable(entry.path):
                entry = Kept(entry.path, "no permission")
            elif same(entry, matching.entry, owners) and (signature := stale(entry, matching)) is None:
                tally.same += 1
                tally.same_size += entry.size
            elif entry.kind == matching.entry.kind == REG:
                yield Change(MODIFIED, entry, spool(matching.signature() if signature is None else signature), REG)
            else:
                yield Change(MODIFIED, entry, was=matching.entry.kind)
        if matching is not None:
            old = next(knowns, None)
        if isinstance(entry, Kept):
            yield entry
            while old is not None and is_at_or_below(old.entry.path, entry.path):
                old = next(knowns, None)
    while old is not None:
        if old.entry.path:
            yield Change(DELETED, old.entry, was=old.entry.kind)
        old = next(knowns, None)


def is_at_or_below(path: bytes, folder: bytes) -> bool:
    """Whether ``path`` is ``folder`` or something in it."""
    return not folder or path == folder or path.startswith(folder + b"/")


def same(now: Entry, then: Entry, owners: Owners) -> bool:
    """Whether duplicity sees no change (docs/format.md § 6.1). Size and content are not compared."""
    if now.kind != then.kind:
        return False
    if now.kind == SYM:
        return now.target == then.target
    if now.mode != then.mode or (now.uid, now.gid) != owners.here(then):
        return False
    if now.kind in (REG, DIR, FIFO):
        return now.mtime == then.mtime
    return now.device == then.device
