"""The promises of a backend, kept by what is wrapped: around a folder, and around stores that can do less."""

import shutil

import pytest
from tarragon.api import Capability
from tarragon_par2.backend import Par2Backend
from tarragon_testkit import BackendContract, MemoryBackend, WrapperContract

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="the program par2 is not installed")

OPTIONS = {"par2_options": (), "par2_redundancy": 10, "par2_volumes": 1, "file_prefix": ""}


class TestPar2(WrapperContract):
    prefix = "par2"
    options = OPTIONS
    many = 12  # each costs a run of par2


class TestPar2File(BackendContract):
    url = "par2+file://{tmp}/not/yet/there"
    options = OPTIONS
    many = 12  # each costs a run of par2
    small = True
    examples = 3


class _AroundMemory(BackendContract):
    options = OPTIONS
    many = 12
    small = True
    examples = 3
    inner = MemoryBackend.everything

    @pytest.fixture(autouse=True)
    def _objects(self):
        self.objects = {}

    def connect(self, tmp_path, context):
        return Par2Backend(MemoryBackend(self.objects, self.inner), context)


class TestPar2AroundAStoreThatRenames(_AroundMemory):
    """As sftp: a put is seen half done, and made whole by a rename."""

    inner = MemoryBackend.everything & ~Capability.ATOMIC_PUT


class TestPar2AroundTheLeast(_AroundMemory):
    inner = Capability.NONE


del _AroundMemory
