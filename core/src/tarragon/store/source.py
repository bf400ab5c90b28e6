"""Sources: local bytes on their way to the far side (api.Source), readable again from the start at any time."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator


_PIECE = 1 << 20


class FileSource:
    """A file with a name. Size and hashes are those given by whoever made it, else computed once, when asked for."""

    def __init__(
        self, path: str | os.PathLike[str], *, size: int | None = None, sha1: str = "", sha256: str = ""
    ) -> None:
        self.path = Path(path)
        self._size, self._sha1, self._sha256 = size, sha1, sha256

    @property
    def size(self) -> int:
        if self._size is None:
            with self.open() as stream:
                self._size = stream.seek(0, os.SEEK_END)
        return self._size

    @property
    def sha1(self) -> str:
        return self._sha1 or self._hashes[0]

    @property
    def sha256(self) -> str:
        return self._sha256 or self._hashes[1]

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """SHA-1 and SHA-256 in one reading."""
        sums = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        with self.open() as stream:
            while piece := stream.read(_PIECE):
                for one in sums:
                    one.update(piece)
        return sums[0].hexdigest(), sums[1].hexdigest()

    def open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as err:
            raise SourceError(f"cannot read '{self.path}': {err.strerror}") from err

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        yield self.path
