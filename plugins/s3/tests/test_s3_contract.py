from secrets import token_hex

import pytest
from s3_places import Place
from tarragon_testkit import BackendContract


class _OnServer(BackendContract):
    """The contract, in a new prefix of a bucket of one server for each promise."""

    @pytest.fixture
    def place(self, request):
        server = request.getfixturevalue(self.server)
        if not hasattr(server, "contract_bucket"):
            server.contract_bucket = server.make_bucket("contract")
        return Place(server, server.contract_bucket, token_hex(6))

    @pytest.fixture
    def context(self, place):
        return place

    def connect(self, tmp_path, context):
        return context.open()


class TestMoto(_OnServer):
    server = "moto"


class TestRclone(_OnServer):
    server = "rclone"


class TestSeaweedfs(_OnServer):
    server = "seaweedfs"


class TestMinistack(_OnServer):
    server = "ministack"


class TestRadosgw(_OnServer):
    server = "radosgw"
