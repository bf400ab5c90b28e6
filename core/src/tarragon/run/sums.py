"""Sums: what Tarragon stores beside a set so that more than SHA-1 speaks for it, and so that no chain can be spliced.

An object of ours, sealed and signed like the manifest and stored before it; duplicity ignores it. It is valid for the
one manifest whose hash it holds (docs/architecture.md, every file we own).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tarragon.api.errors import Malformed

from .memory import Thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tarragon.volume.name import SetTime

    from .journal import Kept
    from .memory import Remembered

VERSION = 1
#: More than a set of a million volumes takes: what is larger was not written by us (R42).
LARGEST = 1 << 28


class Sums(NamedTuple):
    """``manifest`` and ``signatures`` as stored and plain; ``parent`` is the plain hash of the parent set's manifest.

    ``volumes``: SHA-256 and size by number.
    """

    manifest: Thing
    signatures: Thing
    parent: str
    volumes: Mapping[int, tuple[str, int]]


def compose(
    of: SetTime, parent: str, manifest: Thing, signatures: Thing, volumes: Iterable[Kept], versions: Mapping[str, str]
) -> bytes:
    """The plain bytes of a set's sums. Volumes whose SHA-256 is not known are left out."""
    sums = {
        "tarragon": "sums",
        "version": VERSION,
        "set": list(of),
        "parent": parent,
        "manifest": manifest._asdict(),
        "signatures": signatures._asdict(),
        "volumes": [[kept.number, kept.sha256, kept.size] for kept in volumes if kept.sha256],
        "versions": dict(versions),
    }
    return json.dumps(sums, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def taken(stream: BinaryIO) -> bytes:
    """At most LARGEST bytes of a stream, piece by piece: no room is made before something fills it."""
    data = bytearray()
    while len(data) < LARGEST and (piece := stream.read(1 << 16)):
        data += piece
    return bytes(data)


def read(data: bytes) -> Sums:
    """What a set's sums say. A total function: raises Malformed, also for a version newer than ours."""
    try:
        found = json.loads(data)
        if found["tarragon"] != "sums" or found["version"] != VERSION:
            raise Malformed("the sums are of a version that this Tarragon does not know")
        volumes = {_number(number): (str(sha256), _number(size)) for number, sha256, size in found["volumes"]}
        return Sums(_thing(found["manifest"]), _thing(found["signatures"]), str(found["parent"]), volumes)
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise Malformed(f"the sums cannot be read: {err}") from err


def shared(found: Sums, was: Remembered) -> Sums:
    """The same sums, made of what the commit log holds wherever the two agree: a long chain has hundreds of both."""
    return found._replace(
        manifest=was.manifest if found.manifest == was.manifest else found.manifest,
        signatures=was.signatures if found.signatures == was.signatures else found.signatures,
        parent=was.parent if found.parent == was.parent else found.parent,
    )


def _thing(found: Mapping[str, Any]) -> Thing:
    return Thing(_number(found["size"]), str(found["stored"]), str(found["plain"]))


def _number(found: object) -> int:
    if type(found) is not int or found < 0:
        raise ValueError("not a size or a number")
    return found
