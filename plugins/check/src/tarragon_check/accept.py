"""accept-loss: say that what alarms are about is to stay as it is. Nothing is changed at the target."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from tarragon.api import BadOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.api import Context

#: Output: shown at every verbosity.
_SHOW = 60


class AcceptLoss:
    """``tarragon accept-loss [SET...] URL``: all alarms, or those of the named sets; only with ``--force``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        options = self._context.options
        acts = options.force and not options.dry_run
        repository = self._context.repository
        with repository.writing() if acts else nullcontext():
            alarms = [each for each in repository.alarms() if not words or each.set_key in words]
            unknown = set(words) - {each.set_key for each in alarms}
            if unknown:
                raise BadOption(f"there is no alarm about '{min(unknown)}'", hint="a set's key, as the alarm names it")
            for each in alarms:
                told = "accepted" if acts else "would be accepted by --force"
                self._context.log.log(_SHOW, "%s: %s: %s", told, each.name, each.problem)
                if acts and each in repository.alarms():  # accepting one ends the others about the same set
                    repository.accept(each)
        if not alarms:
            self._context.log.log(_SHOW, "there is no alarm")
        accepted = alarms if acts else []
        self._context.facts["accepted"] = [
            {"name": each.name, "set_key": each.set_key, "problem": each.problem} for each in accepted
        ]
        return 0
