"""What the volumes of one set say: the stream that a restore merges with those of the other sets of its chain."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from tarragon.api.entry import Entry, order_key
from tarragon.api.errors import Malformed, TarragonError
from tarragon.delta import difftar, sigtar
from tarragon.delta.compare import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from tarragon.delta.difftar import OpenVolume, Patch
    from tarragon.parked import Lot
    from tarragon.store.chain import BackupSet
    from tarragon.volume.manifest import VolumeRecord

    from .repository import Target

    Lost: TypeAlias = Callable[[BackupSet, str, TarragonError], None]
    Spared: TypeAlias = Callable[[bytes, bytes], bool]

#: So many volumes of a set are fetched and decrypted beside the one that is read: a cipher takes longer than reading.
AHEAD = 2
#: Where there is room for so many of the largest: three of them as they are stored, and expanded.
_ROOM = 8


class OneSet:
    """The patches of a set at or below ``path``, with ``lot`` where its volumes are parked.

    Volumes of which nothing is wanted, from the last path of the one before to their own, are ``spared``. ``lost`` is
    told the set, the name of what cannot be had and why. A long chain has hundreds of these side by side: they hold
    next to nothing.
    """

    __slots__ = ("_lost", "_lot", "_of", "_path", "_spared", "_target")

    def __init__(
        self, target: Target, of: BackupSet, path: bytes | None, lost: Lost, lot: Lot | None, spared: Spared
    ) -> None:
        self._target, self._of, self._path = target, of, path
        self._lost, self._lot, self._spared = lost, lot, spared

    def patches(self) -> Iterator[Patch]:
        """In archive order, as ``difftar.decode`` gives them."""
        path, found = self._path, difftar.decode(self._volumes(), self._mentioned, self._refused)
        return found if path is None else (each for each in found if is_at_or_below(each.entry.path, path))

    def _refused(self, reason: str) -> None:
        self._lost(self._of, f"an entry of set {self._of.key}", Malformed(f"{reason}: it is not restored"))

    def _mentioned(self, first: bytes, last: bytes) -> Iterator[tuple[Entry, bool]]:
        """The entries that the set's signatures have between two paths, and whether they are deleted there."""
        begin, end = order_key(first), order_key(last)
        try:
            for entry, gone in sigtar.entries(self._target.open_signatures(self._of)):
                if order_key(entry.path) > end:
                    return
                if order_key(entry.path) >= begin:
                    yield entry, gone
        except TarragonError as err:
            self._target.cannot_name_losses(self._of, err)

    def _volumes(self) -> Iterator[OpenVolume]:
        """A volume that cannot be had costs only what is in it."""
        wanted = self._wanted()
        room = _ROOM * max((info.size or 0 for info in self._of.volumes.values()), default=0)
        ahead: deque[Callable[[], BinaryIO | None]] = deque()
        for at, record in enumerate(wanted, 1):
            try:
                stream = (ahead.popleft()() if ahead else None) or self._target.open_volume(self._of, record)
                self._target.volume_used(self._of, record)
                if self._lot is not None:
                    stream = self._lot.park(stream)
            except TarragonError as err:
                self._lost(self._of, self._target.volume_name(self._of, record), err)
                yield difftar.OpenVolume(record.first, record.last, None, str(err))
                continue
            if self._lot is None:  # the first of all is never ahead: a passphrase is asked for in the main thread
                more = wanted[at + len(ahead) : at + AHEAD]
                ahead.extend(self._target.volume_ahead(self._of, each, room) for each in more)
            with stream:
                yield difftar.OpenVolume(record.first, record.last, stream)
            self._target.volume_read()

    def _wanted(self) -> list[VolumeRecord]:
        before, found = b"", []  # a volume may begin before its manifest says so (docs/format.md § 19, trap 33)
        for record in self._target.manifest(self._of).volumes_for(self._path):
            if not self._spared(before, record.last):
                found.append(record)
            before = record.last
        return found
