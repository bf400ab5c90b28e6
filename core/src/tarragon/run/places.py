"""Where a run keeps its cache and its state.

An action that only reads must work where neither can be written, from a rescue system say: then both are in the
temporary folder, and gone afterwards.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from tarragon.api.errors import SourceError
from tarragon.store.archive import Archive, cache_folder
from tarragon.store.state import State, state_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .context import Context

#: What writes neither to the target nor for a later run.
READING = ("restore", "verify", "list-current-files", "collection-status")

Place = TypeVar("Place", Archive, State)


def archive_of(context: Context) -> Archive:
    """The cache folder of this run's target. Raises SourceError where there is none to be had."""
    hint = "set XDG_CACHE_HOME, or --archive-dir, to a folder that can be used"
    archive = _kept(context, _cache(context), Archive, hint)
    if archive.is_exposed and not context.settings.compat:  # as duplicity leaves it
        context.log.warning("others can look into the cache folder: chmod 700 '%s'", archive.folder)
    return archive


def state_of(context: Context) -> State:
    """What this client remembers of this run's target. Raises SourceError where nothing can be remembered."""
    folder = state_folder(context.options.archive_dir, _cache(context).name, context.env)
    return _kept(context, folder, State, "set XDG_STATE_HOME to a folder that can be used")


def _cache(context: Context) -> Path:
    options = context.options
    return cache_folder(options.archive_dir, options.name, context.settings.url or "", context.env)


def _kept(context: Context, folder: Path, make: Callable[[Path], Place], hint: str) -> Place:
    reads = context.action in READING
    try:
        made = make(folder)
        if not reads or os.access(folder, os.W_OK):
            return made
        made.close()
        why = f"'{folder}' cannot be written to"
    except SourceError as err:
        if not reads:
            raise SourceError(err.message, hint=hint) from err
        why = err.message
    context.log.warning("%s: what this run needs is kept in the temporary folder", why)
    return make(context.temp.place / make.__name__.lower())
