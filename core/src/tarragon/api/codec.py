"""Compressor and Cipher: what bytes pass on their way to the far side and back.

Codec objects travel to worker processes, so they must be picklable; what they return need not be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, BinaryIO, ClassVar

if TYPE_CHECKING:
    from .backend import Role


class Compressor(ABC):
    """Turns a stream into a smaller one and back, in bounded memory."""

    #: What a stored name ends in, with its dot; ``""`` for none (docs/format.md § 1.1).
    suffix: ClassVar[str]
    #: About how many stored bytes one source byte takes; jobs are planned by it.
    ratio: ClassVar[float] = 1.0

    @abstractmethod
    def packing(self, into: BinaryIO) -> BinaryIO:
        """A writer; closing it ends the stream, not ``into``. Its flush() must bring out what it holds back."""

    @abstractmethod
    def unpacking(self, source: BinaryIO) -> BinaryIO:
        """A reader of the expanded bytes. Raises Malformed for anything that is not a whole stream."""


class Cipher(ABC):
    """Turns a stream into one that only the holders of a key can read, and back."""

    #: What a stored name ends in, with its dot; ``""`` for none.
    suffix: ClassVar[str]
    #: True when it compresses by itself: then no compressor is used.
    packs: bool = False
    #: About how many stored bytes one source byte takes.
    ratio: ClassVar[float] = 1.0

    @abstractmethod
    def sealing(self, into: BinaryIO, role: Role) -> BinaryIO:
        """A writer of plain bytes; closing it ends the message. ``into`` is a real file: fileno() works.

        Raises CipherError, at close at the latest, when the message in ``into`` is not whole.
        """

    @abstractmethod
    def opening(self, source: BinaryIO, role: Role) -> BinaryIO:
        """A reader of plain bytes. ``source`` is a real file: fileno() works.

        Nothing read may be trusted before close() returned: BadSignature, WrongKey or CipherError at close at the
        latest, also when the reader did not read to the end.
        """
