"""One pattern of a selection, in any of the three syntaxes: what it says of a path.

Paths here are whole (source as typed plus what is below), decoded as the file system does it: names that are not
UTF-8 keep their bytes as surrogates, and case folds beyond ASCII.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tarragon.api import SelectionError, Verdict

from .glob import One, matcher, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tarragon.api import FilterMode

    from .glob import Token

_IGNORE_CASE = "ignorecase:"


class Pattern(Protocol):
    """One pattern that includes or excludes."""

    @property
    def verdict(self) -> Verdict: ...

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        """What it says of ``path``. DESCEND is also said of things that turn out to be no folder."""
        ...


class Literal(NamedTuple):
    """A path, everything below it and, when it includes, the folders above it."""

    path: str
    above: frozenset[str]
    verdict: Verdict

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        if path.startswith(self.path) and (len(path) == len(self.path) or path[len(self.path)] == "/"):
            return self.verdict
        return Verdict.DESCEND if path in self.above else None


class Folded(NamedTuple):
    """A Literal that ignores case."""

    folded: Literal
    verdict: Verdict

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        return self.folded(path.casefold(), is_folder)


class Glob(NamedTuple):
    """A glob. ``exact`` is there for one with a slash at its end: what it matches must be a folder.

    ``head`` is how everything begins that it matches: the cheapest test, and mostly the last.
    """

    head: str
    matches: Callable[[str], object]
    exact: Callable[[str], object] | None
    leads: Sequence[Callable[[str], object]]
    above: frozenset[str]
    verdict: Verdict

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        if path.startswith(self.head) and self.matches(path):
            is_no_match = self.exact is not None and not is_folder and self.exact(path)
            return None if is_no_match else self.verdict
        if path in self.above or any(leads(path) for leads in self.leads):
            return Verdict.DESCEND
        return None


class Regexp(NamedTuple):
    """A regular expression, found anywhere in the path."""

    search: Callable[[str], object]
    verdict: Verdict

    def __call__(self, path: str, is_folder: bool) -> Verdict | None:
        return self.verdict if self.search(path) else None


def pattern(text: str, mode: FilterMode, verdict: Verdict, root: str | None) -> Pattern:
    """Read a pattern. ``root`` is the path of the source, None when paths are those within an archive.

    Raises SelectionError: 14 when it can match neither the source nor anything below it, 15 for ``//``.
    """
    if mode.syntax == "regexp":
        return regexp(text, mode, verdict)
    if root is None:
        text = _within_archive(text, mode)
    found = _literal(text, mode, verdict) if mode.syntax == "literal" else _glob(text, mode, verdict)
    if root is not None:
        # What could match below the root shows only in the folders that an include would look into.
        probe = _literal if mode.syntax == "literal" else _glob
        if probe(text, mode, Verdict.INCLUDE)(root, True) is None:
            raise SelectionError(
                f"'{text}' cannot match anything below '{root}'",
                number=14,
                hint="patterns begin with the source as given, or with '**'",
            )
    return found


def regexp(text: str, mode: FilterMode, verdict: Verdict) -> Regexp:
    """Read a regular expression. Raises SelectionError."""
    try:
        return Regexp(re.compile(text, re.IGNORECASE if mode.ignore_case else 0).search, verdict)
    except (re.error, OverflowError, RecursionError) as err:
        message = f"the regular expression '{text}' is bad: {err}"
        raise SelectionError(message, number=30, fields=("error",)) from err  # the class word of duplicity


def _within_archive(text: str, mode: FilterMode) -> str:
    prefix, rest = ("", text)
    if mode.syntax == "glob":
        prefix, rest = _case(text)
    while rest.startswith("./"):
        rest = rest[2:]
    if rest.startswith("/") or any(part in (".", "..") for part in rest.split("/")):
        raise SelectionError(
            f"'{text}' cannot match anything in the archive",
            number=14,
            hint="patterns are relative to the root of the backup, as list-current-files shows it",
        )
    return prefix + rest


def _case(text: str) -> tuple[str, str]:
    """Split off ``ignorecase:``."""
    length = len(_IGNORE_CASE)
    return (text[:length], text[length:]) if text[:length].lower() == _IGNORE_CASE else ("", text)


def _literal(text: str, mode: FilterMode, verdict: Verdict) -> Pattern:
    text = text.removesuffix("/") or text
    if mode.ignore_case:
        text = text.casefold()
    above = frozenset(_above(text)) if verdict is Verdict.INCLUDE else frozenset[str]()
    found = Literal(text, above, verdict)
    return Folded(found, verdict) if mode.ignore_case else found


def _above(path: str) -> list[str]:
    """The folders on the way to ``path``."""
    parts = path.split("/")
    return ["/".join(parts[:count]) or "/" for count in range(1, len(parts))]


def _glob(text: str, mode: FilterMode, verdict: Verdict) -> Pattern:
    prefix, glob = _case(text)
    ignore_case = mode.ignore_case or bool(prefix)
    if not glob:
        raise SelectionError(f"the pattern '{text}' is empty", number=15)
    if glob == "/":
        return Glob("/", lambda path: True, None, (), frozenset(), verdict)
    folders_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    if "//" in glob:
        raise SelectionError(f"'//' in the pattern '{text}' can match nothing", number=15)
    parts = tokens(glob)
    above, leads = _leading(glob, ignore_case) if verdict is Verdict.INCLUDE else (frozenset[str](), ())
    if not ignore_case and not folders_only and (plain := _plain(parts)) is not None:
        return Literal(plain, above, verdict)
    return Glob(
        "" if ignore_case else glob[: min((glob.find(char) for char in "*?[" if char in glob), default=None)],
        matcher(parts, below=True, ignore_case=ignore_case),
        matcher(parts, below=False, ignore_case=ignore_case) if folders_only else None,
        leads,
        above,
        verdict,
    )


def _leading(glob: str, ignore_case: bool) -> tuple[frozenset[str], Sequence[Callable[[str], object]]]:
    """The folders that can lead to a match: by name as far as the glob is plain, then by the leading parts of it.

    Parts are cut at every slash, even at one inside a class, and end with the first ``**``.
    """
    found: list[str] = []
    names = glob.split("/")
    for count, name in enumerate(names):
        head, deep, rest = name.partition("**")
        if deep:
            if count < len(names) - 1 or rest.strip("*"):
                found.append("/".join([*names[:count], head + "**"]))
            break
        if count < len(names) - 1:
            found.append("/".join(names[: count + 1]) or "/")
    above: set[str] = set()
    leads: list[Callable[[str], object]] = []
    for part in found:
        parts = tokens(part)
        plain = None if ignore_case else _plain(parts)
        if plain is None:
            leads.append(matcher(parts, below=False, ignore_case=ignore_case))
        else:
            above.add(plain)
    return frozenset(above), tuple(leads)


def _plain(parts: Sequence[Token]) -> str | None:
    """The only path that the parts take; None when they take several."""
    found = ""
    for part in parts:
        if not isinstance(part, One) or part.plain is None:
            return None
        found += part.plain
    return found
