"""Plain values → TOML. The standard library reads it and does not write it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumped(table: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The lines of a table: an empty one, its head, its values."""
    head = ".".join(map(_key, table))
    return ["", f"[{head}]", *(f"{_key(name)} = {value_of(value)}" for name, value in values.items())]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else value_of(name)


def value_of(value: Any) -> str:
    """One value: a text, a number, a truth, a list, or a table on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {value_of(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_of, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
