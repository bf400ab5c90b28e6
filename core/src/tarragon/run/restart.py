"""Start a restore again where it stopped: how far it came is noted, what stands there is compared, not trusted (R6).

An entry of the tree is left as it is when it has the kind, mode, owner and time that it is to have, and its bytes fit
its signature; then the volumes that hold nothing but such entries are not fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from tarragon.api.entry import DIR, REG, SYM, order_key
from tarragon.api.errors import SourceError
from tarragon.delta import rsync
from tarragon.delta.compare import is_at_or_below, same
from tarragon.folders import Folders, split
from tarragon.record import NOTICE
from tarragon.source.entry import entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tarragon.api.entry import Entry
    from tarragon.delta.sigtar import Known
    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target

#: How often it is noted how far a restore has come.
EVERY_S = 0.5
#: What differs is remembered by name; beyond so many all that follows is restored.
MOST_WANTED = 100_000
_UNFINISHED = re.compile(rb"\.tarragon-[0-9a-f]{8}\Z")


class Progress:
    """How far the restore of a time, and of a path, to one place has come; kept until it has come to its end."""

    def __init__(
        self, context: Context, target: Target, into: bytes, sets: Sequence[BackupSet], path: bytes | None
    ) -> None:
        self.into = into
        what = (os.path.realpath(into), sets[-1].key, path, context.options.rename, context.settings.selection)
        self._context = context
        self._ledger = target.state.ledger(f"restore-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}")
        lines: list[dict[str, object]] = []
        with suppress(SourceError):
            lines = self._ledger.read()
        self.was_begun = bool(lines)
        self.last: str = next((str(line["last"]) for line in reversed(lines) if "last" in line), "")
        self._noted_s = time.monotonic()

    def begin(self) -> None:
        """From now on the place is ours to go on in. A client that can note nothing restores all the same."""
        if not self.was_begun:
            self._append({"target": os.fsdecode(self.into)})

    def done(self, path: bytes) -> None:
        """All up to this entry is restored, or told as lost."""
        if time.monotonic() > self._noted_s + EVERY_S:
            self._append({"last": os.fsdecode(path)})
            self._noted_s = time.monotonic()

    def _append(self, record: dict[str, str]) -> None:
        try:
            self._ledger.append(record)
        except SourceError as err:
            self._context.log.info("how far this restore has come cannot be noted: %s", err)

    def end(self) -> None:
        """It has come to its end, whatever could not be had."""
        with suppress(SourceError):
            self._ledger.remove()


class Standing:
    """Which entries stand in the tree as they are to be: all up to ``upto``, an order key, but the ``wanted`` ones."""

    def __init__(self, upto: bytes | None = None, wanted: Sequence[bytes] = ()) -> None:
        self._upto = upto
        self._wanted = wanted

    @property
    def is_any(self) -> bool:
        return self._upto is not None

    def holds(self, path: bytes) -> bool:
        return self.spares(path, path)

    def spares(self, first: bytes, last: bytes) -> bool:
        """Whether nothing between two paths need be restored."""
        begin, end = order_key(first), order_key(last)
        if self._upto is None or end > self._upto:
            return False
        place = bisect_left(self._wanted, begin)
        return place == len(self._wanted) or self._wanted[place] > end


def standing(
    context: Context,
    target: Target,
    sets: Sequence[BackupSet],
    path: bytes | None,
    progress: Progress,
    placed: Callable[[Entry], Entry],
) -> Standing:
    """What an earlier run, or anybody, has put into the tree already. Removes what a crash left under temporary names.

    Without signatures there is nothing to compare with, and nothing stands.
    """
    place = progress.into
    if not os.path.isdir(place) or os.path.islink(place) or not os.listdir(place):
        return Standing()
    _sweep(place)
    if not all(of.has_signatures for of in sets):
        return Standing()
    end = order_key(os.fsencode(progress.last)) if progress.was_begun else None  # None: to the very end
    wanted: list[bytes] = []
    upto, count = b"", 0
    with Folders(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folders:
        for known in target.known(sets):
            key = order_key(known.entry.path)
            if (end is not None and key > end) or len(wanted) > MOST_WANTED:
                break
            if path is None or is_at_or_below(known.entry.path, path):
                upto, count = key, count + 1
                if not _is_as_it_should_be(context, folders, known, placed(known.entry)):
                    wanted.append(key)
    if count > len(wanted):
        message = "going on with a restore: %d entries stand as they are to be"
        context.log.log(NOTICE, message, count - len(wanted))
    return Standing(upto, wanted) if count else Standing()


def _is_as_it_should_be(context: Context, folders: Folders, known: Known, entry: Entry) -> bool:
    """A folder need only be one: what it is to be like is set at its end in any case."""
    folder, name = split(entry.path)
    try:
        above = folders.fd(folder)
        st = os.stat(name or b".", dir_fd=above, follow_symlinks=False)
        if entry.kind == DIR or not entry.path:
            return entry.kind == DIR and stat.S_ISDIR(st.st_mode)
        target = os.readlink(name, dir_fd=above) if stat.S_ISLNK(st.st_mode) else b""
        now = entry_of(entry.path, st, context.owners, target)
        if not context.options.restore_ownership:
            entry = entry._replace(uid=now.uid, gid=now.gid, uname=now.uname, gname=now.gname)
        if not same(now, entry, context.owners) or (entry.kind == SYM and now.mtime != entry.mtime):
            return False
        if entry.kind != REG:
            return True
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above), "rb") as file:
            return rsync.fits(known.signature(), file) is True
    except OSError:
        return False


def _sweep(place: bytes) -> None:
    """Remove what restores that were killed left under temporary names."""
    for _, _, names, folder in os.fwalk(place, follow_symlinks=False):
        for name in filter(_UNFINISHED.match, names):
            with suppress(OSError):
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid == os.geteuid():
                    os.unlink(name, dir_fd=folder)
