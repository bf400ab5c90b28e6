"""Real servers for tests of S3, each started once; a bucket; and nothing of this machine's own credentials."""

from __future__ import annotations

import os
from secrets import token_hex

import pytest
import s3_places
import servers_environment
from server import running


@pytest.fixture(autouse=True)
def no_machine_role(monkeypatch):
    """boto3 looks for credentials at the address of a cloud's machines, and in a home: there are none in a test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


def _server(name):
    @pytest.fixture(scope="session", name=name)
    def started():
        with running(f"s3-{name}.sh", PATH=servers_environment.path()) as env:
            yield s3_places.Server(name, env)

    return started


moto, rclone, seaweedfs, ministack, radosgw = map(_server, ("moto", "rclone", "seaweedfs", "ministack", "radosgw"))


@pytest.fixture
def bucket(moto):
    """A new bucket at moto."""
    return s3_places.Place(moto, moto.make_bucket(f"b-{token_hex(6)}"))
