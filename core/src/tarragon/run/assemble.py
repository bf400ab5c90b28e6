"""Number what workers have built, store it in order, and write down what is stored.

Nothing refers to a volume before it is stored and checked: a volume's block goes into the manifest when its upload is
done and all before it are.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tarragon import tar
from tarragon.api.backend import Role
from tarragon.api.entry import REG
from tarragon.api.events import CHANGED, NEW, FileSeen, Note
from tarragon.api.events import DELETED as GONE
from tarragon.delta import sigtar
from tarragon.record import NOTICE, quoted_field
from tarragon.store.source import FileSource
from tarragon.volume import manifest
from tarragon.volume.manifest import VolumeRecord

from .build import Problem, RangeBuilt, unsettled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tarragon.api.events import StoredVolume
    from tarragon.volume.name import SetTime
    from tarragon.volume.seal import SealedVolume

    from .build import Built
    from .context import Context

_SEEN = {NEW: (4, "A"), CHANGED: (5, "M"), GONE: (6, "D")}
#: Kinds of problem that mean: not stored as it is (R56).
_COUNTED = ("unreadable", "changed")


class _Upload(NamedTuple):
    volume: SealedVolume
    record: VolumeRecord
    done: Future[StoredVolume]


class Assembly:
    """A set that is being put together."""

    def __init__(
        self, context: Context, of: SetTime, into: manifest.Writer, signatures: BinaryIO, *, parallel: bool
    ) -> None:
        """``into`` and ``signatures`` are the two ``.part`` files of the cache."""
        self._context = context
        self._of = of
        self._manifest = into
        self._signatures = signatures
        self._signature_bytes = 0
        self._pool = ThreadPoolExecutor(2, "upload") if parallel else None
        self._uploads: deque[_Upload] = deque()
        self._files = context.temp.file()
        self._file_count = 0
        self._ranges: list[RangeBuilt] = []
        self._last: tuple[bytes, int | None] = (b"", None)
        self.volumes = 0
        self.stored_size = 0
        self.problems = 0

    def take(self, built: Built) -> None:
        """Store a job's volumes under the next numbers, and write down what they hold."""
        for volume in built.volumes:
            self._store(volume)
        if built.range is not None:
            self._join(built.range)
        else:
            self._add_signatures(built.signatures)
        for seen in built.seen:
            self._see(seen)
        for problem in built.problems:
            self.tell(problem)

    # -- volumes ------------------------------------------------------------------------------------------------------

    def _store(self, volume: SealedVolume) -> None:
        self.volumes += 1
        number = self.volumes
        # An empty volume begins at the root and ends where the one before did (docs/format.md § 2.3).
        first = volume.first or (b"", None)
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
        self._uploads.append(_Upload(volume, record, done))
        self._record(most=2 if self._pool is not None else 0)

    def _record(self, most: int) -> None:
        """Write down volumes that are stored, in order; wait until at most ``most`` are under way."""
        while self._uploads and (len(self._uploads) > most or self._uploads[0].done.done()):
            upload = self._uploads.popleft()
            stored = upload.done.result()
            self._manifest.add(upload.record)
            self._context.temp.discard(upload.volume.path)
            self.stored_size += stored.size
            for sink in self._context.sinks:
                sink.record(stored)

    # -- signatures ---------------------------------------------------------------------------------------------------

    def _add_signatures(self, members: bytes | Path) -> None:
        if isinstance(members, bytes):
            self._signatures.write(members)
            self._signature_bytes += len(members)
            return
        with members.open("rb") as file:
            while data := file.read(1 << 20):
                self._signatures.write(data)
                self._signature_bytes += len(data)
        self._context.temp.discard(members)

    def _join(self, built: RangeBuilt) -> None:
        """Collect the ranges of a large file; with the last one its signature is whole."""
        self._ranges.append(built)
        if not built.range.last:
            return
        ranges, self._ranges = self._ranges, []
        stands = {part.before for part in ranges} | {part.after for part in ranges}
        entry = ranges[0].entry
        if len(stands) > 1:
            self.tell(Problem("changed", entry.path, "it changed while it was read"))
            entry = unsettled(entry)
        self._add_signatures(sigtar.member(entry, b"".join(part.signature for part in ranges)))
        written = sum(part.delta_size for part in ranges)
        self._see(FileSeen(entry.path, REG, ranges[0].change, entry.size, written))

    # -- what is told -------------------------------------------------------------------------------------------------

    def _see(self, seen: FileSeen) -> None:
        number, letter = _SEEN[seen.change]
        field = quoted_field(seen.path or b".")
        self._context.log.info("%s %s", letter, field[1:-1], extra={"number": number, "fields": (field,)})
        if seen.kind == REG and self._context.options.files_changed:
            self._files.write(b"%b %b\n" % (seen.change.encode(), manifest.quoted(seen.path)))
            self._file_count += 1
        for sink in self._context.sinks:
            sink.record(seen)

    def tell(self, problem: Problem) -> None:
        """Tell of something that was not stored as it is, and count it."""
        field = quoted_field(problem.path or b".")
        if problem.kind in _COUNTED:
            self.problems += 1
            message = "%s cannot be read: %s" if problem.kind == "unreadable" else "%s was not stored as it is: %s"
            self._context.log.warning(message, field, problem.reason, extra={"number": 10, "fields": (field,)})
        else:
            self._context.log.log(NOTICE, "%s was gone before it could be read", field)
        for sink in self._context.sinks:
            sink.record(Note("problem", problem._asdict()))

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait for all uploads, and end the two files."""
        self._record(most=0)
        self._signatures.write(end_of_signatures(self._signature_bytes))
        self._manifest.finish(self._file_count, self._changed_files())
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
