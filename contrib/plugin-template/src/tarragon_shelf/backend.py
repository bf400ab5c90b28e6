"""The backend shelf: objects are rows of one SQLite file."""

from __future__ import annotations

import io
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    NotFound,
    ObjectInfo,
    OutOfSpace,
    PermissionDenied,
    Role,
    Transient,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api import Source

_TABLE = "create table if not exists objects (name text primary key, data blob not null)"
_ERRORS: dict[int, type[BackendError]] = {
    sqlite3.SQLITE_BUSY: Transient,
    sqlite3.SQLITE_LOCKED: Transient,
    sqlite3.SQLITE_IOERR: Transient,
    sqlite3.SQLITE_FULL: OutOfSpace,
    sqlite3.SQLITE_PERM: PermissionDenied,
    sqlite3.SQLITE_READONLY: PermissionDenied,
}


class ShelfBackend(Backend):
    """One SQLite file; it is made by the first put."""

    capabilities = Capability.ATOMIC_PUT | Capability.RANGES | Capability.STAT | Capability.SIZES

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._db: sqlite3.Connection | None = None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        rows = self._run("list", "select name, length(data) from objects")
        return (ObjectInfo(name, size) for name, size in rows if name.startswith(prefix))

    def put(self, name: str, source: Source, role: Role) -> None:
        with source.open() as stream:
            data = stream.read()
        self._run(f"store '{name}'", _TABLE, create=True)
        self._run(f"store '{name}'", "insert or replace into objects values (?, ?)", name, data)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        size = -1 if stop is None else max(0, stop - start)
        words = "select substr(data, ?, ?)" if size >= 0 else "select substr(data, ?)"
        range_ = (start + 1, size) if size >= 0 else (start + 1,)
        rows = self._run(f"read '{name}'", f"{words} from objects where name = ?", *range_, name)
        if not rows:
            raise NotFound(f"no object '{name}'")
        return io.BytesIO(rows[0][0])

    def delete(self, name: str) -> None:
        self.stat(name)
        self._run(f"delete '{name}'", "delete from objects where name = ?", name)

    def stat(self, name: str) -> ObjectInfo:
        rows = self._run(f"look at '{name}'", "select length(data) from objects where name = ?", name)
        if not rows:
            raise NotFound(f"no object '{name}'")
        return ObjectInfo(name, rows[0][0])

    def reconnect(self) -> None:
        self.close()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _run(self, what: str, statement: str, *values: object, create: bool = False) -> list[tuple[object, ...]]:
        """Run a statement in a transaction of its own. A file that is not there is an empty shelf."""
        if not create and self._db is None and not os.path.exists(self._path):
            return []
        with _translated(f"cannot {what} in '{self._path}'"):
            if self._db is None:
                # The core hands a connection from thread to thread, though never to two at a time.
                self._db = sqlite3.connect(self._path, self._timeout_s, check_same_thread=False)
            with self._db:
                return self._db.execute(statement, values).fetchall()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as err:
        # The upper bytes say more than we need: a BUSY of one kind or another.
        kind = _ERRORS.get(getattr(err, "sqlite_errorcode", 0) & 0xFF, BackendError)
        raise kind(f"{what}: {err}") from err
