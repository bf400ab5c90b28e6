"""What can go wrong with the places of a backup: no room, no permission, no folder, no second of its own.

Exit statuses are the strict ones (docs/cli.md § 9).
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from programs import IS_ROOT, Answer, describe, judged
from sites import Site
from trees import Tree

BACKEND_FAILED, NO_PERMISSION, NOT_FOUND, NO_SPACE = 50, 51, 52, 53


def no_crash(answer: Answer) -> bool:
    return "Traceback" not in answer.text


# the place where the target is


@pytest.fixture
def small(site: Site) -> Iterator[Path]:
    """A file system of two megabytes at the place of the repository."""
    site.repo.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tarragon-test", str(site.repo)]
    if not IS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    yield site.repo
    subprocess.run(["umount", "-l", str(site.repo)], check=True)


@pytest.mark.requirement("R48")
def test_a_full_target_ends_the_backup_and_older_sets_still_restore(site: Site, small: Path) -> None:
    assert site.backup().status == 0
    describe(site.source, site.place / "first.tsv")
    before = site.names()
    big = site.write("big", Random(2).randbytes(4_000_000))
    answer = site.backup("incremental", "--volsize", "1")
    assert answer.status in (BACKEND_FAILED, NO_SPACE), answer
    assert "space" in answer.text.lower(), answer
    assert set(before) <= set(site.names())
    assert not list(small.glob("duplicity-inc*.manifest")), "what is not whole must not look whole"
    restored = site.restore()
    assert restored.status == 0, restored
    equal, difference = judged(site.place / "first.tsv", site.out)
    assert equal, difference
    big.unlink()
    site.write("after", b"there is room again")
    assert site.backup("incremental").status == 0
    assert site.is_restored()


def test_a_target_that_is_read_only_is_an_error_and_can_still_be_read(site: Site, small: Path) -> None:
    assert site.backup().status == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    assert site.is_restored()
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status in (BACKEND_FAILED, NO_PERMISSION), answer
    assert "read-only" in answer.text.lower(), answer


def test_a_target_without_permission_is_an_error_that_names_it(as_nobody: Site) -> None:
    site = as_nobody
    os.chown(site.repo, 0, 0)
    site.repo.chmod(0o755)
    answer = site.backup()
    assert answer.status in (BACKEND_FAILED, NO_PERMISSION), answer
    assert "permission" in answer.text.lower(), answer
    assert str(site.repo) in answer.text or "duplicity-full" in answer.text, answer


def test_a_target_that_cannot_be_listed_is_not_taken_for_an_empty_one(as_nobody: Site) -> None:
    site = as_nobody
    assert site.backup().status == 0
    site.repo.chmod(0o300)
    site.write("a", b"changed")
    answer = site.backup("backup")
    assert answer.status in (BACKEND_FAILED, NO_PERMISSION), answer
    site.repo.chmod(0o700)
    assert len(list(site.repo.glob("duplicity-full.*.manifest"))) == 1


def test_a_target_that_is_a_file_is_an_error(site: Site) -> None:
    site.repo.write_bytes(b"not a folder")
    answer = site.backup()
    assert answer.status in (23, BACKEND_FAILED, NOT_FOUND), answer
    assert str(site.repo) in answer.text, answer
    assert site.repo.read_bytes() == b"not a folder"


def test_restoring_from_a_place_without_a_backup_says_so(site: Site) -> None:
    site.repo.mkdir()
    answer = site.restore()
    assert answer.status == 30, answer
    assert "Traceback" not in answer.text
    assert not site.out.exists() or os.listdir(site.out) == []


@pytest.mark.requirement("R8")
def test_restoring_onto_a_file_leaves_it_alone(site: Site) -> None:
    assert site.backup().status == 0
    site.out.write_bytes(b"mine")
    answer = site.run("restore", site.url, site.out)
    assert answer.status == 11, answer
    assert site.out.read_bytes() == b"mine"


def test_restoring_where_one_may_not_write_is_an_error(as_nobody: Site) -> None:
    site = as_nobody
    assert site.backup().status == 0
    os.chown(site.place, 0, 0)
    answer = site.restore()
    assert answer.status != 0, answer
    assert no_crash(answer) or "permission" in answer.text.lower(), answer
    assert "out" in answer.text


def test_a_path_that_is_not_in_the_backup_is_named(site: Site) -> None:
    assert site.backup().status == 0
    answer = site.restore("--path-to-restore", "never/was")
    assert answer.status == 19, answer
    assert "never/was" in answer.text


def test_an_incremental_without_a_full_is_an_error(site: Site) -> None:
    answer = site.backup("incremental")
    assert answer.status == 17, answer
    assert site.names() == []


@pytest.mark.requirement("R54")
def test_a_clock_that_goes_back_loses_nothing(site: Site) -> None:
    assert site.backup().status == 0
    site.write("a", b"changed")
    site.now -= 5000
    assert site.backup("incremental").status == 0
    assert site.is_restored()


@pytest.mark.requirement("R54")
def test_two_backups_in_one_second_lose_nothing(site: Site) -> None:
    assert site.backup().status == 0
    site.write("a", b"changed")
    site.now -= 2
    for action in ("full", "incremental"):
        site.now -= 1
        assert site.backup(action).status == 0
    assert site.is_restored()
    assert len(list(site.repo.glob("duplicity-full.*.manifest"))) == 2


def two_at_once(site: Site, *words: str, names: Sequence[str] = ("one", "one")) -> list[Answer]:
    site.write("big", Random(3).randbytes(30_000_000))
    answers: list[Answer] = []

    def run(name: str) -> None:
        answers.append(site.backup("backup", "--name", name, *words))

    runs = [threading.Thread(target=run, args=(name,)) for name in names]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return sorted(answers, key=lambda answer: answer.status)


@pytest.mark.requirement("R43")
def test_two_runs_at_once_do_not_meet(site: Site) -> None:
    first, second = two_at_once(site)
    assert first.status == 0, first
    assert second.status in (0, 23), second  # on a busy machine the second may begin when the first has ended
    if second.status:
        assert re.search(r"process \d+ \(backup\) is writing to this repository", second.text), second
    assert site.is_restored()


@pytest.mark.requirement("R43")
@pytest.mark.parametrize("names", [("one", "one"), ("one", "other")], ids=["one client", "two clients of one target"])
def test_a_second_run_waits_for_the_first_when_it_is_told_to(names: Sequence[str], site: Site) -> None:
    answers = two_at_once(site, "--lock-wait", "100", names=names)
    assert [answer.status for answer in answers] == [0, 0], answers
    kinds = [name.split(".")[0] for name in site.names() if name.endswith(".manifest")]
    assert kinds == ["duplicity-full", "duplicity-inc"], "the second builds upon the first"
    assert site.is_restored()


def test_a_random_tree_survives_a_kill(site: Site) -> None:
    """SIGKILL in the middle of an incremental: what was whole stays whole, and the next run goes on."""
    tree = Tree(site.place / "tree", Random(4), big=2_000_000)
    tree.grow(20)
    site.source = site.place / "tree"
    assert site.backup("full", "--volsize", "1").status == 0
    describe(site.source, site.place / "first.tsv")
    for delay_s in (0.15, 0.3, 0.5):
        for number in range(4):
            site.write(f"new{number}", Random(f"{number}{delay_s}").randbytes(1_500_000))
        site.prefix = ("timeout", "--signal=KILL", str(delay_s))
        site.backup("incremental", "--volsize", "1")
        site.prefix = ()
    restored = site.restore("--time", "1700000001")
    assert restored.status in (0, 102), restored
    answer = site.backup("incremental", "--volsize", "1")
    assert answer.status in (0, 102), answer
    assert site.is_restored()
