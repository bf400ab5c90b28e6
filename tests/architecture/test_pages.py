"""Completions and the manual page are those that the program's tables make."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "core" / "tools"))

import make_pages


@pytest.mark.parametrize("path", make_pages.MADE, ids=lambda path: path.name)
def test_what_is_made_from_the_tables_is_current(path):
    assert path.read_text(encoding="utf-8") == make_pages.MADE[path](), "run python core/tools/make_pages.py"


def test_every_option_of_the_reference_is_in_them():
    flags = {name for flag in make_pages.flags() for name in flag.flags}
    assert len(flags) > 140
    assert {"--volsize", "-v", "--exclude", "--azure-blob-tier", "--s3-region-name", "--keep-daily", "--json"} <= flags
    assert "--current-time" not in flags
