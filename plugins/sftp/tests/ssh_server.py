"""A real OpenSSH server, and the words to open backends on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from server import running
from tarragon.api import Backend
from tarragon_testkit import TestContext, open_url

IS_ROOT = os.geteuid() == 0
needs_users = pytest.mark.skipif(not IS_ROOT, reason="only root can give the server users of its own")


class Sshd:
    """The server, and how to reach it."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self.place = told["PLACE"]
        self.host, self.port, self.user = told["TB_SSH_HOST"], int(told["TB_SSH_PORT"]), told["TB_SSH_USER"]
        self.password, self.key, self.rsa_key = told["TB_SSH_PASSWORD"], told["TB_SSH_KEY"], told["TB_SSH_RSA_KEY"]
        self.locked_key, self.known_hosts, self.home = (
            told["TB_SSH_LOCKED_KEY"],
            told["TB_SSH_KNOWN_HOSTS"],
            told["TB_SSH_HOME"],
        )

    def url(self, folder: str = "", *, scheme: str = "sftp", user: str = "", password: str = "", port: int = 0) -> str:
        """A URL of this server. ``folder`` is what follows the host."""
        login = quote(user or self.user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"{scheme}://{login}@{self.host}:{port or self.port}{folder}"

    def context(self, options: str = "", **more: Any) -> TestContext:
        """A run that knows the server's key, and logs in with the key of the server's users unless told otherwise."""
        known = f"-oUserKnownHostsFile={self.known_hosts} -oGlobalKnownHostsFile=none -F none"
        env = more.pop("env", {})
        passwords = more.pop("passwords", ())
        given = {"ssh_options": (known, options or f"-oIdentityFile={self.key}"), "ssh_askpass": False, "timeout": 110}
        given |= {"scp_command": None, "sftp_command": None}
        return TestContext({**given, **more}, {"HOME": self.place, "PATH": os.environ["PATH"], **env}, passwords)

    def open(self, folder: str = "", options: str = "", **more: Any) -> Backend:
        """A backend on a folder that is new unless it is named."""
        words = {word: more.pop(word) for word in ("scheme", "user", "password", "port") if word in more}
        return open_url(self.url(folder or self.new_folder(), **words), self.context(options, **more))

    def new_folder(self) -> str:
        return f"/new-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with running("sshd.sh") as told:
        yield Sshd(told)


@pytest.fixture(scope="session")
def plain_sshd() -> Iterator[Sshd]:
    """Version 3 of SFTP and nothing more: what other servers than OpenSSH offer."""
    with running("sshd.sh", TB_SFTP="internal-sftp -P posix-rename,hardlink,fsync,statvfs,limits") as told:
        yield Sshd(told)
