"""sftp:// and scp:// — a folder of a host that is reached by ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Option, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context

TARRAGON_API = (0, 1)

_SCHEMES = frozenset({"sftp", "ssh", "scp", "paramiko+sftp", "paramiko+scp", "pexpect+sftp", "pexpect+scp"})

OPTIONS = (
    Option(
        flag="--ssh-options",
        metavar="options",
        action="append",
        help="Options as for ssh, such as -oIdentityFile=F, -oUserKnownHostsFile=F or -i F; several values are joined",
    ),
    Option(
        flag="--ssh-askpass",
        action="flag",
        default=False,
        help="Ask for the password of the host, or for the passphrase of its key, when one is needed",
    ),
    Option(
        flag="--sftp-command",
        metavar="command",
        help="pexpect+sftp and pexpect+scp: the sftp program to use instead of sftp from PATH",
    ),
    Option(
        flag="--scp-command",
        metavar="command",
        help="pexpect+scp: the scp program to use instead of scp from PATH",
    ),
)


@hookimpl
def options() -> tuple[Option, ...]:
    return OPTIONS


@hookimpl
def open_backend(url: BackendURL, context: Context) -> Backend | None:
    if url.scheme not in _SCHEMES:
        return None
    from .make import make  # paramiko costs 170 ms

    return make(url, context)
