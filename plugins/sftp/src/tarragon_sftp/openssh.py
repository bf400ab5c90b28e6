"""The way to a host by OpenSSH's own program: everything that ssh_config can say, at the cost of a process.

``ssh -s host sftp`` is what the programs sftp and scp run too: their words are understood, they are not needed.
"""

from __future__ import annotations

import io
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import BackendError, BadOption, PermissionDenied, TarragonError, Transient

from .askpass import Answers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer
    from tarragon.api import Secret

#: Options of sftp and scp with a value: what ssh calls them, "" for those that say nothing about the connection.
_WITH_VALUE = {
    "-c": "-c", "-F": "-F", "-i": "-i", "-J": "-J", "-o": "-o", "-P": "-p", "-B": "", "-b": "", "-D": "", "-l": "",
    "-R": "", "-s": "", "-X": "",
}  # fmt: skip
_SWITCHES = {"-4": "-4", "-6": "-6", "-A": "-A", "-C": "-C", "-q": "-q", "-v": "-v"} | dict.fromkeys(
    ("-1", "-2", "-3", "-a", "-f", "-N", "-O", "-p", "-r", "-T"), ""
)
_ENDING_S = 5
#: What ssh says → what it means; the first that fits counts.
_MEANINGS: tuple[tuple[str, type[BackendError], str], ...] = (
    ("IDENTIFICATION HAS CHANGED", BackendError, "changed"),
    ("Host key verification failed", BackendError, "unknown"),
    ("host key is known", BackendError, "unknown"),
    ("Could not resolve hostname", BackendError, ""),
    ("Bad configuration option", BackendError, ""),
    ("subsystem request failed", BackendError, ""),
    ("no matching", BackendError, ""),
    ("Permission denied", PermissionDenied, "refused"),
    ("Too many authentication failures", PermissionDenied, "refused"),
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """How ssh is called. ``answer`` gives the password for a question of ssh's, None when there is none."""

    program: str
    words: tuple[str, ...]
    host: str
    user: str | None
    port: int | None
    env: Mapping[str, str]
    timeout_s: float
    answer: Callable[[str], Secret | None]
    may_answer: bool

    def argv(self) -> list[str]:
        """Of two values of a word ssh takes the first: host keys are enforced before the user's words are read."""
        half = max(1, int(self.timeout_s / 2))
        port = [f"-oPort={self.port}"] if self.port else []
        user = [f"-oUser={self.user}"] if self.user else []
        batch = "no" if self.may_answer else "yes"
        return [
            self.program,
            *("-oStrictHostKeyChecking=yes", f"-oBatchMode={batch}", "-oNumberOfPasswordPrompts=1"),
            *self.words,
            *(*port, *user, f"-oConnectTimeout={max(1, int(self.timeout_s))}"),
            *(f"-oServerAliveInterval={half}", "-oServerAliveCountMax=2", "-oClearAllForwardings=yes"),
            *("-x", "-T", "-s", "--", self.host),
        ]


def words_of(command: str | None, options: str, path: str | None) -> tuple[str, tuple[str, ...]]:
    """The program ssh that ``command`` (of --sftp-command or --scp-command) would run, and the words for it.

    Raises BadOption for words that ssh would not understand.
    """
    program, *more = _split(command or "ssh", "--sftp-command, --scp-command")
    if command and os.path.basename(program) not in ("sftp", "scp", "ssh"):
        raise BadOption(
            f"'{program}' is not sftp or scp of OpenSSH",
            hint="its options and the ssh beside it are used: give sftp or scp, with -S for another ssh",
        )
    beside = os.path.join(os.path.dirname(program), "ssh")
    wanted, words = beside if "/" in program and os.path.exists(beside) else "ssh", []
    todo = [*more, *_split(options, "--ssh-options")]
    while todo:
        word = todo.pop(0)
        flag, value = word[:2], word[2:]
        if flag in _SWITCHES and not value:
            words += [_SWITCHES[flag]] if _SWITCHES[flag] else []
            continue
        if flag not in _WITH_VALUE and flag != "-S":
            raise BadOption(f"'{word}' is no option that sftp and scp understand")
        value = value or (todo.pop(0) if todo else "")
        if not value:
            raise BadOption(f"'{flag}' lacks its value")
        if flag == "-S":
            wanted = value
        elif _WITH_VALUE[flag]:
            words.append(_WITH_VALUE[flag] + value)
    found = shutil.which(wanted, path=path)
    if found is None:
        raise BackendError(f"no program '{wanted}'", hint="install openssh-client")
    return found, tuple(words)


def _split(text: str, option: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as err:
        raise BadOption(f"{option} cannot be split into words: {err}") from err


class OpenSsh:
    """One process of ssh, and its two streams."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()
        self._answers: Answers | None = None

    def subsystem(self, name: str) -> tuple[BinaryIO, BinaryIO]:
        """Start ssh; that it has logged in shows when the first answer comes."""
        call = self._call
        env = dict(call.env)
        if call.may_answer:
            self._answers = Answers(call.answer)
            env |= self._answers.env
        try:
            self._process = subprocess.Popen(
                [*call.argv(), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=env,
                bufsize=0,
                start_new_session=True,  # no terminal to ask at
            )
        except OSError as err:
            raise BackendError(f"cannot run '{call.program}': {err.strerror}") from err
        assert self._process.stdin
        assert self._process.stdout
        out, into = self._process.stdout.fileno(), self._process.stdin.fileno()
        os.set_blocking(into, False)
        raw_out, raw_into = _Pipe(out, call.timeout_s), _Pipe(into, call.timeout_s)
        return cast("BinaryIO", io.BufferedReader(raw_out, 1 << 16)), cast("BinaryIO", raw_into)

    def logged_in(self) -> None:
        """No more questions will come."""
        if self._answers:
            self._answers.close()

    def reason(self) -> TarragonError | None:
        """Why ssh ended, if it has; the error to raise for it."""
        if self._answers and self._answers.error:
            return self._answers.error
        if self._process is None:
            return None
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return None
        self._said.seek(0)
        text = self._said.read(1 << 16).decode("utf-8", "replace")
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not re.match(r"debug\d:|@|\*\* ", line)]
        what = f"ssh to '{self._call.host}' ended: {'; '.join(lines[-6:]) or f'status {self._process.returncode}'}"
        for said, kind, case in _MEANINGS:
            if said in text:
                return kind(what[:700], hint=self._hint(case))
        return Transient(what[:700])

    def _hint(self, case: str) -> str:
        call = self._call
        words = [*call.words, *([f"-oPort={call.port}"] if call.port else [])]
        target = f"{call.user}@{call.host}" if call.user else call.host
        name = f"[{call.host}]:{call.port}" if call.port and call.port != 22 else call.host
        return {
            "unknown": "compare the fingerprint with the one that its owner tells you, and accept it with: "
            + shlex.join(["ssh", *words, target]),
            "changed": "ask who runs that host whether its key was changed; if it was, remove the old one with: "
            + shlex.join(["ssh-keygen", "-R", name]),
            "refused": "name a key with --ssh-options -oIdentityFile=F, or set BACKEND_PASSWORD, or say --ssh-askpass",
        }.get(case, "")

    def close(self) -> None:
        """May be called twice."""
        self.logged_in()
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        process.terminate()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._said.close()


class _Pipe(io.RawIOBase):
    """An end of a pipe; whoever waits longer than ``timeout_s`` gets TimeoutError."""

    def __init__(self, fd: int, timeout_s: float) -> None:
        self._fd, self._timeout_s = fd, timeout_s

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not select.select([self._fd], [], [], self._timeout_s)[0]:
            raise TimeoutError
        return os.readv(self._fd, [buffer])

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            if not select.select([], [self._fd], [], self._timeout_s)[1]:
                raise TimeoutError
            rest = rest[os.write(self._fd, rest[: select.PIPE_BUF * 16]) :]
        return size
