"""The port to librsync_ext: signatures, deltas and patches of content (docs/format.md § 5).

The only place that knows the kernel. It is imported here at first use: 10 ms, and a run that lists does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from tarragon.api.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tarragon_librsync import Comparison, Delta, Signature, Signer

    #: A stored signature that deltas are made against.
    Old: TypeAlias = Signature
    #: A signature that is being made.
    Signing: TypeAlias = Signer

#: Bytes of a strong sum in every signature that duplicity has ever written (docs/format.md § 5.1).
STRONG_LEN = 8
#: Signature of an empty file, but for its block length: header only.
HEADER_SIZE = 12
_MAGIC = bytes.fromhex("72730136")
_PIECE = 1 << 20


def block_length(size: int, limit: int) -> int:
    """The block length for a file of ``size`` bytes; ``limit`` is ``--max-blocksize``, 0 for none (§ 5.2)."""
    import tarragon_librsync

    return tarragon_librsync.block_length(size, limit)


def signer(block_len: int, *, header: bool = True) -> Signer:
    """A streaming signature; without ``header`` it continues one (ranges are cut at multiples of the block length).

    Raises Malformed for a block length that no signature can have.
    """
    import tarragon_librsync

    try:
        return tarragon_librsync.Signer(block_len, STRONG_LEN, header=header)
    except ValueError as err:
        raise Malformed(f"a stored signature cannot be used: {err}") from err


def signature_of(data: bytes) -> Signature:
    """A stored signature, ready to make deltas against. Raises Malformed."""
    import tarragon_librsync

    try:
        return tarragon_librsync.Signature(data)
    except tarragon_librsync.RsyncError as err:
        raise Malformed(f"a stored signature cannot be used: {err}") from err


def delta(old: Signature, block_len: int, *, first: bool = True, last: bool = True, offset: int = 0) -> Delta:
    """A streaming delta against ``old`` that makes the new signature in the same pass.

    Deltas of consecutive ranges of one new file, joined, are one delta: ``first`` and ``last`` say which ends this
    range has, ``offset`` where it begins.
    """
    import tarragon_librsync

    return tarragon_librsync.Delta(
        old, sign_block_len=block_len, header=first, end=last, sign_header=first, offset=offset
    )


def signatures(contents: Sequence[bytes], limit: int) -> list[bytes]:
    """The signatures of many small files at once."""
    import tarragon_librsync

    return tarragon_librsync.signatures(
        contents, [tarragon_librsync.block_length(len(content), limit) for content in contents]
    )


def patched(basis: BinaryIO, changes: Iterable[bytes], limit: int | None = None) -> Iterator[bytes]:
    """The new content, in pieces. Raises Malformed when the delta does not fit the basis or gives too much."""
    import tarragon_librsync

    try:
        yield from tarragon_librsync.patch(basis, changes, limit=limit)
    except tarragon_librsync.RsyncError as err:
        raise Malformed(f"a stored delta cannot be applied: {err}") from err


def size_range(signature: bytes) -> tuple[int, int]:
    """The least and the greatest size of a file that has this signature. Raises Malformed."""
    if len(signature) < HEADER_SIZE:
        raise Malformed("a stored signature is too short")
    block_len = int.from_bytes(signature[4:8], "big")
    strong_len = int.from_bytes(signature[8:12], "big")
    blocks = (len(signature) - HEADER_SIZE) // (4 + strong_len)
    return (0, 0) if blocks == 0 else ((blocks - 1) * block_len + 1, blocks * block_len)


def comparison(signature: bytes) -> Comparison | None:
    """Content compared with a signature as it passes; None for one of another kind than is ever written (§ 5.1).

    Raises Malformed for lengths that no signature can have.
    """
    import tarragon_librsync

    if signature[:4] != _MAGIC or int.from_bytes(signature[8:12], "big") != STRONG_LEN:
        return None
    try:
        return tarragon_librsync.comparison(signature)
    except tarragon_librsync.RsyncError as err:
        raise Malformed(f"a stored signature cannot be used: {err}") from err


def fits(signature: bytes, content: BinaryIO) -> bool | None:
    """Whether content is what a signature was made of; None for a signature of another kind. Raises Malformed."""
    compared = comparison(signature)
    while compared is not None and compared.is_same and (piece := content.read(_PIECE)):
        compared.update(piece)
    return None if compared is None else compared.fits()
