#!/usr/bin/env python3
"""Measure Tarragon beside the real duplicity 3.2.1, on the same tree in the same run.

    bench.py [tree [FOLDER...]]   full, incremental, restore, verify of a copy of real folders, encrypted and plain
    bench.py entries              peak memory of a backup of 100,000 entries and of 1,000,000
    bench.py chain [--sets 500]   a chain of many increments listed and restored with 128 open files
    bench.py all                  the three above

Prints tables of ratios (Tarragon over duplicity: below 1 is better). ``--place`` names a folder for all data.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import programs
from make_tree import make_tree
from measure import Measured, measure
from programs import Household, Program, describe, judged, ownership

MIB = 1 << 20
PLAIN: tuple[str, ...] = ("--no-encryption",)
MODES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "gpg": ((), {"PASSPHRASE": "a passphrase"}),
    "gzip": (PLAIN, {}),
}


class Bench:
    """One place with a home; programs run there one after the other."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.home = Household()
        (self.home.gnupg / "gpg.conf").unlink()  # gpg as it is: its rounds of hashing are part of the cost
        self.is_wrong = False

    def run(
        self, program: Program, *words: str | Path, env: dict[str, str] | None = None, open_files: int | None = None
    ) -> Measured:
        command = [program.command, *map(str, words)]
        environment = self.home.environment() | {"TMPDIR": str(self.place)} | (env or {})
        cost = measure(command, environment, open_files=open_files, cwd=self.place)
        if cost.status != 0:
            print(f"$ {' '.join(command)}\nexit status {cost.status}\n{cost.text[-2000:]}")
            self.is_wrong = True
        return cost

    def compare(self, description: Path, restored: Path) -> None:
        equal, difference = judged(description, restored, *ownership())
        if not equal:
            print(f"restored wrongly:\n{difference[:2000]}")
            self.is_wrong = True

    def close(self) -> None:
        self.home.close()


def stored_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def row(*columns: object) -> None:
    print("  ".join(f"{column!s:>14}" for column in columns), flush=True)


def cost_row(name: str, ours: Measured, theirs: Measured) -> None:
    row(
        name,
        f"{ours.wall_s:.1f} s",
        f"{theirs.wall_s:.1f} s",
        f"{ours.wall_s / theirs.wall_s:.2f}",
        f"{ours.peak / MIB:.0f} MiB",
        f"{theirs.peak / MIB:.0f} MiB",
        f"{ours.peak / max(1, theirs.peak):.2f}",
    )


def change(tree: Path) -> None:
    """Change about one file in fifty, delete one in two hundred, add some."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    for number, path in enumerate(files):
        if number % 200 == 0:
            path.unlink()
        elif number % 50 == 1:
            with path.open("ab") as file:
                file.write(b"changed\n" * 40)
            os.utime(path, (1_650_000_000 + number, 1_650_000_000 + number))
    for number in range(50):
        (tree / f"new{number}").write_bytes(os.urandom(20_000))


def bench_tree(bench: Bench, folders: list[str], modes: list[str], concurrency: list[str]) -> None:
    """The whole cycle for both programs, from the same copy of real folders."""
    tree = bench.place / "tree"
    tree.mkdir()
    for folder in folders:
        # devices and unreadable files have no place in a measurement
        shutil.copytree(
            folder, tree / folder.strip("/").replace("/", "_"), symlinks=True, ignore_dangling_symlinks=True
        )
    first = bench.place / "first.tsv"
    describe(tree, first)
    count = len(first.read_text().splitlines()) - 1
    print(f"{', '.join(folders)}: {count} entries")
    pair = {"T": programs.program_under_test(), "D": programs.duplicity()}
    costs: dict[tuple[str, str, str], Measured] = {}
    for step in ("full", "incremental"):
        if step == "incremental":
            change(tree)
        describe(tree, bench.place / f"{step}.tsv")
        for mode in modes:
            for letter, program in pair.items():
                options, environment = MODES[mode]
                extra = ("--concurrency", concurrency[0]) if letter == "T" and concurrency else ()
                url = f"file://{bench.place}/repo-{mode}-{letter}"
                words = (step, *options, *extra, tree, url)
                costs[step, mode, letter] = bench.run(program, *words, env=environment)
    for mode in modes:
        for letter, program in pair.items():
            options, environment = MODES[mode]
            url, out = f"file://{bench.place}/repo-{mode}-{letter}", bench.place / "out"
            costs["restore", mode, letter] = bench.run(program, "restore", *options, url, out, env=environment)
            bench.compare(bench.place / "incremental.tsv", out)
            shutil.rmtree(out)
            costs["verify", mode, letter] = bench.run(program, "verify", *options, url, tree, env=environment)
    for mode in modes:
        print(f"\n{mode}")
        row("", "tarragon", "duplicity", "ratio", "tarragon", "duplicity", "ratio")
        for step in ("full", "incremental", "restore", "verify"):
            cost_row(step, costs[step, mode, "T"], costs[step, mode, "D"])
        sizes = [stored_size(bench.place / f"repo-{mode}-{letter}") for letter in "TD"]
        row("stored", *(f"{size / MIB:.1f} MiB" for size in sizes), f"{sizes[0] / sizes[1]:.3f}")
    shutil.rmtree(tree)


def bench_concurrency(bench: Bench, folders: list[str]) -> None:
    """How much faster two workers are than none."""
    ours = programs.program_under_test()
    print("\nconcurrency, gzip, " + ", ".join(folders))
    costs = {}
    for workers in ("0", "2"):
        repo = bench.place / f"repo-workers-{workers}"
        costs[workers] = bench.run(ours, "full", *PLAIN, "--concurrency", workers, folders[0], f"file://{repo}")
        row(
            workers, f"{costs[workers].wall_s:.1f} s", f"{costs[workers].cpu_s:.1f} s", f"{stored_size(repo) / MIB:.1f}"
        )
        shutil.rmtree(repo)
    row("rate", f"{costs['0'].wall_s / costs['2'].wall_s:.2f}")


def bench_entries(bench: Bench, counts: list[int]) -> None:
    """Peak memory must not grow with the number of entries."""
    ours = programs.program_under_test()
    print("\nentries")
    row("entries", "full", "peak", "unchanged", "peak", "restore", "peak")
    for count in counts:
        tree, repo, out = (bench.place / name for name in ("entries", "repo-entries", "out"))
        make_tree(str(tree), count, 0)
        url = f"file://{repo}"
        costs = [bench.run(ours, "full", *PLAIN, tree, url), bench.run(ours, "incremental", *PLAIN, tree, url)]
        costs.append(bench.run(ours, "restore", *PLAIN, url, out))
        row(count, *(cell for cost in costs for cell in (f"{cost.wall_s:.1f} s", f"{cost.peak / MIB:.0f} MiB")))
        for folder in (tree, repo, out):
            shutil.rmtree(folder, ignore_errors=True)


def bench_chain(bench: Bench, sets: int, open_files: int = 128) -> None:
    """List and restore chains of 5 and of many increments with few open files."""
    ours = programs.program_under_test()
    tree, repo = bench.place / "chain", bench.place / "repo-chain"
    tree.mkdir()
    for number in range(40):
        (tree / f"file{number:02d}").write_bytes(os.urandom(3000))
    url = f"file://{repo}"
    print(f"\nchain, {open_files} open files")
    row("increments", "list", "peak", "restore", "peak", "verify", "peak")
    for done in range(sets + 1):
        file = tree / f"file{done % 40:02d}"
        file.write_bytes(file.read_bytes() + b"x" * 100)
        os.utime(file, (1_600_000_000 + done, 1_600_000_000 + done))
        when = ("--current-time", str(1_700_000_000 + done * 10))
        action = "incremental" if done else "full"
        bench.run(ours, action, *PLAIN, *when, "--no-print-statistics", tree, url, open_files=open_files)
        if bench.is_wrong:
            return
        if done in (5, sets):
            out = bench.place / "out"
            describe(tree, bench.place / "chain.tsv")
            costs = [bench.run(ours, "list-current-files", *PLAIN, url, open_files=open_files)]
            costs.append(bench.run(ours, "restore", *PLAIN, url, out, open_files=open_files))
            costs.append(bench.run(ours, "verify", "--compare-data", *PLAIN, url, tree, open_files=open_files))
            bench.compare(bench.place / "chain.tsv", out)
            row(done, *(cell for cost in costs for cell in (f"{cost.wall_s:.1f} s", f"{cost.peak / MIB:.1f} MiB")))
            shutil.rmtree(out)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Tarragon beside duplicity 3.2.1")
    parser.add_argument("what", nargs="?", default="tree", choices=["tree", "entries", "chain", "concurrency", "all"])
    parser.add_argument("folders", nargs="*", default=["/usr/share/doc"])
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--counts", default="100000,1000000")
    parser.add_argument("--modes", default="gpg,gzip")
    parser.add_argument("--concurrency", default="", help="for ours, in 'tree'")
    parser.add_argument("--place", default=None, help="a folder for all data; removed at the end")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="tarragon-bench-", dir=options.place))
    bench = Bench(place)
    try:
        if options.what in ("tree", "all"):
            bench_tree(bench, options.folders, options.modes.split(","), options.concurrency.split())
        if options.what in ("concurrency", "all"):
            bench_concurrency(bench, options.folders)
        if options.what in ("entries", "all"):
            bench_entries(bench, [int(count) for count in options.counts.split(",")])
        if options.what in ("chain", "all"):
            bench_chain(bench, options.sets)
    finally:
        bench.close()
        shutil.rmtree(place, ignore_errors=True)
    return 1 if bench.is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
