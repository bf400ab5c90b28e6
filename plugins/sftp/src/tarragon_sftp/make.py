"""URL → backend: which folder is meant, and by which way the host is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backend import SftpBackend
from .connection import Connection
from .login import login_of
from .scp import ScpBackend

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context


def make(url: BackendURL, context: Context) -> Backend:
    """Connect. Raises BadURL, BadOption, PermissionDenied, and BackendError for a host key that is not known."""
    login = login_of(url, context)
    folder = folder_of(url.path)
    if url.scheme.endswith("scp"):
        return ScpBackend(folder, lambda: Connection(login))
    return SftpBackend(folder, lambda: Connection(login))


def folder_of(path: str) -> str:
    """The folder that a URL's path names: relative to the login folder, or absolute with a second slash.

    As duplicity has it: one slash is taken off, empty parts do not count; and ``sftp://host/`` is the root, while
    ``sftp://host`` is the login folder.
    """
    if path == "/":
        return "/"
    rest = path.removeprefix("/")
    parts = [part for part in rest.split("/") if part]
    return ("/" if rest.startswith("/") else "") + "/".join(parts)
