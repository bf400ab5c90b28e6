#!/usr/bin/env python3
"""Ten years of daily backups under a policy, with a clock that is told: what stays is what the policy says (R17).

    python tests/scenarios/ten_years.py [--days 3653]

A backup each day, a full one every 30 days, `prune --force` each week; the file that is backed up says the day. In the
end the sets that are kept are compared with what the rules say of all days that ever were, worked out here and from
nothing but the calendar; then each of them is restored by the real duplicity, with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import programs
from tarragon.cli.main import main as tarragon

DAY = 86400
CHAIN, PRUNED = 30, 7
RULES = {"--keep-daily": 7, "--keep-weekly": 5, "--keep-monthly": 12, "--keep-yearly": 10}
#: In what calendar period a day is, for each rule.
PERIODS = {"--keep-daily": "%Y-%m-%d", "--keep-weekly": "%G-%V", "--keep-monthly": "%Y-%m", "--keep-yearly": "%Y"}


def wanted(days: list[int]) -> set[int]:
    """The newest day of each of the last periods of each rule."""
    found: set[int] = set()
    for rule, count in RULES.items():
        newest: dict[str, int] = {}
        for day in sorted(days):
            newest[time.strftime(PERIODS[rule], time.gmtime(day))] = day
        found |= set(sorted(newest.values())[-count:])
    return found


def chain_of(days: list[int], day: int) -> list[int]:
    """The days that a set needs: all of its chain up to it."""
    at = days.index(day)
    return days[at - at % CHAIN : at + 1]


def must(words: list[str]) -> None:
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        status = tarragon(words)
    if status != 0:
        raise SystemExit(f"exit status {status}: {words}")


def live(place: Path, days: list[int]) -> None:
    """All backups and prunings."""
    for number, day in enumerate(days):
        (place / "source" / "day").write_text(f"{day}\n")
        os.utime(place / "source" / "day", (day, day))
        kind = "full" if number % CHAIN == 0 else "incremental"
        options = ["--no-encryption", "--no-print-statistics", "--concurrency", "0", "-v1"]
        must([kind, *options, "--current-time", str(day), "source", "file://repo"])
        if number % PRUNED == 0 or number == len(days) - 1:
            rules = [word for rule, count in RULES.items() for word in (rule, str(count))]
            must(["prune", "-v1", *rules, "--force", "--current-time", str(day + 1), "file://repo"])
        if number % 365 == 0:
            print(f"day {number}: {len(os.listdir(place / 'repo'))} objects", flush=True)


def kept(place: Path) -> set[int]:
    """The times of all sets whose manifests stand at the target."""
    names = os.listdir(place / "repo")
    stamps = [found[1] for name in names if (found := re.search(r"(\d{8}T\d{6}Z)\.manifest", name))]
    return {int(time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))) for stamp in stamps}


def restored(home: programs.Household, place: Path, day: int) -> str:
    """What duplicity restores of a day."""
    words = ["--no-encryption", "--time", str(day), "--archive-dir", place / f"cache-{day}", "file://repo"]
    answer = home.run(programs.duplicity(), "restore", *words, place / f"out-{day}", cwd=place)
    if answer.status != 0:
        raise SystemExit(str(answer))
    return (place / f"out-{day}" / "day").read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description="Ten years of daily backups under a policy.")
    parser.add_argument("--days", type=int, default=3653)
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    today = int(time.time()) // DAY * DAY - DAY  # all in the past: what is dated after it was stored is in doubt
    days = [today - (options.days - 1 - number) * DAY for number in range(options.days)]
    with programs.Household() as home:
        place = home.folder / "years"
        (place / "source").mkdir(parents=True)
        os.environ.update(home.environment())
        os.chdir(place)
        live(place, days)
        found, asked = kept(place), wanted(days)
        needed = {each for day in asked for each in chain_of(days, day)}
        missing, surplus = sorted(asked - found), sorted(found - needed)
        wrong = [day for day in sorted(found) if restored(home, place, day) != f"{day}\n"]
        os.chdir("/")
    print(
        f"days {len(days)}, sets kept {len(found)}: {len(asked)} that the policy asks for, the rest are what these need"
    )
    print(f"asked for and gone {len(missing)}, kept and needed by none {len(surplus)}")
    print(f"restored by duplicity {len(found)}, wrong {len(wrong)}")
    return int(bool(missing or surplus or wrong))


if __name__ == "__main__":
    sys.exit(main())
