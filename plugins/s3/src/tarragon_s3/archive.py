"""Objects in an archive: which of a bucket's are there, and how they are asked back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .errors import COLD, code_of, status_of, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: The class whose objects the service moves by itself, to an archive too.
_TIERED = "INTELLIGENT_TIERING"
#: Classes whose objects may have to be restored before they can be read.
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE", _TIERED}
#: Answers to a request for what needs none: already asked for, or not in an archive.
_NEEDLESS = {"RestoreAlreadyInProgress", "InvalidObjectState", "ObjectAlreadyInActiveTierError"}
_WIDTH = 4


class Archive:
    """The archived objects below a prefix of a bucket. ``request`` is how to ask for one: boto3's RestoreRequest."""

    def __init__(self, client: Any, bucket: str, prefix: str, request: Mapping[str, Any]) -> None:
        self._client, self._bucket, self._prefix, self._request = client, bucket, prefix, dict(request)

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that cannot be read now: a listing, and a try at each that it shows in an archive's class.

        The class alone is no proof: it stays after a thaw, and many services keep the word and archive nothing.
        """
        wanted = set(names)
        with translated("cannot look for archived objects"):
            found = self._each(wanted & self._suspects() if wanted else (), self._is_frozen)
        return frozenset(name for name, is_frozen in found.items() if is_frozen)

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask for those that are not asked for yet; the names that are still cold."""
        cold = self.cold(names)
        with translated("cannot ask for archived objects"):
            self._each(cold, self._ask)
        return cold

    def _suspects(self) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        begin = len(self._prefix)
        return {
            each["Key"][begin:]
            for page in pages
            for each in page.get("Contents", ())
            if each.get("StorageClass") in _ARCHIVES
        }

    def _each(self, names: Iterable[str], question: Callable[[str], bool]) -> dict[str, bool]:
        names = sorted(names)
        with ThreadPoolExecutor(_WIDTH, "s3-archive") as threads:
            return dict(zip(names, threads.map(question, names), strict=True))

    def _is_frozen(self, name: str) -> bool:
        """Whether not even a byte can be read."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, Range="bytes=0-0")
        except ClientError as err:
            if code_of(err) in COLD:
                return True
            if status_of(err.response) == 416:  # an empty object
                return False
            raise
        answer["Body"].close()
        return False

    def _ask(self, name: str) -> bool:
        """Ask for one, unless that has been done; whether it was asked for now."""
        place = {"Bucket": self._bucket, "Key": self._prefix + name}
        answer = self._client.head_object(**place)
        state = str(answer.get("Restore") or "")
        if 'ongoing-request="true"' in state or (state and not self._is_frozen(name)):  # it came back just now
            return False
        request = dict(self._request)
        if answer.get("StorageClass") == _TIERED:
            request.pop("Days", None)  # what comes back from a tier stays
        try:
            self._client.restore_object(**place, RestoreRequest=request)
        except ClientError as err:
            if code_of(err) not in _NEEDLESS:
                raise
            return False
        return True
