"""A life of a backup, line by line, on the real duplicity and on ours: statuses, records, stored names."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair import START, Observed, Pair, stored, told
from programs import Program

pytestmark = pytest.mark.slow

PLAIN = ("--no-encryption", "-v9")


def grow(source: Path) -> None:
    """The tree of the first backup."""
    (source / "d" / "empty").mkdir(parents=True)
    (source / "a").write_bytes(b"x" * 5000)
    for number in range(3):
        (source / "d" / f"b{number}").write_bytes(random.Random(number).randbytes(700_000))
    (source / "q'uo te\nd").write_text("1")
    (source / "é").write_text("2")
    (source / os.fsdecode(b"\xff")).write_text("3")
    (source / "fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(source / "fifo")
    os.symlink("a", source / "link")
    (source / "goes").write_text("4")


def change(source: Path) -> None:
    (source / "a").write_bytes(b"y" * 6000)
    (source / "new").write_text("5")
    (source / "goes").unlink()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, real: Program) -> Iterator[dict[str, tuple[Observed, Observed]]]:
    """Every line of the life, by its name, with what both sides came to."""
    place = tmp_path_factory.mktemp("life")
    source = place / "src"
    grow(source)
    found = {}
    with Pair(place, real) as pair:

        def step(name: str, *words: str, **env: str) -> None:
            found[name] = pair.run(*words, *PLAIN, **env)

        step("status of nothing", "collection-status", "file://@to")
        step("list of nothing", "list-current-files", "file://@to")
        step("incremental upon nothing", "incremental", "src", "file://@to")
        step("dry run", "full", "--dry-run", "src", "file://@to")
        step("full", "full", "src", "file://@to")
        change(source)
        step("increment by implication", "src", "file://@to")
        step("nothing changed", "incremental", "--skip-if-no-change", "src", "file://@to")
        step("list", "ls", "file://@to")
        step("list of then", "list-current-files", "--time", str(START + 510), "file://@to")
        step("list of too early", "list-current-files", "-t", str(START - 10_000), "file://@to")
        step("verify", "verify", "file://@to", "src")
        (source / "a").write_bytes(b"z")
        step("verify against another tree", "verify", "--compare-data", "file://@to", "src")
        step("restore", "restore", "file://@to", "@out")
        step("restore by implication", "file://@to", "@out2")
        step("restore of one", "restore", "--path-to-restore", "d/b1", "file://@to", "@out3/one")
        step("restore of none", "restore", "--path-to-restore", "d/none", "file://@to", "@out4")
        step("restore of a folder", "rb", "-r", "d", "file://@to", "@out5")
        step("restore of some", "restore", "--include=d/b1", "--exclude=**", "file://@to", "@out6")
        step("restore renamed", "restore", "--rename", "d", "other", "file://@to", "@out7")
        step("another source", "backup", "src/d", "file://@to")
        progress = ("--progress", "--progress-rate=1")
        step("a full one again", "backup", "--full-if-older-than=1s", *progress, "src", "file://@to")
        step("removal, only told", "remove-all-but-n-full", "1", "file://@to")
        step("removal of increments", "ri", "--force", "1", "file://@to")
        step("removal", "remove-older-than", "1s", "--force", "file://@to")
        step("removal of all", "remove-all-but-n-full", "0", "--force", "file://@to")
        step("cleanup", "cleanup", "--force", "file://@to")
        step("status", "st", "file://@to")
        yield found


PROGRESS = "a full one again"
NAMES = [
    "status of nothing", "list of nothing", "incremental upon nothing", "dry run", "full", "increment by implication",
    "nothing changed", "list", "list of then", "list of too early", "verify", "verify against another tree", "restore",
    "restore by implication", "restore of one", "restore of none", "restore of a folder", "restore of some",
    "restore renamed", "another source", "a full one again", "removal, only told", "removal of increments", "removal",
    "removal of all", "cleanup", "status",
]  # fmt: skip


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_answered_as_by_duplicity(name, life):
    """The status, what programs read, and what it leaves at the target."""
    theirs, ours = life[name]
    assert ours.status == theirs.status, ours.out + ours.err
    records = told(theirs)
    if name == PROGRESS:  # duplicity tells of each file as it looks for the total, and again as it stores it
        records = list(dict.fromkeys(records))
    assert told(ours) == records
    assert stored(ours) == stored(theirs)


def test_every_line_was_looked_at(life):
    assert list(life) == NAMES


@pytest.mark.parametrize("name", ["restore", "verify"])
def test_the_volumes_of_a_restore_are_counted_alike(name, life):
    counts = [[each.head for each in run.records if each.head.startswith("INFO 2 ")] for run in life[name]]
    assert counts[0]
    assert counts[0] == counts[1]


def test_the_last_progress_of_a_backup_is_the_same(life):
    theirs, ours = ([each.head for each in run.records if each.head.startswith("INFO 2 ")] for run in life["dry run"])
    assert ours[-1] == theirs[-1]


def test_progress_that_was_asked_for_is_told_in_the_same_words(life):
    """Bytes, seconds, percent, seconds left, bytes a second, and whether it stands still: at the end all is done."""
    for run in life[PROGRESS]:
        heads = [each.head.split()[2:] for each in run.records if each.head.startswith("NOTICE 16 ")]
        assert heads
        assert all(len(head) == 6 and all(map(str.isdigit, head)) for head in heads)
        assert (heads[-1][2], heads[-1][3], heads[-1][5]) == ("100", "0", "0")
        assert [int(head[0]) for head in heads] == sorted(int(head[0]) for head in heads)


def block(run: Observed) -> list[tuple[str, str]]:
    """Names and numbers of the statistics, as exporters read them; without what depends on time and packing."""
    lines = run.out.partition("[ Backup Statistics ]")[2].partition("\n-----")[0].splitlines()[1:]
    varying = ("StartTime", "EndTime", "ElapsedTime", "TotalDestinationSizeChange", "RawDeltaSize")
    return [(name, "" if name in varying else value) for name, value, *_ in (line.split() for line in lines)]


@pytest.mark.parametrize("name", ["full", "increment by implication"])
def test_exporters_read_the_same_statistics(name, life):
    theirs, ours = life[name]
    assert len(block(theirs)) == 15
    assert block(ours) == block(theirs)


def test_a_dry_run_has_the_statistics_of_the_run(life):
    # duplicity counts some files twice there.
    dry, full = (life[name][1] for name in ("dry run", "full"))
    assert block(dry) == block(full)


def tables(run: Observed) -> list[list[str]]:
    """The lines that exporters count after ``Collection Status``."""
    lines = run.out.partition("Collection Status")[2].splitlines()
    return [line.split() for line in lines if line.split()[:1] in (["Full"], ["Incremental"])]


def test_exporters_count_the_same_sets(life):
    theirs, ours = life["status"]
    assert tables(ours)
    # At -v9 duplicity shows the status twice.
    assert tables(ours) == tables(theirs)[: len(tables(ours))]


def test_a_list_has_the_same_lines(life):
    days = ("Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun ")
    theirs, ours = ([line for line in run.out.splitlines() if line.startswith(days)] for run in life["list"])
    assert len(ours) > 10
    assert ours == theirs
