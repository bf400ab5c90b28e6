"""rsync signatures, deltas and patches in librsync's formats (docs/format.md § 5).

Made for ``core.delta.rsync``, of use to anyone. A C kernel does the work where it could be built; ``KERNEL`` names the
instruction path in use. The environment variable TARRAGON_LIBRSYNC forces one: scalar, avx2, avx512, neon or python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from tarragon_librsync import jobs
from tarragon_librsync.blocks import block_length
from tarragon_librsync.comparison import Comparison
from tarragon_librsync.errors import BadDelta, BadSignature, BasisMismatch, RsyncError
from tarragon_librsync.jobs import DeltaAndSignature

_forced = os.environ.get("TARRAGON_LIBRSYNC") or None

if TYPE_CHECKING:
    from tarragon_librsync.native import KERNEL, Commands, Delta, Signature, Signer, signatures
elif _forced == "python":
    from tarragon_librsync.fallback import KERNEL, Commands, Delta, Signature, Signer, signatures
else:
    try:
        from tarragon_librsync.native import KERNEL, Commands, Delta, Signature, Signer, signatures
    except ModuleNotFoundError as err:
        # The compiled module is not part of this installation (or cffi is not): slow, but everything works.
        if _forced or err.name not in ("tarragon_librsync._kernel", "_cffi_backend"):
            raise
        from tarragon_librsync.fallback import KERNEL, Commands, Delta, Signature, Signer, signatures

__version__ = "0.1.0"
__all__ = [
    "KERNEL",
    "BadDelta",
    "BadSignature",
    "BasisMismatch",
    "Comparison",
    "Delta",
    "DeltaAndSignature",
    "RsyncError",
    "Signature",
    "Signer",
    "block_length",
    "comparison",
    "delta",
    "delta_and_signature",
    "patch",
    "signature",
    "signatures",
]


def signature(stream: BinaryIO, block_len: int, strong_len: int = 8) -> bytes:
    """The signature of everything ``stream`` still has."""
    return jobs.signed(Signer(block_len, strong_len), stream)


def delta(signature: Signature | bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the delta of everything ``stream`` still has against an old signature.

    Raises BadSignature at once for bytes that are none.
    """
    return jobs.deltas(Delta(_parsed(signature)), stream)


def delta_and_signature(signature: Signature | bytes, stream: BinaryIO, block_len: int) -> DeltaAndSignature:
    """The delta of ``stream`` as an iterator; its ``signature`` (blocks of ``block_len``) is whole when it ends."""
    return DeltaAndSignature(Delta(_parsed(signature), sign_block_len=block_len), stream)


def patch(basis: BinaryIO, delta: BinaryIO | Iterable[bytes], *, limit: int | None = None) -> Iterator[bytes]:
    """Yield the new content that ``delta`` makes of the seekable ``basis``, in chunks of at most about 1 MiB.

    Raises BadDelta for what is no whole delta, or when more than ``limit`` bytes come out; BasisMismatch when a copy
    reaches outside the basis. What was yielded before is then worthless.
    """
    return jobs.patched(Commands(), basis, delta, limit)


def comparison(signature: bytes) -> Comparison:
    """Content that is given piece by piece, compared with a signature. Raises BadSignature for bytes that are none.

    Example:
        >>> hello = comparison(bytes.fromhex("7273013600000200000000080ad002d863481c78ae04c201"))
        >>> hello.update(b"hello\n")
        >>> hello.fits()
        True
    """
    return Comparison(signature, Signer, signatures)


def _parsed(signature: Signature | bytes) -> Signature:
    return signature if isinstance(signature, Signature) else Signature(signature)
