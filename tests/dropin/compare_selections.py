"""Whole backups with generated selections, on the real duplicity and on ours, one after the other.

    compare_selections.py [--count 300] [--seed 0]

Compares exit status, selected entries (from the stored signatures), records and stored names. Prints what differs, and
at the end how many were compared. Exit status 1 when anything differed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))

import programs
from pair import Pair, Side, stored, told
from selections import CORNERS, Case, Generator, grow


def entries(side: Side, name: str) -> list[str]:
    """What a full backup stored, from its signatures."""
    found = list((side.to / name).glob("*full-signatures*.sigtar.gz"))
    if not found:
        return []
    with tarfile.open(found[0], encoding="utf-8", errors="surrogateescape") as tar:
        return sorted(member.name.partition("/")[2] for member in tar)


def differences(case: Case, pair: Pair, name: str) -> list[str]:
    """What the two sides do differently with a selection; ``name`` is for the target of this one alone."""
    folder = pair.place / f"lists-{name}"
    folder.mkdir()
    words = ["full", "--no-encryption", "-v5", *case.line(pair.place, folder)]
    source = case.source.replace("@", str(pair.place))
    theirs, ours = pair.run(*words, source, f"file://@to/{name}")
    found = []
    if theirs.status != ours.status:
        found.append(f"status: {theirs.status} and {ours.status}")
    if stored(theirs) != stored(ours):
        found.append(f"stored: {stored(theirs)} and {stored(ours)}")
    chosen = [entries(side, name) for side in pair.sides]
    only = [sorted(set(one) - set(other)) for one, other in (chosen, chosen[::-1])]
    if chosen[0] != chosen[1]:
        found.append(f"entries only in duplicity's: {only[0]}, only in ours: {only[1]}")
    # What duplicity says of a pattern that is not UTF-8 is lost.
    if told(theirs) != told(ours) and all(word.isprintable() for word in words):
        found.append(f"records: {told(theirs)} and {told(ours)}")
    return [f"{case}: {each}" for each in found]


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    place = Path(tempfile.mkdtemp(prefix="selections-"))
    grow(place)
    cases = [
        *enumerate(CORNERS, -len(CORNERS)),
        *((n, Generator(n).case()) for n in range(given.seed, given.seed + given.count)),
    ]
    failed = refused = 0
    try:
        with Pair(place, programs.duplicity()) as pair:
            for number, case in cases:
                found = differences(case, pair, f"n{number}")
                failed += bool(found)
                refused += not any(pair.sides[0].to.glob(f"n{number}/*"))
                for each in found:
                    print(f"{number}: {each}", flush=True)
                for side in pair.sides:
                    shutil.rmtree(side.to / f"n{number}", ignore_errors=True)
    finally:
        shutil.rmtree(place)
    print(f"{len(cases)} selections from seed {given.seed}: {failed} differ; {refused} are refused by duplicity")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
