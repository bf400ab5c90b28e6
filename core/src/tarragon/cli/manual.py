"""What the actions do, in words: for help pages, shell completion and the manual page."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class About(NamedTuple):
    """One action: a line, a paragraph, the options that matter most, and examples."""

    line: str
    text: str
    options: tuple[str, ...]
    examples: str


def manual(prog: str = "tarragon") -> dict[str, About]:
    """Action → what it does."""
    text = Path(__file__).with_name("manual.txt").read_text(encoding="utf-8").replace("{prog}", prog)
    found = {}
    for section in text.split("\n== ")[1:]:
        action, line, rest = section.split("\n", 2)
        words, options = rest.split("\noptions: ", 1)
        flags, _, examples = options.partition("\n")
        found[action] = About(line, words.strip(), tuple(flags.split()), examples.rstrip())
    return found
