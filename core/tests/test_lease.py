"""The lease at the target: who holds it, and when it is over."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tarragon.api import Capability, Locked, PermissionDenied
from tarragon.run import lease
from tarragon.store.state import State
from tarragon.store.store import Store
from tarragon.temp import TempFolder
from tarragon.volume.name import Names
from tarragon_testkit import FaultyBackend, MemoryBackend

NAME = Names().lease


class Client:
    """As much of a run's context as the lease needs."""

    def __init__(self, place: Path, backend: Any, key: str = "key") -> None:
        self.log = logging.getLogger("tarragon.test")
        self.store = Store(backend, log=self.log, sleep=lambda seconds: None)  # type: ignore[arg-type]
        self.options = SimpleNamespace(dry_run=False)
        self.names = Names()
        self.temp = TempFolder(place)
        self.state = State(place / "state" / key)

    def writing(self) -> Any:
        return lease.held(self, self.state.folder)  # type: ignore[arg-type]


@pytest.fixture
def backend() -> MemoryBackend:
    made = MemoryBackend()
    assert Capability.EXCLUSIVE_PUT in made.capabilities
    return made


@pytest.fixture
def client(tmp_path: Path, backend: MemoryBackend) -> Iterator[Client]:
    made = Client(tmp_path, backend)
    with made.state.lock(purpose="test"):
        yield made
    made.temp.close()


def left(**facts: Any) -> bytes:
    """A lease that somebody left."""
    found = {"host": "elsewhere", "process": 7, "owner": "somebody", "expires": int(time.time()) + 3600}
    return json.dumps({**found, **facts}).encode()


def own_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "process": os.getpid()}


@pytest.mark.requirement("R43")
def test_it_is_there_while_writing_and_gone_afterwards(client: Client, backend: MemoryBackend) -> None:
    with client.writing():
        found = json.loads(backend.objects[NAME])
        assert found["process"] == os.getpid()
        assert time.time() < found["expires"] <= time.time() + lease.LASTS
        assert found["boot"]
    assert backend.objects == {}


@pytest.mark.requirement("R43")
def test_one_of_another_host_is_obeyed_and_named(client: Client, backend: MemoryBackend) -> None:
    backend.objects[NAME] = left()
    with pytest.raises(Locked, match="process 7 on host 'elsewhere'"), client.writing():
        pass
    assert NAME in backend.objects


@pytest.mark.requirement("R43")
@pytest.mark.parametrize(
    "found",
    [
        left(expires=int(time.time()) - 1),
        left(expires=int(time.time()) + 10 * lease.LASTS),
        left(expires="never"),
        b"",
        b"[]",
        b"\xff",
    ],
    ids=["over", "too far ahead", "no time", "empty", "a list", "garbage"],
)
def test_one_that_is_over_or_none_is_taken(
    found: bytes, client: Client, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    backend.objects[NAME] = found
    with client.writing():
        assert json.loads(backend.objects[NAME])["host"] == socket.gethostname()
    assert backend.objects == {}


@pytest.mark.requirement("R43")
@pytest.mark.parametrize("key", ["key", "other"])
def test_one_of_this_host_whose_kernel_lock_is_free_is_taken_at_once(
    key: str, client: Client, backend: MemoryBackend, tmp_path: Path
) -> None:
    folder = State(tmp_path / "state" / key).folder
    (folder / "lock").touch()
    mark = lease._mark(folder / "lock")
    backend.objects[NAME] = left(**own_process(), key=key, lock=mark)
    with client.writing():
        assert json.loads(backend.objects[NAME])["process"] == os.getpid()


@pytest.mark.requirement("R43")
def test_one_of_this_host_whose_kernel_lock_is_held_is_obeyed(
    client: Client, backend: MemoryBackend, tmp_path: Path
) -> None:
    other = State(tmp_path / "state" / "other")
    with other.lock(purpose="test"):
        backend.objects[NAME] = left(**own_process(), key="other", lock=lease._mark(other.folder / "lock"))
        with pytest.raises(Locked), client.writing():
            pass


def test_the_same_key_in_another_home_is_another_lock(client: Client, backend: MemoryBackend, tmp_path: Path) -> None:
    elsewhere = State(tmp_path / "container" / "key")
    (elsewhere.folder / "lock").touch()
    backend.objects[NAME] = left(**own_process(), key="key", lock=lease._mark(elsewhere.folder / "lock"))
    with pytest.raises(Locked), client.writing():
        pass


@pytest.mark.requirement("R18")
@pytest.mark.parametrize("lets", ["nothing", "no deletion"])
def test_a_target_that_does_not_let_us_is_written_to_without_one(
    lets: str, tmp_path: Path, backend: MemoryBackend
) -> None:
    refusals = {"delete_many": [PermissionDenied("no")] * 9, "delete": [PermissionDenied("no")] * 9}
    backend.objects[NAME] = left(expires=int(time.time()) - 1)
    if lets == "nothing":
        refusals["put_new"] = [PermissionDenied("no")] * 9
    client = Client(tmp_path, FaultyBackend(backend, refusals))
    reached = False
    with client.state.lock(purpose="test"), client.writing():
        reached = True
    client.temp.close()
    assert reached


def test_a_dry_run_leaves_the_target_alone(client: Client, backend: MemoryBackend) -> None:
    client.options.dry_run = True
    with client.writing():
        assert backend.objects == {}


@pytest.mark.requirement("R43")
def test_a_lease_that_ends_between_two_looks_costs_nobody_his(
    client: Client, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder ends, and somebody else takes it, while a run that was refused looks who it was."""
    backend.objects[NAME] = left()
    real = MemoryBackend.read

    def ending(self: MemoryBackend, name: str, start: int = 0, stop: int | None = None) -> Any:
        monkeypatch.setattr(MemoryBackend, "read", real)
        del self.objects[name]
        try:
            return self.read(name, start, stop)
        finally:
            self.objects[name] = left(process=8)

    monkeypatch.setattr(MemoryBackend, "read", ending)
    with pytest.raises(Locked, match="process 8"), client.writing():
        pass
    assert json.loads(backend.objects[NAME])["process"] == 8


@pytest.mark.requirement("R43")
@pytest.mark.parametrize("skew_s", [-7200, -3600, 0, 3600, 7200])
@pytest.mark.parametrize("age_s", [0, lease.RENEWED])
def test_clocks_two_hours_apart_neither_end_a_lease_early_nor_keep_a_dead_one_for_ever(
    skew_s: int, age_s: int, client: Client, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder's clock differs from ours by ``skew_s``; it made its lease anew ``age_s`` ago."""
    now = time.time()
    backend.objects[NAME] = left(expires=int(now) + skew_s - age_s + lease.LASTS)
    with pytest.raises(Locked), client.writing():
        pass
    monkeypatch.setattr(time, "time", lambda: now + lease.LASTS + 7200)
    with client.writing():
        assert json.loads(backend.objects[NAME])["process"] == os.getpid()


@pytest.mark.requirement("R43")
def test_a_number_that_another_process_has_by_now_is_no_sign_of_life(
    client: Client, backend: MemoryBackend, tmp_path: Path
) -> None:
    """The holder is dead, its lock file too is free; process 1 lives, and is somebody else."""
    folder = State(tmp_path / "state" / "other").folder
    (folder / "lock").touch()
    facts = {"host": socket.gethostname(), "process": 1, "key": "other", "lock": lease._mark(folder / "lock")}
    backend.objects[NAME] = left(**facts, boot=lease._boot(), processes=lease._processes())
    with client.writing():
        assert json.loads(backend.objects[NAME])["process"] == os.getpid()
