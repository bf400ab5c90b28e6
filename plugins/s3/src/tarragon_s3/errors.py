"""What S3 and boto3 say → errors of the API: by the code of the answer, else by its HTTP status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto
from tarragon.api import (
    BackendError,
    BadOption,
    ColdObject,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    Transient,
    Unsupported,
)

_CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in ~/.aws"
_EXPIRED = "these credentials last for a while only: get new ones"
_CLOCK = "set the clock of this machine: signatures are good for some minutes only"
_REGION = "name the region of the bucket with --s3-region-name"

_DENIED = {
    "AccessDenied": "the credentials are known, but have no right to this",
    "AccountProblem": "",
    "AllAccessDisabled": "",
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidSecurity": _CREDENTIALS,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "KMS.DisabledException": "the key of --s3-kms-key-id is disabled",
    "KMS.NotFoundException": "there is no key as --s3-kms-key-id says",
}
_MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "NotFound"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"}
#: What reading an archived object is answered with.
COLD = {"InvalidObjectState", "ObjectNotInActiveTierError"}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequests",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "503",
    "429",
}
_PASSING = {
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "OperationAborted",
    "ConditionalRequestConflict",
    "BadDigest",  # damaged on its way: sent again it may come through
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "IncompleteBody",
    "NoSuchUpload",
    "InvalidPart",
}
_UNABLE = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation"}
_ELSEWHERE = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "Redirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
    "302",
    "307",
    "308",
}
_BROKEN_CONNECTION = (
    boto.ConnectionError,  # timeouts of connecting and of proxies too
    boto.ConnectionClosedError,
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
    boto.IncompleteReadError,
    boto.HTTPClientError,
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what boto3 raises as errors of the API; ``what`` could not be done."""
    try:
        yield
    except boto.ClientError as err:
        raise of_answer(err, what) from err
    except boto.BotoCoreError as err:
        raise _of_library(err, what) from err
    except KeyError as err:  # cut off on its way, and taken for whole
        raise Transient(f"{what}: the answer lacks {err}") from err


def code_of(err: boto.ClientError) -> str:
    """The word by which S3 names what went wrong; its HTTP status where there is none (answers to HEAD)."""
    return str(err.response.get("Error", {}).get("Code") or status_of(err.response))


def status_of(response: Any) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def headers_of(response: Any) -> dict[str, str]:
    """Header fields of an answer; their names are in lower case."""
    return dict(response.get("ResponseMetadata", {}).get("HTTPHeaders") or {})


def of_answer(err: boto.ClientError, what: str) -> BackendError:
    """The error of the API for a refusal by the service."""
    code, status = code_of(err), status_of(err.response)
    message = f"{what}: {_said(err, code)}"
    if code in COLD:
        return ColdObject(message, hint="it lies in an archive: 'thaw' (package tarragon-s3-classes) asks for it back")
    if code in _MISSING:
        hint = "make the bucket first: a backup never does" if code == "NoSuchBucket" else ""
        return NotFound(message, hint=hint)
    if code in _BUSY or status in (429, 503):
        return Transient(message, retry_after=_retry_after(err.response), overloaded=True)
    if code in _DENIED:
        return PermissionDenied(message, hint=_DENIED[code])
    if code in _FULL or status == 507:
        return OutOfSpace(message)
    if code in _PASSING or status in (408, 500, 502, 504):
        return Transient(message, retry_after=_retry_after(err.response))
    if code in _UNABLE or status in (405, 501):
        return Unsupported(message)
    if code in _ELSEWHERE or status in (301, 302, 307, 308):
        return BackendError(f"{message}; the bucket is elsewhere, redirects are not followed", hint=_REGION)
    if status in (401, 403):
        return PermissionDenied(message, hint=_CREDENTIALS)
    return NotFound(message) if status == 404 else BackendError(message)


def _of_library(err: boto.BotoCoreError, what: str) -> BackendError | BadOption:
    """The error of the API for what boto3 found wrong by itself."""
    told = " ".join(str(err).split())
    if isinstance(err, boto.NoCredentialsError):
        return PermissionDenied(f"{what}: no credentials were found", hint=_CREDENTIALS)
    if isinstance(err, boto.PartialCredentialsError | boto.CredentialRetrievalError | boto.TokenRetrievalError):
        return PermissionDenied(f"{what}: the credentials cannot be used ({type(err).__name__})", hint=_CREDENTIALS)
    if isinstance(err, boto.ProfileNotFound | boto.ConfigParseError | boto.ConfigNotFound):
        return BadOption(f"{what}: {told}")
    if isinstance(err, boto.SSLError):
        return BackendError(
            f"{what}: no safe connection: {told}", hint="AWS_CA_BUNDLE names certificates of a service of your own"
        )
    if isinstance(err, _BROKEN_CONNECTION):
        return Transient(f"{what}: {told}")
    return BackendError(f"{what}: {told}")


def _said(err: boto.ClientError, code: str) -> str:
    """Code and message of an answer, fit for a line of a log whoever wrote it."""
    text = str(err.response.get("Error", {}).get("Message") or "")
    told = f"{code} ({text})" if text and text != code else code
    return "".join(letter if letter.isprintable() else " " for letter in told)[:300]


def _retry_after(response: Any) -> float | None:
    """What the service asks for in seconds; None where it says nothing, or gives a date."""
    text = headers_of(response).get("retry-after", "")
    return float(text[:9]) if text.isascii() and text.isdigit() else None
