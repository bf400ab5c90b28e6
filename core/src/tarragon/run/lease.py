"""The lease: an object at the target that says who is writing there, for others who share it by another way.

Only a hint among the honest: it is never obeyed longer than it says, and a target that cannot create objects
exclusively, or does not let us, is written to without one.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from tarragon import clock
from tarragon.api.backend import Capability, Role
from tarragon.api.errors import BackendError, IntegrityError, Locked, NotFound, TarragonError
from tarragon.record import NOTICE
from tarragon.store.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tarragon.store.archive import Archive
    from tarragon.store.state import State

    from .context import Context

#: How long a lease is obeyed, how often it is made anew, and how far clocks may differ (R43).
LASTS, RENEWED, SKEW = 6 * 3600, 3600, 2 * 3600
#: An expiry farther ahead than clocks that differ explain was not written by us.
_LONGEST = LASTS + SKEW
_LARGEST = 4096
#: So often another object than ours is found where we want to create one; takers that died each leave one.
_MOST_LOOKS = 5
#: What is no lease yet may be one that is being written just now.
_WRITTEN_WITHIN_S = 2
#: Longest pause between two looks at a lock that another run holds.
PAUSE_S = 30.0


@contextmanager
def writing(context: Context, state: State, archive: Archive) -> Iterator[None]:
    """Hold all that keeps other writers out: the state's lock, the cache's, and the lease.

    Waits for another run as long as ``--lock-wait`` says; nothing may have been listed before, for it may be old by
    then. Raises Locked, naming the holder.
    """
    started = time.monotonic()
    pause_s = 0.5
    while True:
        with ExitStack() as locks:
            try:
                locks.enter_context(state.lock(purpose=context.action))
                locks.enter_context(archive.lock())
                locks.enter_context(held(context, state.folder))
            except Locked as err:
                left_s = started + context.options.lock_wait - time.monotonic()
                if left_s <= 0:
                    raise
                if pause_s < 1:
                    context.log.log(NOTICE, "%s: waiting for it for up to %d seconds", err, context.options.lock_wait)
            else:
                context.waited_s = int(time.monotonic() - started)
                yield
                return
        time.sleep(min(left_s, pause_s))
        pause_s = min(2 * pause_s, PAUSE_S)


@contextmanager
def held(context: Context, folder: Path) -> Iterator[None]:
    """Hold the lease of the target while writing. ``folder`` is our state folder, whose lock we hold.

    Raises Locked, naming the holder.
    """
    if context.options.dry_run or Capability.EXCLUSIVE_PUT not in context.store.capabilities:
        if not context.options.dry_run:
            context.log.info("the target cannot hold a lease: nothing tells runs on other hosts of this one")
        yield
        return
    lease = _Lease(context, folder)
    try:
        lease.take()
    except BackendError as err:  # a target that lets us neither overwrite nor delete is no error (R18)
        context.log.info("going on without a lease at the target: %s", err)
    with lease.kept():
        yield


class _Lease:
    def __init__(self, context: Context, folder: Path) -> None:
        self._context = context
        self._folder = folder
        self._name = context.names.lease
        self._token = token_hex(16)
        self._is_ours = False
        self._until = 0

    def take(self) -> None:
        """Take it, also from a run that is dead or whose time is over."""
        self._create([self._name], None)

    def _create(self, ways: list[str], seen: bytes | None) -> None:
        """Create the last of ``ways``, and by it put ours in the place of one that is over, as it was ``seen``.

        All who saw the same try to create one object, whose name follows from what they saw; where its creator died
        before he was done, the one that follows from his. Who comes too late finds another lease than he saw.
        """
        for _ in range(_MOST_LOOKS):
            if self._put(ways[-1], new=True):
                break
            found = self._seen(ways[-1])
            if found is not None and self._is_mine(found):
                break  # a try of ours got through whose answer did not
            if found is not None:  # else it is gone by now: what stands there next may be another's
                self._must_be_over(found)
                ways.append(self._claim(found))
                seen = found if seen is None else seen
        else:
            raise BackendError("too many runs died while they took the lease")
        self._is_ours = ways[-1] == self._name
        if not self._is_ours:
            self._replace(ways, seen)

    def _replace(self, claims: list[str], seen: bytes | None) -> None:
        void = claims[-1:]  # an older one goes only when the lease is another: it bars those who saw that one
        try:
            if self._seen(self._name) != seen:
                raise self._was_quicker()
            self._put(self._name, new=False)
            void = [claim for claim in claims if claim != self._name]
        finally:
            with suppress(TarragonError):  # what stays is an unfinished put like any other
                self._context.store.delete(void)

    def _claim(self, seen: bytes) -> str:
        """What is created to take the place of a lease; it is named, and cleaned up, as an unfinished put."""
        return f"{self._name.removesuffix('lease')}tmp-{hashlib.sha256(seen).hexdigest()[:8]}"

    def _was_quicker(self) -> Locked:
        holder = _holder(_read(self._seen(self._name) or b""))
        return Locked(f"another run was quicker: {holder} is writing to this repository")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Make it anew from time to time, and remove it at the end."""
        if not self._is_ours:
            yield
            return
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            with suppress(RuntimeError):  # a signal came while it was being started
                renewing.join()
            with suppress(TarragonError):  # one that stays is over soon enough
                if self._may_be_over():
                    self._make_anew()
                self._context.store.delete([self._name])

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEWED):
            try:
                self._make_anew()
            except TarragonError as err:
                self._context.log.warning("the lease at the target is not made anew: %s", err)

    def _make_anew(self) -> None:
        """Raises Locked when it was over, after a sleep of this machine say, and another run has taken it."""
        if not self._may_be_over():
            self._put(self._name, new=False)
            return
        seen = self._seen(self._name)
        if seen is None or not self._is_mine(seen):
            raise self._was_quicker()
        self._create([self._claim(seen)], seen)

    def _may_be_over(self) -> bool:
        """Whether somebody whose clock is ahead of ours may think so."""
        return time.time() >= self._until - SKEW

    def _put(self, name: str, *, new: bool) -> bool:
        document, store = self._document(), self._context.store
        with self._context.temp.path() as path:
            path.write_text(json.dumps(document))
            if not (store.put_new if new else store.put)(name, FileSource(path), Role.OWN):
                return False
        if name == self._name:
            self._until, self._is_ours = document["expires"], True
        return True

    def _document(self) -> dict[str, Any]:
        return {
            "tarragon": "lease",
            "version": 1,
            "token": self._token,
            "owner": _user(),
            "host": socket.gethostname(),
            "process": os.getpid(),
            "boot": _boot(),
            "processes": _processes(),
            "key": self._folder.name,
            "lock": _mark(self._folder / "lock"),
            "expires": int(time.time()) + LASTS,
        }

    def _seen(self, name: str) -> bytes | None:
        """The lease that stands there, or the beginning of what is none; None when there is nothing."""
        for pause_s in (_WRITTEN_WITHIN_S, 0):
            try:
                with self._context.temp.file() as file:
                    seen = self._context.store.fetch(name, file).file.read(_LARGEST)
            except NotFound:
                return None
            except IntegrityError:
                seen = b""
            if _read(seen):
                break
            time.sleep(pause_s)
        return seen

    def _is_mine(self, seen: bytes) -> bool:
        return _read(seen).get("token") == self._token

    def _must_be_over(self, seen: bytes) -> None:
        """Raise Locked unless its holder is provably dead, or its time is over."""
        found = _read(seen)
        expires = found.get("expires")
        left = expires - time.time() if type(expires) is int else 0
        if not 0 < left <= _LONGEST or self._is_dead(found):
            return
        until = clock.pretty(int(time.time() + left))
        raise Locked(
            f"{_holder(found)} is writing to this repository",
            hint=f"wait for it to end; if it has died, its lease is over at {until} (object '{self._name}')",
        )

    def _is_dead(self, found: dict[str, Any]) -> bool:
        """Whether it is of this host, and its process is gone or its kernel lock free, which dies with its owner."""
        if _has_ended(found):
            return True
        key, mark = found.get("key"), found.get("lock")
        if found.get("host") != socket.gethostname() or not isinstance(key, str) or "/" in key or not mark:
            return False
        if mark == _mark(self._folder / "lock"):
            return True  # the very lock that we hold
        lock = self._folder.parent / key / "lock"
        if mark != _mark(lock):
            return False
        try:
            fd = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True


def _read(seen: bytes) -> dict[str, Any]:
    """What a lease says; nothing when it is none."""
    try:
        found = json.loads(seen)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(found: dict[str, Any]) -> str:
    words = [str(found.get(word, "?")) for word in ("process", "host", "owner")]
    return "process {} on host '{}' (user {})".format(*words)


def _mark(lock: Path) -> str:
    """Which lock file this is, on this host; "" when there is none. Containers may share names, not files."""
    try:
        place = f"{os.path.realpath(lock)}:{os.lstat(lock).st_ino}"
    except OSError:
        return ""
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:16]


def _has_ended(found: dict[str, Any]) -> bool:
    """Whether its process was one of those that we can see, and is gone: proof also where its lock file is lost."""
    process, seen_by = found.get("process"), _processes()
    if not seen_by or found.get("processes") != seen_by or found.get("boot") != _boot() or type(process) is not int:
        return False
    try:
        if process > 0:
            os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it runs, as somebody else
    return False


def _processes() -> str:
    """Among which processes we count: numbers of another container's mean nothing here. "" where nothing tells."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
