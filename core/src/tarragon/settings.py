"""Settings: what one command line asks for, as plain data.

A leaf: cli makes it, run and the workers read it, and it can be pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tarragon.api.options import Option


class Options:
    """Option values by attribute: ``options.volsize``.

    ``options.action`` is the action word. ``owners`` says which package an option belongs to that is known but not in
    use; asking for it names that package.
    """

    __slots__ = ("_owners", "_values")

    _values: Mapping[str, Any]
    _owners: Mapping[str, str]

    def __init__(self, values: Mapping[str, Any], owners: Mapping[str, str] | None = None) -> None:
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_owners", dict(owners or {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            pass
        if name in self._owners:
            flag = "--" + name.replace("_", "-")
            raise AttributeError(f"{flag} belongs to {self._owners[name]}, which is not in use")
        raise AttributeError(f"there is no option '{name}'")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"options are read-only: '{name}'")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __reduce__(self) -> tuple[type[Options], tuple[Mapping[str, Any], Mapping[str, str]]]:
        return Options, (self._values, self._owners)

    def replaced(self, **values: Any) -> Options:
        """The same options with some values changed: for the core's own actions and for tests."""
        return Options({**self._values, **values}, self._owners)


def defaults(options: Iterable[Option]) -> dict[str, Any]:
    """What each setting is when no flag sets it. A flag that says nothing of it is off, ``--no-x`` leaves x on."""
    values: dict[str, Any] = {}
    for option in options:
        if option.action == "select" or values.get(option.name) is not None:
            continue
        default = option.default
        if default is None and option.action == "append":
            default = ()
        if default is None and option.action == "flag" and option.const in (None, True, False):
            default = option.const is False
        values[option.name] = default
    return values


@dataclass(frozen=True)
class Settings:
    """A command line that was understood.

    ``action`` is duplicity's full word for it, or the action word of a plugin. ``source`` is the path as typed: what to
    back up, or where to restore to or compare with. ``words`` are the other positionals: a time, a count, the words of
    a plugin's command. ``selection`` are the selection options in command line order, names without dashes.
    ``now`` is read once (``--current-time``); ``compat`` asks for duplicity's exit statuses.
    """

    action: str
    source: bytes | None
    url: str | None
    words: tuple[str, ...]
    options: Options
    selection: tuple[tuple[str, str | None], ...]
    now: int
    prog: str = "tarragon"
    compat: bool = False

    @property
    def target(self) -> bytes | None:
        """``source`` under its other name, for restore and verify."""
        return self.source
