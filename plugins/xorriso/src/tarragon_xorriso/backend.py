"""The backend xorriso: objects are the files of one folder in the newest session of an image or a disc.

Every change is a session of its own, written behind the others; older sessions stay and keep their space.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import Backend, BackendError, Capability, NotFound, ObjectInfo, Pace, Role, Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tarragon.api import Source

    from .program import Xorriso

#: As ``ls -dl`` has it: mode, links, owner, group, size, date of twelve characters, the path in quotes.
_LINE = re.compile(r"-\S{9}\S?\s+\d+\s+\S+\s+\S+\s+(\d+)\s+.{12}\s('.*)")


class XorrisoBackend(Backend):
    """A folder of an image; it is made, with its parents, by the first put. ``temp_file`` is the run's.

    A put that fails, or is killed, writes no session: what was there before stays the newest.
    """

    capabilities = Capability.ATOMIC_PUT | Capability.SIZES | Capability.STAT | Capability.BULK_DELETE
    max_parallel = 1  # a drive serves one
    upload_pace = download_pace = Pace.NONE  # the program is silent until it ends, and knows speeds of drives only

    def __init__(self, xorriso: Xorriso, folder: str, temp_file: Callable[[], AbstractContextManager[Path]]) -> None:
        self._xorriso, self._folder, self._temp_file = xorriso, folder, temp_file
        self._known = ""  # an object that there is

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with suppress(NotFound):
            for info in self._found(f"cannot list '{self._folder}'", self._folder, "1"):
                self._known = info.name
                if info.name.startswith(prefix):
                    yield info

    def stat(self, name: str) -> ObjectInfo:
        for info in self._found(f"cannot look at '{name}'", self._path(name), "0"):
            return info
        raise NotFound(f"'{name}' is not a file")

    def _found(self, what: str, path: str, depth: str) -> Sequence[ObjectInfo]:
        answer = self._xorriso.read(what, "-find", path, "-maxdepth", depth, "-type", "f", "-exec", "lsdl", "--")
        return [info for line in answer.splitlines() if (info := _described(line))]

    def put(self, name: str, source: Source, role: Role) -> None:
        target = self._path(name)
        if not self._known and self._xorriso.is_filled:
            deque(self.list(), maxlen=0)
        with source.as_file() as path:
            words = ("-cpr", os.path.abspath(path), target, "--")
            try:
                self._xorriso.write(f"cannot store '{name}'", *self._witness(), *words)
            except NotFound as err:
                raise Transient(f"cannot store '{name}': '{self._known}' is gone, or the image cannot be read") from err
        self._known = name

    def _witness(self) -> tuple[str, ...]:
        """Words that fail where an object that there is cannot be found.

        The program takes an image of which it cannot read the beginning for a blank one, and would begin it anew.
        """
        return ("-find", self._path(self._known), "-maxdepth", "0", "-exec", "lsdl", "--") if self._known else ()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        self.stat(name)
        with self._temp_file() as path:
            self._xorriso.read(f"cannot read '{name}'", "-cpx", self._path(name), os.path.abspath(path), "--")
            return path.open("rb")  # its name goes now, its bytes when it is closed

    def delete(self, name: str) -> None:
        self.stat(name)
        self._xorriso.write(f"cannot delete '{name}'", "-rm", self._path(name), "--")
        self._known = ""

    def delete_many(self, names: Iterable[str]) -> None:
        """All in one session. The space that they take is not free afterwards."""
        there = {info.name for info in self.list()}
        paths = [self._path(name) for name in dict.fromkeys(names) if name in there]
        if paths:
            self._xorriso.write(f"cannot delete {len(paths)} objects", "-rm", *paths, "--")
            self._known = ""

    def _path(self, name: str) -> str:
        if name in ("", ".", "..") or any(c in name for c in "/\0\n"):
            raise BackendError(f"'{name}' cannot be the name of an object")
        return f"{self._folder.rstrip('/')}/{name}"


def _described(line: str) -> ObjectInfo | None:
    """What a line of a listing tells; None for one that tells of no file."""
    found = _LINE.fullmatch(line)
    if not found:
        return None
    path = shlex.split(found.group(2))[0]
    return ObjectInfo(path.rpartition("/")[2], int(found.group(1)))
