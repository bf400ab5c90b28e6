"""Restore: the entries of a time, written below a folder and nowhere else."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tarragon.api.entry import DIR, Entry, FilterMode, Verdict
from tarragon.api.errors import MissingVolume, NothingRestored, NotInBackup, SourceError, TarragonError, UserError
from tarragon.api.events import RESTORED, FileSeen
from tarragon.delta.compare import is_at_or_below
from tarragon.delta.patch import RestoredEntry
from tarragon.record import NOTICE, quoted_field

from .restart import Progress, standing
from .restored import Damage, Restoring, must_be_warm, sets_at, tell_missing
from .tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tarragon.source.select import Selection
    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target


def restore(context: Context, target: Target, into: bytes) -> Damage:
    """Write the entries of a time to the folder ``into``; what could not be had.

    Raises RestoreTargetNotEmpty, NotInBackup, NothingRestored, CollectionError, CipherError, ColdObject. With
    ``--compat-exit`` a missing volume ends the restore before it begins, as duplicity does.
    """
    path = wanted_path(context)
    sets = sets_at(context, target)
    missing = tell_missing(context, target, sets, path)
    if context.options.dry_run:
        tell_volumes(context, target, sets, path)
        if not context.settings.compat and all(of.has_signatures for of in sets):
            _tell_entries(context, target, sets, path)
        return Damage()
    if missing and context.settings.compat and not context.options.ignore_errors:
        raise MissingVolume(f"volume '{missing[0]}' is not at the target", hint="--ignore-errors restores the rest")
    must_be_warm(context, target, sets, path)
    tree = Tree(
        into,
        context.owners,
        ownership=context.options.restore_ownership,
        in_order=not context.options.rename,
    )
    progress = Progress(context, target, into, sets, path)
    tree.prepare(force=context.options.force or progress.was_begun)
    try:
        return _Restore(context, target, tree, path, progress).run(sets)
    finally:
        tree.close()


def wanted_path(context: Context) -> bytes | None:
    """What ``--path-to-restore`` names. Raises UserError for a form that can name nothing."""
    path: bytes | None = context.options.path_to_restore
    if path is None:
        return None
    if path.startswith(b"/") or path.endswith(b"/") or not path:
        raise UserError(
            "--path-to-restore takes a path relative to the backup's root, without a slash at either end",
            hint="list-current-files shows the paths",
        )
    return path


def _tell_entries(context: Context, target: Target, sets: Sequence[BackupSet], path: bytes | None) -> None:
    """What a restore would write, from signatures alone."""
    entries = (each.entry for each in target.known(sets) if path is None or is_at_or_below(each.entry.path, path))
    wanted: Iterable[RestoredEntry] = (RestoredEntry(entry, iter(())) for entry in entries)
    if context.settings.selection:
        wanted = chosen_of(wanted, context.selection(b"", _mode(context)))
    for entry in (each.entry for each in wanted):
        field = quoted_field(entry.path or b".")
        about = {"path": entry.path or b".", "kind": entry.kind, "modified": entry.mtime}
        context.log.show(f"would write {field[1:-1]}", 7, (field, entry.kind), about=("entries", about))


def _mode(context: Context) -> FilterMode:
    return FilterMode(null_separator=context.options.null_separator, for_archive=True)


def tell_volumes(context: Context, target: Target, sets: Sequence[BackupSet], path: bytes | None) -> None:
    """The volumes that would be read."""
    names = [target.volume_name(of, record) for of in sets for record in target.manifest(of).volumes_for(path)]
    context.facts["volumes_needed"] = names
    for name in names:
        context.log.log(NOTICE, "needed: %s", name)


class _Restore:
    def __init__(self, context: Context, target: Target, tree: Tree, path: bytes | None, progress: Progress) -> None:
        self._progress = progress
        self._context = context
        self._target = target
        self._tree = tree
        self._path = path
        self._written = 0
        self._size = 0

    def run(self, sets: Sequence[BackupSet]) -> Damage:
        stands = standing(self._context, self._target, sets, self._path, self._progress, self._placed)
        self._progress.begin()
        restoring = Restoring(self._context, self._target, sets, self._path, stands)
        chosen: Iterable[RestoredEntry] = restoring
        if self._context.settings.selection:
            chosen = chosen_of(restoring, self._context.selection(b"", _mode(self._context)))
        for restored in chosen:
            self._write(restored, restoring)
            self._progress.done(restored.entry.path)
        if not self._written and not restoring.damage.paths and not stands.is_any:
            if self._path is not None:
                raise NotInBackup(
                    f"{quoted_field(self._path)} is not in the backup at that time",
                    hint="list-current-files shows the paths",
                )
            raise NothingRestored("the backup holds nothing at that time")
        self._tree.finish()
        for folder, err in self._tree.unfinished:
            restoring.give_up(RestoredEntry(folder, iter(())), err)
        self._progress.end()
        self._tell_end(restoring.damage)
        return restoring.damage

    def _write(self, restored: RestoredEntry, restoring: Restoring) -> None:
        entry = self._placed(restored.entry)
        field = quoted_field(self._below(restored.entry.path) or b".")  # as it is in the backup: programs know it so
        # Of the root there is no record: duplicity has none, and programs count files by them.
        extra = {"number": 7, "fields": (field, entry.kind)} if entry.path else {}
        self._context.log.info("writing %s of type %s", field[1:-1], entry.kind, extra=extra)
        self._size = 0
        try:
            self._tree.write(entry, self._counted(restored.data))
        except (SourceError, OSError) as err:
            raise err
        except TarragonError as err:
            if err.fields == (str(errno.ENOSPC),):
                raise SourceError(
                    "the folder to restore to has no room left", hint="make room, then restore again with --force"
                ) from err
            restoring.give_up(restored, err)
            return
        self._written += 1
        for sink in self._context.sinks:
            sink.record(FileSeen(entry.path, entry.kind, RESTORED, self._size))

    def _counted(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Pass content on; ``_size`` is then what there was of it. An entry's own size may be that of its last part."""
        self._size = 0
        for piece in data:
            self._size += len(piece)
            yield piece

    def _placed(self, entry: Entry) -> Entry:
        """The entry with the path it is to get: without the path that was asked for, and renamed."""
        path = entry.path
        for old, new in self._context.options.rename or ():
            if is_at_or_below(path, old):
                path = new + path[len(old) :] if old else path
                break
        return entry._replace(path=self._below(path))

    def _below(self, path: bytes) -> bytes:
        """A path without the one that was asked for."""
        if self._path is not None and is_at_or_below(path, self._path):
            return path[len(self._path) + 1 :]
        return path

    def _tell_end(self, damage: Damage) -> None:
        damage.unlike = self._tree.unowned
        self._context.facts["restored"] = self._written
        if self._tree.stripped:
            self._context.log.warning(
                "%d entries were restored without setuid and setgid: their owner is not the stored one",
                self._tree.stripped,
            )
        if self._tree.unowned:
            self._context.log.warning(
                "the owner of %d entries could not be set: only root may; --no-restore-ownership leaves owners alone",
                self._tree.unowned,
            )
        if damage.paths:
            self._context.log.error(
                "%d entries were restored, %d could not be (named above)", self._written, len(damage.paths)
            )
        else:
            self._context.log.log(
                20 if self._context.settings.compat else NOTICE, "%d entries were restored", self._written
            )


def chosen_of(restored: Iterable[RestoredEntry], selection: Selection) -> Iterator[RestoredEntry]:
    """Only what a selection takes: an excluded folder with all below it is left out, and one that is only looked into
    is given once something inside it is."""
    excluded: bytes | None = None
    waiting: list[RestoredEntry] = []
    for each in restored:
        path = each.entry.path
        if excluded is not None and is_at_or_below(path, excluded):
            continue
        waiting = [folder for folder in waiting if is_at_or_below(path, folder.entry.path)]
        verdict = selection.verdict(each.entry)
        if verdict is Verdict.EXCLUDE:
            excluded = path if each.entry.kind == DIR else excluded
            continue
        if verdict is Verdict.DESCEND:
            waiting.append(each)
            continue
        yield from waiting
        waiting = []
        yield each
