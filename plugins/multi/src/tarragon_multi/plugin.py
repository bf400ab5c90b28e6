"""multi:// — several stores as one, striped or mirrored, as a JSON file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import hookimpl

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme != "multi":
        return None
    from .opening import opened  # only for those whose URL it is

    return opened(url, context)
