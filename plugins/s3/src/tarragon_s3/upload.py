"""One object on its way to the bucket: in one request, or in parts that travel side by side.

Every request carries the MD5 of its bytes, which every service knows and compares; that of each part is compared once
more with the service's answer. The newer checksums are left alone: many services refuse them, or store them as data.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from tarragon.api import BackendError, ValidationFailed

from .errors import translated
from .streams import Part, base64, md5_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tarragon.api import Source

#: What the protocol allows: no part but the last may be smaller, and no upload has more of them.
LEAST_PART, MOST_PARTS = 5 << 20, 10_000
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Uploader:
    """How objects go to one bucket: ``part_size`` is wished for, ``width`` parts go at the same time."""

    client: Any
    bucket: str
    part_size: int
    width: int

    def put(self, key: str, source: Source, arguments: Mapping[str, Any], what: str) -> None:
        """Store ``source`` as ``key``: all of it or nothing."""
        size = self.size_of_parts(source.size)
        if source.size > size:
            with source.as_file() as path:
                _Parts(self, key, source, path, size, what).put(arguments)
        else:
            self.put_whole(key, source, arguments, what)

    def size_of_parts(self, size: int) -> int:
        return max(self.part_size, LEAST_PART, -(-size // MOST_PARTS))

    def put_whole(self, key: str, source: Source, arguments: Mapping[str, Any], what: str) -> None:
        """Store ``source`` with one request."""
        words = {"Bucket": self.bucket, "Key": key, **arguments}
        with source.as_file() as path:
            words["ContentMD5"] = base64(md5_of(path, 0, source.size))
            with closing(Part(source, path, 0, source.size)) as body, translated(what):
                self._sent(body, lambda: self.client.put_object(Body=body, ContentLength=body.size, **words))

    @staticmethod
    def _sent(body: Part, send: Any) -> Any:
        """What the service answers. An error of the source is raised as it was, not as boto3 sees it."""
        try:
            return send()
        except (BotoCoreError, ClientError):
            if body.failed is not None:
                raise body.failed from None
            raise


class _Parts:
    """An upload in parts."""

    def __init__(self, uploader: Uploader, key: str, source: Source, path: Path, size: int, what: str) -> None:
        self._client, self._width = uploader.client, uploader.width
        self._sent = uploader._sent
        self._source, self._path, self._size, self._what = source, path, size, what
        self._place: dict[str, Any] = {"Bucket": uploader.bucket, "Key": key}

    def put(self, arguments: Mapping[str, Any]) -> None:
        with translated(self._what):
            begun = self._client.create_multipart_upload(**self._place, **arguments)
        self._place["UploadId"] = begun["UploadId"]
        try:
            parts = self._put_all()
            with translated(self._what):
                self._client.complete_multipart_upload(**self._place, MultipartUpload={"Parts": parts})
        except BaseException:
            # Parts that nobody completes cost money for ever. If this fails too, the first error is the one to tell.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._place)
            raise

    def _put_all(self) -> list[dict[str, Any]]:
        """Every part, in order. The first that fails ends it; those under way are waited for."""
        count = -(-self._source.size // self._size)
        with ThreadPoolExecutor(min(self._width, count), "s3-part") as threads:
            under_way = [threads.submit(self._put_one, number) for number in range(count)]
            try:
                return [each.result() for each in under_way]
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise

    def _put_one(self, number: int) -> dict[str, Any]:
        start = number * self._size
        size = min(self._size, self._source.size - start)
        digest = md5_of(self._path, start, size)
        with closing(Part(self._source, self._path, start, size)) as body, translated(self._what):
            answer = self._sent(
                body,
                lambda: self._client.upload_part(
                    **self._place, PartNumber=number + 1, Body=body, ContentLength=size, ContentMD5=base64(digest)
                ),
            )
        if md5_in(answer) not in (None, digest.hex()):
            raise ValidationFailed(f"{self._what}: part {number + 1} has another MD5 sum at the target")
        if not answer.get("ETag"):
            raise BackendError(f"{self._what}: the service gave part {number + 1} no ETag")
        return {"PartNumber": number + 1, "ETag": answer["ETag"]}


def md5_in(answer: Mapping[str, Any]) -> str | None:
    """The MD5 that an ETag holds; None where it holds something else.

    It is something else for objects in parts, and where the service encrypts with a key manager's or the user's key.
    """
    etag = str(answer.get("ETag") or "").strip('"').lower()
    encryption = answer.get("ServerSideEncryption") or "AES256"
    if encryption != "AES256" or answer.get("SSECustomerAlgorithm") or answer.get("StorageClass") == "EXPRESS_ONEZONE":
        return None
    return etag if _MD5.fullmatch(etag) else None
