"""Pins: the sets that prune must keep, as this client remembers them (ledger "pins")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tarragon.api import CollectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tarragon.api import Context, SetInfo


def standing(records: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Keys of the sets that are pinned after all that was recorded."""
    pins: set[str] = set()
    for record in records:
        key = record.get("set")
        if isinstance(key, str):
            (pins.add if record.get("kind") == "pin" else pins.discard)(key)
    return frozenset(pins)


def changes(context: Context, sets: Sequence[SetInfo], pins: frozenset[str]) -> list[dict[str, Any]]:
    """The records that ``--pin`` and ``--unpin`` ask for. Raises BadOption, CollectionError."""
    records = [{"kind": "pin", "set": meant(context, sets, text), "time": context.now} for text in context.options.pin]
    for text in context.options.unpin:
        key = text if text in pins else meant(context, sets, text)
        records.append({"kind": "unpin", "set": key, "time": context.now})
    return records


def meant(context: Context, sets: Sequence[SetInfo], text: str) -> str:
    """The key of the set that ``text`` names: its own, or a time, for the set that a restore of that time would give.

    Raises BadOption for what is neither, CollectionError when no set is as old.
    """
    if any(each.key == text for each in sets):
        return text
    wanted = context.parse_time(text)
    until = [each for each in sets if each.time <= wanted]
    if not until:
        raise CollectionError(f"no set is as old as '{text}'")
    return max(until, key=lambda each: each.time).key
