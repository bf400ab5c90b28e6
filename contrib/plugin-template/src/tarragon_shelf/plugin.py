"""shelf:// — objects are rows of one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import BadURL, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)

OPTIONS = (
    Option(
        flag="--shelf-timeout",
        metavar="seconds",
        type=float,
        default=30.0,
        help="how long to wait for another process that holds the file",
    ),
)


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme != "shelf":
        return None
    if not url.path.strip("/"):
        raise BadURL(f"'{url}' names no file", hint="shelf:///folder/file.db")
    from .backend import ShelfBackend  # with sqlite3: only for those whose URL it is

    return ShelfBackend(url.path, context.options.shelf_timeout)
