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

    def known_secrets(self):
        return ["SKTEST0123456789", "testtest"]

    def connect(self, tmp_path, context):
        return context.open(s3_multipart_chunk_size=5)  # so that what is large goes in parts


class TestMoto(_OnServer):
    server = "moto"
    many = 30  # it is slow; pages are tried with others


class TestRclone(_OnServer):
    server = "rclone"


@pytest.mark.slow
class TestSeaweedfs(_OnServer):
    server = "seaweedfs"
    many = 30


@pytest.mark.slow
class TestMinistack(_OnServer):
    server = "ministack"


@pytest.mark.slow
class TestRadosgw(_OnServer):
    server = "radosgw"
    many = 30
