"""Selection: all selection options of a command line together, and what each of them says of an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .entry import Entry, Verdict


@runtime_checkable
class Explains(Protocol):
    """A filter that can say more of a verdict than its option does."""

    def why(self, entry: Entry) -> str:
        """Which of its conditions the verdict on ``entry`` came from: "line 3: - *.bak"; empty for nothing to add."""
        ...


class Said(NamedTuple):
    """What one selection option says of an entry; ``why`` is more than its option tells, or empty."""

    option: str
    verdict: Verdict | None
    why: str


class Selection(Protocol):
    """All selection options of a command line together."""

    def verdict(self, entry: Entry) -> Verdict:
        """INCLUDE, EXCLUDE, or for a folder DESCEND: enter it, and store it once something inside is included."""
        ...

    def asked(self, entry: Entry) -> Sequence[Said]:
        """What each option says, in the order in which they are asked, up to the one that decides."""
        ...
