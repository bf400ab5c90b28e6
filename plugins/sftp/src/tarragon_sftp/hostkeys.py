"""Known hosts: whether the key that a server shows is the one it is known by (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

Never adds a key and never asks: a backup at night has nobody to ask, and by day ``ssh`` asks better.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tarragon.api import BackendError

from .sshconfig import is_listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .login import Login

_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line of a known hosts file that is about our host."""

    kind: str
    blob: bytes
    is_revoked: bool
    file: str
    line: int


def known_keys(name: str, files: Iterable[str]) -> list[KnownKey]:
    """The keys by which ``name`` (``host``, or ``[host]:port``) is known. Files that are not there know none."""
    found = []
    for file in files:
        for number, line in enumerate(_text(file).splitlines(), 1):
            if key := _key(name, line, file, number):
                found.append(key)
    return found


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(_LARGEST)
    except OSError:
        return ""  # then no key is known, and the hint names the file


def _key(name: str, line: str, file: str, number: int) -> KnownKey | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or line.startswith("#") or marker not in ("", "@revoked"):
        return None  # host certificates (@cert-authority) are not checked here: such a host has no known key
    if not _is_of(name, words[0]):
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return KnownKey(words[1], blob, bool(marker), file, number)


def _is_of(name: str, hosts: str) -> bool:
    if not hosts.startswith("|1|"):
        return is_listed(name, hosts.split(","))
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hosts[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.lower().encode(), hashlib.sha1).digest(), digest)


def fingerprint(blob: bytes) -> str:
    """As ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def check(login: Login, kind: str, blob: bytes) -> None:
    """Raise BackendError unless the server's key is known, and not revoked."""
    known = known_keys(login.known_as, login.known_hosts)
    same = [key for key in known if key.blob == blob]
    shown = f"{kind} key {fingerprint(blob)}"
    if any(key.is_revoked for key in same):
        raise BackendError(f"the key of '{login.known_as}' is revoked: {shown}", hint="ask who runs that host")
    if same:
        return
    others = [key for key in known if not key.is_revoked]
    if any(key.kind == kind for key in others):
        where = next(f"line {key.line} of '{key.file}'" for key in others if key.kind == kind)
        raise BackendError(
            f"the key of '{login.known_as}' has changed: it shows the {shown}, {where} has another. "
            "Somebody may be listening in",
            hint="ask who runs that host whether its key was changed; if it was, remove the old one with: "
            + _removal(login, [key.file for key in others if key.kind == kind]),
        )
    kinds = ", ".join(sorted({key.kind for key in others}))
    besides = f" (it is known by another kind of key: {kinds})" if kinds else ""
    raise BackendError(
        f"the key of '{login.known_as}' is not known: it shows the {shown}{besides}",
        hint="compare the fingerprint with the one that its owner tells you, and accept it with: "
        + _introduction(login),
    )


def _introduction(login: Login) -> str:
    """The command that asks for the key and stores it."""
    words = ["ssh"]
    if login.is_known_hosts_given:
        words.append(f"-oUserKnownHostsFile={login.known_hosts[0]}")
    if login.port != 22:
        words += ["-p", str(login.port)]
    return shlex.join([*words, f"{login.user}@{login.typed}"])


def _removal(login: Login, files: list[str]) -> str:
    return shlex.join(["ssh-keygen", "-f", files[0], "-R", login.known_as])
