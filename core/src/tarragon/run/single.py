"""What a command may ask back: one file as it was, or all that the action restore would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from tarragon.api.entry import REG
from tarragon.api.errors import IntegrityError, NotInBackup, TarragonError
from tarragon.delta import patch

if TYPE_CHECKING:
    from pathlib import Path

    from tarragon.store.chain import BackupSet

    from .context import Context
    from .repository import Target


def opened(context: Context, target: Target, path: bytes, time: int) -> BinaryIO:
    """One regular file, patched and checked. Raises NotInBackup, IntegrityError."""

    def refuse(of: BackupSet, name: str, err: TarragonError) -> None:
        raise err

    for sequence in target.sequences(target.collection.sets_at(time), path, refuse):
        if sequence.path == path:
            restored = patch.apply(sequence, context.temp.file)
            if restored is None or (restored.entry.kind != REG and not restored.lost):
                break
            if restored.lost:
                raise IntegrityError(f"{path!r} cannot be restored: {restored.lost}")
            with context.temp.path() as content:
                with content.open("wb") as file:
                    file.writelines(restored.data)
                if restored.patched:
                    _must_fit(target, path, time, content)
                return content.open("rb")
    raise NotInBackup(f"{path!r} is no file of the backup at that time")


def _must_fit(target: Target, path: bytes, time: int, content: Path) -> None:
    """What deltas gave must fit the signature, or a wrong basis was patched (R41)."""
    if all(of.has_signatures for of in target.collection.sets_at(time)):
        for finding in target.compare(time, {path: lambda: content.open("rb")}):
            if finding.problem:
                raise IntegrityError(f"{path!r}: {finding.problem}")


def restored(context: Context, target: Target, into: bytes) -> int:
    """The action restore, from within another command; its exit status."""
    from .actions import answer  # which imports the target
    from .restore import restore

    return answer(context, restore(context, target, into), context.facts)
