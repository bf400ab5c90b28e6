"""Selection: which entries of a source count. Asked by the walk, and by restore and verify, for each entry.

Knows no condition: each is a Filter that a plugin makes. What stands here is how they are asked together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tarragon.api.entry import DIR, FilterMode, Verdict
from tarragon.api.errors import BadOption, SelectionError
from tarragon.api.selection import Explains, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tarragon.api.entry import Entry, Filter
    from tarragon.api.options import Option


class Selection:
    """Filters in the order in which they are asked: by rank, then as given.

    Of those with a rank below 0, which go in front wherever they stand, the one given last comes first.
    """

    def __init__(self, filters: Iterable[Filter] = (), options: Iterable[str] = ()) -> None:
        """``options`` are the filters as they were typed, for ``asked``."""
        given = list(filters)
        self._typed = {id(one): option for one, option in zip(given, options, strict=False)}
        front = sorted((one for one in reversed(given) if one.rank < 0), key=lambda one: one.rank)
        self._filters = (*front, *sorted((one for one in given if one.rank >= 0), key=lambda one: one.rank))

    @property
    def ends_with_include(self) -> bool:
        """Whether the last filter changes nothing, because what no filter has an opinion on is included anyway."""
        return bool(self._filters) and not self._filters[-1].can_exclude

    def verdict(self, entry: Entry) -> Verdict:
        """INCLUDE, EXCLUDE, or for a folder DESCEND: enter it, and store it once something inside is included.

        The first filter that says INCLUDE, EXCLUDE or ENTER decides; after a DESCEND nothing is included by default,
        and EXCLUDE comes to ENTER. The root is always included.
        """
        if not entry.path:
            return Verdict.INCLUDE
        look_inside = False
        for ask in self._filters:
            said = ask(entry)
            if said is None:
                continue
            if said is Verdict.INCLUDE or (said is Verdict.EXCLUDE and not look_inside):
                return said
            look_inside = True
            if said is not Verdict.DESCEND:
                break
        if not look_inside:
            return Verdict.INCLUDE
        return Verdict.DESCEND if entry.kind == DIR else Verdict.EXCLUDE

    def asked(self, entry: Entry) -> list[Said]:
        """What each filter says of ``entry``, in the order in which they are asked, up to the one that decides."""
        found: list[Said] = []
        for ask in self._filters if entry.path else ():
            said = ask(entry)
            why = ask.why(entry) if said is not None and isinstance(ask, Explains) else ""
            found.append(Said(self._typed.get(id(ask), ""), said, why))
            if said not in (None, Verdict.DESCEND):
                break
        return found


def switches(options: Iterable[Option]) -> dict[str, Mapping[str, Any]]:
    """The options that are no conditions but change how those behind them are read: the ones with a ``const``."""
    return {one.flag.lstrip("-"): one.const for one in options if one.action == "select" and one.const is not None}


def selection(
    words: Sequence[tuple[str, str | None]],
    switches: Mapping[str, Mapping[str, Any]],
    make: Callable[[str, str | None, FilterMode], Filter | None],
    mode: FilterMode = FilterMode(),  # noqa: B008 - a tuple: nobody can change it
) -> Selection:
    """Turn the selection options of a command line into a Selection.

    ``make`` asks the plugins for one filter; ``mode`` is what holds for the whole line (``null_separator``,
    ``for_archive``). Raises SelectionError: 71 for a switch at the end, 70 when all switches set what is the default,
    16 for a last condition that cannot exclude; and whatever ``make`` raises.
    """
    if words and words[-1][0] in switches:
        raise SelectionError(f"--{words[-1][0]} is the last selection option and changes nothing", number=71)
    changes = [switches[option] for option, _ in words if option in switches]
    default = FilterMode()
    if changes and all(default._replace(**change) == default for change in changes):
        raise SelectionError("all filter options set what is the default and change nothing", number=70)
    filters: list[Filter] = []
    typed: list[str] = []
    for option, argument in words:
        if option in switches:
            mode = mode._replace(**switches[option])
            continue
        made = make(option, argument, mode)
        if made is None:
            raise BadOption(f"nothing installed answers to --{option}")
        filters.append(made)
        typed.append(f"--{option}" if argument is None else f"--{option} {argument}")
    found = Selection(filters, typed)
    if found.ends_with_include:
        hint = "what no option excludes is included anyway; exclude something behind it"
        raise SelectionError("the last selection option only includes", number=16, hint=hint)
    return found
