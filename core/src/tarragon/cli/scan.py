"""The words of a command line → options found, and what is left over (docs/cli.md § 1).

duplicity's grammar is that of Python's argparse in 3.11, with everything optional and nothing positional; it is fixed,
so it is written out here, where a newer Python cannot change it. Nothing is converted: that needs the options' types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)


class Found(NamedTuple):
    """An option on the line. ``flag`` is its whole name."""

    flag: str
    values: tuple[str, ...]


class Word(NamedTuple):
    """A word that is no plain argument. ``flag`` is None for an unknown option and for ``--``."""

    flag: str | None
    explicit: str | None = None


class Grammar:
    """The flags that count and the words each takes.

    A shortened flag means one of ``first`` if it can, else one of ``then``; so what is added to duplicity's options
    never makes a line ambiguous that duplicity understands. Other flags must be written out.
    """

    def __init__(self, takes: Mapping[str, int], first: Iterable[str], then: Iterable[str] = ()) -> None:
        self.takes = takes
        self._tiers = [sorted(flag for flag in tier if flag.startswith("--")) for tier in (first, then)]

    def classify(self, words: Sequence[str]) -> list[Word | None]:
        """What each word is; None is a plain argument. Raises AmbiguousOption."""
        end = words.index("--") if "--" in words else len(words)
        kinds = [self.option(word) for word in words[:end]]
        if end < len(words):
            kinds += [Word(None), *[None] * (len(words) - end - 1)]
        return kinds

    def option(self, word: str) -> Word | None:
        """What one word is. Raises AmbiguousOption."""
        if len(word) < 2 or word[0] != "-":
            return None
        if word in self.takes:
            return Word(word)
        name, equals, value = word.partition("=")
        explicit = value if equals else None
        if equals and name in self.takes:
            return Word(name, explicit)
        if word.startswith("--"):
            if whole := self._whole(name):
                return Word(whole, explicit)
        elif word[:2] in self.takes:
            return Word(word[:2], word[2:])
        return None if _NEGATIVE.fullmatch(word) or " " in word else Word(None)

    def _whole(self, start: str) -> str | None:
        """The flag that begins so. Raises AmbiguousOption when there are several."""
        for flags in self._tiers:
            found = [flag for flag in flags if flag.startswith(start)]
            if len(found) > 1:
                from tarragon.api.errors import AmbiguousOption  # the api costs 20 ms: --version does without

                raise AmbiguousOption(f"{start} is ambiguous: it could be {', '.join(found)}")
            if found:
                return found[0]
        return None


def scan(words: Sequence[str], grammar: Grammar, dashed: Collection[str] = ()) -> tuple[list[Found], list[str]]:
    """Options in the order of the line, and the words left over: positionals and unknown options.

    ``dashed`` are flags whose value may begin with ``-o`` (backupninja writes ``--ssh-options -oIdentityFile=…``).
    Raises BadOption for too few values, or one too many; AmbiguousOption.
    """
    found: list[Found] = []
    return found, scan_into(found, words, grammar, dashed)


def scan_into(found: list[Found], words: Sequence[str], grammar: Grammar, dashed: Collection[str] = ()) -> list[str]:
    """As scan, but what stands in front of a mistake is in ``found`` all the same."""
    kinds = grammar.classify(words)
    rest: list[str] = []
    at = 0
    while at < len(words):
        kind = kinds[at]
        at += 1
        if kind is None or kind.flag is None:
            rest.append(words[at - 1])
        elif kind.explicit is not None:
            found += _with_value(kind.flag, kind.explicit, grammar.takes, words[at - 1])
        else:
            wanted = grammar.takes[kind.flag]
            values = tuple(words[at : at + wanted])
            dash = wanted and kind.flag in dashed
            free = [
                k is None or (dash and k == Word(None) and word.startswith("-o"))
                for k, word in zip(kinds[at : at + wanted], values, strict=True)
            ]
            if len(values) < wanted or not all(free):
                raise _lacking(kind.flag, wanted)
            found.append(Found(kind.flag, values))
            at += wanted
    return rest


def _with_value(flag: str, value: str, takes: Mapping[str, int], word: str) -> list[Found]:
    """``--flag=value``, ``-fvalue``, or several short flags in one word (``-hV``)."""
    wanted = takes[flag]
    if wanted == 1:
        return [Found(flag, (value,))]
    if wanted > 1:
        raise _lacking(flag, wanted)
    short = f"-{value[:1]}"
    if word.startswith("--") or short not in takes:
        raise _bad(f"{flag} takes no value, but has '{value}'")
    if value[1:]:
        return [Found(flag, ()), *_with_value(short, value[1:], takes, word)]
    if takes[short]:
        raise _lacking(short, takes[short])
    return [Found(flag, ()), Found(short, ())]


def _lacking(flag: str, wanted: int) -> Exception:
    if wanted > 1:
        return _bad(f"{flag} needs {wanted} values")
    joined = f"{flag}=-value" if flag.startswith("--") else f"{flag}-value"
    return _bad(f"{flag} needs a value", f"a value that begins with a dash is written {joined}")


def _bad(message: str, hint: str = "") -> Exception:
    from tarragon.api.errors import BadOption  # the api costs 20 ms: --version does without

    return BadOption(message, hint=hint)
