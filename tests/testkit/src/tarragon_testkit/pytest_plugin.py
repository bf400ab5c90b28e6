"""What pytest loads by itself: one option, and readable asserts in the contracts. Imports nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest import Parser

_CHECKS = "objects conduct stateful wrapper_contract codec_contract executor_contract filter_contract plugin_contract"
for module in _CHECKS.split():
    pytest.register_assert_rewrite(f"tarragon_testkit.{module}")


def pytest_addoption(parser: Parser) -> None:
    parser.addoption("--backend-url", metavar="URL", help="Run the backend contracts against this store of yours")
