"""Go on where a broken run stopped (R45–R47).

Only with what would be the newest set, whose parent still ends its chain, and which is asked for in the same shape.
What is kept is what is recorded, there, and of the right size and hash; its signatures are kept with it, never made
anew, so that they say what the volumes hold, whatever the source says now.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from tarragon.api.backend import Capability
from tarragon.api.entry import DIR, REG, order_key
from tarragon.api.errors import TarragonError
from tarragon.api.events import CHANGED, DELETED, NEW, FileSeen
from tarragon.delta import compare, sigtar
from tarragon.delta.compare import Change
from tarragon.record import NOTICE

from . import commit, cut_file, journal
from .build import Stand
from .journal import Head, Kept, Point
from .parts import Cut, Unusable, are_whole, origin_of, points_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tarragon.api.backend import ObjectInfo
    from tarragon.store.chain import BackupSet
    from tarragon.volume.name import SetTime

    from .assemble import Assembly
    from .context import Context
    from .repository import Target


class Broken(NamedTuple):
    """A set that a broken run left: from ``point`` on it can be gone on with. ``kept`` are all volumes that stand.

    ``leaf`` is the last entry that is stored, if it is stored as something that nothing can be in.
    """

    of: SetTime
    upon: list[BackupSet]
    point: Point
    kept: tuple[Kept, ...]
    head: Head
    leaf: bytes | None = None

    @property
    def volumes(self) -> int:
        return len(self.kept)

    def is_barred(self, path: bytes) -> bool:
        """Whether an entry has no place in this set: it is in a folder that the set holds as something else."""
        return self.leaf is not None and path != self.leaf and compare.is_at_or_below(path, self.leaf)


class Leftovers(NamedTuple):
    """What a broken run left that cannot be gone on with: objects at the target, to be deleted after the next set."""

    names: tuple[str, ...] = ()


def look(context: Context, target: Target, source: bytes, shape: Mapping[str, Any]) -> Broken | Leftovers:
    """What the last run left, if it was broken off: something to go on with, or leftovers; both ``.part`` files of
    leftovers are removed, and it is said why.
    """
    found = journal.read(target.state.ledger("journal"))
    done = _committed(target, found[0]) if found is not None else None
    if found is not None and done is not None:
        commit.finish(context, target, done, found[0].leftovers)
        target.refresh()
        found = None
    partial = next((each for each in reversed(target.collection.incomplete) if each.partial), None)
    if found is None and partial is None:
        _tell_of_unfinished(context, target)
        _clear(context, target)
        return Leftovers()
    try:
        broken = _fitting(context, target, source, shape, found, partial)
    except Unusable as why:
        return _set_aside(context, target, found, partial, str(why))
    _clear(context, target, broken.of)
    message = "going on with the %s backup of %s: %d volumes are stored already"
    context.log.log(NOTICE, message, broken.of.kind, broken.of.key, broken.volumes)
    return broken


def _committed(target: Target, head: Head) -> BackupSet | None:
    """The set, if its manifest is at the target: it is whole, only the cache and the log have not followed."""
    return next((each for each in target.collection if each.of == head.of and each.is_whole), None)


def _tell_of_unfinished(context: Context, target: Target) -> None:
    """Report volumes of which nothing here says who left them: another host may be writing them (R47)."""
    names = [name for each in target.collection.incomplete for name in each.names]
    if names:
        message = "%d files at the target are of backups that were not finished, if none is under way: see 'cleanup'"
        context.log.log(NOTICE, message, len(names))


def _clear(context: Context, target: Target, keep: SetTime | None = None) -> None:
    """Leave no ``.part`` file but those of ``keep``.

    Those of an encrypted set that is whole take their names, if they are whole: who has no key could not fetch them.
    """
    names = context.names
    found = {name.of for name in map(names.parse, target.archive.names()) if name is not None and name.partial}
    for of in found - {keep}:
        stored = next((each for each in target.collection if each.of == of and each.is_whole), None)
        if stored is not None and stored.encrypted and are_whole(target.archive, names, stored):
            target.archive.commit(names.manifest(of), names.signatures(of))
        target.archive.remove([names.manifest(of) + ".part", names.signatures(of) + ".part"])
    if found - {keep}:
        target.refresh()
        target.watch.adopt_new([each for each in target.collection if each.is_whole and each.of in found], target.sizes)


def _fitting(
    context: Context,
    target: Target,
    source: bytes,
    shape: Mapping[str, Any],
    found: tuple[Head, list[Point]] | None,
    partial: BackupSet | None,
) -> Broken:
    cut = None
    if found is None or partial is None or found[0].of != partial.of:
        if partial is None:
            raise Unusable("the cache has lost its files")
        origin = origin_of(target.archive, context.names, partial)
        wanted = os.fsencode(str(shape["host"])), os.fsencode(str(shape["source"]))
        if origin != wanted and not context.options.allow_source_mismatch:
            raise Unusable("it was made on another host, or of another source")
        head = Head(partial.of, "", {}, ())
        points, cut = points_of(target.archive, context.names, partial)
    else:
        head, points = found
        if dict(head.shape) != dict(shape):
            raise Unusable("it was asked for with another source, selection or options")
        if len(points) > 1 and not points[-1].ranges and _what(points[-1]) == _what(points[-2]):
            points = points[:-1]  # the empty volume at the end: behind it, duplicity would read no other
    upon = _parents(target, head)
    found_whole = len(points)
    points = _standing(context, target, head.of, points)
    if cut is not None and len(points) == found_whole:
        points += _cut_off(context, target, source, cut, upon, bool(points))
    if not points:
        raise Unusable("nothing of it is stored, or what is stored is not what was written")
    while points and points[-1].ranges and not _is_unchanged(source, points[-1]):
        points.pop()
    if not points:
        raise Unusable("the file that was being stored has changed")
    kept = tuple(volume for point in points for volume in point.volumes)
    leaf = _leaf(target, context.names.signatures(head.of), points[-1])
    return Broken(head.of, upon, points[-1], kept, head, leaf)


def _what(point: Point) -> tuple[bytes, tuple[int, str]]:
    return point.last, point.signatures


def _cut_off(
    context: Context, target: Target, source: bytes, cut: Cut, upon: Sequence[BackupSet], has_others: bool
) -> list[Point]:
    """The point within a file, if it still is what was stored of it. Raises Unusable when there is no other."""
    try:
        target.sync(upon)
        return [cut_file.point_at(context, target, source, cut, upon)]
    except Unusable as why:
        if has_others:
            context.log.info("what is stored behind the last whole file is not kept: %s", why)
            return []
        raise


def _leaf(target: Target, name: str, point: Point) -> bytes | None:
    """The last entry that is stored, unless it is a folder. Entries below it may come later, when it is one by then."""
    if point.ranges:
        return point.last
    file = target.archive.open(name + ".part")
    if file is None:
        return None
    leaf = None
    for entry, deleted in sigtar.entries(cast("BinaryIO", _Limited(file, point.signatures[0]))):
        if entry.path == point.last and (deleted or entry.kind != DIR):
            leaf = entry.path
    return leaf


def _parents(target: Target, head: Head) -> list[BackupSet]:
    """The sets it builds upon. It must still become the newest set, and its parent end a chain."""
    newest = max((each.of.time for each in target.collection if each.is_whole), default=None)
    if newest is not None and newest >= head.of.time:
        raise Unusable("there is a newer set")
    if head.of.kind == "full":
        return []
    chain = target.collection.basis()
    if chain is None or chain.sets[-1].of.time != head.of.start:
        raise Unusable("the set that it builds upon does not end its chain any more")
    upon = list(chain.sets)
    if head.parent and target.manifest_hash(upon[-1]) != head.parent:
        raise Unusable("the set that it builds upon has changed")
    if not target.watch.trusts(upon):
        raise Unusable("the sets that it builds upon are not to be trusted")
    return upon


def _standing(context: Context, target: Target, of: SetTime, points: Sequence[Point]) -> list[Point]:
    """Points whose volumes are all at the target as they were stored, and whose two files begin as they did."""
    listed = {each.of: each for each in target.collection}.get(of)
    there = {info.name: info for info in listed.volumes.values()} if listed is not None else {}
    marks = _marks(context, target, of, points)
    standing = []
    for point in points:
        if point.manifest not in marks or point.signatures not in marks:
            break
        if not all(is_there(context, there.get(kept.name), kept) for kept in point.volumes):
            break
        standing.append(point)
    return standing


def _marks(context: Context, target: Target, of: SetTime, points: Sequence[Point]) -> set[tuple[int, str]]:
    """Sizes and hashes of the beginnings of the two files, at the sizes that points name."""
    marks = set()
    names = context.names
    for name, sizes in (
        (names.manifest(of), [point.manifest[0] for point in points]),
        (names.signatures(of), [point.signatures[0] for point in points]),
    ):
        file = target.archive.open(name + ".part")
        if file is None:
            continue
        with file:
            digest = hashlib.sha256()
            at = 0
            for size in sizes:
                while at < size and (data := file.read(min(1 << 20, size - at))):
                    digest.update(data)
                    at += len(data)
                if at == size:
                    marks.add((size, digest.hexdigest()))
    return marks


def is_there(context: Context, info: ObjectInfo | None, kept: Kept) -> bool:
    """Whether a volume stands at the target as it was stored; ``info`` is what the listing has of it."""
    capabilities = context.store.capabilities
    try:
        info = info or context.store.stat(kept.name)  # it was stored and recorded: a listing may be late
        if info.size not in (None, kept.size if kept.size >= 0 else info.size):
            return False
        # Where the far side makes a digest of what it holds, nothing need be read back.
        told = info.digest or (context.store.stat(kept.name).digest if Capability.DIGESTS in capabilities else None)
        wanted = {each.partition(":")[0]: each for each in (kept.digest, f"sha1:{kept.sha1}")}
        if told and (digest := wanted.get(told.partition(":")[0])):
            return bool(told == digest)
        with context.temp.file() as file:
            return context.store.fetch(kept.name, file).sha1 == kept.sha1
    except TarragonError as err:
        context.log.info("'%s' cannot be kept: %s", kept.name, err)
        return False


def _is_unchanged(source: bytes, point: Point) -> bool:
    """Whether a file that is stored in part is still as its stored ranges found it."""
    stands = {part.before for part in point.ranges} | {part.after for part in point.ranges}
    path = point.ranges[0].entry.path
    try:
        st = os.lstat(os.path.join(source, path) if path else source)
    except OSError:
        return False
    return stands == {Stand(st.st_size, st.st_mtime_ns, st.st_ctime_ns)}


def _set_aside(
    context: Context,
    target: Target,
    found: tuple[Head, list[Point]] | None,
    partial: BackupSet | None,
    why: str,
) -> Leftovers:
    """Remove both ``.part`` files, and remember the objects at the target."""
    names: list[str] = []
    sets = {found[0].of} if found is not None else set()
    if partial is not None:
        sets.add(partial.of)
    for each in target.collection:
        if each.of in sets and not each.is_whole:
            names += each.names
    if found is not None:
        names += [name for name in found[0].leftovers if name not in names]
    if names:
        message = "a broken backup is not gone on with: %s. Its %d files are deleted after the next backup is stored"
        context.log.warning(message, why, len(names))
    _clear(context, target)
    return Leftovers(tuple(names))


def beyond(changes: Iterator[Change | compare.Kept], point: Point) -> Iterator[Change | compare.Kept]:
    """Only the changes that are not stored yet; a file that is stored in part is among them."""
    last = order_key(point.last)
    for change in changes:
        key = order_key(change.entry.path if isinstance(change, Change) else change.path)
        if key > last or (point.ranges and key == last):
            yield change


def take_up(
    context: Context,
    target: Target,
    broken: Broken,
    notes: journal.Journal,
    assembly: Assembly,
    shape: Mapping[str, Any],
) -> None:
    """Bring an assembly to where the broken run stood, and let the journal begin again from there."""
    names, of, point = context.names, broken.of, broken.point
    kept = list(_seen(target, names.signatures(of), broken))
    assembly.met(
        _beginning(target, names.manifest(of), point.manifest[0]),
        _beginning(target, names.signatures(of), point.signatures[0]),
    )
    assembly.go_on(broken.volumes, point, kept)
    notes.begin(Head(of, broken.head.parent, shape, broken.head.leftovers))
    notes.again(broken.kept, point)


def _beginning(target: Target, name: str, size: int) -> Iterator[bytes]:
    file = target.archive.open(name + ".part")
    if file is None:
        return
    with file:
        while size and (data := file.read(min(1 << 20, size))):
            size -= len(data)
            yield data


def _seen(target: Target, name: str, broken: Broken) -> Iterator[FileSeen]:
    """What the kept volumes hold, for the list of changed files: the signatures tell, beside what was known before."""
    file = target.archive.open(name + ".part")
    if file is None:
        return
    known = target.known(broken.upon) if broken.upon else iter(())
    old = next(known, None)
    for entry, deleted in sigtar.entries(cast("BinaryIO", _Limited(file, broken.point.signatures[0]))):
        key = order_key(entry.path)
        while old is not None and order_key(old.entry.path) < key:
            old = next(known, None)
        was = old.entry.kind if old is not None and old.entry.path == entry.path else ""
        if deleted:
            yield FileSeen(entry.path, was, DELETED)
        else:
            yield FileSeen(entry.path, entry.kind, CHANGED if was == entry.kind == REG else NEW)


class _Limited(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()
