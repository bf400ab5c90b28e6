"""What can be wrong with signatures, deltas and their basis."""

from __future__ import annotations


class RsyncError(Exception):
    """Something given to this package is not what it should be."""


class BadSignature(RsyncError):
    """These bytes are no signature that can be used."""


class BadDelta(RsyncError):
    """These bytes are no delta, or not a whole one."""


class BasisMismatch(RsyncError):
    """The delta wants content the basis does not have."""
