"""The backend contract against a store of your own.

``pytest --pyargs tarragon_testkit.own_store --backend-url URL``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .suite import BackendContract
from .wiring import open_url

if TYPE_CHECKING:
    from pathlib import Path

    from tarragon.api import Backend

    from .context import TestContext


class TestOwnStore(BackendContract):
    """What the checks put there, they delete."""

    @pytest.fixture(autouse=True)
    def _wanted(self, request: pytest.FixtureRequest) -> None:
        self._own_url = request.config.getoption("--backend-url")
        if not self._own_url:
            pytest.skip("no --backend-url")

    def connect(self, tmp_path: Path, context: TestContext) -> Backend:
        return open_url(self._own_url, context)
