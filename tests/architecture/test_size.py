"""The line is held: the core stays small, and so do its modules and functions (docs/adr)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core" / "src" / "tarragon"
MODULES = sorted(CORE.rglob("*.py"))
MOST_LINES_OF_CODE = 11100  # docs/adr/0008
MOST_LINES_OF_A_MODULE = 400
MOST_LINES_OF_A_FUNCTION = 50


def lines(path):
    return path.read_bytes().count(b"\n")


def too_long(source):
    """Functions beyond the limit, docstring, decorators and all."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{node.name}: {length}")
    return found


def test_all_modules_are_looked_at():
    assert len(MODULES) > 50


def lines_of_code(source):
    """Lines that are neither blank nor comment nor part of a docstring."""
    spoken = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            spoken.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    code = (line.strip() for number, line in enumerate(source.splitlines(), 1) if number not in spoken)
    return sum(1 for line in code if line and not line.startswith("#"))


def test_the_core_is_small():
    total = sum(lines_of_code(path.read_text(encoding="utf-8")) for path in MODULES)
    assert total <= MOST_LINES_OF_CODE, f"{total} lines of code"


def test_docstrings_and_comments_do_not_count():
    assert lines_of_code('"""A\nB"""\n\n# c\nx = 1\n') == 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_is_small_and_so_are_its_functions(module):
    assert lines(module) <= MOST_LINES_OF_A_MODULE
    assert too_long(module.read_bytes()) == []


def test_a_long_function_would_be_noticed():
    body = "    pass\n" * 50
    assert too_long(f"def f():\n{body}") == ["f: 51"]
    assert too_long(f"def f():\n{body[:-9]}") == []
