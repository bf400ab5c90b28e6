"""Several runs take the lease at once: in every order of their calls one gets it, also where some die (R43)."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tarragon.api import Backend, BackendWrapper, Locked
from tarragon.run import lease
from tarragon.store.state import State
from tarragon.store.store import Store
from tarragon.temp import TempFolder
from tarragon.volume.name import Names
from tarragon_testkit import MemoryBackend

NAME = Names().lease


class Died(BaseException):
    """A sudden death: whatever is called after it has no effect either."""


class Gated(BackendWrapper):
    """A backend each of whose calls waits until it is its taker's turn."""

    def __init__(self, inner: Backend, wait: Callable[[], None]) -> None:
        super().__init__(inner)
        self._wait = wait

    def put(self, *words: Any) -> None:
        self._wait()
        self.inner.put(*words)

    def put_new(self, *words: Any) -> bool:
        self._wait()
        return self.inner.put_new(*words)

    def read(self, *words: Any) -> Any:
        self._wait()
        return self.inner.read(*words)

    def delete(self, name: str) -> None:
        self._wait()
        self.inner.delete(name)

    def delete_many(self, names: Any) -> None:
        self._wait()
        self.inner.delete_many(names)


class Taker:
    """One run that takes the lease, in a thread of its own that goes on by one call whenever it is told to."""

    def __init__(self, place: Path, backend: Backend) -> None:
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = self._is_under_way = False
        self.answer: bool | None = None
        log = logging.getLogger("tarragon.test")
        context: Any = SimpleNamespace(
            log=log,
            store=Store(Gated(backend, self._wait), log=log, num_retries=1),
            options=SimpleNamespace(dry_run=False),
            names=Names(),
            temp=TempFolder(place),
        )
        self._temp = context.temp
        self.state = State(place.parent / "states" / place.name)
        self.lock = ExitStack()
        self.lock.enter_context(self.state.lock(purpose="test"))
        self.lease = lease._Lease(context, self.state.folder)
        self._work: Callable[[], object] = self.lease.take

    def begin(self, work: Callable[[], object] | None = None) -> None:
        """``work`` instead of taking it."""
        self._work, self.answer, self._is_under_way = work or self.lease.take, None, True
        threading.Thread(target=self._run, daemon=True).start()
        self._others.acquire()

    def step(self) -> bool:
        """Go on by one call; whether it is still under way."""
        self._mine.release()
        self._others.acquire()
        return self._is_under_way

    def die(self) -> None:
        """The kernel lets go of its lock, and nothing is done any more."""
        self._dies = True
        while self._is_under_way:
            self.step()
        self.lock.close()

    def close(self) -> None:
        while self._is_under_way:
            self.step()
        self.lock.close()
        self._temp.close()

    def _run(self) -> None:
        try:
            self._work()
            self.answer = True
        except Locked:
            self.answer = False
        except Died:
            pass
        finally:
            self._is_under_way = False
            self._others.release()

    def _wait(self) -> None:
        self._others.release()
        self._mine.acquire()
        if self._dies:
            raise Died


def orders(play: Callable[[Callable[[int], int]], None], most_switches: int) -> int:
    """Play with every order of turns in which the turn changes at most so often; how many there were.

    ``play`` asks for each turn, with how many could have it; 0 goes on with who had the last one.
    """
    chosen: list[int] = []
    count = 0
    while True:
        made: list[tuple[int, int]] = []

        def turn(wide: int, chosen: list[int] = chosen, made: list[tuple[int, int]] = made) -> int:
            at = chosen[len(made)] if len(made) < len(chosen) else 0
            made.append((at, wide))
            return at

        play(turn)
        count += 1
        while made:
            at, wide = made.pop()
            if at + 1 < wide and sum(other > 0 for other, _ in made) < most_switches:
                chosen = [*(other for other, _ in made), at + 1]
                break
        else:
            return count


def race(takers: list[Taker], turn: Callable[[int], int]) -> None:
    """Let them go on by turns until none is under way."""
    live = list(takers)
    while live:
        first = live.pop(turn(len(live)))
        if first.step():
            live.insert(0, first)


def over() -> bytes:
    return json.dumps({"host": "elsewhere", "process": 7, "owner": "x", "expires": int(time.time()) - 1}).encode()


def must_have_one_holder(backend: MemoryBackend, takers: list[Taker]) -> None:
    holders = [taker for taker in takers if taker.answer]
    assert len(holders) == 1, [taker.answer for taker in takers]
    assert json.loads(backend.objects[NAME])["token"] == holders[0].lease._token


@pytest.fixture
def makes(tmp_path: Path) -> Iterator[Callable[[Backend, int], list[Taker]]]:
    """Takers, each with a state of its own whose lock it holds, as on hosts of their own."""
    made: list[Taker] = []
    (tmp_path / "states").mkdir()

    def make(backend: Backend, count: int) -> list[Taker]:
        new = []
        for _ in range(count):
            place = tmp_path / str(len(made))
            place.mkdir()
            new.append(Taker(place, backend))
            made.append(new[-1])
        return new

    yield make
    for taker in made:
        taker.close()


@pytest.mark.requirement("R43")
@pytest.mark.parametrize(("count", "switches", "least"), [(2, 3, 60), pytest.param(3, 2, 130, marks=pytest.mark.slow)])
def test_of_several_who_take_one_that_is_over_one_gets_it_in_every_order_of_their_calls(
    count: int, switches: int, least: int, makes: Callable[[Backend, int], list[Taker]]
) -> None:
    backend = MemoryBackend()

    def play(turn: Callable[[int], int]) -> None:
        takers = makes(backend, count)
        backend.objects.clear()
        backend.objects[NAME] = over()
        for taker in takers:
            taker.begin()
        race(takers, turn)
        must_have_one_holder(backend, takers)
        assert set(backend.objects) == {NAME}, "nothing is left of who came too late"
        for taker in takers:
            taker.close()

    assert orders(play, switches) >= least


@pytest.mark.requirement("R43")
def test_runs_that_die_at_any_call_of_taking_it_neither_bar_it_nor_let_two_have_it(
    makes: Callable[[Backend, int], list[Taker]],
) -> None:
    backend = MemoryBackend()
    died_with: set[int] = set()

    def play_with(deaths: tuple[int, ...]) -> Callable[[Callable[[int], int]], None]:
        def play(turn: Callable[[int], int]) -> None:
            backend.objects.clear()
            backend.objects[NAME] = over()
            for at in deaths:
                (dead,) = makes(backend, 1)
                dead.begin()
                for _ in range(at):
                    if not dead.step():
                        break
                dead.die()
            died_with.add(len(backend.objects))
            takers = makes(backend, 2)
            for taker in takers:
                taker.begin()
            race(takers, turn)
            must_have_one_holder(backend, takers)
            for taker in takers:
                taker.close()

        return play

    for deaths in [(at,) for at in range(1, 8)] + [(3, 5), (4, 6), (3, 5, 7)]:
        orders(play_with(deaths), 1)
    assert max(died_with) >= 3, "an object of a dead one, and that of one who died taking its place"


@pytest.mark.requirement("R43")
def test_a_holder_that_wakes_up_after_its_time_and_one_that_takes_it_do_not_both_have_it(
    makes: Callable[[Backend, int], list[Taker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend()
    now = time.time()
    answers = set()

    def play(turn: Callable[[int], int]) -> None:
        monkeypatch.setattr(time, "time", lambda: now)
        backend.objects.clear()
        takers = makes(backend, 2)
        sleeper, other = takers
        sleeper.begin()
        race([sleeper], lambda wide: 0)
        assert sleeper.answer
        monkeypatch.setattr(time, "time", lambda: now + lease.LASTS + 1)
        sleeper.begin(sleeper.lease._make_anew)
        other.begin()
        race(takers, turn)
        must_have_one_holder(backend, takers)
        answers.add((sleeper.answer, other.answer))
        for taker in takers:
            taker.close()

    orders(play, 3)
    assert answers == {(True, False), (False, True)}


@pytest.mark.requirement("R43")
def test_what_is_only_being_written_is_not_taken_for_none(
    makes: Callable[[Backend, int], list[Taker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where creating shows an empty object first, as over sftp."""
    backend = MemoryBackend()
    backend.objects[NAME] = b""
    whole = json.dumps({"host": "elsewhere", "process": 7, "owner": "x", "expires": int(time.time()) + 3600}).encode()
    monkeypatch.setattr(time, "sleep", lambda seconds: backend.objects.update({NAME: whole}))
    (taker,) = makes(backend, 1)
    taker.begin()
    race([taker], lambda wide: 0)
    assert taker.answer is False
    assert set(backend.objects) == {NAME}
