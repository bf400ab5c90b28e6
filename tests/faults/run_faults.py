#!/usr/bin/env python3
"""Many stories, each with another seed, and the page that sums them up.

    python tests/faults/run_faults.py --results FILE [--kinds s3,sftp] [--seeds 1-100] [--minutes 9]
    python tests/faults/run_faults.py --results FILE --page docs/faults.md

Each story is one line of FILE; what stands there is not done again, so runs add up. Exit status 1 when anything was
lost, wrong, stuck, stolen or untyped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fault_places
import fault_story
import programs
from stage import code

HEAD = """# Faults between us and the far side

What `tests/faults/run_faults.py` has counted: stories of a full backup, an
increment, an increment that is killed (SIGKILL of the process group) and gone on with, restores of the newest and of an
older time, and a verify with `--compare-data`, at every step of which faults were injected by a random plan. The kill
comes at a random byte behind the first, second or third volume that the journal names, so that the next run has
something to go on with. Trees are judged by `tests/judge/compare_tree.py`. A step that ends with a typed error under
faults is made again without any, and must succeed.

What lies between: for `s3` (rclone's service) a proxy that knows HTTP behind one that knows TCP, for `sftp` (OpenSSH)
one that knows TCP, for the rest system calls that fail (`tests/kill/shim.c`). The other host of the redirects writes
down whatever it is sent: a credential or a signature there is counted as stolen. The program xorriso outlives a killed
run, and may end its session meanwhile.

"Broken" are the runs, killed or failed, that left volumes recorded at the target; "resumed" those of them that the next
run that came so far went on with, "concluded" those whose manifest stood there already. What no journal names is begun
anew, never guessed at: how often stands below.

What the stories found, mended since and told again with the same seeds: a login that an overloaded server did not
answer in time counted as refused (sftp, seed 10); the program xorriso takes an image of which it cannot read the
beginning for a blank one, and began it anew over two sets (xorriso, seed 2); a program that outlived its killed run
held no lock on the image, what the system said of it was translated by the core's last resort only, and an image that
could not be read once was taken for none, so that what a broken run had stored was stored anew (xorriso, seed 3);
what a late listing did not show counted as lost, and an answer that had lost its header fields as a fault of the driver
(s3, seeds 3 and 8).
"""


def page(lines: list[dict[str, Any]]) -> str:
    """The whole document."""
    kinds = sorted({line["kind"] for line in lines}, key=list(fault_places.PLACES).index)
    heads = "place", "stories", "faults", "kills", "broken", "resumed", "concluded", "steps that failed, then did not"
    rows = [f"| {' | '.join(heads)} | anything wrong |", f"| --- |{' ---: |' * (len(heads) - 1)} --- |"]
    for kind in kinds:
        mine = [line for line in lines if line["kind"] == kind]
        wrong = Counter(line["figure"] for line in mine if line["figure"])
        faults = sum(sum(line["faults"].values()) for line in mine)
        words = "killed", "recorded", "resumed", "concluded", "failed"
        sums = [sum(line.get(word, 0) for line in mine) for word in words]
        told = ", ".join(f"{figure}: {count}" for figure, count in sorted(wrong.items())) or "nothing"
        rows.append(f"| {kind} | {len(mine)} | {faults} | {' | '.join(map(str, sums))} | {told} |")
    total = sum(sum(line["faults"].values()) for line in lines)
    codes = ", ".join(sorted({f"`{line['code']}`" for line in lines}))
    summed = f"In all {total} faults in {len(lines)} stories, with the code of {codes}. By kind of fault:"
    parts = [HEAD, "\n".join(rows), summed]
    parts.append(_listed(kinds, lines, "faults", ", "))
    parts.append("Begun anew, though the run before had stored something, because:")
    parts.append(_listed(kinds, lines, "anew", "; "))
    return "\n\n".join(parts) + "\n"


def _listed(kinds: list[str], lines: list[dict[str, Any]], what: str, between: str) -> str:
    """A line for each place: how often each word was counted."""
    found = []
    for kind in kinds:
        counts = Counter[str]()
        for line in lines:
            if line["kind"] == kind:
                counts.update(line[what])
        named = between.join(f"{name} {count}" for name, count in sorted(counts.items()) if count)
        found.append(f"- {kind}: {named or 'none'}")
    return "\n".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Stories with faults.")
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines, outside the tree")
    parser.add_argument("--kinds", default=",".join(fault_places.PLACES))
    parser.add_argument("--seeds", default="1-20", help="first-last")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--page", type=Path, help="write the page instead of running")
    options = parser.parse_args()
    if not options.page:
        run(options)
    lines = [json.loads(line) for line in options.results.read_text().splitlines()]
    if options.page:
        options.page.write_text(page(lines))
    for line in lines:
        if line["figure"]:
            print(line["kind"], line["seed"], line["figure"], line["detail"][:300])
    return int(any(line["figure"] for line in lines))


def run(options: argparse.Namespace) -> None:
    text = options.results.read_text() if options.results.exists() else ""
    have = {(line["kind"], line["seed"]) for line in map(json.loads, text.splitlines())}
    until = time.monotonic() + options.minutes * 60
    first, _, last = options.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        for kind in options.kinds.split(","):
            if (kind, seed) in have:
                continue
            if reason := fault_places.missing(kind):
                print(f"{kind}: {reason}")
                continue
            if time.monotonic() > until:
                return
            outcome = fault_story.play(kind, seed, programs.program_under_test())
            with options.results.open("a") as results:
                results.write(json.dumps({"code": code(), **outcome.record()}) + "\n")
            print(kind, seed, outcome.figure or "right", dict(outcome.faults), flush=True)


if __name__ == "__main__":
    sys.exit(main())
