"""A connection to an ssh server by paramiko: checked, logged in, and ready to open streams on."""

from __future__ import annotations

import io
import logging
import socket
import subprocess
from typing import TYPE_CHECKING, BinaryIO, ClassVar, cast

import paramiko
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.ssh_exception import IncompatiblePeer
from tarragon.api import BackendError, Transient

from . import auth, hostkeys
from .errors import translated

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from .login import Login

_PACKET, _WINDOW = 1 << 15, 4 << 20
#: The quickest first: AES in Galois mode needs no second pass for a sum.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")

# paramiko logs to the root's last resort, standard error, where nobody has set up a log; its errors reach us anyway.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Transport(paramiko.Transport):  # type: ignore[misc]
    """Knows curve25519 by its name in RFC 8731, too: there are servers that take it by no other."""

    _kex_info: ClassVar[dict[str, type]] = {**paramiko.Transport._kex_info, "curve25519-sha256": KexCurve25519}
    _preferred_kex = (
        *(one for one in paramiko.Transport._preferred_kex if one.startswith("mlkem")),
        "curve25519-sha256",
        *(one for one in paramiko.Transport._preferred_kex if not one.startswith("mlkem")),
    )


class Connection:
    """One connection. Its streams are closed with it."""

    def __init__(self, login: Login) -> None:
        self._login = login
        with translated(f"cannot connect to '{login.host}' port {login.port}"):
            self._sock, self._proxy = _socket(login)
        try:
            self._transport = self._opened()
        except BaseException:
            self._let_go()
            raise

    def _opened(self) -> paramiko.Transport:
        login = self._login
        where = f"cannot connect to '{login.host}' port {login.port}"
        with translated(where):
            transport = _Transport(self._sock, default_window_size=_WINDOW, default_max_packet_size=_PACKET)
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = login.timeout_s
            transport.channel_timeout = login.timeout_s
            try:
                _choose_algorithms(transport, login)
                transport.use_compression(login.compresses)
                transport.start_client(timeout=login.timeout_s)
                key = transport.get_remote_server_key()
                hostkeys.check(login, key.get_name(), key.asbytes())
                auth.log_in(transport, login)
                transport.set_keepalive(max(1, int(login.timeout_s / 2)))
            except IncompatiblePeer as err:
                transport.close()
                raise BackendError(
                    f"{where}: no algorithm that both sides know: {err}",
                    hint="pexpect+sftp:// connects with OpenSSH's own programs, which know more",
                ) from err
            except BaseException:
                transport.close()
                raise
        return transport

    def subsystem(self, name: str) -> tuple[BinaryIO, BinaryIO]:
        """The two streams of a subsystem such as sftp: what it says, and what it hears."""
        channel = self._channel()
        try:
            channel.invoke_subsystem(name)
        except paramiko.SSHException as err:
            raise BackendError(
                f"'{self._login.host}' does not offer {name}", hint="scp:// needs a shell there instead"
            ) from err
        return _streams(channel)

    def run(self, command: str) -> Running:
        """Start a command in the user's shell at the other side."""
        channel = self._channel()
        channel.exec_command(command.encode("utf-8", "surrogateescape"))
        return Running(channel)

    def _channel(self) -> paramiko.Channel:
        channel = self._transport.open_session(timeout=self._login.timeout_s)
        channel.settimeout(self._login.timeout_s)
        return channel

    def logged_in(self) -> None:
        """That was known before."""

    def reason(self) -> None:
        """Why it is closed was told by what was raised."""

    def close(self) -> None:
        """May be called twice."""
        self._transport.close()
        self._let_go()

    def _let_go(self) -> None:
        self._sock.close()
        if self._proxy:
            self._proxy.kill()
            self._proxy.wait()
            self._proxy = None


class Running:
    """A command that runs at the other side."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self.out, self.into = _streams(channel)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; the exit status, and what was said on standard error."""
        self._channel.shutdown_write()
        while self._channel.recv(1 << 15):
            pass
        said = bytearray()
        while piece := self._channel.recv_stderr(1 << 15):
            said += piece[: (1 << 16) - len(said)]
        status = self._channel.recv_exit_status() if self._channel.status_event.wait(self._channel.gettimeout()) else -1
        self._channel.close()
        if status < 0:
            raise EOFError("the command ended without a status")
        return status, said.decode("utf-8", "backslashreplace").strip()[:500]

    def close(self) -> None:
        self._channel.close()


class _ChannelIO(io.RawIOBase):
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        space = memoryview(buffer).cast("B")
        data = self._channel.recv(len(space))
        space[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer, /) -> int:
        self._channel.sendall(data)
        return len(memoryview(data).cast("B"))


def _streams(channel: paramiko.Channel) -> tuple[BinaryIO, BinaryIO]:
    raw = _ChannelIO(channel)
    return cast("BinaryIO", io.BufferedReader(raw, 1 << 16)), cast("BinaryIO", raw)


def _socket(login: Login) -> tuple[socket.socket, subprocess.Popen[bytes] | None]:
    """A socket that leads to the server, and the proxy program at its other end, if there is one."""
    if login.proxy:
        ours, its = socket.socketpair()
        with its:
            try:
                process = subprocess.Popen(
                    login.proxy, stdin=its.fileno(), stdout=its.fileno(), env=login.child_env, start_new_session=True
                )
            except OSError as err:
                ours.close()
                raise BackendError(f"cannot run the ProxyCommand '{login.proxy[0]}': {err.strerror}") from err
        ours.settimeout(login.timeout_s)
        return ours, process
    family = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(login.family, socket.AF_UNSPEC)
    last: OSError | None = None
    for kind, _, number, _, address in socket.getaddrinfo(login.host, login.port, family, socket.SOCK_STREAM):
        sock = socket.socket(kind, socket.SOCK_STREAM, number)
        try:
            sock.settimeout(login.timeout_s)
            if login.bind:
                sock.bind((login.bind, 0))
            sock.connect(address)
            return sock, None
        except OSError as err:
            sock.close()
            last = err
    raise last or Transient(f"'{login.host}' has no address")


def _choose_algorithms(transport: paramiko.Transport, login: Login) -> None:
    """The user's algorithms, else the quickest; and of the kinds of host keys those first that are known."""
    offered = transport.get_security_options()
    have = tuple(offered.ciphers)
    offered.ciphers = tuple(one for one in _CIPHERS if one in have)
    known = {key.kind for key in hostkeys.known_keys(login.known_as, login.known_hosts) if not key.is_revoked}
    wanted = [one for kind in sorted(known) for one in (_RSA if kind == "ssh-rsa" else (kind,))]
    kinds = tuple(offered.key_types)
    offered.key_types = tuple(sorted(kinds, key=lambda kind: kind not in wanted))
    for word, name in (
        ("ciphers", "ciphers"),
        ("macs", "digests"),
        ("kexalgorithms", "kex"),
        ("hostkeyalgorithms", "key_types"),
    ):
        if login.algorithms.get(word):
            setattr(offered, name, _chosen(tuple(getattr(offered, name)), login.algorithms[word], word))


def _chosen(have: tuple[str, ...], wanted: str, word: str) -> tuple[str, ...]:
    """ssh's lists: ``a,b`` those; ``^a`` that first; ``-a`` without; ``+a`` changes nothing here."""
    names = wanted.lstrip("^+-").split(",")
    if wanted.startswith("-"):
        chosen = tuple(one for one in have if one not in names)
    elif wanted.startswith("+"):
        chosen = have
    else:
        first = tuple(one for one in names if one in have)
        chosen = first + tuple(one for one in have if one not in first) if wanted.startswith("^") else first
    if not chosen:
        raise BackendError(f"none of the {word} '{wanted}' is known here", hint=f"known are {', '.join(have)}")
    return chosen
