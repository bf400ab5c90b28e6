"""The journal of a set under way: what is stored, and how far the two ``.part`` files describe it.

A line is written once all volumes it names, and all before them, are stored and both files are durable up to the sizes
it names. So each line is a point from which a broken run can be gone on with (R46).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tarragon.api.entry import Entry
from tarragon.volume.manifest import VolumeRecord
from tarragon.volume.name import SetTime

from .build import RangeBuilt, Stand
from .plan import Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tarragon.api.events import StoredVolume
    from tarragon.store.archive import Parts
    from tarragon.store.state import Ledger


class Kept(NamedTuple):
    """A volume that the journal names; ``digest`` is what the far side made of it, where it makes one."""

    number: int
    name: str
    size: int
    sha1: str
    sha256: str = ""
    digest: str = ""


class Point(NamedTuple):
    """A point to go on from: everything up to ``last`` is stored, in ``volumes`` and those of the points before.

    The two files hold that much and no more in their first bytes: sizes and SHA-256. ``ranges`` are those of a large
    file that is stored in part. ``problems`` counts what was not stored as it is, up to here. ``held`` are the last of
    the volumes, which the manifest does not name yet.
    """

    volumes: tuple[Kept, ...]
    last: bytes
    manifest: tuple[int, str]
    signatures: tuple[int, str]
    ranges: tuple[RangeBuilt, ...] = ()
    problems: int = 0
    held: tuple[VolumeRecord, ...] = ()


class Head(NamedTuple):
    """Which set is under way. ``shape`` is what must be the same for a later run to go on with it.

    ``leftovers`` are objects of earlier broken runs, to be deleted when this set is committed.
    """

    of: SetTime
    parent: str
    shape: Mapping[str, Any]
    leftovers: tuple[str, ...] = ()


class Hashed:
    """A file that is written to, and the SHA-256 of all that was."""

    def __init__(self, into: BinaryIO) -> None:
        self._into = into
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._into.write(data)
        self.met(data)
        return len(data)

    def met(self, data: bytes) -> None:
        """Count bytes that are in the file already."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def mark(self) -> tuple[int, str]:
        """Size and hash up to here."""
        return self.size, self._hash.copy().hexdigest()


class Journal:
    """The ledger ``journal`` of the state folder, for the set under way."""

    def __init__(self, ledger: Ledger, parts: Parts) -> None:
        self._ledger = ledger
        self._parts = parts
        self._ranges: tuple[RangeBuilt, ...] = ()

    def begin(self, head: Head) -> None:
        """Forget an earlier set and name this one."""
        self._ledger.remove()
        of = list(head.of)
        record = {"set": of, "parent": head.parent, "shape": head.shape, "leftovers": list(head.leftovers)}
        self._ledger.append(record)

    def add(
        self,
        volumes: Sequence[StoredVolume],
        last: bytes,
        manifest: tuple[int, str],
        signatures: tuple[int, str],
        ranges: Sequence[RangeBuilt],
        problems: int,
        held: Sequence[VolumeRecord],
    ) -> None:
        """Make both files durable, then write down a point."""
        self._parts.sync()
        kept = tuple(Kept(each.number, each.name, each.size, each.sha1, each.sha256, each.digest) for each in volumes)
        self.again(kept, Point(kept, last, manifest, signatures, tuple(ranges), problems, tuple(held)))

    def again(self, volumes: Sequence[Kept], point: Point) -> None:
        """Write down a point whose files are durable, with all the volumes up to it.

        Ranges are written once: ``carried`` says how many of those of the line before still count.
        """
        carried = len(self._ranges) if point.ranges[: len(self._ranges)] == self._ranges else 0
        self._ranges = point.ranges
        self._ledger.append(
            {
                "volumes": [list(volume) for volume in volumes],
                "last": _text(point.last),
                "manifest": list(point.manifest),
                "signatures": list(point.signatures),
                "problems": point.problems,
                "carried": carried,
                "ranges": [_flat(part) for part in point.ranges[carried:]],
                "held": [[_text(each) if isinstance(each, bytes) else each for each in one] for one in point.held],
            }
        )


def read(ledger: Ledger) -> tuple[Head, list[Point]] | None:
    """The set that was under way, and its points; None when there was none, or the journal is not to be understood."""
    lines = ledger.read()
    try:
        if not lines:
            return None
        first = lines[0]
        kind, start, time = first["set"]
        head = Head(SetTime(kind, start, time), first["parent"], first["shape"], tuple(first["leftovers"]))
        points: list[Point] = []
        for line in lines[1:]:
            if "commit" in line:
                break
            points.append(_point(line, points[-1].ranges if points else ()))
        return head, points
    except (KeyError, TypeError, ValueError):
        return None


def committing(ledger: Ledger) -> dict[str, Any] | None:
    """The line for the commit log that was about to be true: all but the manifest was stored."""
    return next((line["commit"] for line in reversed(ledger.read()) if "commit" in line), None)


def _point(line: Mapping[str, Any], before: tuple[RangeBuilt, ...]) -> Point:
    volumes = tuple(Kept(int(n), str(name), int(size), *map(str, sums)) for n, name, size, *sums in line["volumes"])
    manifest, signatures = line["manifest"], line["signatures"]
    return Point(
        volumes,
        _bytes(line["last"]),
        (int(manifest[0]), str(manifest[1])),
        (int(signatures[0]), str(signatures[1])),
        before[: int(line["carried"])] + tuple(_range(each) for each in line["ranges"]),
        int(line["problems"]),
        tuple(
            VolumeRecord(int(n), _bytes(first), part, _bytes(last), last_part, sha1)
            for n, first, part, last, last_part, sha1, *_ in line.get("held", ())
        ),
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _flat(built: RangeBuilt) -> list[Any]:
    entry = built.entry
    plain = [_text(each) if isinstance(each, bytes) else each for each in entry]
    return [plain, list(built.range), list(built.before), list(built.after), built.signature.hex(), built.delta_size,
            built.change]  # fmt: skip


def _range(flat: Sequence[Any]) -> RangeBuilt:
    entry, part, before, after, signature, delta_size, change = flat
    path, kind, mode, uid, gid, uname, gname, mtime, size, target, device, on_device = entry
    whole = Entry(
        _bytes(path), kind, mode, uid, gid, _bytes(uname), _bytes(gname), mtime, size, _bytes(target), tuple(device),
        on_device,
    )  # fmt: skip
    return RangeBuilt(
        whole, Range(*part), Stand(*before), Stand(*after), bytes.fromhex(signature), int(delta_size), str(change)
    )
