"""Stripes: every object is at one part, the parts take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Capability, NotFound, TarragonError

from .combined import Combined
from .part import TRIED_AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tarragon.api import Context, ObjectInfo, Role, Source

    from .combined import Failure
    from .part import Part


class StripeBackend(Combined):
    """Where an object lies does not matter: it is looked for at every part."""

    def __init__(self, parts: Sequence[Part], context: Context, *, may_lack: bool) -> None:
        super().__init__(parts, context, may_lack=may_lack)
        self._turn = 0
        self._turns: dict[str, int] = {}
        self._has_listed = False

    def _homes(self, name: str) -> Sequence[Part]:
        return self.parts

    def _can_lack(self, unlisted: Sequence[Part]) -> bool:
        return False  # what lies there lies nowhere else

    def put(self, name: str, source: Source, role: Role) -> None:
        """Store at the part whose turn it is, or, where it may, at the next one that takes it.

        What stands at a part already is replaced there and nowhere else, or there would be two of it.
        """
        there = self._standing(name)
        failed: list[Failure] = []
        for part in there[:1] or self._candidates(name):
            try:
                part.put(name, source, role, self._file_prefix)
            except TarragonError as err:
                failed.append((part, err))
                if not self.may_lack:
                    break
            else:
                self._is_at(part, name, there[1:], failed)
                return
        raise next((err for _, err in failed if isinstance(err, TRIED_AGAIN)), failed[0][1])

    def _is_at(self, part: Part, name: str, others: Sequence[Part], failed: Sequence[Failure]) -> None:
        for other in others:
            other.backend.delete(name)
        for other, err in failed:
            other.failed(err)
            self._log.warning("multi: cannot store '%s' at '%s', '%s' has it: %s", name, other.shown, part.shown, err)
        self._turns.pop(name, None)
        self._holders[name] = [part]

    def _standing(self, name: str) -> Sequence[Part]:
        """The parts that have an object of that name now."""
        ask = [part for part in self.parts if Capability.STAT in part.backend.capabilities]
        if len(ask) < len(self.parts) and not self._has_listed:
            for _ in self.list():
                continue
        there = [part for part in self.parts if part not in ask and part in self._holders.get(name, ())]
        for part in ask:
            try:
                part.backend.stat(name)
                there.append(part)
            except NotFound:
                continue
            except TarragonError as err:
                if not self.may_lack:
                    raise
                self._log.info("cannot look at '%s' at '%s': %s", name, part.shown, err)
        return there

    def _candidates(self, name: str) -> Sequence[Part]:
        """All parts, beginning with the one whose turn it is; a further try is still the same turn."""
        with self._lock:
            if name not in self._turns:
                self._turns[name] = self._turn
                self._turn += 1
            turn = self._turns[name] % len(self.parts)
        order = [*self.parts[turn:], *self.parts[:turn]]
        return sorted(order, key=lambda part: part.is_given_up) if self.may_lack else order

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from super().list(prefix)
        self._has_listed = self._has_listed or not prefix
