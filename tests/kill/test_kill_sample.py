"""A sample of the kill matrix and of the faults, for every run of the tests (the long runs: docs/kill-matrix.md)."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

import preload
from faults import ACTS, Case, states
from programs import Household, Program
from series import Kill, Plan, Series, mixed_plan
from stage import Stage

pytestmark = pytest.mark.skipif(not preload.is_possible(), reason="needs Linux and a C compiler")

STILL, MOVING = False, True
SAMPLE = {
    "full, at a volume, then in the state": Plan(
        1, "gzip", "", "full", 0, STILL, (Kill("volume", 5, "after"), Kill("state", 9)), (0, 1, 60), ("", "")
    ),
    "increment while the source changes, side by side": Plan(
        2, "gzip", "full", "incremental", 4, MOVING, (Kill("volume", 4), Kill("target", 25), Kill("cache", 9, "half")),
        (0, 0, 0, 0), ("", "", ""),
    ),
    "at a random time, then with the cache lost": Plan(
        3, "plain", "full", "backup", 1, MOVING, (Kill("time", 400), Kill("time", 500)), (0, 86400, -100), ("", "cache")
    ),
    "encrypted, while the set becomes visible": Plan(
        4, "symmetric", "full", "incremental", 0, STILL, (Kill("cache", 24), Kill("state", 21)), (1, 1, 1), ("", "")
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def house() -> Iterator[Household]:
    """One home for all series: what they begin with is made once."""
    with Household() as home:
        yield home


@pytest.mark.requirement("R45")
@pytest.mark.requirement("R46")
@pytest.mark.parametrize("name", SAMPLE)
def test_killed_runs_lose_nothing_and_the_next_one_succeeds(
    name: str, house: Household, ours: Program, real: Program
) -> None:
    plan = SAMPLE[name]
    outcome = Series(Stage(house, ours, real, plan.mode), plan, files=8, big=1_200_000).play()
    assert not outcome.figure, outcome.detail
    assert outcome.kills


#: 14: duplicity is killed within a delta of several volumes, which we go on with. 138: the other way round.
MIXED = {14: mixed_plan(14), 138: mixed_plan(138)._replace(kills=(Kill("volume", 8, "after"),))}


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("seed", MIXED)
def test_stock_duplicity_in_between_breaks_nothing(seed: int, house: Household, ours: Program, real: Program) -> None:
    plan = MIXED[seed]
    outcome = Series(Stage(house, ours, real, plan.mode), plan).play()
    assert not outcome.figure, outcome.detail
    assert len(outcome.kills) == len(plan.kills)
    assert outcome.others == plan.others


@pytest.mark.requirement("R46")
def test_what_took_the_place_of_the_last_stored_file_waits_for_the_next_set(
    home: Household, ours: Program, real: Program
) -> None:
    stage = Stage(home, ours, real, "gzip")
    stage.source.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (stage.source / name).write_bytes(Random(name).randbytes(1_300_000))
    killed = stage.backup("full", "--concurrency", "0", env=stage.shim.armed(7, "after", "target.rename"))
    assert killed.status == -signal.SIGKILL
    before = stage.seen()
    for name in ("a", "b", "c"):
        (stage.source / name).unlink()
        (stage.source / name).mkdir()
        (stage.source / name / "in").write_bytes(b"not in a file")
    ended = stage.backup("full", "--concurrency", "0")
    assert ended.status == 0 and "going on with the" in ended.text, ended
    for program in (ours, real):
        found = stage.restored(program)
        stage.must_be_mixed([before, stage.seen()], found, program.command)
        assert all(found[os.path.dirname(path)].type == "dir" for path in found if b"/" in path)
    stage.now += 10
    assert stage.backup("incremental").status == 0
    stage.must_equal(stage.seen(), stage.restored(real), "the increment upon it")


@pytest.mark.requirement("R48")
def test_calls_that_fail_end_a_run_in_order_and_the_next_one_recovers(
    house: Household, ours: Program, real: Program
) -> None:
    shutil.rmtree(house.folder / "stage", ignore_errors=True)
    shutil.rmtree(house.folder / "state", ignore_errors=True)
    case = Case(Stage(house, ours, real, "gzip"), "incremental")
    tried = [Random(act).choice(states(case, [act], 1)) for act in ACTS]
    manifests = [call for call in case.calls if (call.place, call.op) == ("cache", "write") and "manifest" in call.path]
    tried.append((manifests[-1], "fail-EIO"))  # the end of the manifest, which is written when all volumes are stored
    found = [(case.state(call, act), call, act) for call, act in tried]
    assert all(not figure for (figure, _, _), _, _ in found), found
    assert {ACTS[act][1] for _, act in tried} >= {errno.EIO, errno.ENOSPC}
    assert found[-1][0][2] != 0, "a manifest that lacks its end must not be stored"
