"""The stores of the kit keep the promises that they say they keep, and no others."""

from __future__ import annotations

import pytest
from tarragon.api import Backend, BackendWrapper, Capability
from tarragon_testkit import (
    BackendContract,
    ColdBackend,
    FaultyBackend,
    LateBackend,
    MemoryBackend,
    SlowBackend,
    WrapperContract,
)


class TestMemoryBackend(BackendContract):
    """The reference keeps every promise."""

    secrets = ("nobody says this",)

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


class TestSlowBackend(TestMemoryBackend):
    many = 30
    examples = 3
    known_failures = {"it_does_not_sleep": "that is what it is for"}

    def connect(self, tmp_path, context):
        return SlowBackend(MemoryBackend(self.objects), 0.001)


class TestLateBackend(TestMemoryBackend):
    """Whoever says how late a store shows changes has its promises checked all the same."""

    settle_s = 5
    many = 30
    known_failures = {
        "stat_tells_of_the_object_itself_and_not_of_one_with_a_longer_name": "stat is a listing, and late",
        "the_digest_is_that_of_the_bytes": "stat is a listing, and late",
        "the_digest_of_a_large_object_is_that_of_its_bytes": "stat is a listing, and late",
    }

    @pytest.fixture(autouse=True)
    def _changes(self):
        self.late = {}

    def connect(self, tmp_path, context):
        return LateBackend(MemoryBackend(self.objects), 2, self.late)


class TestColdBackend(TestMemoryBackend):
    settle_s = 5
    many = 30

    @pytest.fixture(autouse=True)
    def _temperatures(self):
        self.cold = {}

    def connect(self, tmp_path, context):
        return ColdBackend(MemoryBackend(self.objects), 2, self.cold)


class TestWrapperThatDoesNothing(WrapperContract):
    def wrap(self, inner: Backend, context):
        return BackendWrapper(inner)


class TestWrapperAroundAPoorStore(WrapperContract):
    def wrap(self, inner: Backend, context):
        inner.capabilities = Capability.NONE
        return BackendWrapper(inner)
