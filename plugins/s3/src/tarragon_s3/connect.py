"""From a bucket's name to a backend: credentials, address, region, and what a client of boto3 must not do by itself.

boto3 neither retries (the core does), nor follows redirects (credentials stay with the host that the user named), nor
sends checksums that a service may not know.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import EnvProvider
from botocore.exceptions import ClientError
from tarragon.api import BackendError, BadOption, Role

from .archive import Archive
from .backend import S3Backend
from .errors import headers_of, of_answer, status_of, translated
from .streams import base64, goes_out
from .upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tarragon.api import Context

_REGION = re.compile(r"[a-z0-9-]{1,63}")
#: Settings of boto3 by the variables that set them.
_VARIABLES = {
    "config_file": ("AWS_CONFIG_FILE",),
    "credentials_file": ("AWS_SHARED_CREDENTIALS_FILE",),
    "ca_bundle": ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    "region": ("AWS_DEFAULT_REGION",),
    "profile": ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
}


def opened(bucket: str, prefix: str, context: Context) -> S3Backend:
    """Connect, and find out the bucket's region unless the user has named it.

    Raises NotFound without the bucket, PermissionDenied for credentials that the service refuses, BadOption.
    """
    options = context.options
    encryption = server_side_encryption(options)
    with translated(f"cannot open bucket '{bucket}'"):
        clients = _Clients(context)
        client = _located(clients, bucket, prefix, options.s3_region_name)

    def arguments(role: Role, name: str) -> dict[str, Any]:
        found = dict(encryption)
        answers = _asked(context.hook, "s3_put_arguments", role=role, name=name, context=context) or ()
        for more in reversed(answers):  # pluggy asks the one that came last first
            found.update(more)
        return found

    request = _asked(context.hook, "s3_restore_request", context=context)
    return S3Backend(
        Uploader(client, bucket, options.s3_multipart_chunk_size << 20, options.s3_multipart_max_procs),
        prefix,
        arguments,
        archive=Archive(client, bucket, prefix, request) if request is not None else None,
        exclusive=clients.endpoint is None,
    )


def _asked(relay: Any, hook: str, **arguments: Any) -> Any:
    """What extensions say. A context without a hub (the testkit's) has none."""
    question = getattr(relay, hook, None)
    return question(**arguments) if question is not None else None


def server_side_encryption(options: Any) -> dict[str, Any]:
    """What the options on encryption by the service add to every upload. Raises BackendError without a key."""
    if options.s3_use_server_side_encryption:
        return {"ServerSideEncryption": "AES256"}
    if not options.s3_use_server_side_kms_encryption:
        return {}
    if not options.s3_kms_key_id:
        # No UserError: duplicity ends with 50 here (docs/cli.md § 9).
        raise BackendError("--s3-use-server-side-kms-encryption needs a key", hint="name it with --s3-kms-key-id")
    found = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.s3_kms_key_id}
    return found | ({"GrantFullControl": options.s3_kms_grant} if options.s3_kms_grant else {})


def endpoint(options: Any, env: Mapping[str, str]) -> str | None:
    """The address of the service; None for Amazon's own, or what ~/.aws/config says. Raises BadOption."""
    given: str | None = options.s3_endpoint_url
    if not given and env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        given = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    if not given:
        return None
    if "://" not in given:
        given = f"{'http' if options.s3_unencrypted_connection else 'https'}://{given}"
    if not _is_address(given):
        raise BadOption("the address of the S3 service cannot be used", hint="it reads https://host:port")
    return given


def _is_address(text: str) -> bool:
    """Whether this names a host, perhaps a port and a path, and nothing else: no user and no key, above all."""
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return named and parts.scheme in ("http", "https") and not (parts.username or parts.query or parts.fragment)


class _Clients:
    """Makes clients of boto3 for one run, each for a region."""

    def __init__(self, context: Context) -> None:
        self.endpoint = endpoint(context.options, context.env)
        self._options = context.options
        self._core = _session(context.env)
        self._session = boto3.session.Session(botocore_session=self._core)

    def make(self, region: str | None) -> Any:
        style = (self._core.get_scoped_config().get("s3") or {}).get("addressing_style")
        client = self._session.client(
            "s3",
            region_name=region or self._session.region_name or "us-east-1",
            endpoint_url=self.endpoint,
            use_ssl=not self._options.s3_unencrypted_connection,
            config=Config(
                signature_version="s3v4",
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=self._options.timeout,
                read_timeout=self._options.timeout,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                max_pool_connections=4 * max(4, self._options.s3_multipart_max_procs),
                s3={"addressing_style": "path"} if self.endpoint and not style else {},
            ),
        )
        client.meta.events.register("before-call.s3", _stay_here)
        client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
        client.meta.events.register("before-send.s3", goes_out)
        return client


def _session(env: Mapping[str, str]) -> Any:
    """A session that takes settings and keys from the environment of this run, not of this process."""
    core = botocore.session.Session()
    for setting, variables in _VARIABLES.items():
        value = next((env[name] for name in variables if env.get(name)), None)
        if value is not None:
            core.set_config_variable(setting, value)
    chain = core.get_component("credential_provider")
    chain.providers = [each for each in chain.providers if not isinstance(each, EnvProvider)]
    chain.providers.insert(0, EnvProvider(environ=dict(env)))
    return core


def _stay_here(params: dict[str, Any], **_: Any) -> None:
    """Keep boto3 from following the service's redirects to hosts that nobody named."""
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Services that do not know the newer checksums want the MD5 of a list of names."""
    body = params["body"]
    body = body if isinstance(body, bytes) else str(body).encode()
    params["headers"]["Content-MD5"] = base64(hashlib.md5(body, usedforsecurity=False).digest())


def _located(clients: _Clients, bucket: str, prefix: str, region: str | None) -> Any:
    """A client for the region in which the bucket says it is."""
    client = clients.make(region)
    try:
        status, named = _region_of(client, bucket)
        if named and not region and named != client.meta.region_name:
            client.close()
            client = clients.make(named)
            status, _ = _region_of(client, bucket)
        if status != 200:
            client = _tried(clients, client, bucket, prefix, region)
    except BaseException:
        client.close()
        raise
    return client


def _region_of(client: Any, bucket: str) -> tuple[int, str | None]:
    """HTTP status of a question about the bucket, and the region that the answer names."""
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as err:
        answer = err.response
    region = headers_of(answer).get("x-amz-bucket-region", "")
    return status_of(answer), region if _REGION.fullmatch(region) else None


def _tried(clients: _Clients, client: Any, bucket: str, prefix: str, region: str | None) -> Any:
    """A client that may list, though HEAD was refused: an answer to that has no body, and so no reason."""
    try:
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as err:
        named = str(err.response.get("Error", {}).get("Region", ""))
        if region or not _REGION.fullmatch(named) or named == client.meta.region_name:
            raise of_answer(err, f"cannot open bucket '{bucket}'") from err
        client.close()
        client = clients.make(named)
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return client
