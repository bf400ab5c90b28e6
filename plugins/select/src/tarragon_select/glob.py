"""Globs of docs/cli.md § 7 → functions that say whether a path matches.

A glob becomes one regular expression that never tries the same thing twice: what stands between two stars is taken
where it is first found (an atomic group), because a star behind it can swallow whatever a later find would leave out.
That is true as long as every character of the glob either is a slash or cannot be one. A negated class can be both;
a glob with such a class and several stars is matched by an automaton instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STAR, DEEP = "[^/]*", ".*"
_BAD_CLASS = 30  # what duplicity ends with for a class that re refuses


class One(NamedTuple):
    """A part of a glob that takes one character: ``regex`` takes the same.

    ``plain`` is the only character it takes, if there is but one. ``is_open``: it may be a slash or not.
    """

    regex: str
    plain: str | None = None
    is_open: bool = False


Token = One | str  # a str is STAR or DEEP


def tokens(glob: str) -> list[Token]:
    """The parts of a glob. Raises SelectionError for a class with a range that runs backwards."""
    found: list[Token] = []
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == "*":
            run = len(glob) - at - len(glob[at:].lstrip("*"))
            found.append(STAR if run == 1 else DEEP)
            at += run
            continue
        end = _end_of_class(glob, at) if char == "[" else -1
        if end >= 0:
            found.append(_class(glob[at + 1 : end]))
            at = end + 1
            continue
        found.append(One("[^/]") if char == "?" else One(re.escape(char), char))
        at += 1
    return found


def _end_of_class(glob: str, at: int) -> int:
    """Where the ``]`` of the class that opens at ``at`` stands; -1 when it is not closed."""
    first = at + 1
    if glob[first : first + 1] in ("!", "^"):
        first += 1
    return glob.find("]", first + 1)


def _class(inside: str) -> One:
    negated = inside[0] in "!^"
    members = inside[1:] if negated else inside
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(members):
        step = 3 if members[at + 1 : at + 2] == "-" and at + 2 < len(members) else 1
        low, high = members[at], members[at + step - 1]
        if high < low:
            raise SelectionError(f"the class '[{inside}]' has a range that runs backwards", number=_BAD_CLASS)
        ranges.append((low, high))
        at += step
    regex = "".join(re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges)
    if len(members) == 1 and not negated:
        return One(regex, members)
    has_slash = any(low <= "/" <= high for low, high in ranges)
    only_slash = all(low == high == "/" for low, high in ranges)
    return One(f"[{'^' if negated else ''}{regex}]", is_open=not has_slash if negated else has_slash and not only_slash)


def matcher(parts: Sequence[Token], *, below: bool, ignore_case: bool) -> Callable[[str], object]:
    """A test for a whole path; with ``below`` also for everything beneath what matches."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    stars = sum(isinstance(part, str) for part in parts)
    if stars > 1 and any(isinstance(part, One) and part.is_open for part in parts):
        return Automaton(parts, flags, below=below).matches
    return re.compile(_regex(parts, r"(?:/|\Z)" if below else r"\Z"), flags).match


def _regex(parts: Sequence[Token], end: str) -> str:
    """Pieces behind a star are atomic, and so are the stretches behind ``**``, but for the last ones."""
    stretches = list(_split(parts, DEEP))
    found = ""
    for number, stretch in enumerate(stretches):
        is_last = number == len(stretches) - 1
        if is_last and number and not stretch:
            return found  # it ends in ``**``: the rest may be anything
        one = _stretch(stretch, end if is_last else "")
        if number == 0:
            found = one
        else:
            found += f".*?{one}" if is_last else f"(?>.*?{one})"
    return found


def _stretch(parts: Sequence[Token], end: str) -> str:
    first, *others = ("".join(part.regex for part in piece if isinstance(part, One)) for piece in _split(parts, STAR))
    if not others:
        return first + end
    atomic = "".join(f"(?>[^/]*?{piece})" for piece in others[:-1])
    last = f"[^/]*?{others[-1]}{end}"
    return first + atomic + (last if end else f"(?>{last})")


def _split(parts: Sequence[Token], star: str) -> Iterator[list[Token]]:
    piece: list[Token] = []
    for part in parts:
        if part == star:
            yield piece
            piece = []
        else:
            piece.append(part)
    yield piece


class Automaton:
    """All the places in a glob that a path can have led to, as bits of one number, character by character.

    Takes time in proportion to the path whatever the glob. Steps once taken are remembered, up to a limit.
    """

    _LIMIT = 100_000

    def __init__(self, parts: Sequence[Token], flags: int, *, below: bool) -> None:
        self._parts = [None if part == DEEP else re.compile(_single(part), flags).match for part in parts]
        self._stars = sum(1 << at for at, part in enumerate(parts) if isinstance(part, str))
        self._done = 1 << len(parts)
        self._below = below
        self._steps: dict[tuple[int, str], int] = {}
        self._start = self._closed(1)

    def matches(self, path: str) -> bool:
        """Whether the glob takes the whole path, or with ``below`` all of it up to a slash."""
        states = self._start
        for char in path:
            if self._below and char == "/" and states & self._done:
                return True
            step = self._steps.get((states, char))
            states = self._step(states, char) if step is None else step
            if not states:
                return False
        return bool(states & self._done)

    def _step(self, states: int, char: str) -> int:
        after = 0
        for at, takes in enumerate(self._parts):
            if states >> at & 1 and (takes is None or takes(char)):
                after |= 1 << (at if self._stars >> at & 1 else at + 1)
        after = self._closed(after)
        if len(self._steps) < self._LIMIT:
            self._steps[states, char] = after
        return after

    def _closed(self, states: int) -> int:
        """``states`` and where they lead without a character: past stars."""
        for at in range(len(self._parts)):
            if states >> at & 1 and self._stars >> at & 1:
                states |= 1 << at + 1
        return states


def _single(part: Token) -> str:
    return "[^/]" if isinstance(part, str) else part.regex
