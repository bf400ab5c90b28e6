"""What a mistyped option may have meant."""

from __future__ import annotations

import difflib

from tarragon.plugin.known import OPTIONS


def closest(word: str) -> str:
    """A hint for an option that does not exist, or an empty string."""
    found = difflib.get_close_matches(word.partition("=")[0], OPTIONS, n=1, cutoff=0.75)
    return f"did you mean {found[0]}?" if found else "--help shows all options"
