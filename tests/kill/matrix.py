#!/usr/bin/env python3
"""The kill matrix: series of runs that are killed, judged by the real duplicity. Runs add up.

    python tests/kill/matrix.py --results FILE --seeds 1-200 [--jobs 2] [--minutes 9]
    python tests/kill/matrix.py --results FILE --mixed --seeds 1-200 [--jobs 2] [--minutes 9]
    python tests/kill/matrix.py --results FILE --sweep full|incremental [--acts before,after,half] [--minutes 9]
    python tests/kill/matrix.py --results FILE --sum

Each series is one line of FILE, a file of JSON lines; what stands there already is not done again, so that a call that
was broken off, or ended with its minutes, is continued by the same command line. ``--sweep`` kills at every single
change of state of a small run, in order; the seeds choose from everything else. The exit status is 1 if any figure of
the sum is not 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import programs
from series import Plan, Series, mixed_plan, random_plan, sweep_plan
from stage import Stage, code

#: What must stay 0.
FIGURES = ("tree", "earlier", "stuck")

_home: programs.Household | None = None


def play(plan: Plan) -> dict[str, Any]:
    """One series, in a worker with a home of its own."""
    global _home
    if _home is None:
        _home = programs.Household()
        _home.import_golden_keys()
    ours, real = programs.program_under_test(), programs.duplicity()
    is_sweep = plan.kills[0].kind == "all"
    size = {"files": 8, "big": 1_200_000} if is_sweep else {}
    started = time.monotonic()
    try:
        outcome = Series(Stage(_home, ours, real, plan.mode), plan, **size).play().record()
    except Exception:  # noqa: BLE001 - whatever it is, it is the harness's, and other series go on
        _home.close()
        _home = None
        return {"key": key_of(plan), "figure": "harness", "detail": traceback.format_exc(), "kills": []}
    return {"key": key_of(plan), "code": code(), "seconds": round(time.monotonic() - started, 1), **outcome}


def key_of(plan: Plan) -> str:
    """What a series is called in the results."""
    kill = plan.kills[0]
    if plan.others:
        return f"mixed-{plan.seed}"
    return f"sweep-{plan.action}-{kill.act}-{kill.at}" if kill.kind == "all" else f"seed-{plan.seed}"


def read(results: Path) -> list[dict[str, Any]]:
    """The results so far; a line that was cut off is dropped, and what failed in the harness is done again."""
    found = []
    for line in results.read_text().splitlines() if results.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [each for each in found if each["figure"] != "harness"]


def total(lines: list[dict[str, Any]]) -> str:
    """The sum, to be read by people."""
    kills = [tuple(kill) for line in lines for kill in line["kills"]]
    figures = Counter(line["figure"] for line in lines if line["figure"])
    classes = Counter(kind for kind, _ in kills)
    plans = [line["plan"] for line in lines]
    told = [
        "code, kills: " + _counted(line.get("code", "?") for line in lines for _ in line["kills"]),
        f"series {len(lines)}, kills {len(kills)}: " + ", ".join(f"{kind} {classes[kind]}" for kind in sorted(classes)),
        "kills in a row: " + _counted(len(line["kills"]) for line in lines),
        "concurrency: " + _counted(plan["concurrency"] for plan in plans),
        "mode: " + _counted(plan["mode"] for plan in plans),
        "source: " + _counted("changing" if plan["is_moving"] else "still" for plan in plans),
        "action: " + _counted(f"{plan['action']} upon {plan['base'] or 'nothing'}" for plan in plans),
        "stock duplicity, or a command of ours, in between: "
        + _counted(what for line in lines for what in line.get("others", [])),
        f"runs that went on where another was killed: {sum(line['resumed'] for line in lines)}",
        f"runs that ended with the alarm of another repository, rightly: {sum(line.get('told', 0) for line in lines)}",
        f"different states hit: {len({what for _, what in kills})}",
        f"objects left over at the target: {sum(line['leftovers'] for line in lines)}, "
        f"unfinished files: {sum(line['temporary'] for line in lines)}",
        "wrong trees {}, lost earlier sets {}, stuck states {}".format(*(figures[name] for name in FIGURES)),
    ]
    return "\n".join(told)


def _counted(values: Any) -> str:
    counted = Counter(str(value) for value in values)
    return ", ".join(f"{value}: {count}" for value, count in sorted(counted.items()))


def plans_of(options: argparse.Namespace) -> list[Plan]:
    """All plans that were asked for."""
    if options.sweep:
        first, _, last = options.calls.partition("-")
        acts = options.acts.split(",")
        return [sweep_plan(options.sweep, at, act) for at in range(int(first), int(last) + 1) for act in acts]
    first, _, last = options.seeds.partition("-")
    made = mixed_plan if options.mixed else random_plan
    return [made(seed) for seed in range(int(first), int(last or first) + 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill backups and see whether anything is lost.")
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines, outside the tree")
    parser.add_argument("--seeds", default="1-20")
    parser.add_argument("--mixed", action="store_true", help="stock duplicity uses the chain in between")
    parser.add_argument("--sweep", choices=("full", "incremental"))
    parser.add_argument("--calls", default="1-160", help="with --sweep: from which call to which")
    parser.add_argument("--acts", default="before", help="with --sweep: before, after, half")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--sum", action="store_true", help="only print the sum")
    options = parser.parse_args()
    done = read(options.results)
    if not options.sum:
        have = {line["key"] for line in done}
        run([plan for plan in plans_of(options) if key_of(plan) not in have], options)
        done = read(options.results)
    print(total(done))
    for line in done:
        if line["figure"]:
            print(f"{line['key']}: {line['figure']}: {line['detail'].splitlines()[0]}")
    return int(any(line["figure"] in FIGURES for line in done))


def run(plans: list[Plan], options: argparse.Namespace) -> None:
    """Play the plans until the minutes are over, and write each down when it is done."""
    until = time.monotonic() + options.minutes * 60
    waiting = iter(plans)
    with ProcessPoolExecutor(options.jobs, initializer=_closing) as pool, options.results.open("a") as results:
        under_way = {pool.submit(play, plan) for _, plan in zip(range(options.jobs), waiting, strict=False)}
        while under_way:
            future = next(as_completed(under_way))
            under_way.remove(future)
            line = future.result()
            results.write(json.dumps(line) + "\n")
            results.flush()
            print(line["key"], line["figure"] or "right", len(line["kills"]), line.get("seconds", ""), flush=True)
            if line["figure"]:
                print(line["detail"], flush=True)
            plan = next(waiting, None) if time.monotonic() < until else None
            if plan is not None:
                under_way.add(pool.submit(play, plan))


def _closing() -> None:
    """The worker's home goes with the worker."""
    Finalize(None, lambda: _home and _home.close(), exitpriority=1)


if __name__ == "__main__":
    sys.exit(main())
