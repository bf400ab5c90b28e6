"""Numbers of volumes ↔ text, so that a record of thousands stays short: ``1-3,7``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: A volume: the key of its set, and its number.
Place = tuple[str, int]


def to_text(numbers: Iterable[int]) -> str:
    """``1-3,7`` for 1, 2, 3 and 7 in any order."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def from_text(text: str) -> Iterator[int]:
    """The numbers that ``1-3,7`` stands for. Raises ValueError."""
    for word in text.split(",") if text else ():
        first, dash, last = word.partition("-")
        yield from range(int(first), int(last if dash else first) + 1)


def by_set(places: Iterable[Place]) -> dict[str, str]:
    """Volumes as a record holds them: set → ranges of numbers."""
    numbers: dict[str, list[int]] = {}
    for key, number in places:
        numbers.setdefault(key, []).append(number)
    return {key: to_text(found) for key, found in numbers.items()}


def places(record: Mapping[str, str]) -> Iterator[Place]:
    """The volumes that a record holds. Raises ValueError."""
    for key, text in record.items():
        for number in from_text(text):
            yield key, number
