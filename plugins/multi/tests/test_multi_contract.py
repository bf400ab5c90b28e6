"""The promises of a backend, kept by several stores as one, over rich stores and over poor ones."""

import json

import pytest
from tarragon.api import Capability
from tarragon_multi.mirror import MirrorBackend
from tarragon_multi.part import Part
from tarragon_multi.stripe import StripeBackend
from tarragon_testkit import BackendContract, ColdBackend, MemoryBackend, TestContext, open_url

EVERYTHING = MemoryBackend.everything


class _OverFolders(BackendContract):
    many = 100
    query = ""

    @pytest.fixture
    def context(self, tmp_path):
        context = TestContext({"num_retries": 1}, tempdir=tmp_path, open=lambda url: open_url(url, context))
        return context

    def connect(self, tmp_path, context):
        parts = [{"url": f"file://{tmp_path}/part{number}"} for number in range(3)]
        (tmp_path / "config.json").write_text(json.dumps(parts))
        return open_url(f"multi://{tmp_path}/config.json{self.query}", context)


class TestStripesOverFolders(_OverFolders):
    pass


class TestMirrorsOverFolders(_OverFolders):
    query = "?mode=mirror&onfail=abort"


class _OverMemory(BackendContract):
    many = 100
    kind = StripeBackend
    claims = (EVERYTHING, EVERYTHING)
    may_lack = True

    @pytest.fixture(autouse=True)
    def _stores(self):
        self.stores = [{} for _ in self.claims]

    def connect(self, tmp_path, context):
        parts = [Part(number, f"part {number}", (), self.part(number)) for number in range(len(self.claims))]
        return self.kind(parts, context, may_lack=self.may_lack)

    def part(self, number):
        return MemoryBackend(self.stores[number], self.claims[number])


class TestStripesOverAPoorAndARichStore(_OverMemory):
    claims = (Capability.NONE, EVERYTHING)


class TestStripesOverStoresThatRename(_OverMemory):
    claims = (EVERYTHING & ~Capability.ATOMIC_PUT, EVERYTHING)
    may_lack = False


class TestMirrorsOverAPoorAndARichStore(_OverMemory):
    kind = MirrorBackend
    claims = (Capability.NONE, EVERYTHING)


class TestMirrorsOverTheRichest(_OverMemory):
    kind = MirrorBackend


class _OverColdStores(_OverMemory):
    @pytest.fixture(autouse=True)
    def _colds(self):
        self.colds = [{} for _ in self.claims]

    def part(self, number):
        return ColdBackend(super().part(number), 1, self.colds[number])


class TestStripesOverColdStores(_OverColdStores):
    pass


class TestMirrorsOverColdStores(_OverColdStores):
    kind = MirrorBackend


del _OverFolders, _OverMemory, _OverColdStores
