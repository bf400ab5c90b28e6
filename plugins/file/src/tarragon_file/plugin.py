"""file:// — a folder of this machine, or of one whose file system is mounted here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tarragon.api import BadURL, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme != "file":
        return None
    # No host: what stands before the first slash begins a relative path. As stock duplicity has it, that part is taken
    # as typed, the rest is percent-decoded, and what follows "?" or "#" is no part of the path (tried with 3.2.1).
    first, slash, rest = re.split("[?#]", url.rest, maxsplit=1)[0].partition("/")
    folder = first + slash + unquote(rest, errors="surrogateescape")
    if not folder:
        raise BadURL("'file://' names no folder", hint="file://folder is relative to here, file:///folder is absolute")
    if "\0" in folder:
        raise BadURL("a path cannot hold a NUL character")
    from .backend import FileBackend  # only for those whose URL it is

    return FileBackend(folder, is_limited=bool(context.options.limit_upload))
