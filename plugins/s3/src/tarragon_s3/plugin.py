"""s3://, boto3+s3:// — a bucket of Amazon S3, or of a service that speaks its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import BadOption, BadURL, Extension, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) < 10**5:
        raise BadOption(f"'{text}' cannot be used here", hint="a whole number, 1 or more")
    return int(text)


OPTIONS = (
    Option(
        flag="--s3-endpoint-url", metavar="s3_endpoint_url", help="address of the service, where that is not Amazon's"
    ),
    Option(
        flag="--s3-region-name",
        metavar="s3_region_name",
        help="region of the bucket; without it the bucket is asked for its own",
    ),
    Option(
        flag="--s3-unencrypted-connection",
        action="flag",
        help="http instead of https; an endpoint with a scheme of its own keeps that",
    ),
    Option(
        flag="--s3-multipart-chunk-size",
        metavar="number",
        type=_count,
        default=20,
        help="size of the parts of an upload, in MiB; at least 5 are sent",
    ),
    Option(
        flag="--s3-multipart-max-procs",
        metavar="number",
        type=_count,
        default=4,
        help="how many parts at the same time",
    ),
    Option(
        flag="--s3-use-server-side-encryption", action="flag", help="have the service encrypt with a key of its own"
    ),
    Option(
        flag="--s3-use-server-side-kms-encryption",
        action="flag",
        help="have the service encrypt with the key of --s3-kms-key-id",
    ),
    Option(flag="--s3-kms-key-id", metavar="s3_kms_key_id", help="key of the service's key manager"),
    Option(flag="--s3-kms-grant", metavar="s3_kms_grant", help="who gets full control of what is stored with that key"),
)


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def more_hooks() -> Iterable[Extension]:
    from .hooks import S3Hooks

    return [Extension(S3Hooks, "tarragon_s3.extension")]


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme not in ("s3", "boto3+s3"):
        return None
    bucket, prefix = place(url)
    from .connect import opened  # boto3 costs 180 ms

    return opened(bucket, prefix, context)


def place(url: BackendURL) -> tuple[str, str]:
    """Bucket, and what the key of every object begins with: "" or words that each end in a slash."""
    if url.user is not None or url.port is not None:
        raise BadURL(
            f"'{url}' names more than a bucket",
            hint="the address of the service is --s3-endpoint-url, its keys are read from the environment or ~/.aws",
        )
    words = [word for word in f"{url.host or ''}{url.path}".split("/") if word]
    if not words:
        raise BadURL(f"'{url}' names no bucket", hint="it reads s3://bucket/prefix")
    return words[0], "".join(f"{word}/" for word in words[1:])
