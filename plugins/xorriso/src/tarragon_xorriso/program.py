"""One call of the program xorriso: its words, its answer, and what its complaints mean."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import shutil
import stat
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tarragon.api import BackendError, BadOption, NotFound, OutOfSpace, PermissionDenied, Transient, operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tarragon.api import Context

#: Names of variables that may hold a secret: no program that we start gets them (R24).
_SECRET = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|ACCOUNT_KEY|CONNECTION_STRING|CREDENTIAL", re.IGNORECASE)
_COMPLAINT = re.compile(r"^\w+ : (?:FAILURE|FATAL|SORRY|ABORT) : (.*)|^\w+: (?:FAILURE|FATAL|SORRY|ABORT) : (.*)", re.M)
#: What is said in a complaint → what it means; the first that fits counts.
_MEANINGS: tuple[tuple[str, type[BackendError]], ...] = (
    ("exceeds free space", OutOfSpace),
    ("No space left", OutOfSpace),
    ("Disk quota exceeded", OutOfSpace),
    ("Cannot find path", NotFound),
    ("Permission denied", PermissionDenied),
    ("Read-only file system", PermissionDenied),
    ("busy", Transient),
    ("SCSI", Transient),
    ("timeout", Transient),
    ("Cannot read", Transient),
    ("Input/output error", Transient),
    ("Stale file handle", Transient),
)
#: And what the system says of the device; an image that is gone is no object that is not there.
_KINDS: dict[int, type[BackendError]] = {
    errno.ENOSPC: OutOfSpace,
    errno.EDQUOT: OutOfSpace,
    errno.EFBIG: OutOfSpace,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.EIO: Transient,
    errno.ESTALE: Transient,
    errno.ETIMEDOUT: Transient,
}
_NO_IMAGE = "No ISO 9660 image at LBA"
#: Where an image says that it is one. The program takes a failure to read that for "none".
_MARK, _MARK_AT = b"CD001", 0x8001
#: How long a program that is told to end may take to leave a disc in order.
_ENDING_S = 10
_LOOK_S = 0.5
#: Volume descriptors and all before them: what xorriso writes over when it adds a session to a file.
_HEAD = 1 << 16


@dataclass(frozen=True)
class Xorriso:
    """How the program is called for one device. ``words`` are the user's own, from XORRISO_ARGS."""

    program: str
    device: str
    speed: str
    words: tuple[str, ...]
    volume: str
    env: Mapping[str, str]

    @classmethod
    def of(cls, device: str, context: Context) -> Xorriso:
        """As the environment of the run has it. Raises BadOption, and BackendError where there is no program."""
        env = context.env
        wanted = env.get("XORRISO_PATH") or "xorriso"
        program = shutil.which(wanted, path=env.get("PATH"))
        if program is None:
            raise BackendError(f"no program '{wanted}'", hint="install xorriso, or name it in XORRISO_PATH")
        try:
            words = tuple(shlex.split(env.get("XORRISO_ARGS", "")))
        except ValueError as err:
            raise BadOption(f"XORRISO_ARGS cannot be split into words: {err}") from err
        return cls(
            program=program,
            device=device,
            speed="max" if env.get("XORRISO_WRITE_SPEED") == "max" else "min",
            words=words,
            volume=env.get("XORRISO_ASSERT_VOLID", ""),
            env={name: text for name, text in env.items() if not _SECRET.search(name)},
        )

    @property
    def is_file(self) -> bool:
        """Whether the device is an image in a file, and no drive."""
        return stat.S_ISREG(os.stat(self.device).st_mode)

    @property
    def is_filled(self) -> bool:
        """Whether the device is a file with something in it."""
        with self._translated("cannot store"):
            return self.is_file and os.path.getsize(self.device) > 0

    def read(self, what: str, *words: str) -> str:
        """Load the newest session, do what ``words`` say, and give what was answered. Nothing is written."""
        with self._translated(what), self._locked(what, fcntl.LOCK_SH) as fd:
            return self._called(what, fd, ["-indev", self._address()], words)

    def write(self, what: str, *words: str) -> None:
        """Load the newest session, do what ``words`` say, and write it as a new session."""
        with self._translated(what), self._locked(what, fcntl.LOCK_EX) as fd, self._all_or_nothing(fd):
            self._called(what, fd, ["-dev", self._address()], [*words, "-commit"])
            if self.is_file:
                os.fsync(fd)

    @contextmanager
    def _all_or_nothing(self, fd: int) -> Iterator[None]:
        """Make a session before the newest one of an image again, when the program fails while it makes another.

        What says which is the newest lies at the image's beginning, and is written over.
        """
        head = os.pread(fd, _HEAD, 0) if self.is_file else b""
        try:
            yield
        except BaseException:
            if self.is_file and os.pread(fd, _HEAD, 0) != head:
                with open(self.device, "r+b") as image:
                    image.write(head)
                    if not head:
                        image.truncate()  # it was empty, and is to be so again: what is neither would be refused
                    image.flush()
                    os.fsync(image.fileno())
            raise

    def _address(self) -> str:
        """Drives by their own names; files must be called such. Other block devices are xorriso's to refuse."""
        return f"stdio:{self.device}" if self.is_file else self.device

    def _called(self, what: str, lock: int, load: Sequence[str], words: Sequence[str]) -> str:
        check = ["-assert_volid", self.volume, "FAILURE"] if self.volume else []
        command = [self.program, "-abort_on", "FAILURE", "-return_with", "FAILURE", "32", "-osirrox", "on"]
        command += ["-calm_drive", "off", "-joliet", "on", *self.words, *check, "-speed", self.speed]
        # Names are names: no wildcards in them.
        command += ["-iso_rr_pattern", "off", "-disk_pattern", "off", *load, *words, "-end"]
        status, out, said = self._run(what, command, lock)
        if _NO_IMAGE in said:
            if lock >= 0 and os.pread(lock, len(_MARK), _MARK_AT) == _MARK:
                raise Transient(f"{what}: the program did not find the image in '{self.device}'")
            raise BackendError(
                f"{what}: '{self.device}' holds no ISO 9660 image",
                hint="an empty file, or a blank disc, will do for a new one",
            )
        if status:
            raise _error(what, status, said)
        return out

    def _run(self, what: str, command: Sequence[str], lock: int) -> tuple[int, str, str]:
        """The program has the lock too: it may outlive us, and nobody else may write beside it then."""
        try:
            process = subprocess.Popen(
                [os.fsencode(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.env,
                start_new_session=True,  # Ctrl-C ends us, and we end it in order
                pass_fds=() if lock < 0 else (lock,),
            )
        except OSError as err:
            raise BackendError(f"{what}: cannot run '{self.program}': {err.strerror}") from err
        call = operation()
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    out, said = process.communicate(timeout=_LOOK_S)
                    return process.returncode, os.fsdecode(out), os.fsdecode(said)
                call.wanted()
        except BaseException:
            _end(process)
            raise

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise _KINDS.get(err.errno or 0, BackendError)(f"{what}: '{self.device}': {err.strerror}") from err

    @contextmanager
    def _locked(self, what: str, how: int) -> Iterator[int]:
        """Keep others of our kind away from an image meanwhile; a drive keeps them away itself."""
        if not self.is_file:
            yield -1
            return
        fd = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise Transient(f"{what}: another run is using '{self.device}'") from err
            yield fd
        finally:
            os.close(fd)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _error(what: str, status: int, said: str) -> BackendError:
    complaints = [a or b for a, b in _COMPLAINT.findall(said)]
    text = "; ".join(dict.fromkeys(complaints)) or f"xorriso ended with status {status}"
    for words, kind in _MEANINGS:
        if any(words in complaint for complaint in complaints):
            return kind(f"{what}: {text[:500]}")
    return BackendError(f"{what}: {text[:500]}")
