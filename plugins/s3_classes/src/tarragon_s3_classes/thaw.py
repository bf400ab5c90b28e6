"""The command. Whatever would fail after hours of waiting, and after the archive was paid, is found out before."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tarragon.api import BadOption, ColdObject, CollectionError, NotInBackup, RestoreTargetNotEmpty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tarragon.api import Context, Repository, VolumeRef

#: Output: shown at every verbosity.
_SHOW = 60


class Thaw:
    """``tarragon thaw [--time TIME] [--path PATH] URL [FOLDER]``.

    What has been asked for is known to the far side alone: run again after any interruption, it asks for the rest only.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        into = self._folder(words)
        repository = self._context.repository
        refs = self._needed(repository)
        cold = repository.cold(refs)
        self._tell(refs, cold)
        if self._context.options.dry_run:
            return 0
        frozen = [ref for ref in refs if ref.name in cold]
        if frozen and not self._thawed(repository, frozen):
            return 0
        return repository.restore(os.fsencode(into)) if into is not None else 0

    def _say(self, text: str, *values: object) -> None:
        self._context.log.log(_SHOW, text, *values)

    def _folder(self, words: Sequence[str]) -> str | None:
        """Where to restore to, if anywhere; as ``restore`` would want it at the end."""
        if len(words) > 1:
            raise BadOption(f"'thaw' takes a target URL and a folder to restore to, not '{words[1]}'")
        if not words:
            return None
        folder = words[0]
        if not self._context.options.force and os.path.exists(folder) and _is_filled(folder):
            raise RestoreTargetNotEmpty(
                f"'{folder}' is there and is not empty", hint="--force restores into it all the same"
            )
        return folder

    def _needed(self, repository: Repository) -> list[VolumeRef]:
        """The volumes that a restore of that time and path reads."""
        options = self._context.options
        when = self._context.now if options.restore_time is None else options.restore_time
        path: bytes | None = options.path_to_restore
        if path is not None and (path.startswith(b"/") or path.endswith(b"/") or not path):
            raise BadOption("--path takes a path relative to the backup's root, without a slash at either end")
        sets = repository.at(when)
        if path is not None and not _is_known(repository, when, path):
            raise NotInBackup(f"{path!r} is not in the backup at that time", hint="list-current-files shows the paths")
        return [ref for of in sets for ref in repository.volumes(of, path)]

    def _tell(self, refs: Sequence[VolumeRef], cold: frozenset[str]) -> None:
        frozen = [ref for ref in refs if ref.name in cold]
        for ref in refs:
            state = "in the archive" if ref.name in cold else "readable" if ref.size is not None else "missing"
            self._say("needed: %s, %d bytes, %s", ref.name, ref.size or 0, state)
        self._say(
            "%d volumes, %d bytes, are needed; %d of them, %d bytes, are to be asked back from the archive",
            len(refs), _size(refs), len(frozen), _size(frozen),
        )  # fmt: skip
        self._context.facts.update(
            volumes=len(refs), bytes=_size(refs), cold=sorted(cold), cold_volumes=len(frozen), cold_bytes=_size(frozen)
        )

    def _thawed(self, repository: Repository, frozen: Sequence[VolumeRef]) -> bool:
        """Ask and wait; False when the user did not want to wait. Raises ColdObject when it takes too long."""
        options = self._context.options
        until = time.monotonic() + options.thaw_wait * 3600
        while cold := repository.warm_up(frozen):
            if not options.thaw_wait:
                self._say("%d volumes are asked for; run this again to wait for them and restore", len(cold))
                return False
            left = until - time.monotonic()
            if left <= 0:
                raise ColdObject(
                    f"{len(cold)} of {len(frozen)} volumes are still in the archive after {options.thaw_wait:g} hours",
                    hint="run this again: nothing is asked for twice",
                )
            self._say("%d of %d volumes can be read; waiting", len(frozen) - len(cold), len(frozen))
            time.sleep(min(max(1.0, options.thaw_poll), left))
        self._say("all %d volumes can be read", len(frozen))
        return True


def _size(refs: Iterable[VolumeRef]) -> int:
    return sum(ref.size or 0 for ref in refs)


def _is_filled(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is not None


def _is_known(repository: Repository, when: int, path: bytes) -> bool:
    """Whether the signatures know of the path; where there are none everything may be."""
    try:
        return next(iter(repository.entries(when, path)), None) is not None
    except CollectionError:
        return True
