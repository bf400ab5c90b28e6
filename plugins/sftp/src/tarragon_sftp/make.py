"""URL → backend: which folder is meant, and by which way the host is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .login import checked_host, child_env, has_password, joined, login_of, password_of

if TYPE_CHECKING:
    from tarragon.api import Backend, BackendURL, Context


def make(url: BackendURL, context: Context) -> Backend:
    """Connect. Raises BadURL, BadOption, PermissionDenied, and BackendError for a host key that is not known."""
    folder = folder_of(url.path)
    if url.scheme.startswith("pexpect+"):
        return _by_openssh(url, folder, context)
    if context.options.sftp_command or context.options.scp_command:
        context.log.info("--sftp-command and --scp-command are for pexpect+sftp:// and pexpect+scp:// only")
    from .connection import Connection

    login = login_of(url, context)
    if url.scheme.endswith("scp"):
        from .scp import ScpBackend

        return ScpBackend(folder, lambda: Connection(login))
    from .backend import SftpBackend

    return SftpBackend(folder, lambda: Connection(login))


def _by_openssh(url: BackendURL, folder: str, context: Context) -> Backend:
    """By OpenSSH's own program. Both schemes speak SFTP then, as its scp does by now."""
    from .backend import SftpBackend
    from .openssh import Call, OpenSsh, words_of

    options = context.options
    command = (url.scheme.endswith("scp") and options.scp_command) or options.sftp_command
    host = checked_host(url.host)
    program, words = words_of(command, joined(options.ssh_options), context.env.get("PATH"))
    call = Call(
        program=program,
        words=words,
        host=host,
        user=url.user,
        port=url.port,
        env=child_env(context.env),
        timeout_s=float(options.timeout or 30),
        answer=password_of(url, context),
        may_answer=has_password(url, context),
    )
    return SftpBackend(folder, lambda: OpenSsh(call))


def folder_of(path: str) -> str:
    """The folder that a URL's path names: relative to the login folder, or absolute with a second slash.

    As duplicity has it: one slash is taken off, empty parts do not count; and ``sftp://host/`` is the root, while
    ``sftp://host`` is the login folder.
    """
    if path == "/":
        return "/"
    rest = path.removeprefix("/")
    parts = [part for part in rest.split("/") if part]
    return ("/" if rest.startswith("/") else "") + "/".join(parts)
