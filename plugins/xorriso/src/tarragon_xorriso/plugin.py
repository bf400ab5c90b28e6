"""xorriso:// — a folder of an ISO 9660 image or an optical disc."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tarragon.api import BadURL, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme != "xorriso":
        return None
    device, folder = place(url.rest)
    if not os.path.exists(device):
        raise BadURL(
            f"there is no device or image '{device}'", hint=f"an empty file will do for a new image: touch '{device}'"
        )
    from .backend import XorrisoBackend  # only for those whose URL it is
    from .program import Xorriso

    return XorrisoBackend(Xorriso.of(device, context), folder, context.temp_file)


def place(rest: str) -> tuple[str, str]:
    """Device and folder of what follows ``xorriso://``. Raises BadURL.

    As with duplicity, the part before the first slash is taken as typed, the rest is percent-decoded, and the first
    colon divides the two; so no device has a colon in its name.
    """
    first, slash, more = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    device, _, folder = (first + slash + unquote(more, errors="surrogateescape")).partition(":")
    parts = [part for part in folder.split("/") if part]
    if not device:
        raise BadURL(
            "the URL names no device or image", hint="xorriso:///dev/sr0 or xorriso:///folder/image.iso:/folder"
        )
    if "\0" in device + folder or {".", ".."} & set(parts):
        raise BadURL(f"'{folder}' is no folder of an image")
    return os.path.abspath(device), "/" + "/".join(parts)
