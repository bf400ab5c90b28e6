"""What brings the cache in line with the target, which rules (docs/format.md § 11.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import Role

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from tarragon.volume.name import ObjectName, SetTime

    from .chain import Collection

_KEPT = (Role.MANIFEST, Role.SIGNATURES)


class SyncPlan(NamedTuple):
    """What brings the cache in line with the target: objects to fetch, and names to remove here."""

    fetch: list[ObjectName]
    drop: list[str]


def sync_plan(found: Collection, local: Iterable[ObjectName], wanted: Container[SetTime] | None = None) -> SyncPlan:
    """Compare manifests and signatures at the target with those in the cache (docs/format.md § 11.2).

    ``wanted`` limits what is fetched to some sets; None is ``--metadata-sync-mode full``. What has its ``.part`` here
    is not fetched. Dropped is only what belongs to a set of which nothing stands at the target (where duplicity drops
    the last copy of a manifest that was lost there), and nothing at all when the listing shares nothing with the cache:
    it failed, or is another place's.
    """
    ours = [name for name in local if name.role in _KEPT]
    here = {name.stem for name in ours}
    there = {name.stem: name for each in found for name in (each.manifest, each.signatures) if name}
    known = {each.of for each in found if each.names} | {name.of for name in found.strays}
    fetch = [name for stem, name in there.items() if stem not in here and (wanted is None or name.of in wanted)]
    drop = [name.name for name in ours if not name.partial and name.of not in known]
    return SyncPlan(fetch, drop if any(name.of in known for name in ours) else [])
