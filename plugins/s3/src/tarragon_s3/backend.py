"""The backend: objects are those of a bucket whose keys are the prefix and a name without a slash."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import ClientError
from tarragon.api import Backend, BackendError, Capability, ObjectInfo, Unsupported

from .errors import code_of, of_answer, status_of, translated
from .streams import BodyReader
from .upload import md5_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from tarragon.api import Role, Source

    from .archive import Archive
    from .upload import Uploader

#: As many names as one request may delete.
_AT_ONCE = 1000
#: What services without that request answer to it.
_NO_BULK = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "InvalidArgument", "MalformedXML"}


class S3Backend(Backend):
    """Objects below ``prefix`` of a bucket. The bucket is never made. Keys with a further slash are not shown.

    ``arguments`` gives what an upload is sent with. With an ``archive`` objects may be cold. ``exclusive`` says that
    the service is known to refuse a conditional put over what is there; put_new() sees for itself all the same.
    """

    def __init__(
        self,
        uploader: Uploader,
        prefix: str,
        arguments: Callable[[Role, str], dict[str, Any]],
        *,
        archive: Archive | None = None,
        exclusive: bool = False,
    ) -> None:
        self._client, self._bucket, self._prefix = uploader.client, uploader.bucket, prefix
        self._uploader, self._arguments, self._archive = uploader, arguments, archive
        self._has_bulk_delete = True
        self.capabilities = (
            Capability.ATOMIC_PUT
            | Capability.RANGES
            | Capability.STAT
            | Capability.SIZES
            | Capability.DIGESTS
            | Capability.BULK_DELETE
            | Capability.THREADS
            | (Capability.COLD if archive else Capability.NONE)
            | (Capability.EXCLUSIVE_PUT if exclusive else Capability.NONE)
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix, Delimiter="/"
        )
        begin = len(self._prefix)
        with translated(f"cannot list bucket '{self._bucket}'"):
            for page in pages:
                for each in page.get("Contents", ()):
                    name = each["Key"][begin:]
                    if name:  # a "folder" made by some web console is an object with the prefix as its key
                        yield ObjectInfo(name, each.get("Size"), _modified(each))

    def put(self, name: str, source: Source, role: Role) -> None:
        self._uploader.put(self._key(name), source, self._arguments(role, name), f"cannot store '{name}'")

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        if Capability.EXCLUSIVE_PUT not in self.capabilities:
            return super().put_new(name, source, role)
        if not self._put_if_absent(name, source, role):
            return False
        if self._put_if_absent(name, source, role):  # a second one must find the first
            raise Unsupported("the service does not heed If-None-Match: it cannot create objects exclusively")
        return True

    def _put_if_absent(self, name: str, source: Source, role: Role) -> bool:
        arguments = self._arguments(role, name) | {"IfNoneMatch": "*"}
        try:
            self._uploader.put_whole(self._key(name), source, arguments, f"cannot store '{name}'")
        except BackendError as err:
            if isinstance(err.__cause__, ClientError) and status_of(err.__cause__.response) == 412:
                return False
            raise
        return True

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        what = f"cannot read '{name}'"
        if stop is not None and stop <= start:
            return io.BytesIO()
        wanted = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        try:
            with translated(what):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name), **wanted)
        except BackendError as err:
            if isinstance(err.__cause__, ClientError) and status_of(err.__cause__.response) == 416:
                return io.BytesIO()
            raise
        # A service that does not know ranges sends everything, and says of no range; its status is no witness (rclone).
        skip = 0 if str(answer.get("ContentRange") or "").startswith(f"bytes {start}-") else start
        most = None if stop is None else stop - start
        return cast("BinaryIO", io.BufferedReader(BodyReader(answer["Body"], what, skip, most), 1 << 16))

    def stat(self, name: str) -> ObjectInfo:
        with translated(f"cannot look at '{name}'"):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
            size = int(answer["ContentLength"])
        # What went up in parts may have an ETag that only looks like an MD5; its parts were compared when put.
        md5 = md5_in(answer) if size <= self._uploader.size_of_parts(size) else None
        return ObjectInfo(name, size, _modified(answer), f"md5:{md5}" if md5 else None)

    def delete(self, name: str) -> None:
        self.stat(name)  # S3 itself deletes what is not there
        with translated(f"cannot delete '{name}'"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def delete_many(self, names: Iterable[str]) -> None:
        left = [*dict.fromkeys(names)]
        while left and self._has_bulk_delete:
            if not self._deleted([self._key(name) for name in left[:_AT_ONCE]]):
                self._has_bulk_delete = False
                break
            left = left[_AT_ONCE:]
        for name in left:
            with translated(f"cannot delete '{name}'"):
                self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _deleted(self, keys: Sequence[str]) -> bool:
        """Delete with one request; False where the service does not know it."""
        what = f"cannot delete {len(keys)} objects"
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            with translated(what):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=wanted)
        except (BackendError, Unsupported) as err:
            if isinstance(err.__cause__, ClientError) and code_of(err.__cause__) in _NO_BULK:
                return False
            raise
        for each in answer.get("Errors", ()):
            if each.get("Code") != "NoSuchKey":
                raise of_answer(ClientError({"Error": each}, "DeleteObjects"), f"cannot delete '{each.get('Key')}'")
        return True

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        return self._archive.cold(names) if self._archive else frozenset()

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        return self._archive.warm_up(names) if self._archive else frozenset()

    def close(self) -> None:
        self._client.close()

    def _key(self, name: str) -> str:
        if not name or "/" in name:
            raise BackendError(f"'{name}' cannot be the name of an object")
        return self._prefix + name


def _modified(answer: Mapping[str, Any]) -> float | None:
    """When an object was stored, where the service tells."""
    when = answer.get("LastModified")
    return float(when.timestamp()) if when is not None else None
