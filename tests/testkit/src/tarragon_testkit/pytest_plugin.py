"""What pytest loads by itself: one option, and readable asserts in the contracts. Imports nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest import Parser

pytest.register_assert_rewrite("tarragon_testkit.contract")


def pytest_addoption(parser: Parser) -> None:
    parser.addoption("--backend-url", metavar="URL", help="Run the backend contracts against this store of yours")
