"""Option: one flag of the command line, as data. Secret: a string that cannot be printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


class Secret:
    """A passphrase or key. Prints as ``***`` in any format; ``reveal()`` is the only way to the characters."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The characters themselves: for a pipe, never for a message, an argument or an environment."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One flag: what argparse needs, what the documentation shows, and who is to be told of it.

    ``action`` "select" becomes a filter and keeps its place in line. ``env`` names a variable that gives the value
    when the flag is not on the line. ``secret`` values are never logged. ``nargs`` counts the words a flag takes.
    """

    flag: str
    help: str
    metavar: str | None = None
    type: Callable[[str], Any] = str
    default: Any = None
    action: Literal["store", "flag", "append", "select"] = "store"
    nargs: int = 1
    const: Any = None
    dest: str | None = None
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    env: str | None = None
    secret: bool = False
    deprecated: str | None = None
    hidden: bool = False

    @property
    def name(self) -> str:
        """The attribute under which the value is found in ``context.options``."""
        return self.dest or self.flag.lstrip("-").replace("-", "_")
