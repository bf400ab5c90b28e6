"""The command: look, decide, say why, and with ``--force`` delete."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tarragon.api import BadOption, CipherError, CollectionError, IntegrityError, NotFound

from . import pins
from .doubt import doubts, is_off
from .policy import Rules, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.api import Context, Repository, SetInfo

    from .policy import Decision

#: Output: shown at every verbosity.
_SHOW = 60


class Prune:
    """``tarragon prune [options] URL``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        options = self._context.options
        rules = self._rules()
        pinning = bool(options.pin or options.unpin)
        if words:
            raise BadOption(f"'prune' takes a target URL only, not '{words[0]}'")
        if rules.is_empty and not pinning:
            raise BadOption("'prune' needs a rule", hint="one of --keep-last, --keep-daily, ...; or --pin, --unpin")
        acts = options.force and not options.dry_run and not rules.is_empty
        records = pinning and not options.dry_run
        repository = self._context.repository
        # The listing is made with the lock held: what another run adds meanwhile would not be in it.
        with repository.writing() if acts or records else nullcontext():
            sets = repository.sets()
            pinned = self._pinned(repository, sets)
            if not rules.is_empty:
                self._prune(repository, sets, rules, pinned, acts)
        return 0

    def _rules(self) -> Rules:
        options = self._context.options
        return Rules(
            last=options.keep_last or 0,
            daily=options.keep_daily or 0,
            weekly=options.keep_weekly or 0,
            monthly=options.keep_monthly or 0,
            yearly=options.keep_yearly or 0,
            since=None if options.keep_within is None else self._context.parse_time(options.keep_within),
        )

    def _pinned(self, repository: Repository, sets: Sequence[SetInfo]) -> frozenset[str]:
        """The pins as they stand, with those of this command line."""
        ledger = repository.ledger("pins")
        records = ledger.read()
        asked = pins.changes(self._context, sets, pins.standing(records))
        for record in asked:
            self._context.log.log(_SHOW, "%s %s", record["kind"], record["set"])
        if asked and not self._context.options.dry_run:
            ledger.append(*asked)
        pinned = pins.standing([*records, *asked])
        for key in sorted(pinned - {each.key for each in sets}):
            self._context.log.warning("set %s is pinned, and not at the target", key)
        self._context.facts["pinned"] = sorted(pinned)
        return pinned

    def _prune(
        self, repository: Repository, sets: Sequence[SetInfo], rules: Rules, pinned: frozenset[str], acts: bool
    ) -> None:
        alarms = len(repository.alarms())  # the core has told each, and makes an exit status of them
        if alarms and acts:
            self._context.log.error("nothing is deleted while there are alarms: %d; look, then 'accept-loss'", alarms)
            acts = False
        if acts and is_off(time.time(), repository.objects()):
            self._context.log.error("nothing is deleted: the clock is more than a day ahead of the target's")
            acts = False
        damaged = _damage(repository, sets)
        for key, problem in damaged.items():
            self._context.log.warning("set %s is damaged: %s", key, problem)
        rehearsed = _rehearsed(repository)
        commits = repository.commits()
        decisions = decide(
            sets,
            rules,
            self._context.now,
            pins=pinned,
            damaged=damaged,
            doubted=doubts(sets, repository.objects(), commits, self._context.now),
            rehearsed=rehearsed,
            own=frozenset(key for commit in commits if commit.kind == "stored" for key in commit.sets),
        )
        for decision in decisions:
            self._context.log.log(_SHOW, "%s", _line(decision))
        going = [decision.info for decision in decisions if not decision.keep]
        deletion = repository.delete(going, dry_run=not acts)
        told = "deleted" if acts else "would be deleted by --force"
        self._context.log.log(
            _SHOW, "%d sets are kept; %d sets, %d objects, %s",
            len(sets) - len(going), len(going), len(deletion.names), told,
        )  # fmt: skip
        self._context.facts.update(
            dry_run=not acts,
            kept=[decision.info.key for decision in decisions if decision.keep],
            deleted=[each.key for each in going],
            reasons={decision.info.key: list(decision.reasons) for decision in decisions},
        )


def _line(decision: Decision) -> str:
    word = "keep" if decision.keep else "delete"
    info = decision.info
    return f"{word:<6}  {time.asctime(time.localtime(info.time))}  {info.key}  {'; '.join(decision.reasons)}"


def _damage(repository: Repository, sets: Sequence[SetInfo]) -> dict[str, str]:
    """What a listing and the manifests show to be wrong, by set. Volumes are not fetched."""
    sizes = {each.name: each.size for each in repository.objects()}
    found: dict[str, str] = {}
    for of in sets:
        try:
            refs = repository.volumes(of)
        except (IntegrityError, CollectionError, CipherError, NotFound) as err:
            found[of.key] = f"its manifest cannot be read: {err}"
            continue
        lost = [ref.number for ref in refs if ref.name not in sizes]
        empty = [ref.number for ref in refs if sizes.get(ref.name) == 0]
        if lost:
            found[of.key] = f"volume {lost[0]} is not at the target"
        elif empty:
            found[of.key] = f"volume {empty[0]} is empty"
    return found


def _rehearsed(repository: Repository) -> frozenset[str]:
    """Keys of the sets that a rehearsal restored without finding anything wrong."""
    records = repository.ledger("checks").read()
    return frozenset(
        str(record.get("set"))
        for record in records
        if record.get("kind") == "rehearsal" and record.get("files") and not record.get("problems")
    )
