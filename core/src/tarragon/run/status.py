"""collection-status: chains and sets, or what one set or one file has changed (docs/cli.md § 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.errors import TarragonError
from tarragon.record import SHOW
from tarragon.volume import manifest

from . import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tarragon.store.chain import BackupSet, Collection
    from tarragon.volume.name import SetTime

    from .context import Context
    from .repository import Target


#: Shown from verbosity 8 on.
DETAIL = 12
#: A statistics object beyond this is none (R42).
LARGEST_STATS = 1 << 22


def met(context: Context, folder: Path, collection: Collection) -> None:
    """Tell, once, what the first listing of a run shows, as duplicity does before its actions (docs/cli.md § 11)."""
    if context.is_met:
        return
    context.is_met = True
    report.left_over(context.log, collection)
    if not context.is_command:
        report.last_full_backup(context.log, collection)
    if context.action != "collection-status" and context.log.isEnabledFor(DETAIL):
        _show(context, folder, collection, DETAIL)


def status(context: Context, target: Target) -> None:
    """Show what the options ask for: one file's changes, one set's, or all chains."""
    options = context.options
    collection = target.collection
    if options.show_changes_in_set is not None:
        _changes_in(context, target, options.show_changes_in_set)
    elif options.file_changed is not None:
        changes = list(_changes_of(target, options.file_changed))
        versions = [{"set": of.key, "time": of.time, "change": word} for of, word in changes]
        context.facts["file"] = {"path": options.file_changed, "versions": versions}
        report.file_changed(context.log, options.file_changed, changes)
    else:
        context.facts.update(
            chains=report.chains_of(collection),
            orphaned=[
                of.key for of in [*collection.orphans, *(each for one in collection.chains for each in one.beyond)]
            ],
            incomplete=[of.key for of in collection.incomplete],
            archive_dir=str(target.archive.folder),
        )
        _show(context, target.archive.folder, collection, SHOW)


def _show(context: Context, folder: Path, collection: Collection, level: int) -> None:
    backend = context.url.scheme
    report.collection_status(context.log, backend=backend, archive_dir=str(folder), collection=collection, level=level)


def _changes_of(target: Target, path: bytes) -> Iterator[tuple[SetTime, str]]:
    chain = target.collection.latest_chain()
    for of in chain.sets if chain is not None else ():
        with target.open_manifest(of) as stream:
            for word, changed in manifest.changed_files(stream):
                if changed == path:
                    yield of.of, word


def _changes_in(context: Context, target: Target, index: int) -> None:
    as_json = context.options.jsonstat
    sets = report.sets_shown(target.collection, index, as_json=as_json)
    shown = [
        report.SetChanges(of.of, list(_files(target, of)), _stats(context, target, of) if as_json else None)
        for of in sets
    ]
    context.facts["changes"] = [
        {"set": each.of.key, "files": [{"path": path, "change": word} for word, path in each.files]} for each in shown
    ]
    (report.jsonstat_of_changes if as_json else report.changes_in_set)(context.log, shown)


def _files(target: Target, of: BackupSet) -> Iterator[tuple[str, bytes]]:
    with target.open_manifest(of) as stream:
        yield from manifest.changed_files(stream)


def _stats(context: Context, target: Target, of: BackupSet) -> bytes | None:
    """The set's statistics object, from the cache, else from the target; None when there is none to be had."""
    found: BinaryIO | None = target.archive.open(of.local_stats.name) if of.local_stats is not None else None
    try:
        if found is None and of.stats is not None:
            found = target.fetch_plain(of.stats)
        if found is None:
            return None
        with found:
            return found.read(LARGEST_STATS)
    except TarragonError as err:
        context.log.warning("the statistics of set %s cannot be read: %s", of.key, err)
        return None
