"""As much of CMS (RFC 5652, 5083, 5084) as tells how a message is protected, read in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import CipherError

if TYPE_CHECKING:
    from typing import BinaryIO

TAG_SIZE = 16  #: a whole GCM tag

_ENVELOPED = bytes.fromhex("2a864886f70d010703")
_AUTH_ENVELOPED = bytes.fromhex("2a864886f70d0109100117")
_OID, _OCTETS, _SEQUENCE, _SET = 0x06, 0x04, 0x30, 0x31
_NESTED = 8  #: deeper than any field that is stepped over
_LONGEST_OID = 32


class Kind(NamedTuple):
    """How a message is protected; ``tag_size`` is None where nothing proves that it was not changed."""

    tag_size: int | None


class _Field(NamedTuple):
    tag: int
    size: int | None  #: None: to an end mark (BER)


def kind_of(source: BinaryIO) -> Kind:
    """What kind of message begins here; ``source`` stands where it stood. Raises CipherError for anything else."""
    start = source.tell()
    try:
        return _kind(source)
    except (EOFError, ValueError, RecursionError) as err:
        raise CipherError(f"not a CMS message: {err or 'cut off'}", fields=("GPGError",)) from err
    finally:
        source.seek(start)


def _kind(source: BinaryIO) -> Kind:
    _enter(source, _SEQUENCE)
    oid = _bytes(source, _enter(source, _OID), _LONGEST_OID)
    if oid == _ENVELOPED:
        return Kind(None)
    if oid != _AUTH_ENVELOPED:
        raise ValueError("neither enveloped nor authenticated enveloped data")
    _enter(source, 0xA0)
    _enter(source, _SEQUENCE)
    field = _field(source)  # version
    while field.tag != _SET:  # originator, then the recipients
        _skip(source, field)
        field = _field(source)
    _skip(source, field)
    _skip(source, _field(source))  # the encrypted content
    field = _field(source)
    while field.tag != _OCTETS:  # authenticated attributes
        _skip(source, field)
        field = _field(source)
    return Kind(field.size or 0)


def _enter(source: BinaryIO, tag: int) -> _Field:
    field = _field(source)
    if field.tag != tag:
        raise ValueError(f"a field of kind {field.tag:#x} where {tag:#x} belongs")
    return field


def _field(source: BinaryIO) -> _Field:
    tag, first = _exactly(source, 2)
    if tag & 0x1F == 0x1F:
        raise ValueError("a field of unknown kind")
    if first < 0x80:
        return _Field(tag, first)
    if first == 0x80:
        return _Field(tag, None)
    if first > 0x88:
        raise ValueError("a length of too many bytes")
    return _Field(tag, int.from_bytes(_exactly(source, first & 0x7F), "big"))


def _skip(source: BinaryIO, field: _Field, depth: int = 0) -> None:
    if field.size is not None:
        source.seek(field.size, 1)
        return
    if depth > _NESTED:
        raise ValueError("fields nested too deeply")
    inner = _field(source)
    while inner != _Field(0, 0):
        _skip(source, inner, depth + 1)
        inner = _field(source)


def _bytes(source: BinaryIO, field: _Field, most: int) -> bytes:
    if field.size is None or field.size > most:
        raise ValueError("a field that is too long")
    return _exactly(source, field.size)


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise EOFError
    return data
