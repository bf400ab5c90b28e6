"""The commit log: which sets this client has stored or met, in lines that each hold the hash of the one before.

What was committed and is not at the target any more, or is another there, is told by it alone (R13). Losing it loses no
backup: it is begun anew from what stands at the target (docs/architecture.md, every file we own).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tarragon.api.repository import Commit
from tarragon.volume.name import SetTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tarragon.store.state import State

STORED, SEEN, REMOVED, ACCEPTED = "stored", "seen", "removed", "accepted"
NAME, LISTED = "commits", "listed"


class Thing(NamedTuple):
    """A manifest or a signature file: the size and SHA-256 of the stored object, and the SHA-256 of its plain bytes.

    What is not known (yet) is None or "".
    """

    size: int | None = None
    stored: str = ""
    plain: str = ""


class Remembered(NamedTuple):
    """A set as it was stored here, or first seen.

    ``size`` is that of its volumes together, ``gone`` the volumes that were missing already when it was first seen,
    ``parent`` the plain hash of the manifest it builds on, ``sums`` the hash of its sums as stored: "" for none,
    LISTED for sums that were never read.
    """

    of: SetTime
    kind: str
    volumes: int
    size: int | None = None
    manifest: Thing = Thing()
    signatures: Thing = Thing()
    sums: str = ""
    parent: str = ""
    gone: tuple[int, ...] = ()


class Memory:
    """One commit log. ``sets`` are those that should be at the target; ``former`` those that need not be any more.

    ``is_torn``: a line was changed, or is missing, since it was written. ``accepted``: somebody has said that this is
    the repository that is meant.
    """

    def __init__(self, state: State, name: str = NAME) -> None:
        self._ledger = state.ledger(name)
        self.name = name
        self.sets: dict[SetTime, Remembered] = {}
        self.former: set[SetTime] = set()
        self.is_torn = False
        self.accepted = name == NAME
        self._waiting: list[dict[str, Any]] = []
        self._changed: dict[SetTime, None] = {}
        self._last = ""
        self._take(self._ledger.lines())

    def knows(self, times: Iterable[SetTime]) -> bool:
        """Whether any of these sets was ever in this log."""
        return any(of in self.sets or of in self.former for of in times)

    @property
    def is_empty(self) -> bool:
        return not self.sets and not self.former

    def learn(self, was: Remembered) -> None:
        """Remember a set as ``was`` says; its line is written with the next ones."""
        self.sets[was.of] = was
        self._changed[was.of] = None

    def forget(self, kind: str, sets: Iterable[SetTime], **facts: Any) -> None:
        """These need not be at the target any more, or be what they were; its line is written with the next ones."""
        gone = list(sets)
        for of in gone:
            self.sets.pop(of, None)
            self._changed.pop(of, None)
            self.former.add(of)
        self._waiting.append({"kind": kind, "sets": [list(of) for of in gone], **facts})

    @property
    def is_dirty(self) -> bool:
        return bool(self._waiting or self._changed)

    def write(self, now: int) -> None:
        """Add what has been learned to the log; durable when this returns. The lock of one writer must be held."""
        records = self._waiting + [record_of(self.sets[of]) for of in self._changed if of in self.sets]
        if not records:
            return
        if not self._ledger.is_as_left():  # another run has added to it
            newest = deque(self._ledger.lines(), maxlen=1)
            self._last = _hash(newest[0]) if newest else ""
        last = self._last
        for record in records:
            record.update(when=now, before=last)
            last = _hash(record)
        self._ledger.append(*records)
        self._last = last  # not before: what could not be written is written again at the end of the run
        self._waiting, self._changed = [], {}

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def commits(self) -> list[Commit]:
        """What the log says, line by line, read again: only those who ask for it need it in memory."""
        found = []
        for line in self._ledger.lines():
            with suppress(KeyError, TypeError, ValueError):
                found.append(_commit(line))
        return found

    def _take(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            self.is_torn |= line.get("before") != self._last
            self._last = _hash(line)
            try:
                self._take_one(line)
            except (KeyError, TypeError, ValueError):
                self.is_torn = True

    def _take_one(self, line: Mapping[str, Any]) -> None:
        kind = str(line["kind"])
        if kind in (STORED, SEEN):
            was = remembered(line)
            self.sets[was.of] = was
            return
        for of in _gone(line):
            self.sets.pop(of, None)
            self.former.add(of)
        if kind == ACCEPTED:
            self.is_torn, self.accepted = False, True


def chosen(state: State, times: Sequence[SetTime]) -> tuple[Memory, bool]:
    """The log that shares sets with a listing, and whether there is none, though there are logs and sets.

    Another log is looked for only when the first one shares nothing: behind one name stood another repository.
    """
    first = Memory(state)
    if first.is_empty or not times or first.knows(times):
        return first, False
    for name in sorted(path.stem for path in state.folder.glob(f"{NAME}-*.jsonl")):
        other = Memory(state, name)
        if other.knows(times):
            return other, False
    return first, True


def _commit(line: Mapping[str, Any]) -> Commit:
    """Raises KeyError, TypeError, ValueError."""
    kind, when = str(line["kind"]), int(line["when"])
    if kind in (STORED, SEEN):
        was = remembered(line)
        return Commit(kind, (was.of.key,), when, was.volumes, was.size)
    return Commit(kind, tuple(of.key for of in _gone(line)), when, problem=str(line.get("problem", "")))


def _gone(line: Mapping[str, Any]) -> list[SetTime]:
    return [SetTime(str(word), int(start), int(time)) for word, start, time in line["sets"]]


def remembered(line: Mapping[str, Any]) -> Remembered:
    """What a line says of a set. Raises KeyError, TypeError, ValueError."""
    word, start, time = line["set"]
    manifest, signatures = (
        Thing(None if size is None else int(size), str(stored), str(plain))
        for size, stored, plain in (line["manifest"], line["signatures"])
    )
    size = None if line["size"] is None else int(line["size"])
    of, gone = SetTime(str(word), int(start), int(time)), tuple(int(number) for number in line["gone"])
    kind, sums, parent = str(line["kind"]), str(line["sums"]), str(line["parent"])
    return Remembered(of, kind, int(line["volumes"]), size, manifest, signatures, sums, parent, gone)


def record_of(was: Remembered) -> dict[str, Any]:
    record = {"kind": was.kind, "set": list(was.of), **was._asdict()}
    del record["of"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


def _hash(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(line, sort_keys=True).encode()).hexdigest()
