"""Log in: keys that are named, keys of the agent, the usual keys, then the password."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import paramiko
from paramiko.agent import AgentSSH
from tarragon.api import PermissionDenied, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .login import Login


def log_in(transport: paramiko.Transport, login: Login) -> None:
    """Log in, or raise PermissionDenied, which says what was tried. Raises SSHException when the connection breaks."""
    attempt = _Attempt(transport, login)
    if login.may_use_keys:
        for key, name in _keys(login, attempt.notes):
            if attempt.is_in_with_key(key, name):
                return
    if login.may_use_password and attempt.is_in_with_password():
        return
    raise attempt.failure()


class _Attempt:
    def __init__(self, transport: paramiko.Transport, login: Login) -> None:
        self._transport, self._login = transport, login
        self._tried: list[str] = []
        self._blobs: set[bytes] = set()
        self._allowed: list[str] = []
        self._needs_more = False
        self.notes: list[str] = []

    def is_in_with_key(self, key: paramiko.PKey, name: str) -> bool:
        """Whether the key opened the door, alone or with the password as its second lock."""
        blob = key.public_blob.key_blob if key.public_blob else key.asbytes()
        if blob in self._blobs or (self._allowed and "publickey" not in self._allowed) or self._needs_more:
            return False
        self._blobs.add(blob)
        self._tried.append(name)
        try:
            more = self._transport.auth_publickey(self._login.user, key)
        except paramiko.BadAuthenticationType as err:
            self._allowed = err.allowed_types
            return False
        except paramiko.AuthenticationException as err:
            self._must_be_open(err)
            return False
        if more:
            self._needs_more, self._allowed = True, list(more)
        return not more

    def is_in_with_password(self) -> bool:
        """Whether the password did, in one of the two ways that servers ask for it."""
        login = self._login
        password = login.password(f"Password for '{login.user}@{login.host}'")
        if password is None:
            return False
        self._tried.append("the password")
        try:
            if self._needs_more and "password" not in self._allowed:
                return not self._transport.auth_interactive(
                    login.user, lambda _t, _i, asked: [password.reveal()] * len(asked)
                )
            return not self._transport.auth_password(login.user, password.reveal())
        except paramiko.BadAuthenticationType as err:
            self._allowed = err.allowed_types
        except paramiko.AuthenticationException as err:
            self._must_be_open(err)
        return False

    def _must_be_open(self, err: paramiko.AuthenticationException) -> None:
        """Servers hang up after some refusals: what comes next would only be told as a broken connection.

        A server that is too busy to answer has refused nothing, though paramiko calls it by the same name.
        """
        if "timeout" in str(err).lower():
            raise Transient(f"'{self._login.host}' does not answer in time while '{self._login.user}' logs in") from err
        if not self._transport.is_active():
            raise self.failure("the server hung up") from err

    def failure(self, why: str = "") -> PermissionDenied:
        login = self._login
        tried = ", ".join(self._tried) or "no key and no password at hand"
        takes = f"; it takes {', '.join(self._allowed)}" if self._allowed else ""
        notes = "".join(f"; {note}" for note in self.notes)
        hint = "name a key with --ssh-options -oIdentityFile=F, or set BACKEND_PASSWORD, or say --ssh-askpass"
        if why:
            hint = "name the one right key with --ssh-options '-oIdentityFile=F -oIdentitiesOnly=yes'"
        return PermissionDenied(
            f"'{login.host}' does not let '{login.user}' in{f' ({why})' if why else ''}: tried {tried}{takes}{notes}",
            hint=hint,
        )


def _keys(login: Login, notes: list[str]) -> Iterator[tuple[paramiko.PKey, str]]:
    """Every key that may be tried, with what to call it; ``notes`` says why others were not."""
    for path in login.identities:
        if key := _from_file(path, login, notes):
            yield key, f"'{path}'"
    only = {_public(path) for path in login.identities} if login.only_identities else None
    if login.agent:
        agent = _Agent(login.agent, notes)
        try:
            for key in agent.get_keys():
                if only is None or key.asbytes() in only:
                    yield key, f"the agent's key '{key.comment or key.get_name()}'"
        finally:
            agent.close()
    if not login.only_identities:
        for path in login.usual_keys:
            if os.path.exists(path) and (key := _from_file(path, login, notes)):
                yield key, f"'{path}'"


class _Agent(AgentSSH):  # type: ignore[misc]
    """The agent at a socket; one that does not answer has no keys."""

    def __init__(self, path: str, notes: list[str]) -> None:
        super().__init__()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(60)  # it may ask its user
            sock.connect(path)
            self._connect(sock)
        except (OSError, paramiko.SSHException) as err:
            sock.close()
            notes.append(f"the agent does not answer: {err}")

    def close(self) -> None:
        self._close()


def _public(path: str) -> bytes:
    """The public half of a key, as its .pub file has it."""
    try:
        return bytes(paramiko.PublicBlob.from_file(path if path.endswith(".pub") else f"{path}.pub").key_blob)
    except (OSError, ValueError):
        return b""


def _from_file(path: str, login: Login, notes: list[str]) -> paramiko.PKey | None:
    if path.endswith(".pub"):
        return None  # a key of the agent is meant
    key = _opened(path, login, notes)
    for certificate in login.certificates if key else ():
        blob = _certificate(certificate)
        if blob and key and blob.key_type.startswith(key.get_name()):
            key.load_certificate(certificate)
    return key


def _opened(path: str, login: Login, notes: list[str]) -> paramiko.PKey | None:
    """The private key in a file. Its passphrase is asked for only when it has one."""
    try:
        try:
            return paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            passphrase = login.password(f"Passphrase of the key '{path}'")
            if passphrase is None:
                notes.append(f"the key '{path}' has a passphrase, and none is given")
                return None
            return paramiko.PKey.from_path(path, passphrase.reveal().encode())  # text it does not take
    except OSError as err:
        notes.append(f"cannot read the key '{path}': {err.strerror}")
    except (paramiko.SSHException, ValueError, TypeError):
        # Not the library's words: they may repeat what is in the file.
        notes.append(f"'{path}' is no key that can be read, or its passphrase is another")
    return None


def _certificate(path: str) -> paramiko.PublicBlob | None:
    try:
        return paramiko.PublicBlob.from_file(path)
    except (OSError, ValueError):
        return None
