"""Processes that race for a lease that is over, in a folder (R43). Every order: core/tests/test_lease_race.py."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tarragon.api import Locked
from tarragon.run import lease
from tarragon.store.state import State
from tarragon.store.store import Store
from tarragon.temp import TempFolder
from tarragon.volume.name import Names
from tarragon_file.backend import FileBackend

RACERS, ROUNDS = 4, int(os.environ.get("TARRAGON_ROUNDS", "200"))


def racer(number: int, place: Path, barrier: Any, wins: Any) -> None:
    """One process, as on a host of its own: nothing of it proves its death to the others."""
    socket.gethostname = lambda: f"host-{number}"  # type: ignore[method-assign] # a process of its own
    log = logging.getLogger("tarragon.test")
    mine = place / str(number)
    mine.mkdir()
    store, temp = Store(FileBackend(str(place / "repo")), log=log), TempFolder(mine)
    context: Any = SimpleNamespace(log=log, store=store, names=Names(), temp=temp)
    state = State(place / f"state-{number}")
    with state.lock(purpose="test"):
        for turn in range(ROUNDS):
            barrier.wait(60)  # the lease that is over stands there
            taken = lease._Lease(context, state.folder)
            time.sleep((turn * 7 + number * 13) % 5 / 5000)
            try:
                taken.take()
                wins[turn * RACERS + number] = 1
            except Locked:
                pass
            barrier.wait(60)  # all have tried
            barrier.wait(60)  # and have been counted
    temp.close()


@pytest.mark.requirement("R43")
def test_of_several_processes_that_take_one_that_is_over_one_gets_it(tmp_path: Path) -> None:
    forked = multiprocessing.get_context("fork")
    barrier, wins = forked.Barrier(RACERS + 1), forked.Array("b", RACERS * ROUNDS)
    repo = tmp_path / "repo"
    repo.mkdir()
    racers = [forked.Process(target=racer, args=(number, tmp_path, barrier, wins)) for number in range(RACERS)]
    for process in racers:
        process.start()
    left = []
    for turn in range(ROUNDS):
        document = {"host": "gone", "process": 7, "token": str(turn), "expires": int(time.time()) - 1}
        (repo / "tarragon.lease").write_text(json.dumps(document))
        barrier.wait(60)
        barrier.wait(60)
        holders = [f"host-{number}" for number in range(RACERS) if wins[turn * RACERS + number]]
        found = json.loads((repo / "tarragon.lease").read_text())
        left.append((len(holders), found["host"] in holders, sorted(os.listdir(repo))))
        barrier.wait(60)
    for process in racers:
        process.join(60)
        assert process.exitcode == 0
    assert left == [(1, True, ["tarragon.lease"])] * ROUNDS
