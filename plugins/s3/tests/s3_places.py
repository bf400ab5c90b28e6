"""A server of S3, a bucket there, and backends opened on it as the core opens them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from programs import Answer, Household, Program
from tarragon.api import Backend, parse_url
from tarragon.plugin.hub import Hub
from tarragon.settings import defaults
from tarragon_s3 import plugin
from tarragon_testkit import TestContext


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
        hub = Hub()
        hub.use("backend", "s3")
        values = defaults(hub.collect("options")) | {"timeout": 20} | options
        return TestContext(values, self.env | (env or {}), hook=hub.hook if hook is None else hook)


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

    def stored(self) -> list[str]:
        """Every key of the bucket, as another client sees it."""
        answer = self.server.client().list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in answer.get("Contents", ())]

    def head(self, key: str) -> Any:
        return self.server.client().head_object(Bucket=self.bucket, Key=key)


class Lines:
    """Command lines of a home that work on one place; ``url`` of a proxy may stand before the server."""

    def __init__(self, home: Household, program: Program, place: Place, endpoint: str = "") -> None:
        self.home, self.program, self.place = home, program, place
        self.endpoint = endpoint or place.server.url
        self.source = home.folder / "source"
        self.source.mkdir(exist_ok=True)
        self.out = home.folder / "out"

    def run(self, action: str, *words: Any, program: Program | None = None, **more: Any) -> Answer:
        """One action without encryption; tries quickly where it tries again."""
        quick = ("--no-encryption", "--num-retries", "4", "--backend-retry-delay", "1")
        keys = {key: value for key, value in self.place.server.env.items() if key != "AWS_ENDPOINT_URL"}
        env = {**keys, "AWS_EC2_METADATA_DISABLED": "true", **self.place.env}
        options = (*quick, "--s3-endpoint-url", self.endpoint)
        return self.home.run(program or self.program, action, *options, *words, env=env, **more)

    def done(self, action: str, *words: Any, **more: Any) -> Answer:
        """The same, which must end well."""
        answer = self.run(action, *words, **more)
        assert answer.status == 0, str(answer)
        return answer

    def restored(self, *options: Any, **more: Any) -> dict[str, bytes]:
        """What a restore into an empty folder gives, file by file."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.done("restore", *options, self.place.url, self.out, **more)
        return files(self.out)


def files(folder: Path) -> dict[str, bytes]:
    """Content by path of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
