"""Objects in an archive: which of a bucket's are there, and how they are asked back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .errors import code_of, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Classes whose objects cannot be read before they are restored; of the last only some cannot.
_FROZEN = {"GLACIER", "DEEP_ARCHIVE"}
_LOOKED_AT = {*_FROZEN, "INTELLIGENT_TIERING"}
#: Answers to a request for what needs none: already asked for, or not in an archive.
_NEEDLESS = {"RestoreAlreadyInProgress", "InvalidObjectState", "ObjectAlreadyInActiveTierError"}
_WIDTH = 4


class Archive:
    """The archived objects below a prefix of a bucket. ``request`` is how to ask for one: boto3's RestoreRequest."""

    def __init__(self, client: Any, bucket: str, prefix: str, request: Mapping[str, Any]) -> None:
        self._client, self._bucket, self._prefix, self._request = client, bucket, prefix, dict(request)

    def cold(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names`` that cannot be read now: a listing, and a look at each that it shows in an archive."""
        return frozenset(self._states(names))

    def warm_up(self, names: Iterable[str]) -> frozenset[str]:
        """Ask for those that are not asked for yet; the names that are still cold."""
        cold = self._states(names)
        with translated("cannot ask for archived objects"):
            self._each(
                [name for name in cold if not is_asked_for(cold[name])], lambda name: self._ask(name, cold[name])
            )
        return frozenset(cold)

    def _states(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of ``names`` that are cold, with what HEAD answers of them."""
        wanted = set(names)
        with translated("cannot look for archived objects"):
            found = self._each(wanted & self._suspects() if wanted else (), self._head)
        return {name: answer for name, answer in found.items() if is_cold(answer)}

    def _suspects(self) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        begin = len(self._prefix)
        return {
            each["Key"][begin:]
            for page in pages
            for each in page.get("Contents", ())
            if each.get("StorageClass") in _LOOKED_AT
        }

    def _each(self, names: Iterable[str], question: Callable[[str], Any]) -> dict[str, Any]:
        names = sorted(names)
        with ThreadPoolExecutor(_WIDTH, "s3-archive") as threads:
            return dict(zip(names, threads.map(question, names), strict=True))

    def _head(self, name: str) -> Any:
        return self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)

    def _ask(self, name: str, answer: Mapping[str, Any]) -> None:
        request = dict(self._request)
        if answer.get("StorageClass") not in _FROZEN:
            request.pop("Days", None)  # what comes back from a tier stays
        try:
            self._client.restore_object(Bucket=self._bucket, Key=self._prefix + name, RestoreRequest=request)
        except ClientError as err:
            if code_of(err) not in _NEEDLESS:
                raise


def is_asked_for(answer: Mapping[str, Any]) -> bool:
    """Whether an object that is cold, by the answer to HEAD, is on its way."""
    return 'ongoing-request="true"' in str(answer.get("Restore") or "")


def is_cold(answer: Mapping[str, Any]) -> bool:
    """Whether an object cannot be read, by the answer to HEAD."""
    if is_asked_for(answer):
        return True
    if answer.get("Restore"):
        return False
    return answer.get("StorageClass") in _FROZEN or bool(answer.get("ArchiveStatus"))
