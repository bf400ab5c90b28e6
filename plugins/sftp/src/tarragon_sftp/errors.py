"""What paramiko, sockets and SFTP servers say → the errors of tarragon.api. Once, here."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko
from tarragon.api import BackendError, NotFound, OutOfSpace, PermissionDenied, Transient, Unsupported

from . import protocol
from .protocol import Garbled, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: dict[int, type[BackendError]] = {
    protocol.NO_SUCH_FILE: NotFound,
    protocol.NO_SUCH_PATH: NotFound,
    protocol.DENIED: PermissionDenied,
    protocol.WRITE_PROTECTED: PermissionDenied,
    # Servers answer "failure" to whatever has no number of its own, such as an error of the disk or a quota.
    protocol.FAILURE: Transient,
    protocol.NO_CONNECTION: Transient,
    protocol.CONNECTION_LOST: Transient,
    protocol.UNSUPPORTED: Unsupported,
    protocol.NO_SPACE: OutOfSpace,
    protocol.QUOTA: OutOfSpace,
}
#: Of a name that does not exist; a name server that does not answer is another matter.
_NO_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever the far side and the way there may raise into a BackendError that begins with ``what``."""
    try:
        yield
    except Status as status:
        raise _KINDS.get(status.code, BackendError)(f"{what}: {status}") from status
    except Garbled as err:
        raise BackendError(f"{what}: {err}") from err
    except TimeoutError as err:
        raise Transient(f"{what}: no answer in time", hint="--timeout sets how long to wait") from err
    except socket.gaierror as err:
        kind = BackendError if err.errno in _NO_HOST else Transient
        raise kind(f"{what}: {err.strerror}") from err
    except (EOFError, OSError, paramiko.SSHException) as err:
        raise Transient(f"{what}: {_said(err)}") from err


def _said(err: Exception) -> str:
    if isinstance(err, OSError) and err.errno:
        return errno_text(err)
    return str(err).strip() or "the connection is broken"


def errno_text(err: OSError) -> str:
    """The system's words for an error, without numbers."""
    return err.strerror or errno.errorcode.get(err.errno or 0, "input/output error")
