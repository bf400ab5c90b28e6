"""A server of S3, a bucket there, and backends opened on it as the core opens them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from tarragon.api import Backend, parse_url
from tarragon.plugin.hub import Hub
from tarragon_s3 import plugin
from tarragon_testkit import TestContext

DEFAULTS = {option.name: False if option.action == "flag" else option.default for option in plugin.OPTIONS}


class Server:
    """A started server; ``env`` is what its script tells: endpoint, keys, region."""

    def __init__(self, name: str, env: Any) -> None:
        self.name = name
        self.env = {key: env[key] for key in env if key.startswith("AWS_")}
        self.more = dict(env)
        self.url = self.env["AWS_ENDPOINT_URL"]
        self.port = urlsplit(self.url).port or 80

    def client(self) -> Any:
        """A plain client of boto3, to look behind the backend's back."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def make_bucket(self, name: str, region: str = "") -> str:
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region else {}
        self.client().create_bucket(Bucket=name, **where)
        return name

    def context(self, env: dict[str, str] | None = None, hook: Any = None, **options: Any) -> TestContext:
        """A run's context for this server; ``hook`` defaults to a hub in which s3 is used, extensions and all."""
        if hook is None:
            hub = Hub()
            hub.use("backend", "s3")
            hook = hub.hook
        return TestContext(DEFAULTS | {"timeout": 20} | options, self.env | (env or {}), hook=hook)


@dataclass
class Place:
    """A bucket of a server."""

    server: Server
    bucket: str
    prefix: str = ""
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def open(self, url: str = "", *, env: dict[str, str] | None = None, hook: Any = None, **options: Any) -> Backend:
        context = self.server.context(self.env | (env or {}), hook, **options)
        backend = plugin.open_backend(parse_url(url or self.url, {"s3", "boto3+s3"}), context)
        assert backend is not None
        return backend

    def keys(self) -> list[str]:
        """Every key of the bucket, as another client sees it."""
        answer = self.server.client().list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in answer.get("Contents", ())]

    def head(self, key: str) -> Any:
        return self.server.client().head_object(Bucket=self.bucket, Key=key)
