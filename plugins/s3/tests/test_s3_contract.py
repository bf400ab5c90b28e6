import os
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


class TestRclone(_OnServer):
    server = "rclone"


@pytest.mark.slow
class TestSeaweedfs(_OnServer):
    server = "seaweedfs"
    many = 30  # pages are tried with another


#: The rest takes minutes, and is for changes of this package.
_all_servers = pytest.mark.skipif(not os.environ.get("TARRAGON_ALL_SERVERS"), reason="TARRAGON_ALL_SERVERS is not set")


@pytest.mark.slow
@_all_servers
class TestMoto(_OnServer):
    server = "moto"
    many = 30


@pytest.mark.slow
@_all_servers
class TestMinistack(_OnServer):
    server = "ministack"


@pytest.mark.slow
@_all_servers
class TestRadosgw(_OnServer):
    server = "radosgw"
    many = 30
