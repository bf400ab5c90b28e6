"""PAR2 packets, as far as one must read them: which file a recovery set is of, and what of it is whole.

Recovery files come from the far side like everything else: nothing here trusts a length, and only whole packets of one
set about one file of the right name are handed on to the program, which would write to any name that it is given.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    Data = bytes | mmap.mmap

_MAGIC = b"PAR2\0PKT"
_HEAD = struct.Struct("<8sQ16s16s16s")  # magic, length of the packet, MD5 of all behind it, recovery set, type
_HASHED = 32  # where that MD5 begins to count
_MAIN = b"PAR 2.0\0Main\0\0\0\0"
_FILE = b"PAR 2.0\0FileDesc"
_BLOCK_SUMS = b"PAR 2.0\0IFSC\0\0\0\0"
_RECOVERY = b"PAR 2.0\0RecvSlic"
_RECOVERY_FILE = re.compile(r"(.+?)(?:\.vol\d+\+(\d+))?\.par2", re.DOTALL)


class Packet(NamedTuple):
    """A whole packet of ``data``: its bytes are those from ``start`` to before ``end``."""

    kind: bytes
    set_id: bytes
    start: int
    end: int


class Protected(NamedTuple):
    """What a recovery set says of the one file that it protects, and how many blocks that is."""

    set_id: bytes
    file_id: bytes
    size: int
    md5: bytes
    blocks: int


def recovery_of(name: str) -> tuple[str, int] | None:
    """The object that a recovery file is of, and how many blocks it brings; None for what is no recovery file."""
    found = _RECOVERY_FILE.fullmatch(name)
    return (found.group(1), int(found.group(2) or 0)) if found else None


def packets(data: Data) -> Iterator[Packet]:
    """Every packet that is whole, wherever it begins.

    What is hashed in vain is bounded: bytes that pretend to be thousands of long packets end the search.
    """
    at, patience = 0, 4 * len(data) + (1 << 20)
    while (at := data.find(_MAGIC, at)) >= 0 and at + _HEAD.size <= len(data) and patience > 0:
        _, length, md5, set_id, kind = _HEAD.unpack(data[at : at + _HEAD.size])
        end = at + length
        if _HEAD.size <= length <= len(data) - at and length % 4 == 0:
            if _md5(data, at + _HASHED, end) == md5:
                yield Packet(kind, set_id, at, end)
                at = end
                continue
            patience -= length
        at += len(_MAGIC)


def protected(data: Data, name: str) -> Protected | None:
    """What the first recovery set in ``data`` that is about a file called ``name``, and no other, says of it."""
    mains: dict[bytes, tuple[int, bytes]] = {}
    files: dict[bytes, tuple[bytes, bytes, int]] = {}
    for packet in packets(data):
        body = data[packet.start + _HEAD.size : min(packet.end, packet.start + 4096)]
        if (
            packet.kind == _MAIN
            and len(body) == 28
            and hashlib.md5(body, usedforsecurity=False).digest() == (packet.set_id)
        ):
            block_size, count, file_id = struct.unpack("<QI16s", body)
            if count == 1 and block_size:
                mains[packet.set_id] = block_size, file_id
        elif packet.kind == _FILE and len(body) >= 56 and body[56:].rstrip(b"\0") == name.encode():
            file_id, md5, _, size = struct.unpack("<16s16s16sQ", body[:56])
            files[packet.set_id] = file_id, md5, size
        for set_id in mains.keys() & files.keys():
            (block_size, wanted), (file_id, md5, size) = mains[set_id], files[set_id]
            if wanted == file_id:
                return Protected(set_id, file_id, size, md5, -(-size // block_size))
    return None


def copy_whole(data: Data, of: Protected, into: BinaryIO) -> int:
    """Write the whole packets of the set ``of`` and nothing else; how many blocks of recovery data are among them."""
    blocks = 0
    for packet in packets(data):
        if packet.set_id != of.set_id or packet.kind not in (_MAIN, _FILE, _BLOCK_SUMS, _RECOVERY):
            continue
        about = data[packet.start + _HEAD.size : packet.start + _HEAD.size + 16]
        if packet.kind in (_FILE, _BLOCK_SUMS) and about != of.file_id:
            continue
        for at in range(packet.start, packet.end, 1 << 20):
            into.write(data[at : min(at + (1 << 20), packet.end)])
        blocks += packet.kind == _RECOVERY
    return blocks


def _md5(data: Data, start: int, end: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for at in range(start, end, 1 << 20):
        digest.update(data[at : min(at + (1 << 20), end)])
    return digest.digest()
