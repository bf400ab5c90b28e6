"""One running gpg: its pipes, its status lines, its complaints; reaped whatever happens.

No threads: whoever waits for gpg also drains what gpg says, so neither can block the other. Time counts only while
gpg is waited for and neither takes nor gives a byte, in ticks of our own, so that a run that is stopped and goes on
later is not taken for a gpg that hangs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tarragon.api import CipherError

from .status import StatusLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tarragon.api import Secret

LIMIT_S = 60.0  #: how long a gpg may do nothing at all
_WORDS = 8 * 1024  #: bytes kept of standard error
_PIPE = 256 * 1024
_TAKE = 64 * 1024


class Unresponsive(CipherError):
    """gpg did nothing for too long: its agent, or a pinentry nobody sees, does not answer."""


class Child:
    """A gpg that writes to ``into`` what is given to write(), or gives by readinto() what it reads from ``source``.

    One of ``source`` and ``into`` is the descriptor of a real file, whose position shows that gpg works. ``secret``
    goes through a pipe of its own, without newline. abort() may be called at any time and any number of times.
    """

    def __init__(
        self,
        program: str,
        words: Sequence[str],
        env: Mapping[str, str],
        *,
        source: int | None = None,
        into: int | None = None,
        secret: Secret | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.status = StatusLog()
        self.exit_status: int | None = None
        self._owner = os.getpid()
        self._program = program
        self._limit_s = limit_s
        self._tick_ms = max(1, int(min(1.0, limit_s / 4) * 1000))
        self._idle_ms = 0
        watched = source if source is not None else into
        assert watched is not None
        self._watched = watched
        self._position = -1
        self._words = bytearray()
        self._poll = select.poll()
        self._status_fd = -1
        self._popen = self._start(words, env, source, into, secret)
        self._data = self._popen.stdin if source is None else self._popen.stdout
        assert self._data is not None and self._popen.stderr is not None
        self._words_fd = self._popen.stderr.fileno()
        self._data_fd = self._data.fileno()
        self._listen(select.POLLOUT if source is None else select.POLLIN)

    def _start(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        source: int | None,
        into: int | None,
        secret: Secret | None,
    ) -> subprocess.Popen[bytes]:
        self._status_fd, status = os.pipe()
        inherited = [status]
        try:
            command = [self._program, "--status-fd", str(status)]
            if secret is not None:
                inherited.append(_pipe_with(secret))
                command += ["--passphrase-fd", str(inherited[1])]
            return subprocess.Popen(
                [*command, *words],
                stdin=subprocess.PIPE if source is None else source,
                stdout=subprocess.PIPE if into is None else into,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=dict(env),
                pass_fds=inherited,
                start_new_session=True,  # no terminal to prompt on, and Ctrl-C is ours to handle
            )
        except OSError as err:
            os.close(self._status_fd)
            raise CipherError(f"'{self._program}' cannot be run: {err.strerror}", fields=("GPGError",)) from err
        finally:
            for fd in inherited:
                os.close(fd)

    def _listen(self, event: int) -> None:
        for fd in (self._data_fd, self._status_fd, self._words_fd):
            os.set_blocking(fd, False)  # our ends only: an end's flags are its own
        if sys.platform == "linux" and event == select.POLLIN:
            with contextlib.suppress(OSError):  # fewer switches; a user may have used up what the system allows
                fcntl.fcntl(self._data_fd, fcntl.F_SETPIPE_SZ, _PIPE)
        self._poll.register(self._data_fd, event)
        self._poll.register(self._status_fd, select.POLLIN)
        self._poll.register(self._words_fd, select.POLLIN)

    @property
    def words(self) -> str:
        """The end of what gpg said on standard error, on one line: for messages, never for decisions."""
        text = self._words.decode("utf-8", "replace")
        lines = ("".join(char if char.isprintable() else "?" for char in line) for line in text.split("\n"))
        return "; ".join(line.strip() for line in lines if line.strip())

    def write(self, data: memoryview) -> int:
        """Give gpg some of ``data``; how much it took. Raises BrokenPipeError when gpg is gone, Unresponsive."""
        while True:
            if self._turn():
                with contextlib.suppress(BlockingIOError):
                    return os.write(self._data_fd, data[:_TAKE])

    def readinto(self, buffer: memoryview) -> int:
        """Take what gpg gives; 0 at its end. Raises Unresponsive."""
        while True:
            if self._turn():
                with contextlib.suppress(BlockingIOError):
                    return os.readv(self._data_fd, [buffer])

    def finish(self) -> int:
        """Close the data pipe, wait for gpg's end and hear all it says; its exit status. Raises Unresponsive."""
        if self.exit_status is None:
            self._close_data()
            while self._status_fd >= 0 or self._words_fd >= 0:
                # The pipes may outlive gpg: a wrapper script can leave a child behind that holds them.
                if self._popen.poll() is not None and not self._poll.poll(0):
                    break
                self._turn()
            try:
                self.exit_status = self._popen.wait(self._limit_s)
            except subprocess.TimeoutExpired:
                raise self._unresponsive() from None
            self.status.finish()
            self.abort()
        return self.exit_status

    def abort(self) -> None:
        """End gpg if it still runs, reap it, close every pipe."""
        if os.getpid() != self._owner:
            return  # a copy in a forked process: the gpg is not its own
        if self._popen.returncode is None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)  # the group is its own: start_new_session
            self._popen.wait()
        self._close_data()
        for fd in (self._status_fd, self._words_fd):
            if fd >= 0:
                self._hang_up(fd)

    def __del__(self) -> None:
        if hasattr(self, "_words_fd"):
            self.abort()

    def _turn(self) -> bool:
        """Wait one tick at most and drain what gpg says; True when the data pipe is ready."""
        ready = False
        events = self._poll.poll(self._tick_ms)
        for fd, _ in events:
            if fd == self._data_fd:
                ready = True
            else:
                self._drain(fd)
        if events or self._has_moved():
            self._idle_ms = 0
            return ready
        self._idle_ms += self._tick_ms
        if self._idle_ms >= self._limit_s * 1000:
            raise self._unresponsive()
        return False

    def _drain(self, fd: int) -> None:
        try:
            data = os.read(fd, _TAKE)
        except BlockingIOError:
            return
        if not data:
            self._hang_up(fd)
        elif fd == self._status_fd:
            self.status.feed(data)
        else:
            self._words += data
            del self._words[:-_WORDS]

    def _hang_up(self, fd: int) -> None:
        self._poll.unregister(fd)
        if fd == self._status_fd:
            self._status_fd = -1
            os.close(fd)
        else:
            self._words_fd = -1
            assert self._popen.stderr is not None
            self._popen.stderr.close()

    def _close_data(self) -> None:
        if self._data is not None and not self._data.closed:
            self._poll.unregister(self._data_fd)
            self._data_fd = -1
            self._data.close()

    def _has_moved(self) -> bool:
        """Whether gpg read on in its file, or wrote on: the position of the descriptor is shared with it."""
        before = self._position
        with contextlib.suppress(OSError):
            self._position = os.lseek(self._watched, 0, os.SEEK_CUR)
        return self._position != before

    def _unresponsive(self) -> Unresponsive:
        self.abort()
        return Unresponsive(
            f"GnuPG did nothing for {self._limit_s:g} seconds" + (f": {self.words}" if self._words else ""),
            hint="its agent or a pinentry may be waiting for somebody: give the passphrase in PASSPHRASE",
            fields=("GPGError",),
        )


def _pipe_with(secret: Secret) -> int:
    """The reading end of a pipe that holds the passphrase; nobody else can open it (docs/format.md § 9)."""
    reading, writing = os.pipe()
    characters = bytearray(os.fsencode(secret.reveal()))
    try:
        os.set_blocking(writing, False)
        if os.write(writing, characters) != len(characters):
            raise CipherError("the passphrase is too long for a pipe")
    except BaseException:
        os.close(reading)
        raise
    finally:
        characters[:] = bytes(len(characters))
        os.close(writing)
    return reading
