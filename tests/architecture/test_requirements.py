"""Every requirement that holds from the first line has a marked test, and the page says which."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("requirement_table", Path(__file__).with_name("requirement_table.py"))
assert _spec and _spec.loader
table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(table)

#: Named at the head of docs/requirements.md.
FROM_THE_FIRST_LINE = [1, 2, 3, 4, 5, 7, 8, 12, 21, 22, 25, 26, 29, *range(36, 43), 48, 62, 63]


def test_what_holds_from_the_first_line_has_a_test() -> None:
    found = table.marks()
    assert [number for number in FROM_THE_FIRST_LINE if f"R{number}" not in found] == []


def test_the_page_names_the_tests_that_there_are() -> None:
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.page(text) == text, "run: python tests/architecture/requirement_table.py"
