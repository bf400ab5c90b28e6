"""The manifest ↔ its records: which volumes a set has, and what range of paths each holds (docs/format.md § 2).

A leaf: grammar over byte streams, no effects of its own. A backup adds a block here for each stored volume; a restore
asks here which volumes it needs. The list of changed files, which may be far longer than the rest, is never held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tarragon.api import Malformed, order_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The longest line read or written, in bytes: a path of 65535 bytes fits, however many of them are quoted.
MAX_LINE = 5 * 65536
#: The most volumes of one set (200 TB of the default size), and the most bytes of their paths, held in memory.
MAX_VOLUMES = 1_000_000
MAX_HELD = 256 * 1024 * 1024

_CHANGES = (b"new", b"changed", b"deleted")
_SECTIONS = (b"hostname", b"localdir", b"volume", b"filelist")
_SPECIAL = re.compile(rb"""[\t\n\x0b\x0c\r \\"']""")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2}))?")
_VOLUME = re.compile(rb"volume\s+([0-9]{1,9})\s*:?\s*", re.IGNORECASE)
_DIGESTS = {b"sha1": 40, b"md5": 32}
_HEX = re.compile(rb"[0-9a-f]+")


class VolumeRecord(NamedTuple):
    """One volume: its first and last entry, each with its part number where the file is cut there, and its hash.

    ``first_part`` is None for an unsplit entry *and* for the last part of a split one (docs/format.md § 2.2).
    """

    number: int
    first: bytes
    first_part: int | None
    last: bytes
    last_part: int | None
    sha1: str | None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says; ``volumes`` by number, each once. ``file_count`` is what its file list claims to hold.

    ``host`` and ``source`` are b"" when the line is missing; ``source`` is as it was typed.
    """

    host: bytes
    source: bytes
    volumes: tuple[VolumeRecord, ...]
    file_count: int | None = None

    def volumes_for(self, path: bytes | None) -> list[VolumeRecord]:
        """The volumes that can hold ``path`` or anything below it; all of them for None.

        Never too few: what a volume holds may begin right after the end of the one before it, whatever its own record
        says (a resumed set records its second entry, docs/format.md § 12.3). May be one too many.
        """
        if path is None:
            return list(self.volumes)
        wanted = order_key(path)
        depth = path.count(b"/") + 1 if path else 0
        found: list[VolumeRecord] = []
        before: bytes | None = None
        for volume in self.volumes:
            first, last = order_key(volume.first), order_key(volume.last)
            begin = first if before is None else min(first, before)
            if b"\0".join(begin.split(b"\0")[:depth]) <= wanted <= last:
                found.append(volume)
            before = last
        return found


def quoted(path: bytes) -> bytes:
    """A path as one word of a manifest (docs/format.md § 2.1)."""
    if not path:
        return b"."
    if not _SPECIAL.search(path):
        return path
    return b'"' + _SPECIAL.sub(lambda found: b"\\x%02x" % found.group()[0], path) + b'"'


def unquoted(word: bytes) -> bytes:
    """The path that a word stands for. Raises Malformed."""
    path = _unescaped(word)
    return b"" if path == b"." else path


def read(stream: BinaryIO) -> Manifest:
    """A manifest from its plain bytes, in any order of lines that duplicity reads (docs/format.md § 2.4).

    Of repeated volumes the later block counts, of repeated file lists the first. Takes time in proportion to the stream
    and memory in proportion to the number of volumes, within limits. Raises Malformed, and nothing else of its own.
    """
    reader = _Reader()
    for line in _lines(stream):
        reader.take(line)
    return reader.manifest()


def changed_files(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield ``("new" | "changed" | "deleted", path)`` from the first file list; its count is not believed.

    Raises Malformed.
    """
    inside = False
    for line in _lines(stream):
        key, rest = _key_and_rest(line)
        if line[:1].isspace() or key not in _SECTIONS:
            if inside and key in _CHANGES and rest:
                yield key.decode("ascii"), unquoted(rest)
        elif inside:
            return
        else:
            inside = key == b"filelist"


def check(manifest: Manifest) -> list[str]:
    """Where a manifest contradicts itself: nothing for one that may be used.

    A missing hash is no contradiction: duplicity writes one always, other tools may not.
    """
    problems = _gaps([volume.number for volume in manifest.volumes])
    before: VolumeRecord | None = None
    for volume in manifest.volumes:
        if before and before.number == volume.number - 1:
            problems += _overlap(before, volume)
        if not _in_order(volume.first, volume.first_part, volume.last, volume.last_part, may_be_same=True):
            problems.append(f"volume {volume.number} ends before it starts")
        before = volume
    return problems


class Writer:
    """Writes a manifest piece by piece; what is in the file after each block is a readable manifest.

    Each call ends in one write() to ``into``, which the caller flushes, syncs and closes.
    """

    def __init__(self, into: BinaryIO, host: bytes, source: bytes) -> None:
        """Begin the manifest. Raises Malformed for a host name with white space at its ends or a line end in it."""
        if host != host.strip() or b"\n" in host:
            raise Malformed(f"not a host name: {host!r}")
        self._into = into
        lines = [b"Hostname " + host] if host else []
        lines += [b"Localdir " + quoted(source)] if source else []
        self._write(lines)

    def add(self, record: VolumeRecord) -> None:
        """Append the block of one volume. It must have a hash: duplicity cannot restore without one."""
        algorithm, digest = ("SHA1", record.sha1) if record.sha1 else ("MD5", record.md5)
        if not digest:
            raise ValueError(f"volume {record.number} has no hash")
        self._write(
            [
                b"Volume %d:" % record.number,
                b"    StartingPath   " + _position(record.first, record.first_part),
                b"    EndingPath     " + _position(record.last, record.last_part),
                f"    Hash {algorithm} {digest}".encode("ascii"),
            ]
        )

    def finish(self, count: int, files: Iterable[tuple[str, bytes]]) -> None:
        """Append the list of ``count`` changed files, which may be too long to hold."""
        self._write([b"Filelist %d" % count])
        seen = 0
        for seen, (change, path) in enumerate(files, 1):  # noqa: B007 - counted, not held
            self._write([b"    " + change.encode("ascii").ljust(7) + b"  " + quoted(path)])
        if seen != count:
            raise ValueError(f"{count} changed files were announced, {seen} came")

    def _write(self, lines: list[bytes]) -> None:
        for line in lines:
            if len(line) >= MAX_LINE:
                raise Malformed(f"a path of {len(line)} bytes is too long for a manifest")
        self._into.write(b"".join(line + b"\n" for line in lines))


class _Reader:
    """Takes lines one by one; holds what is to be known of them."""

    def __init__(self) -> None:
        self.host: bytes | None = None
        self.source: bytes | None = None
        self.file_count: int | None = None
        #: What is wrong with a block stands in its place: it matters only if no later block replaces it.
        self.blocks: dict[int, VolumeRecord | str] = {}
        self.current: _Block | None = None
        self.held = 0

    def take(self, line: bytes) -> None:
        indented = line[:1].isspace()
        if indented and self.current is None:
            return  # the file list: most lines, by far
        key, rest = _key_and_rest(line)
        if indented or key not in _SECTIONS:
            if self.current:
                self.current.take(key, rest)
        else:
            self._end_block()
            self._take_section(key, rest, line)
        if self.current and not line.endswith(b"\n"):
            self.current.problem = "is cut short"

    def _take_section(self, key: bytes, rest: bytes, line: bytes) -> None:
        if key == b"volume":
            self._begin_block(line)
        elif key == b"filelist":
            if self.file_count is None and rest.isdigit() and len(rest) <= 18:
                self.file_count = int(rest)
        elif key == b"hostname" and self.host is None:
            self.host = rest
        elif key == b"localdir" and self.source is None:
            self.source = _unescaped(rest)

    def manifest(self) -> Manifest:
        self._end_block()
        # A last block below the highest number voids what is above it (docs/format.md § 2.4).
        end = next(reversed(self.blocks), 0)
        volumes = []
        for number in sorted(number for number in self.blocks if number <= end):
            block = self.blocks[number]
            if isinstance(block, str):
                raise Malformed(f"manifest: volume {number} {block}")
            volumes.append(block)
        return Manifest(self.host or b"", self.source or b"", tuple(volumes), self.file_count)

    def _begin_block(self, line: bytes) -> None:
        found = _VOLUME.fullmatch(line)
        if not found:
            raise Malformed(f"manifest: not a volume number: {line[:40]!r}")
        self.current = _Block(int(found[1]))

    def _end_block(self) -> None:
        if self.current is None:
            return
        number = self.current.number
        self.blocks.pop(number, None)  # the later block counts, and comes last
        self.blocks[number] = self.current.record()
        self.held += self.current.size
        self.current = None
        if len(self.blocks) > MAX_VOLUMES or self.held > MAX_HELD:
            raise Malformed(f"manifest: more than {MAX_VOLUMES} volumes, or more than {MAX_HELD} bytes of paths")


class _Block:
    """The lines of one volume."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.positions: dict[bytes, tuple[bytes, int | None]] = {}
        self.digests: dict[bytes, str] = {}
        self.problem = ""
        self.size = 0

    def take(self, key: bytes, rest: bytes) -> None:
        if key == b"hash":
            self._take_hash(rest.split())
        elif key in (b"startingpath", b"endingpath"):
            try:
                self._take_position(key, rest.split())
            except Malformed as err:
                self.problem = f"has {err.message}"

    def record(self) -> VolumeRecord | str:
        """The volume, or what is wrong with it."""
        if self.problem:
            return self.problem
        if len(self.positions) < 2:
            return "has no StartingPath or no EndingPath"
        first, last = self.positions[b"startingpath"], self.positions[b"endingpath"]
        return VolumeRecord(self.number, *first, *last, self.digests.get(b"sha1"), self.digests.get(b"md5"))

    def _take_position(self, key: bytes, words: list[bytes]) -> None:
        part = words[1] if len(words) == 2 else b"0"
        if key in self.positions:
            raise Malformed(f"two lines '{key.decode()}'")
        if len(words) not in (1, 2) or not part.isdigit() or len(part) > 18:
            raise Malformed(f"a line '{key.decode()}' that is not a path and a block number")
        self.positions[key] = unquoted(words[0]), int(part) if len(words) == 2 else None
        self.size += len(words[0])

    def _take_hash(self, words: list[bytes]) -> None:
        algorithm = words[0].lower() if words else b""
        if algorithm not in _DIGESTS:
            return
        digest = words[-1].lower()
        if len(words) == 2 and len(digest) == _DIGESTS[algorithm] and _HEX.fullmatch(digest):
            self.digests[algorithm] = digest.decode("ascii")
        else:
            self.problem = "has a broken hash"


def _key_and_rest(line: bytes) -> tuple[bytes, bytes]:
    """The first word in lower case, and what follows it without the white space around."""
    key, *rest = line.split(None, 1) or (b"",)
    return key.lower(), rest[0].rstrip() if rest else b""


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise Malformed(f"manifest: a line is longer than {MAX_LINE} bytes")
        yield line


def _unescaped(word: bytes) -> bytes:
    path = word
    if word.startswith(b'"'):
        if len(word) < 2 or not word.endswith(b'"'):
            raise Malformed(f"a quoted path without its end: {word[:40]!r}")
        path = _ESCAPE.sub(_byte, word[1:-1])
    if b"\0" in path:
        raise Malformed(f"a path with a NUL in it: {word[:40]!r}")
    return path


def _byte(found: re.Match[bytes]) -> bytes:
    if not found[1]:
        raise Malformed("a quoted path with a stray backslash")
    return bytes([int(found[1], 16)])


def _position(path: bytes, part: int | None) -> bytes:
    # Without a block number the line ends in two spaces (docs/format.md § 2).
    return quoted(path) + (b"  " if part is None else b" %d" % part)


def _gaps(numbers: list[int]) -> list[str]:
    if not numbers:
        return ["there are no volumes"]
    known = set(numbers)
    missing = [number for number in range(1, min(numbers[-1], 2 * len(numbers) + 1)) if number not in known]
    problems = [f"volume {number} is not described" for number in missing[:10]]
    return problems + (["there is a volume 0"] if 0 in known else [])


def _overlap(before: VolumeRecord, volume: VolumeRecord) -> list[str]:
    """Whether a volume starts before the end of the one before it.

    A start of ``.`` says nothing: an empty volume has it wherever it stands (docs/format.md § 2.3).
    """
    if volume.first == b"" and volume.first_part is None:
        starts_late = True
    else:
        starts_late = _in_order(before.last, before.last_part, volume.first, volume.first_part, may_be_same=False)
    problems = [] if starts_late else [f"volume {volume.number} starts before volume {before.number} ends"]
    if order_key(volume.last) < order_key(before.last):
        problems.append(f"volume {volume.number} ends before volume {before.number} does")
    return problems


def _in_order(path: bytes, part: int | None, other: bytes, other_part: int | None, *, may_be_same: bool) -> bool:
    """Whether the second position does not come before the first. No part number may mean the last part: it fits."""
    if path != other or part is None or other_part is None:
        return order_key(path) <= order_key(other)
    return part <= other_part if may_be_same else part < other_part
