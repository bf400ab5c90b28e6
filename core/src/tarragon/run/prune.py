"""remove-older-than, remove-all-but-n-full, remove-all-inc-of-but-n-full and cleanup (docs/cli.md § 2).

Without ``--force`` they list and delete nothing; with it the lock must be held. A set goes manifest first and volumes
last, and before the sets that it depends on, so that a crash leaves whole sets and orphans that cleanup finds, never a
set that lies (R51).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon import clock
from tarragon.api.errors import CollectionError
from tarragon.record import NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.store.chain import BackupSet, Chain

    from .context import Context
    from .repository import Target


#: How far ahead of the clock a set may be.
DAY = 86400


def remove_older_than(context: Context, target: Target) -> None:
    """Delete chains that ended before a time. The newest chain stays, whatever its age."""
    time = int(context.settings.words[0])
    chains = _of_the_past(context, target)
    newest = max(chains, key=lambda chain: (chain.end, chain.start), default=None)
    going = [chain for chain in chains if chain.end < time and chain is not newest]
    if newest is not None and newest.end < time:
        context.log.log(NOTICE, "the newest backup chain is older than that, too; it is not deleted")
    _remove(context, target, [each for chain in going for each in chain.sets + chain.beyond])


def remove_all_but_n_full(context: Context, target: Target) -> None:
    """Delete all chains but the newest ``count``."""
    _remove(context, target, [each for chain in _older(context, target) for each in chain.sets + chain.beyond])


def remove_all_inc_of_but_n_full(context: Context, target: Target) -> None:
    """Delete the increments of all chains but the newest ``count``."""
    _remove(context, target, [each for chain in _older(context, target) for each in chain.sets[1:] + chain.beyond])


def _older(context: Context, target: Target) -> Sequence[Chain]:
    count = int(context.settings.words[0])
    if count < 1:
        # The class word is duplicity's: CollectionsError would tell Deja Dup that there is no backup.
        raise CollectionError(f"at least one full backup must be kept, not {count}", fields=("AssertionError",))
    by_age = sorted(_of_the_past(context, target), key=lambda chain: chain.start)
    return by_age[:-count]


def _of_the_past(context: Context, target: Target) -> list[Chain]:
    """All chains but those that others have dated more than a day ahead of the clock, ours or the target's when they
    were stored: such neither take the place of one that is kept, nor are they deleted (R17).
    """
    stored = {info.name: info.modified for info in target.listing if info.modified is not None}
    found = []
    for each in target.collection.chains:
        manifest = each.sets[0].manifest
        latest = min(context.now, stored.get(manifest.name, context.now) if manifest is not None else context.now)
        if each.start <= latest + DAY or target.watch.is_own(each.sets[0].of):
            found.append(each)
    if len(found) < len(target.collection.chains):
        context.log.warning("chains that begin more than a day ahead of the clock are left out")
    return found


def _acts(context: Context, sets: Sequence[BackupSet], objects: Sequence[str]) -> bool:
    """Whether anything is really to be deleted; and what, for those who read the facts."""
    acts = bool(context.options.force and not context.options.dry_run)
    context.facts.update(dry_run=not acts, sets=[each.key for each in sets], objects=list(objects))
    return acts


def _remove(context: Context, target: Target, sets: Sequence[BackupSet]) -> None:
    acts = _acts(context, sets, [name for each in sets for name in each.names])
    if not sets:
        context.log.log(NOTICE, "no old backup sets found, nothing deleted")
        return
    listed = "\n".join(f"{clock.pretty(each.of.time)}  {each.key}" for each in sets)
    if not acts:
        context.log.log(NOTICE, "found old backup sets at these times:\n%s\n(--force deletes them)", listed)
        return
    context.log.log(NOTICE, "deleting backup sets at these times:\n%s", listed)
    target.discard(sets)


def cleanup(context: Context, target: Target) -> None:
    """Delete files of no complete set, with the lock held. A set that can still be resumed here stays."""
    collection = target.collection
    # What this client remembers as whole, and is not any more, is evidence.
    broken = [each for each in collection.orphans + collection.incomplete if not each.partial]
    going = [each for each in broken if each.is_whole or not target.watch.remembers(each)]
    strays = [name.name for name in collection.strays if not target.watch.remembers(name)]
    names = [name for each in going for name in each.names] + strays
    acts = _acts(context, going, names)
    if not names:
        context.log.log(NOTICE, "no extraneous files found, nothing deleted")
        return
    listed = "\n".join(names)
    if not acts:
        context.log.log(NOTICE, "found files of no complete backup set:\n%s\n(--force deletes them)", listed)
        return
    context.log.log(NOTICE, "deleting files of no complete backup set:\n%s", listed)
    target.discard(going)
    context.store.delete(strays)
