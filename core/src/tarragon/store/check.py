"""Check: whether what was put is there (R49), and what of a driver's answers can be believed (R66)."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from random import randrange
from typing import TYPE_CHECKING

from tarragon.api.backend import Capability, ObjectInfo, Pace
from tarragon.api.errors import (
    BackendError,
    ColdObject,
    NotFound,
    PermissionDenied,
    Unsupported,
    ValidationFailed,
    WrongSize,
)

from .attempt import LEAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tarragon.api import Backend, Source, TarragonError

    from .attempt import Attempt
    from .lines import Line

_NAME = re.compile(r"[ -.0-~]{1,1024}")  # ASCII without control characters and slash
_DIGEST = re.compile(r"sha1:[0-9a-f]{40}|md5:[0-9a-f]{32}")
_PIECE = LEAST  # no larger: a piece that takes longer than the timeout is one that does not move
#: How long to wait for an object to show, before it is put again.
_SHOWS_S = (1.0, 2.0, 4.0, 8.0)
#: What is read back of an object that the target tells no sum of; without ranges only objects that are small.
_SAMPLE, _SMALL = 1 << 16, 1 << 20
#: Allowed for an object whose size nobody knows, by a driver that fetches it out of sight.
_UNKNOWN = 1 << 30


def check(
    line: Line, name: str, source: Source, pause: Callable[[float], object], tell: Callable[[str], object]
) -> str:
    """See that ``source`` is stored under ``name``: by its size, and by the far side's sum, else by reading some back.

    What shows late is waited for. Raises ValidationFailed or WrongSize. ``tell`` is told of what cannot be checked.
    The answer is the far side's digest, "" where it tells none.
    """
    for wait_s in (*_SHOWS_S, None):
        try:
            return _compare(line, name, source, tell)
        except NotFound as err:
            error: TarragonError = ValidationFailed(f"'{name}' is not there after it was stored")
            error.__cause__ = err
        except (WrongSize, ValidationFailed) as err:
            error = err
        if wait_s is None:
            break
        pause(wait_s)
    raise error


def _compare(line: Line, name: str, source: Source, tell: Callable[[str], object]) -> str:
    info = line.call(f"look at '{name}'", lambda backend, _: checked_stat(backend, name))
    if info.size is not None and info.size != source.size:
        raise WrongSize(f"'{name}' has {info.size} bytes at the target, {source.size} were stored")
    kind, _, digest = (info.digest or "").partition(":")
    if not digest:
        _read_back(line, name, source, info.size is not None, tell)
    elif digest != (source.sha1 if kind == "sha1" else _md5(source)):
        raise ValidationFailed(f"'{name}' has another {kind} sum at the target than what was stored")
    return info.digest or ""


def _read_back(line: Line, name: str, source: Source, is_sized: bool, tell: Callable[[str], object]) -> None:
    """Compare some of an object: a random range, or all of one that is small."""
    assert line.backend is not None
    start, size = 0, source.size
    if Capability.RANGES in line.backend.capabilities:
        start, size = randrange(max(1, size - _SAMPLE + 1)), min(size, _SAMPLE)
    elif size > _SMALL:
        checked = "by their sizes only" if is_sized else "not at all"
        tell(f"uploads are checked {checked}: the target tells no sums, and reads no ranges")
        return
    with source.open() as stream:
        stream.seek(start)
        want = stream.read(size)
    try:
        found = line.call(
            f"read '{name}' back",
            lambda backend, attempt: b"".join(pieces(backend, attempt, name, start, start + size, size=size)),
        )
    except (ColdObject, PermissionDenied, Unsupported) as err:
        tell(f"uploads are not read back: {err}")
        return
    if found != want:
        raise ValidationFailed(f"'{name}' reads otherwise than what was stored")


def pieces(
    backend: Backend, attempt: Attempt, name: str, start: int = 0, stop: int | None = None, *, size: int | None
) -> Iterator[bytes]:
    """The bytes of an object as they come, at the pace that is allowed.

    Raises WrongSize when there are not ``size`` of them, and before a piece that is too much is given.
    """
    streams = backend.download_pace is Pace.STREAM
    if not streams:
        attempt.allow(_UNKNOWN if size is None else size)
    total = 0
    with closing(backend.read(name, start, stop)) as stream:
        while piece := stream.read(_PIECE):
            attempt.received(len(piece) if streams else 0)
            total += len(piece)
            if size is not None and total > size:
                raise WrongSize(f"'{name}' has more than the expected {size} bytes")
            yield piece
    if size is not None and total != size:
        raise WrongSize(f"'{name}' has {total} bytes, {size} were expected")


def checked_stat(backend: Backend, name: str) -> ObjectInfo:
    """What the driver tells of one object. Raises BackendError when that cannot be."""
    info = backend.stat(name)
    if not is_sound(info) or info.name != name:
        raise BackendError(f"the driver's answer about '{name}' is of another object, or of a wrong type")
    return info


def is_sound(info: object) -> bool:
    """Whether a driver's answer is what the protocol promises: what comes from elsewhere is not taken on trust."""
    return (
        isinstance(info, ObjectInfo)
        and isinstance(info.name, str)
        and _NAME.fullmatch(info.name) is not None
        and (info.size is None or (type(info.size) is int and info.size >= 0))
        and (info.modified is None or type(info.modified) in (int, float))
        and (info.digest is None or (isinstance(info.digest, str) and _DIGEST.fullmatch(info.digest) is not None))
    )


def _md5(source: Source) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with source.open() as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
