#!/usr/bin/env python3
"""Fault injection: every call that a small backup makes below target, cache and state goes wrong once.

    python tests/kill/faults.py --results FILE [--cases full,incremental] [--acts fail-EIO,...] [--minutes 9] [--step 1]
    python tests/kill/faults.py --results FILE --sum

Per state: one run with the fault, which must succeed, and then the set be right, or end with a typed error; the objects
of the earlier set must be what they were; then one run without faults must succeed by itself, and what the real
duplicity restores must be the source. Where the objects that duplicity reads are, byte for byte, what it restored
before, it is not asked again. Each state is one line of FILE; what stands there is not done again.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import programs
from preload import Call
from stage import FIRST_TIME, Source, Stage, Wrong, code

#: Calls that need room, and all that change anything.
FILLING = ("open", "write", "sync", "rename", "link", "mkdir", "truncate")
CHANGING = (*FILLING, "unlink", "chmod")
#: What is done to a call, and to which calls. "on" fails it and all that follow of the same place, as a dead disk does.
ACTS = {
    "fail-EIO": ("fail", errno.EIO, None),
    "fail-ENOSPC": ("fail", errno.ENOSPC, FILLING),
    "fail-EDQUOT": ("fail", errno.EDQUOT, FILLING),
    "late-EIO": ("late", errno.EIO, CHANGING),
    "short": ("short", 0, ("write",)),
    "on-EIO": ("fail", errno.EIO, None),
    "on-ENOSPC": ("fail", errno.ENOSPC, FILLING),
}
CASES = {"full": "", "incremental": "full"}
#: An exception of Python's that nobody turned into a message.
_RAW = re.compile(r"Traceback \(most|Exception ignored|Fatal Python|^[A-Za-z]*(?:Error|Exception|Iteration): ", re.M)


class Case:
    """One small backup, brought back before each state."""

    def __init__(self, stage: Stage, action: str) -> None:
        self.stage, self.action = stage, action
        stage.place.mkdir(exist_ok=True)
        source = Source(stage.source, Random(3), files=3, big=0)
        source.grow()
        source.tree.make_big_file = lambda path: None  # type: ignore[method-assign]
        stage.now = FIRST_TIME
        if CASES[action]:
            self._must(self.backup())
            source.tree.edit(5)
            source.tree.write(b"%b/bulk.bin" % source.tree.root, Random(4).randbytes(2_300_000))
        else:
            source.tree.write(b"%b/bulk.bin" % source.tree.root, Random(4).randbytes(1_500_000))
        stage.keep("case")
        self.want = stage.seen()
        self.before = _objects(stage.repo)
        stage.now = FIRST_TIME + 100
        self._must(self.backup(env=stage.shim.armed(ops="all")))
        self.calls = stage.shim.calls()

    def backup(self, *words: str, **how: Any) -> Any:
        action = "full" if self.stage.now == FIRST_TIME else self.action
        return self.stage.backup(action, "--concurrency", "0", "--backend-retry-delay", "0", *words, **how)

    def _must(self, ended: Any) -> None:
        if ended.status != 0:
            raise AssertionError(str(ended))

    def state(self, call: Call, act: str) -> tuple[str, str, int]:
        """One state: figure, detail, and the status of the run with the fault."""
        stage = self.stage
        stage.bring_back("case")
        stage.now = FIRST_TIME + 100
        what, number, _ = ACTS[act]
        until = 0 if act.startswith("on-") else None
        tries = "1" if act.startswith(("fail-", "on-")) else "5"
        # A dead disk is one place: what is elsewhere goes on.
        ops = f"{call.place}.*" if until == 0 else "all"
        at = call.number if until is None else sum(c.place == call.place for c in self.calls[: call.number])
        try:
            env = stage.shim.armed(at, what, ops, error=number, until=until)
            ended = self.backup("--num-retries", tries, env=env, wait_s=60)
            if ended.status < 0 or _RAW.search(ended.text):
                return "untyped", str(ended), ended.status
            after = _objects(stage.repo)
            if any(after.get(name) != digest for name, digest in self.before.items()):
                return "earlier", f"objects of the earlier set have changed\n{ended}", ended.status
            if ended.status == 0:
                stage.must_equal(self.want, stage.restored(stage.real), f"at once after {ended}")
            stage.now += 50
            again = self.backup(wait_s=60)
            if again.status != 0:
                return "stuck", f"{ended}\nand then\n{again}", ended.status
            stage.must_equal(self.want, stage.restored(stage.real), f"after {ended}")
            found = _objects(stage.repo)
            if any(found.get(name) != digest for name, digest in self.before.items()):
                return "earlier", f"objects of the earlier set have changed\n{again}", ended.status
        except Wrong as err:
            return err.figure, str(err), -1
        return "", f"{len(stage.leftovers())} left over, {stage.temporary()} unfinished", ended.status


def _objects(repo: Path) -> dict[str, str]:
    files = [path for path in repo.iterdir() if path.is_file()] if repo.exists() else []
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def states(case: Case, acts: list[str], step: int) -> list[tuple[Call, str]]:
    """What is tried of a case: each act on each call that it fits."""
    found = []
    for act in acts:
        ops = ACTS[act][2]
        fitting = [call for call in case.calls if ops is None or call.op in ops]
        found += [(call, act) for call in fitting[::step]]
    return found


def total(lines: list[dict[str, Any]]) -> str:
    """The sum, to be read by people."""
    figures = Counter(line["figure"] for line in lines)
    by = Counter((line["case"], line["act"]) for line in lines)
    ended = Counter(line["status"] for line in lines)
    return "\n".join(
        [
            f"states tried {len(lines)}, states from which the next run recovers by itself {figures['']}",
            "code: "
            + ", ".join(f"{name}: {n}" for name, n in Counter(line.get("code", "?") for line in lines).items()),
            "of: " + ", ".join(f"{case} {act} {count}" for (case, act), count in sorted(by.items())),
            "exit status of the run with the fault: " + ", ".join(f"{s}: {n}" for s, n in sorted(ended.items())),
            "figures: " + ", ".join(f"{name or 'right'} {count}" for name, count in sorted(figures.items())),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make every call fail once.")
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines, outside the tree")
    parser.add_argument("--cases", default="full,incremental")
    parser.add_argument("--acts", default=",".join(ACTS))
    parser.add_argument("--step", type=int, default=1, help="only every so many calls")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--sum", action="store_true")
    options = parser.parse_args()
    if not options.sum:
        for action in options.cases.split(","):
            run(action, options)
    lines = [json.loads(line) for line in options.results.read_text().splitlines()]
    print(total(lines))
    for line in lines:
        if line["figure"]:
            print(line["case"], line["act"], line["call"], line["figure"])
    return int(any(line["figure"] for line in lines))


def run(action: str, options: argparse.Namespace) -> None:
    """All states of one case that are not in the results yet."""
    text = options.results.read_text() if options.results.exists() else ""
    have = {(line["case"], line["act"], line["number"]) for line in map(json.loads, text.splitlines())}
    until = time.monotonic() + options.minutes * 60
    with programs.Household() as home, options.results.open("a") as results:
        case = Case(Stage(home, programs.program_under_test(), programs.duplicity(), "gzip"), action)
        for call, act in states(case, options.acts.split(","), options.step):
            if (action, act, call.number) in have:
                continue
            if time.monotonic() > until:
                return
            figure, detail, status = case.state(call, act)
            line = {
                "code": code(),
                "case": action,
                "act": act,
                "number": call.number,
                "call": f"{call.place}.{call.op} {call.path}",
            }
            results.write(json.dumps(line | {"figure": figure, "detail": detail, "status": status}) + "\n")
            results.flush()
            if figure:
                print(action, act, call, figure, detail, flush=True)


if __name__ == "__main__":
    sys.exit(main())
