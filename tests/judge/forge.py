"""Build repositories that no honest program would write, with correct hashes.

Volumes, signature archives and manifests are put together by hand from bytes: nothing is checked and nothing is
refused. Shares no code with Tarragon. A test describes a set as a list of tar members and gets a folder that every
reader of the format takes for a repository.

    forge = Forge(folder)
    forge.full([member("snapshot/./", type="5"), member("snapshot/../escaped", b"data")])
    forge.incremental([member("deleted/../victim")])
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

FIRST_TIME = 1_700_000_000
BLOCK = 512
SPECIAL = b" \t\n\x0b\x0c\r\\\"'"
NO_SIGNATURE = b"rs\x01\x36" + (512).to_bytes(4, "big") + (8).to_bytes(4, "big")  # the signature of an empty file


def stamp(seconds: int) -> str:
    """The time as it stands in file names."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def header(name: bytes, size: int, type: str, fields: dict[str, object]) -> bytes:
    """One 512-byte header with a right checksum; the name is cut at 100 bytes."""
    link = fields.get("link", b"")
    assert isinstance(link, bytes)
    numbers = {key: int(str(fields.get(key, 0))) for key in ("uid", "gid", "mtime", "major", "minor")}
    raw = bytearray(BLOCK)
    raw[0 : len(name[:100])] = name[:100]
    raw[100:108] = octal(int(str(fields.get("mode", 0o644))), 8)
    raw[108:116] = octal(numbers["uid"], 8)
    raw[116:124] = octal(numbers["gid"], 8)
    raw[124:136] = octal(size, 12) if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    raw[136:148] = octal(numbers["mtime"], 12)
    raw[156:157] = type.encode()
    raw[157 : 157 + len(link[:100])] = link[:100]
    raw[257:265] = b"ustar\x0000"
    raw[265:297] = str(fields.get("uname", "")).encode().ljust(32, b"\0")
    raw[297:329] = str(fields.get("gname", "")).encode().ljust(32, b"\0")
    if type in "34":
        raw[329:337], raw[337:345] = octal(numbers["major"], 8), octal(numbers["minor"], 8)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def pax(records: dict[str, bytes]) -> bytes:
    """An extended header with these records, in this order."""
    body = b""
    for key, value in records.items():
        rest = b" " + key.encode() + b"=" + value + b"\n"
        length = len(rest)
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    return header(b"././@PaxHeader", len(body), "x", {"mode": 0}) + padded(body)


class Member:
    """One entry of an archive: its bytes, and what the forger must know to write a manifest and signatures."""

    def __init__(self, name: bytes, type: str, raw: bytes) -> None:
        self.name = name
        self.type = type
        self.raw = raw

    @property
    def path(self) -> bytes:
        """The path of the entry, for the manifest; no more cleaned than needed to write a line there."""
        path = self.name.partition(b"/")[2]
        if self.name.startswith(b"multivol_"):
            path = path.rpartition(b"/")[0]
        return path.rstrip(b"/") or b"."


def member(
    name: str | bytes,
    data: bytes = b"",
    *,
    type: str = "0",
    size: int | None = None,
    records: dict[str, bytes] | None = None,
    **fields: object,
) -> Member:
    """A tar member. ``size`` may lie about ``data``; ``records`` are pax records; ``fields`` go into the header.

    Fields: mode, uid, gid, mtime, uname, gname, link (bytes), major, minor.
    """
    raw_name = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    link = fields.get("link", b"")
    assert isinstance(link, bytes)
    extended = dict(records or {})
    if len(raw_name) > 100 and "path" not in extended:
        extended["path"] = raw_name
    if len(link) > 100 and "linkpath" not in extended:
        extended["linkpath"] = link
    raw = pax(extended) if extended else b""
    raw += header(raw_name, len(data) if size is None else size, type, fields) + padded(data)
    return Member(extended.get("path", raw_name), type, raw)


def root() -> Member:
    """The entry of the root folder."""
    return member("snapshot/./", type="5", mode=0o755, mtime=FIRST_TIME)


def quoted(path: bytes) -> bytes:
    """A path as a manifest holds it."""
    if not any(byte in SPECIAL for byte in path):
        return path
    return b'"' + b"".join(b"\\x%02x" % byte if byte in SPECIAL else bytes((byte,)) for byte in path) + b'"'


def signature_archive(members: Iterable[Member]) -> bytes:
    """A signature archive that names the same entries as the volumes; its signatures are those of empty files."""
    found = b""
    for entry in members:
        kind, _, path = entry.name.partition(b"/")
        if kind.startswith(b"multivol_"):
            path = path.rpartition(b"/")[0]
        if kind == b"deleted":
            found += member(b"deleted/" + path, mode=0).raw
        elif entry.type == "0":
            found += member(b"signature/" + path, NO_SIGNATURE).raw
        else:
            found += member(b"snapshot/" + path.removeprefix(b"./"), type=entry.type).raw
    return found + bytes(10240)


class Forge:
    """A repository in the making.

    ``seal`` turns a finished archive into what is stored (and ``suffix`` says so in its name): gzip, unless told
    otherwise. Manifests go through ``seal_manifest``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        suffix: str = ".gz",
        seal: Callable[[bytes], bytes] = lambda data: gzip.compress(data, 1, mtime=0),
        manifest_suffix: str = "",
        seal_manifest: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self.folder = folder
        self.suffix, self.seal = suffix, seal
        self.manifest_suffix, self.seal_manifest = manifest_suffix, seal_manifest
        self.end = FIRST_TIME
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def full(self, *volumes: list[Member], manifest: bytes | None = None, ending: bytes = bytes(1024)) -> None:
        """Store a full set of these volumes, at ``FIRST_TIME``."""
        self.store(f"duplicity-full.{stamp(self.end)}", "full", volumes, manifest, ending)

    def incremental(self, *volumes: list[Member], manifest: bytes | None = None, ending: bytes = bytes(1024)) -> None:
        """Store an incremental set, 100 seconds later."""
        start, self.end = self.end, self.end + 100
        self.store(f"duplicity-inc.{stamp(start)}.to.{stamp(self.end)}", "new", volumes, manifest, ending)

    def store(
        self, stem: str, kind: str, volumes: tuple[list[Member], ...], manifest: bytes | None, ending: bytes
    ) -> None:
        lines = b"Hostname forged\nLocaldir source\n"
        for number, members in enumerate(volumes, 1):
            stored = self.seal(b"".join(entry.raw for entry in members) + ending)
            (self.folder / f"{stem}.vol{number}.difftar{self.suffix}").write_bytes(stored)
            first, last = (quoted(members[place].path) if members else b"." for place in (0, -1))
            lines += b"Volume %d:\n    StartingPath   %s  \n    EndingPath     %s  \n" % (number, first, last)
            lines += b"    Hash SHA1 %s\n" % hashlib.sha1(stored).hexdigest().encode()
        lines += b"Filelist 0\n"
        signatures = stem.replace("duplicity-full.", "duplicity-full-signatures.")
        signatures = signatures.replace("duplicity-inc.", "duplicity-new-signatures.")
        archive = signature_archive(entry for members in volumes for entry in members)
        (self.folder / f"{signatures}.sigtar{self.suffix}").write_bytes(self.seal(archive))
        stored = self.seal_manifest(lines if manifest is None else manifest)
        (self.folder / f"{stem}.manifest{self.manifest_suffix}").write_bytes(stored)
