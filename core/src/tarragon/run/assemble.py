"""Number what workers have built, store it in order, and write down what is stored.

Nothing refers to a volume before it is stored and checked: a volume's block goes into the manifest when its upload is
done and all before it are.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tarragon import tar
from tarragon.api.backend import Role
from tarragon.api.entry import REG
from tarragon.api.events import CHANGED, NEW, FileSeen, Note
from tarragon.api.events import DELETED as GONE
from tarragon.delta import sigtar
from tarragon.record import NOTICE, quoted_field, source_field
from tarragon.store.source import FileSource
from tarragon.volume import manifest
from tarragon.volume.cut import cut
from tarragon.volume.manifest import VolumeRecord

from .build import Problem, RangeBuilt, unsettled
from .journal import Hashed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tarragon.api.events import StoredVolume
    from tarragon.store.archive import Parts
    from tarragon.volume.name import SetTime
    from tarragon.volume.seal import SealedVolume

    from .build import Built
    from .context import Context
    from .journal import Journal, Point

_SEEN = {NEW: (4, "A"), CHANGED: (5, "M"), GONE: (6, "D")}
#: Kinds of problem that mean: not stored as it is (R56).
_COUNTED = ("unreadable", "changed")


class _Mark(NamedTuple):
    """A point to go on from, reached when the volume that carries it is stored."""

    last: bytes
    signatures: tuple[int, str]
    ranges: tuple[RangeBuilt, ...]
    problems: int


class _Upload(NamedTuple):
    volume: SealedVolume
    record: VolumeRecord
    done: Future[StoredVolume]
    mark: _Mark | None


class Assembly:
    """A set that is being put together."""

    def __init__(self, context: Context, of: SetTime, parts: Parts, journal: Journal, *, parallel: bool) -> None:
        """``parts`` are the two ``.part`` files of the cache, empty but for what ``go_on`` is told of."""
        self._context = context
        self._of = of
        self._parts = parts
        self._journal = journal
        self._manifest_file = Hashed(parts.manifest)
        self._signatures = Hashed(parts.signatures)
        self._manifest = manifest.Writer(cast("BinaryIO", self._manifest_file), b"", b"")
        self._unrecorded: list[StoredVolume] = []
        self._held: list[VolumeRecord] = []
        self._deltas: set[bytes] = set()  # files of which volumes hold deltas that they may cut
        self._tells = context.log.isEnabledFor(logging.INFO)
        self._pool = ThreadPoolExecutor(2, "upload") if parallel else None
        self._uploads: deque[_Upload] = deque()
        self._files = context.temp.file()
        self._file_count = 0
        self._ranges: list[RangeBuilt] = []
        self._last: tuple[bytes, int | None] = (b"", None)
        self.volumes = 0
        self.stored_size = 0
        self.problems = 0

    def begin(self, host: bytes, source: bytes) -> None:
        """Begin the manifest of a new set."""
        self._manifest = manifest.Writer(cast("BinaryIO", self._manifest_file), host, source)

    def go_on(self, volumes: int, point: Point, kept: Iterable[FileSeen]) -> None:
        """Go on with a set of which so many volumes are stored, with what they hold already in the two files."""
        self.volumes = volumes
        self._last = (point.last, None)
        self._ranges = list(point.ranges)
        self._held = list(point.held)
        self._deltas = {record.last for record in point.held}
        self.problems = point.problems
        for seen in kept:
            self._see(seen)

    def met(self, manifest_data: Iterable[bytes], signatures_data: Iterable[bytes]) -> None:
        """Count what stands in the two files already."""
        for data in manifest_data:
            self._manifest_file.met(data)
        for data in signatures_data:
            self._signatures.met(data)

    def take(self, built: Built) -> None:
        """Store a job's volumes under the next numbers, and write down what they hold."""
        if built.range is not None:
            self._join(built.range)
            self._deltas |= {built.range.entry.path} if built.range.change == CHANGED else set()
        else:
            self._add_signatures(built.signatures)
        if len(built.volumes) > 1:
            self._deltas |= {seen.path for seen in built.seen if seen.change == CHANGED}
        volumes = [volume for volume in built.volumes if volume.last is not None]
        for volume in built.volumes:
            if volume.last is None:  # all of it was gone, say: behind an empty volume duplicity would read no other
                self._context.temp.discard(volume.path)
                continue
            mark = None
            if volume is volumes[-1]:
                problems = self.problems + sum(problem.kind in _COUNTED for problem in built.problems)
                mark = _Mark(volume.last[0], self._signatures.mark, tuple(self._ranges), problems)
            self._store(volume, mark)
        for seen in built.seen:
            self._see(seen)
        for problem in built.problems:
            self.tell(problem)

    # -- volumes ------------------------------------------------------------------------------------------------------

    def _store(self, volume: SealedVolume, mark: _Mark | None) -> None:
        self.volumes += 1
        number = self.volumes
        # An empty volume begins at the root and ends where the one before did (docs/format.md § 2.3).
        first = volume.first or (b"" if number == 1 else self._last[0], None)
        last = volume.last or (self._last[0], None)
        self._last = last
        record = VolumeRecord(number, first[0], first[1], last[0], last[1], volume.sha1)
        source = FileSource(volume.path, size=volume.size, sha1=volume.sha1, sha256=volume.sha256)
        name = self._context.names.volume(self._of, number, self._context.sealer.suffix)
        put = self._context.store.put
        if self._pool is None:
            done: Future[StoredVolume] = Future()
            done.set_result(put(name, source, Role.VOLUME, number))
        else:
            done = self._pool.submit(put, name, source, Role.VOLUME, number)
        self._uploads.append(_Upload(volume, record, done, mark))
        self._record(most=2 if self._pool is not None else 0)

    def _record(self, most: int) -> None:
        """Write down volumes that are stored, in order; wait until at most ``most`` are under way.

        The manifest gets them late (see ``_name_held``).
        """
        while self._uploads and (len(self._uploads) > most or self._uploads[0].done.done()):
            upload = self._uploads.popleft()
            stored = upload.done.result()
            self._held.append(upload.record)
            self._name_held()
            self._unrecorded.append(stored)
            if upload.mark is not None:
                last, signatures, ranges, problems = upload.mark
                self._journal.add(
                    self._unrecorded, last, self._manifest_file.mark, signatures, ranges, problems, self._held
                )
                self._unrecorded = []
            self._context.temp.discard(upload.volume.path)
            self.stored_size += stored.size
            for sink in self._context.sinks:
                sink.record(stored)

    def _name_held(self, *, all_of_them: bool = False) -> None:
        """Put volumes into the manifest as far as duplicity can go on behind them.

        It trusts all volumes at the target but the newest one, if they are named, and else begins anew (docs/format.md
        § 12.3). Behind one that ends within a delta it would go on with a delta of its own, and the file be lost.
        """
        fit = [place for place, record in enumerate(self._held[:-1], 1) if not self._is_cut(record)]
        count = len(self._held) if all_of_them else max(fit, default=0)
        for record in self._held[:count]:
            self._manifest.add(record)
        self._held = self._held[count:]

    def _is_cut(self, record: VolumeRecord) -> bool:
        return record.last_part is not None and record.last in self._deltas

    def _pad(self) -> None:
        """An empty volume at the end: of a set that has none, or where the last but one ends within a delta: now that
        all are named, it is the newest.
        """
        for volume in cut(iter(()), self._context.sealer, self._context.options.volsize << 20):
            self._store(volume, _Mark(self._last[0], self._signatures.mark, (), self.problems))
        self._record(most=0)

    # -- signatures ---------------------------------------------------------------------------------------------------

    def _add_signatures(self, members: bytes | Path) -> None:
        if isinstance(members, bytes):
            self._signatures.write(members)
            return
        with members.open("rb") as file:
            while data := file.read(1 << 20):
                self._signatures.write(data)
        self._context.temp.discard(members)

    def _join(self, built: RangeBuilt) -> None:
        """Collect the ranges of a large file; with the last one its signature is whole."""
        self._ranges.append(built)
        for sink in self._context.sinks:
            sink.record(Note("range", {"bytes": built.range.stop - built.range.start}))
        if not built.range.last:
            return
        ranges, self._ranges = self._ranges, []
        stands = {part.before for part in ranges} | {part.after for part in ranges}
        entry = ranges[0].entry
        # A file that has another size than when it was cut into ranges was not read to its end, or beyond it.
        if len(stands) > 1 or stands.pop().size != built.range.stop:
            self.tell(Problem("changed", entry.path, "it changed while it was read"))
            entry = unsettled(entry)
        self._add_signatures(sigtar.member(entry, b"".join(part.signature for part in ranges)))
        written = sum(part.delta_size for part in ranges)
        self._see(FileSeen(entry.path, REG, ranges[0].change, entry.size, written))

    # -- what is told -------------------------------------------------------------------------------------------------

    def _see(self, seen: FileSeen) -> None:
        if self._tells:  # asked once: this is done for every entry
            number, letter = _SEEN[seen.change]
            field = quoted_field(seen.path or b".")
            self._context.log.info("%s %s", letter, field[1:-1], extra={"number": number, "fields": (field,)})
        if seen.kind == REG and self._context.options.files_changed:
            self._files.write(b"%b %b\n" % (seen.change.encode(), manifest.quoted(seen.path)))
            self._file_count += 1
        for sink in self._context.sinks:
            sink.record(seen)

    def tell(self, problem: Problem, number: int = 10) -> None:
        """Tell of something that was not stored as it is, and count it. ``number`` is that of the warning."""
        field = source_field(self._context.settings.source or b"", problem.path)
        if problem.kind in _COUNTED:
            self.problems += 1
            message = "%s cannot be read: %s" if problem.kind == "unreadable" else "%s was not stored as it is: %s"
            self._context.log.warning(message, field, problem.reason, extra={"number": number, "fields": (field,)})
        else:
            self._context.log.log(NOTICE, "%s was gone before it could be read", field)
        for sink in self._context.sinks:
            sink.record(Note("problem", problem._asdict()))

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait for all uploads, and end the two files."""
        self._record(most=0)
        if not self.volumes or (len(self._held) > 1 and self._is_cut(self._held[-2])):
            self._pad()
        self._name_held(all_of_them=True)
        self._signatures.write(end_of_signatures(self._signatures.size))
        self._manifest.finish(self._file_count, self._changed_files())
        self._parts.sync()  # what cannot be written must fail here: nobody is told any more when they are closed
        self.close()

    def _changed_files(self) -> Iterator[tuple[str, bytes]]:
        self._files.seek(0)
        for line in self._files:
            word, _, path = line.rstrip(b"\n").partition(b" ")
            yield word.decode(), manifest.unquoted(path)

    def close(self) -> None:
        """Let go; uploads that have begun are waited for, so that nothing is written behind the program's back."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._files.close()


def end_of_signatures(written: int) -> bytes:
    """Two zero blocks, filled up to a multiple of 10240 (docs/format.md § 4)."""
    return bytes(2 * tar.BLOCK + -(written + 2 * tar.BLOCK) % 10240)
