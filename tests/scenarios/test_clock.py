"""Clocks that jump, stand still, or are set back: libfaketime makes every program here believe them (R54)."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

import pytest
from programs import Answer, Program, describe, judged
from sites import Site

ALARM = 102
_LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _LIBRARY, reason="needs libfaketime (Debian's package of that name)"),
]


class Clock:
    """Runs at moments of our choice, without ``--current-time``."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._number = 0

    def run(self, clock: str, *words: str | Path, program: Program | None = None, zone: str = "UTC") -> Answer:
        # What waits is measured by the monotonic clock, which no administrator can set.
        faked = {"LD_PRELOAD": _LIBRARY, "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": zone}
        site = self.site
        return site.home.run(program or site.program, *words, *site.options, env=faked, wait_s=120)

    def backup(self, clock: str, action: str = "backup", **how: str) -> Answer:
        self._number += 1
        path = self.site.source / f"n{self._number}"
        path.write_bytes(b"%d" % self._number * 1000)
        os.utime(path, (1_600_000_000 + self._number,) * 2)
        return self.run(clock, action, self.site.source, self.site.url, **how)

    def must_hold(self) -> None:
        """The newest set is the source; asked for by name, for its time may be ahead of the clock."""
        site = self.site
        answer = site.restore("--time", "2037-01-01")
        assert answer.status == 0, answer
        describe(site.source, site.place / "now.tsv")
        equal, difference = judged(site.place / "now.tsv", site.out)
        assert equal, difference

    def stamps(self) -> list[str]:
        """Times of the sets, in the order of the chain."""
        found = []
        for name in self.site.names():
            if match := re.fullmatch(r"duplicity-(?:full|inc\.\w+\.to)\.(\w+)\.manifest", name):
                found.append(match.group(1))
        return sorted(found)


@pytest.fixture
def clock(site: Site) -> Clock:
    return Clock(site)


@pytest.mark.requirement("R54")
def test_a_clock_that_jumps_by_ten_years_and_back_loses_nothing(clock: Clock) -> None:
    assert clock.backup("2023-11-14 12:00:00").status == 0
    back = clock.backup("2013-11-14 12:00:00")
    assert back.status == ALARM, back  # ten years: somebody should look
    assert clock.stamps() == ["20231114T120000Z", "20231114T120001Z"]
    ahead = clock.backup("2033-11-14 12:00:00")
    assert ahead.status == 0, ahead
    right = clock.backup("2023-11-15 12:00:00")
    assert (right.status, "ahead of" in right.text) == (ALARM, True), right
    assert clock.stamps()[2:] == ["20331114T120000Z", "20331114T120001Z"]
    clock.must_hold()


@pytest.mark.requirement("R54")
def test_a_clock_that_stands_still_makes_sets_a_second_apart(clock: Clock) -> None:
    for action in ("full", "incremental", "incremental", "full", "incremental"):
        answer = clock.backup("2023-11-14 12:00:00", action)
        assert answer.status == 0, answer
    assert clock.stamps() == [f"20231114T12000{second}Z" for second in range(5)]
    clock.must_hold()


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("step", ["+0 x500", "@2023-11-14 12:00:00 x1000"])
def test_a_clock_that_runs_away_during_a_run_ends_nothing_early(step: str, clock: Clock) -> None:
    """A lease or a time limit that is measured by the clock of the wall would be over at once."""
    clock.site.write("big", os.urandom(3_000_000))
    for action in ("full", "incremental"):
        answer = clock.backup(step, action)
        assert answer.status in (0, ALARM), answer
    clock.must_hold()


@pytest.mark.requirement("R54")
def test_the_hour_that_comes_twice_is_two_hours(clock: Clock) -> None:
    """Berlin, 29 October 2023: 02:30 in summer time, and an hour later 02:30 once more."""
    berlin = "Europe/Berlin"
    assert clock.backup("2023-10-29 00:30:00", "full").status == 0
    assert clock.backup("2023-10-29 01:30:00", "incremental").status == 0
    assert clock.stamps() == ["20231029T003000Z", "20231029T013000Z"]
    out = clock.site.out
    answer = clock.run(
        "2023-10-30 12:00:00", "restore", "--time", "2023-10-29T02:30:00+02:00", clock.site.url, out, zone=berlin
    )
    assert answer.status == 0, answer
    assert not (out / "n2").exists()
    clock.must_hold()


@pytest.mark.requirement("R54")
def test_duplicity_builds_upon_a_set_that_was_moved_a_second_ahead(clock: Clock, real: Program) -> None:
    for _ in range(3):
        assert clock.backup("2023-11-14 12:00:00").status == 0
    clock.site.write("of duplicity", b"more")
    now = ("--current-time", "1700000000")
    answer = clock.site.home.run(real, "incremental", *clock.site.options, *now, clock.site.source, clock.site.url)
    assert answer.status == 0, answer
    clock.must_hold()
