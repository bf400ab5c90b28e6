"""What a striped and a mirrored store have in common: one listing of all parts, and who holds what."""

from __future__ import annotations

import threading
from abc import abstractmethod
from functools import reduce
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    ColdObject,
    NotFound,
    ObjectInfo,
    TarragonError,
    puts_whole,
)

from .part import TRIED_AGAIN, Part, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tarragon.api import Context, Role, Source

    Failure = tuple[Part, TarragonError]

T = TypeVar("T")

_WRITING = frozenset({"backup", "full", "incremental"})
#: What all of several stores have to do for one to be made of them, and what one of them is enough for.
_OF_ALL = (
    Capability.RANGES
    | Capability.STAT
    | Capability.SIZES
    | Capability.DIGESTS
    | Capability.BULK_DELETE
    | Capability.THREADS
    | Capability.READ_ONLY
    | Capability.EXCLUSIVE_PUT
)
_OF_ANY = Capability.COLD


class Combined(Backend):
    """Several stores as one.

    A failure that may pass is handed on until the core's patience is at its end (``--num-retries`` tries), part by
    part: what has been done elsewhere is not done again. Only then ``may_lack`` lets the others go on.
    """

    def __init__(self, parts: Sequence[Part], context: Context, *, may_lack: bool) -> None:
        self.parts, self.may_lack = tuple(parts), may_lack
        self._log = context.log
        self._tries_of_all: int = getattr(context.options, "num_retries", 5)
        self._is_backup = getattr(context.options, "action", "") in _WRITING
        self._file_prefix: str = getattr(context.options, "file_prefix", None) or ""
        reached = [part.backend for part in self.parts if part.refusal is None]
        claims = [backend.capabilities for backend in reached]
        self.capabilities = reduce(lambda one, other: one & other, claims) & _OF_ALL
        self.capabilities |= reduce(lambda one, other: one | other, claims) & _OF_ANY
        if all(puts_whole(backend) for backend in reached):
            self.capabilities |= Capability.ATOMIC_PUT
        self.max_parallel = min(backend.max_parallel for backend in reached)
        self.upload_pace = max(backend.upload_pace for backend in reached)
        self.download_pace = max(backend.download_pace for backend in reached)
        self._lock = threading.Lock()
        self._tries: dict[str, int] = {}
        self._holders: dict[str, list[Part]] = {}
        self._taken: dict[str, dict[Part, int]] = {}
        self._unlisted: set[str] = set()

    # -- what a mode decides ------------------------------------------------------------------------------------------

    @abstractmethod
    def _can_lack(self, unlisted: Sequence[Part]) -> bool:
        """Whether a listing without these parts may be whole."""

    @abstractmethod
    def _homes(self, name: str) -> Sequence[Part]:
        """The parts that a name belongs to, the first of which decides who has it."""

    # -- listing ------------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """What any of the parts shows. Of copies that differ in size the longest counts: short ones were broken off."""
        found: dict[str, ObjectInfo] = {}
        holders: dict[str, dict[Part, int | None]] = {}
        failed: list[Failure] = []
        for part in self.parts:
            try:
                listed = list(part.backend.list(prefix))
            except TarragonError as err:
                failed.append((part, err))
                continue
            for info in listed:
                holders.setdefault(info.name, {})[part] = info.size
                known = found.get(info.name)
                if known is None or (known.size or 0) < (info.size or 0):
                    found[info.name] = info
            self._log.info("multi: '%s' has %d objects", part.shown, len(listed))
        self._tolerate("list", failed, can_lack=self._can_lack([part for part, _ in failed]))
        self._unlisted = {part.shown for part, _ in failed}
        if not prefix:
            self._holders = {}
        for name, sizes in holders.items():
            self._holders[name] = sorted(sizes, key=lambda part: sizes[part] != found[name].size)
        yield from found.values()

    def stat(self, name: str) -> ObjectInfo:
        return self._first(name, f"look at '{name}'", lambda part: part.backend.stat(name))

    def _first(self, name: str, what: str, look: Callable[[Part], T]) -> T:
        """The answer of the first part that has one. Raises NotFound when none has the object, and none may have it,
        and ColdObject when one has it that must be asked back first.
        """
        failed: list[Failure] = []
        missing: NotFound | None = None
        frozen: ColdObject | None = None
        for part in self._in_order(name):
            try:
                answer = look(part)
            except NotFound as err:
                missing = err
            except ColdObject as err:
                part.failures += 1
                frozen = err
            except TarragonError as err:
                part.failures += 1
                failed.append((part, err))
            else:
                for other, why in failed:
                    self._log.warning("multi: cannot %s at '%s', another one can: %s", what, other.shown, why)
                return answer
        lacking = [part for part, _ in failed]
        is_told = frozen is not None or (missing is not None and self._can_lack(lacking))
        self._tolerate(what, failed, can_lack=is_told)
        raise frozen or missing or NotFound(f"no object '{name}'")

    def _in_order(self, name: str) -> Sequence[Part]:
        """All parts, those first that are known to have the object, and of these those that it can best be had from.

        Whoever asks again was not content with the copy that it got: the next one's turn.
        """
        taken = self._taken.get(name, {})
        known = self._holders.get(name) or self._homes(name)
        best = sorted(known, key=lambda part: (part.failures + taken.get(part, 0), part.failures))
        return [*best, *(part for part in self.parts if part not in known)]

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """As the first part gives it that can."""
        if Capability.RANGES not in self.capabilities:
            start, stop = 0, None
        part, stream = self._first(name, f"read '{name}'", lambda part: (part, opened(part, name, start, stop)))
        taken = self._taken.setdefault(name, {})
        taken[part] = taken.get(part, 0) + 1
        return stream

    # -- failures -----------------------------------------------------------------------------------------------------

    def _tolerate(self, what: str, failed: Sequence[Failure], *, can_lack: bool) -> None:
        """Raise while trying again may help, and where the others may not go on without those that failed."""
        if failed and not (self.may_lack and can_lack):
            raise failed[0][1]
        passing = [err for part, err in failed if isinstance(err, TRIED_AGAIN) and not part.is_given_up]
        with self._lock:
            tries = self._tries.pop(what, 0) + 1
            if passing and tries < self._tries_of_all:
                self._tries[what] = tries
                raise passing[0]
        for part, err in failed:
            part.failed(err)
            self._log.warning("multi: cannot %s at '%s', going on without it: %s", what, part.shown, err)

    # -- deleting -----------------------------------------------------------------------------------------------------

    def delete(self, name: str) -> None:
        """Delete at every part. What one of them does not show may be decided upon by a backup only."""
        gone = 0
        failed: list[Failure] = []
        self._must_have_listed_all()
        for part in self.parts:
            try:
                part.backend.delete(name)
                gone += 1
            except NotFound:
                continue
            except TarragonError as err:
                failed.append((part, err))
        self._forget(name)
        self._tolerate(f"delete '{name}'", failed, can_lack=self._is_backup and len(failed) < len(self.parts))
        if not gone and not failed:
            raise NotFound(f"no object '{name}'")

    def delete_many(self, names: Iterable[str]) -> None:
        going = list(names)
        failed: list[Failure] = []
        self._must_have_listed_all()
        for part in self.parts:
            try:
                part.backend.delete_many(going)
            except TarragonError as err:
                failed.append((part, err))
        for name in going:
            self._forget(name)
        what = f"delete {len(going)} objects"
        self._tolerate(what, failed, can_lack=self._is_backup and len(failed) < len(self.parts))

    def _forget(self, name: str) -> None:
        for known in (self._holders, self._taken):
            known.pop(name, None)

    def _must_have_listed_all(self) -> None:
        """What seems to be left over may have its other half where nobody could look."""
        if self._unlisted and not self._is_backup:
            missing = ", ".join(sorted(self._unlisted))
            raise BackendError(f"nothing is deleted while '{missing}' cannot be listed")

    # -- the rest -----------------------------------------------------------------------------------------------------

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        if Capability.EXCLUSIVE_PUT not in self.capabilities:
            return super().put_new(name, source, role)
        decides = self._homes(name)[0]
        is_ours = decides.backend.put_new(name, source, role)
        if is_ours:
            self._forget(name)
            self._holders[name] = [decides]
        return is_ours

    # -- cold objects -------------------------------------------------------------------------------------------------

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """What a part holds and none has ready. One that cannot answer has nothing ready."""
        held = self._held(names)
        ready: set[str] = set()
        failed: list[Failure] = []
        for part in self.parts:
            mine = {name for name, parts in held.items() if part in parts} - ready
            try:
                ready |= mine - part.backend.cold(mine) if mine else set()
            except TarragonError as err:
                failed.append((part, err))
        self._tolerate("see what is cold", failed, can_lack=self._can_lack([part for part, _ in failed]))
        return frozenset(held.keys() - ready)

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask for what is cold at all that hold it, once: of several copies for that of the first part that can."""
        held = self._held(self.cold(names))
        still: set[str] = set()
        for at, part in enumerate(self.parts, 1):
            mine = {name for name, parts in held.items() if part in parts}
            try:
                still |= part.backend.warm_up(mine) if mine else set()
            except TarragonError as err:
                others = set(self.parts[at:])
                self._tolerate("ask for what is cold", [(part, err)], can_lack=all(others & set(held[n]) for n in mine))
            else:
                held = {name: parts for name, parts in held.items() if name not in mine}
        return frozenset(still)

    def _held(self, names: Iterable[str]) -> dict[str, Sequence[Part]]:
        """Who holds which of these; a connection that has listed nothing yet does so now."""
        wanted = list(names)
        if any(name not in self._holders for name in wanted):
            for _ in self.list():
                continue
        return {name: self._holders[name] for name in wanted if name in self._holders}

    # -- letting go ---------------------------------------------------------------------------------------------------

    def reconnect(self) -> None:
        for part in self.parts:
            if part.refusal is None:
                try:
                    part.backend.reconnect()
                except TarragonError as err:  # its next operation tells
                    self._log.info("cannot reconnect to '%s': %s", part.shown, err)

    def close(self) -> None:
        wrong: TarragonError | None = None
        for part in self.parts:
            if part.refusal is None:
                try:
                    part.backend.close()
                except TarragonError as err:
                    wrong = wrong or err
        if wrong is not None:
            raise wrong
