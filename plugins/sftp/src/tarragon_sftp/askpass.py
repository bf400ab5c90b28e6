"""Answers to the questions of a child that asks by SSH_ASKPASS: by a socket, so that no secret stands anywhere."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tarragon.api import TarragonError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tarragon.api import Secret

_HELPER = """#!{python} -I
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect({path!r})
s.sendall(b" ".join(word.encode("utf-8", "replace") for word in sys.argv[1:])[:1000] + b"\\0")
answer = b"".join(iter(lambda: s.recv(4096), b""))
if not answer:
    sys.exit(1)
sys.stdout.buffer.write(answer + b"\\n")
"""
_QUESTIONS = 4
_LISTEN_S = 0.2
_LONGEST = 90


class Answers:
    """Asks ``answer`` for each question, once each, until it is closed. ``env`` is for the child that asks."""

    def __init__(self, answer: Callable[[str], Secret | None]) -> None:
        self._answer = answer
        self.error: TarragonError | None = None
        self._folder = tempfile.mkdtemp(prefix="tg-")
        if len(self._folder) > _LONGEST:
            os.rmdir(self._folder)
            self._folder = tempfile.mkdtemp(prefix="tg-", dir="/tmp")
        path, helper = os.path.join(self._folder, "s"), os.path.join(self._folder, "ask")
        with open(os.open(helper, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w") as file:
            file.write(_HELPER.format(python=sys.executable, path=path))
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        self._listening.settimeout(_LISTEN_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.env = {"SSH_ASKPASS": helper, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": os.environ.get("DISPLAY", ":0")}

    def _serve(self) -> None:
        with self._listening:
            self._answer_all()

    def _answer_all(self) -> None:
        asked: set[str] = set()
        while not self._over.is_set() and len(asked) < _QUESTIONS:
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError):
                connection.settimeout(5)
                question = self._question(connection)
                if question not in asked:  # asked again, the same answer would be as wrong
                    asked.add(question)
                    connection.sendall(self._answered(question))

    @staticmethod
    def _question(connection: socket.socket) -> str:
        said = bytearray()
        while not said.endswith(b"\0") and (piece := connection.recv(1024)):
            said += piece
        text = said.rstrip(b"\0").decode("utf-8", "replace").strip().rstrip(":")
        return "".join(c if c.isprintable() else " " for c in text)

    def _answered(self, question: str) -> bytes:
        try:
            secret = self._answer(question)
        except TarragonError as err:
            self.error = err
            return b""
        return secret.reveal().encode("utf-8", "surrogateescape") if secret else b""

    def close(self) -> None:
        """May be called twice."""
        self._over.set()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)
