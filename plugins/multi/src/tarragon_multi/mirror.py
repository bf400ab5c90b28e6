"""Mirrors: every part has a copy of everything, or of what its prefixes name."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import NoTempSpace, SourceError, TarragonError

from .combined import Combined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tarragon.api import Context, Role, Source

    from .combined import Failure
    from .part import Part


class MirrorBackend(Combined):
    """A name that begins with a prefix of any part is kept by the parts with such a prefix, any other one by all."""

    def __init__(self, parts: Sequence[Part], context: Context, *, may_lack: bool) -> None:
        super().__init__(parts, context, may_lack=may_lack)
        self._context = context
        self._under_way: dict[str, tuple[str, set[Part]]] = {}

    def _homes(self, name: str) -> Sequence[Part]:
        chosen = [part for part in self.parts if name.startswith(part.prefixes)]
        return chosen or self.parts

    def _can_lack(self, unlisted: Sequence[Part]) -> bool:
        """Whether whatever these hold is held by another one too, unless it could not be stored there."""
        listed = [part for part in self.parts if part not in unlisted]
        wanted = {prefix for part in unlisted for prefix in part.prefixes}
        return bool(listed) and all(any(prefix.startswith(part.prefixes) for part in listed) for prefix in wanted)

    def put(self, name: str, source: Source, role: Role) -> None:
        """Store at every home. In a further try those are left out that have it from the one before."""
        homes = self._homes(name)
        sha1, has = self._under_way.get(name, ("", set()))
        if sha1 != source.sha1:
            has = set()
        self._under_way[name] = source.sha1, has
        failed: list[Failure] = []
        for part in homes:
            if part in has:
                continue
            try:
                part.put(name, _Apart(source, self._context) if has else source, role, self._file_prefix)
                has.add(part)
            except TarragonError as err:
                failed.append((part, err))
                if not self.may_lack:
                    break
        self._tolerate(f"store '{name}'", failed, can_lack=bool(has))
        for part, _ in failed:
            with suppress(TarragonError):  # an older copy would be taken for this one
                part.backend.delete(name)
        self._under_way.pop(name, None)
        self._taken.pop(name, None)
        self._holders[name] = [part for part in homes if part in has]

    def _forget(self, name: str) -> None:
        super()._forget(name)
        self._under_way.pop(name, None)


class _Apart:
    """A source for a further copy (api.Source): its file may be linked, and a link to the first copy would be none."""

    def __init__(self, source: Source, context: Context) -> None:
        self._source, self._context = source, context

    @property
    def size(self) -> int:
        return self._source.size

    @property
    def sha1(self) -> str:
        return self._source.sha1

    def open(self) -> BinaryIO:
        return self._source.open()

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        with self._context.temp_file() as path:
            try:
                with self._source.open() as stream, path.open("wb") as copy:
                    shutil.copyfileobj(stream, copy, 1 << 20)
            except OSError as err:
                if err.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise NoTempSpace("no room for a copy", hint="choose another folder with --tempdir") from err
                raise SourceError(f"cannot copy what is to be stored: {err.strerror}") from err
            yield path
