from __future__ import annotations

import pytest
from tarragon.api import Capability
from tarragon_testkit import BackendContract, FaultyBackend, MemoryBackend


class TestMemoryBackend(BackendContract):
    """The reference keeps every promise."""

    @pytest.fixture(autouse=True)
    def _store(self):
        self.objects = {}

    def connect(self, tmp_path, context):
        return MemoryBackend(self.objects)


class TestMemoryBackendWithoutCapabilities(TestMemoryBackend):
    def connect(self, tmp_path, context):
        return MemoryBackend(self.objects, Capability.NONE)


class TestFaultyBackendWithoutFaults(TestMemoryBackend):
    def connect(self, tmp_path, context):
        return FaultyBackend(MemoryBackend(self.objects))
