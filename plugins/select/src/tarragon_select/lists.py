"""Lists in files: patterns one a line (``--include-filelist``), and paths (``--files-from``)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tarragon.api import BadOption, SelectionError, Verdict

from .patterns import Literal, Pattern, pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tarragon.api import Entry, FilterMode

_FIRST = -2  #: before every condition: it is no condition but what there is to select from
_NEVER = sys.maxsize


def entries(name: str, null_separator: bool) -> list[str]:
    """The parts of a list. Any of the three line ends counts, unless NUL separates. Raises BadOption."""
    try:
        with open(name, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else err
        raise BadOption(f"the list '{name}' cannot be read: {reason}") from err
    if null_separator:
        return text.split("\0")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def patterns(lines: Iterable[str], mode: FilterMode, verdict: Verdict, root: str | None) -> Iterator[Pattern]:
    """What the lines of a filelist say. Raises SelectionError."""
    return (one for _, _, one in numbered(lines, mode, verdict, root))


def numbered(
    lines: Iterable[str], mode: FilterMode, verdict: Verdict, root: str | None
) -> Iterator[tuple[int, str, Pattern]]:
    """The same, each with the number and the text of its line."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        sense = verdict
        if text.startswith(("+ ", "- ")):
            sense = Verdict.INCLUDE if text[0] == "+" else Verdict.EXCLUDE
            text = text[2:]
        if text[:1] in ("'", '"') and text[:1] == text[-1:]:
            text = text[1:-1]
        if text:
            yield number, line.strip(), pattern(text, mode, sense, root)


class Patterns:
    """Many patterns asked in order, as one.

    Those that are about one path stand in a table: what they cost does not grow with their number.
    """

    def __init__(self, found: Iterable[Pattern]) -> None:
        self._wild: list[tuple[int, Pattern]] = []
        self._literal: dict[str, tuple[int, Verdict]] = {}
        self._above: dict[str, int] = {}
        self.last: Verdict | None = None
        for number, one in enumerate(found):
            self.last = one.verdict
            if isinstance(one, Literal):
                self._literal.setdefault(one.path, (number, one.verdict))
                for folder in one.above:
                    self._above.setdefault(folder, number)
            else:
                self._wild.append((number, one))

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        number, verdict = self._decided(path)
        look_inside = self._above.get(path, _NEVER)
        for place, one in self._wild:
            if place > number:
                break
            said = one(path, is_folder)
            if said is Verdict.DESCEND:
                look_inside = min(look_inside, place)
            elif said is not None:
                number, verdict = place, said
                break
        if look_inside >= number or verdict is Verdict.INCLUDE:
            return verdict
        # The list has not said its last word unless one of its patterns excludes: later filters may still include.
        return Verdict.DESCEND if verdict is None else Verdict.ENTER

    def _decided(self, path: str) -> tuple[int, Verdict | None]:
        """The first of the plain patterns that the path is, or is below of."""
        first: tuple[int, Verdict | None] = (_NEVER, None)
        end = len(path) if self._literal else 0
        while end > 0:
            found = self._literal.get(path[:end])
            if found is not None and found[0] < first[0]:
                first = found
            end = path.rfind("/", 0, end)
        return first


class Listed:
    """``--files-from``: the listed paths and the folders above them, and nothing else."""

    can_exclude = True
    rank = _FIRST

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises SelectionError: 72 for paths that are not below the source, 73 when there is none."""
        self._wanted: set[bytes] = set()
        for line in lines:
            if line:
                self._add(line)
        if not self._wanted:
            raise SelectionError("the list of files to back up is empty", number=73)

    def _add(self, line: str) -> None:
        parts = [part for part in line.split("/") if part not in ("", ".")]
        if line.startswith("/") or ".." in parts:
            raise SelectionError(
                f"'{line}' in the list of files to back up is not below the source",
                number=72,
                hint="all paths in the list are relative to the source",
            )
        path = "/".join(parts).encode("utf-8", "surrogateescape")
        while path not in self._wanted:
            self._wanted.add(path)
            path = path.rpartition(b"/")[0]

    def __call__(self, entry: Entry) -> Verdict | None:
        return None if entry.path in self._wanted else Verdict.EXCLUDE
