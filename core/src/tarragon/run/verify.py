"""Verify: read everything, check every hash and signature, and with ``--compare-data`` compare with the local tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tarragon.api.entry import REG, SYM, Entry, order_key
from tarragon.api.errors import Malformed
from tarragon.delta.compare import is_at_or_below, same
from tarragon.record import quoted_field
from tarragon.source.content import open_file
from tarragon.source.walk import Unreadable, Walk

from .restore import tell_volumes, wanted_path
from .restored import Damage, Restoring, must_be_warm, sets_at, tell_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.delta.patch import RestoredEntry

    from .context import Context
    from .repository import Target


class Verified:
    """What verify came to."""

    def __init__(self) -> None:
        self.compared = 0
        self.differences = 0
        self.damage = Damage()


def verify(context: Context, target: Target) -> Verified:
    """Read every entry of a time to its end. Nothing is written anywhere."""
    path = wanted_path(context)
    sets = sets_at(context, target)
    missing = tell_missing(context, target, sets, path)
    if context.options.dry_run:
        tell_volumes(context, target, sets, path)
        return Verified()
    must_be_warm(context, target, sets, path)
    restoring = Restoring(context, target, sets, path)
    verified = Verified()
    verified.damage = restoring.damage
    verified.damage.volumes.extend(name for name in missing if name not in verified.damage.volumes)
    if context.options.compare_data:
        _Comparison(context, path, restoring, verified).run()
    else:
        for restored in restoring:
            verified.compared += 1
            _read(restored, restoring)
    # A loss is a difference: what cannot be read is not what it was.
    verified.differences += len(verified.damage.paths)
    # Word for word what programs look for in duplicity's answer (docs/cli.md § 8).
    counts = f"{verified.compared} file(s) compared, {verified.differences} difference(s) found."
    context.log.show(f"Verify complete: {counts}")
    return verified


def _read(restored: RestoredEntry, restoring: Restoring) -> None:
    try:
        for _ in restored.data:
            pass
    except Malformed as err:
        restoring.give_up(restored, err)


class _Comparison:
    """The restored entries beside those of the local tree, both in archive order."""

    def __init__(self, context: Context, path: bytes | None, restoring: Restoring, verified: Verified) -> None:
        self._context = context
        self._path = path
        self._restoring = restoring
        self._verified = verified
        assert context.settings.target is not None
        self._local = context.settings.target

    def run(self) -> None:
        local = self._walk()
        here = next(local, None)
        for restored in self._restoring:
            entry = restored.entry
            if self._path is not None:
                entry = entry._replace(path=entry.path[len(self._path) + 1 :])
            key = order_key(entry.path)
            while here is not None and order_key(here.path) < key:
                self._differ(here.path, "it is new")
                here = next(local, None)
            self._verified.compared += 1
            if here is not None and here.path == entry.path:
                self._compare(entry, here, restored)
                here = next(local, None)
            else:
                _read(restored, self._restoring)
                self._differ(entry.path, "it is missing")
        while here is not None:
            self._differ(here.path, "it is new")
            here = next(local, None)

    def _walk(self) -> Iterator[Entry]:
        if not os.path.lexists(self._local):
            return
        selection = self._context.selection(self._local)
        walk = Walk(self._local, selection.verdict, self._context.owners, copy_links=self._context.options.copy_links)
        for found in walk:
            if isinstance(found, Unreadable):
                self._differ(found.path, f"it cannot be read: {found.reason}")
            else:
                yield found

    def _compare(self, stored: Entry, here: Entry, restored: RestoredEntry) -> None:
        try:
            if stored.kind == here.kind == REG and not self._same_content(here.path, restored):
                self._differ(stored.path, "its content differs")
                return
        except Malformed as err:
            self._restoring.give_up(restored, err)
            return
        except OSError as err:
            self._differ(stored.path, f"it cannot be read: {err.strerror}")
            return
        if not same(here, stored, self._context.owners):
            what = "its target" if stored.kind == here.kind == SYM else "its type, mode, owner or time"
            self._differ(stored.path, f"{what} differs")

    def _same_content(self, path: bytes, restored: RestoredEntry) -> bool:
        """Whether a local file holds the same bytes; the stored ones are read to their end in any case."""
        fits = True
        with open_file(self._local, path, follow=self._context.options.copy_links) as file:
            for data in restored.data:
                fits = fits and file.read(len(data)) == data
            return fits and not file.read(1)

    def _differ(self, path: bytes, how: str) -> None:
        if self._path is not None and not is_at_or_below(path, b""):
            return
        self._verified.differences += 1
        text = f"Difference found: {quoted_field(path or b'.')[1:-1]}: {how}"
        self._context.log.show(text, about=("differences", {"path": path or b".", "how": how}))
