"""What can go wrong around a backup does: each time exit status, message and hint tell, and nothing is lost.

Exit statuses are the strict ones: 100 some entries were not stored, 101 some were not restored; others are the numbers
of docs/cli.md § 9.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from programs import (
    AS_NOBODY,
    ENCRYPT_KEY,
    IS_ROOT,
    NOBODY,
    SIGN_KEY,
    Answer,
    Household,
    Program,
    describe,
    judged,
    nobody_can_run,
)
from trees import Tree

NOT_STORED, NOT_RESTORED = 100, 101
BACKEND_FAILED, NO_PERMISSION, NOT_FOUND, NO_SPACE = 50, 51, 52, 53


class Site:
    """A source, a repository and a way to run the program on them; the clock goes on a second a run."""

    def __init__(self, place: Path, program: Program, home: Household) -> None:
        self.place, self.program, self.home = place, program, home
        self.source, self.repo, self.out = place / "source", place / "repo", place / "out"
        self.options: tuple[str, ...] = ("--no-encryption",)
        self.environment: dict[str, str] = {}
        self.prefix: tuple[str, ...] = ()
        self.now = 1_700_000_000
        self.url = f"file://{self.repo}"

    def run(self, action: str, *words: str | Path) -> Answer:
        return self.home.run(
            self.program, action, *self.options, *words, env=self.environment, prefix=self.prefix, wait_s=120
        )

    def backup(self, action: str = "full", *words: str) -> Answer:
        self.now += 1
        return self.run(action, "--current-time", str(self.now), *words, self.source, self.url)

    def restore(self, *words: str) -> Answer:
        shutil.rmtree(self.out, ignore_errors=True)
        return self.run("restore", *words, self.url, self.out)

    def write(self, name: str, data: bytes) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.now += 1
        os.utime(path, (self.now, self.now))
        return path

    def volume(self, pattern: str) -> Path:
        return next(self.repo.glob(pattern))

    def names(self) -> list[str]:
        return sorted(os.listdir(self.repo)) if self.repo.exists() else []

    def is_restored(self) -> bool:
        """Restore, and compare with the source as it is now."""
        answer = self.restore()
        describe(self.source, self.place / "now.tsv")
        equal, difference = judged(self.place / "now.tsv", self.out, *(() if not self.prefix else ("--no-owner",)))
        assert answer.status == 0, answer
        assert equal, difference
        return True


def filled(site: Site) -> Site:
    """The same site, with a small source."""
    site.write("a", b"first")
    site.write("folder/b", Random(1).randbytes(70000))
    site.write("z", b"last")
    return site


@pytest.fixture
def site(tmp_path: Path, ours: Program, home: Household) -> Site:
    return filled(Site(tmp_path, ours, home))


@pytest.fixture
def three_volumes(site: Site) -> Site:
    """A full backup of three volumes and a bit: one big file in each of the first three."""
    for name in "klm":
        site.write(name, Random(name).randbytes(960_000))
    assert site.backup("full", "--volsize", "1").status == 0
    assert len(list(site.repo.glob("*.difftar.gz"))) >= 3
    return site


@pytest.fixture
def as_nobody(ours: Program) -> Iterator[Site]:
    """A site that belongs to a user who is not root, who runs the program.

    It is not below pytest's folder: that one is closed to other users.
    """
    if not nobody_can_run(ours):
        pytest.skip("needs root, and a checkout that other users can reach")
    with Household(owner=NOBODY) as home:
        home.folder.chmod(0o755)
        site = filled(Site(home.folder / "site", ours, home))
        site.repo.mkdir()
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", site.place], check=True)
        site.prefix = AS_NOBODY
        yield site


def no_crash(answer: Answer) -> bool:
    return "Traceback" not in answer.text


# keys and passphrases


@pytest.mark.requirement("R25")
def test_a_wrong_passphrase_changes_nothing_at_the_target(site: Site) -> None:
    site.options, site.environment = (), {"PASSPHRASE": "right"}
    assert site.backup().status == 0
    before = {name: (site.repo / name).read_bytes() for name in site.names()}
    site.environment = {"PASSPHRASE": "wrong"}
    site.home.forget()
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status == 31, answer
    assert "passphrase" in answer.text.lower()
    assert {name: (site.repo / name).read_bytes() for name in site.names()} == before


@pytest.mark.requirement("R25")
def test_a_wrong_passphrase_restores_nothing_and_the_right_one_all(site: Site) -> None:
    site.options, site.environment = (), {"PASSPHRASE": "right"}
    assert site.backup().status == 0
    site.home.forget()
    site.environment = {"PASSPHRASE": "wrong"}
    answer = site.restore()
    assert answer.status == 31, answer
    assert "passphrase" in answer.text.lower()
    assert not site.out.exists() or os.listdir(site.out) == []
    site.environment = {"PASSPHRASE": "right"}
    assert site.is_restored()


@pytest.mark.requirement("R26")
def test_no_passphrase_and_no_terminal_is_an_error_and_no_prompt(site: Site) -> None:
    site.options = ()
    began = time.monotonic()
    answer = site.backup()
    assert answer.status not in (0, 1), answer
    assert "PASSPHRASE" in answer.text, answer
    assert time.monotonic() - began < 60
    assert site.names() == []


@pytest.mark.requirement("R25")
@pytest.mark.parametrize("option", ["--encrypt-key", "--hidden-encrypt-key", "--sign-key"])
def test_a_key_that_is_not_in_the_ring_is_found_out_before_anything_is_written(option: str, site: Site) -> None:
    site.options = (option, ENCRYPT_KEY)
    site.environment = {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "encpass"}
    answer = site.backup()
    assert answer.status == 31, answer
    assert ENCRYPT_KEY[-16:] in answer.text, answer
    assert site.names() == []


@pytest.mark.requirement("R25")
def test_a_secret_key_that_is_missing_restores_nothing(site: Site, keyed_home: Household) -> None:
    site.options, site.environment = ("--encrypt-key", ENCRYPT_KEY), {"PASSPHRASE": "encpass"}
    poor, site.home = site.home, keyed_home
    assert site.backup("full", "--archive-dir", str(site.place / "cache")).status == 0
    site.home = poor
    answer = site.restore()
    assert answer.status == 31, answer
    assert "key" in answer.text
    assert not site.out.exists() or os.listdir(site.out) == []


def test_a_wrong_passphrase_of_the_signing_key_writes_nothing(site: Site, keyed_home: Household) -> None:
    site.home = keyed_home
    site.options = ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY, "--archive-dir", str(site.place / "cache"))
    site.environment = {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "wrong"}
    subprocess.run(["gpgconf", "--homedir", str(keyed_home.gnupg), "--kill", "gpg-agent"], check=False)
    answer = site.backup()
    assert answer.status == 31, answer
    assert site.names() == []


# what stands at the target


@pytest.mark.requirement("R6")
@pytest.mark.parametrize("harm", ["missing", "cut", "swapped", "empty"])
def test_a_bad_volume_costs_what_it_holds_and_nothing_else(harm: str, three_volumes: Site) -> None:
    site = three_volumes
    second, third = site.volume("*.vol2.difftar.gz"), site.volume("*.vol3.difftar.gz")
    if harm == "missing":
        second.unlink()
    elif harm == "swapped":
        stored = second.read_bytes(), third.read_bytes()
        third.write_bytes(stored[0])
        second.write_bytes(stored[1])
    else:
        second.write_bytes(second.read_bytes()[: 1000 if harm == "cut" else 0])
    answer = site.restore()
    assert answer.status == NOT_RESTORED, answer
    assert "vol2" in answer.text or "volume 2" in answer.text, answer
    kept = sorted(os.listdir(site.out))
    assert "a" in kept
    assert "z" in kept or harm == "swapped"
    lost = {"a", "folder", "k", "l", "m", "z"} - set(kept)
    assert lost, "the volume held something"
    assert [name for name in lost if f"'{name}'" not in answer.text] == [], answer
    for name in set(kept) - {"folder"}:
        assert (site.out / name).read_bytes() == (site.source / name).read_bytes()


@pytest.mark.requirement("R57")
def test_a_missing_volume_is_noticed_by_the_next_backup_and_never_by_its_deletion(three_volumes: Site) -> None:
    site = three_volumes
    site.volume("*.vol2.difftar.gz").unlink()
    before = site.names()
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status != 0, answer
    assert "vol2" in answer.text or "volume 2" in answer.text, answer
    assert set(before) <= set(site.names())


@pytest.mark.requirement("R12")
@pytest.mark.parametrize("garbage", [b"", b"\x00" * 500, b"no manifest\n", b"Volume 1:\n    Hash SHA1 zz\n"])
def test_a_manifest_that_is_garbage_is_named_and_older_sets_still_restore(garbage: bytes, site: Site) -> None:
    assert site.backup().status == 0
    describe(site.source, site.place / "first.tsv")
    first = str(site.now)
    site.write("a", b"changed")
    assert site.backup("incremental").status == 0
    manifest = site.volume("duplicity-inc.*.manifest")
    manifest.write_bytes(garbage)
    site.home.forget()
    answer = site.restore()
    assert answer.status != 0, answer
    assert no_crash(answer), answer
    assert "manifest" in answer.text
    older = site.restore("--time", first)
    assert older.status == 0, older
    equal, difference = judged(site.place / "first.tsv", site.out)
    assert equal, difference


@pytest.mark.requirement("R13")
def test_a_manifest_that_was_replaced_raises_the_alarm(site: Site) -> None:
    assert site.backup().status == 0
    manifest = site.volume("*.manifest")
    manifest.write_bytes(manifest.read_bytes().replace(b"Hostname ", b"Hostname x"))
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status in (3, 5, 102), answer
    assert no_crash(answer), answer


# the source


def test_an_unreadable_file_is_named_and_the_rest_is_stored(as_nobody: Site) -> None:
    site = as_nobody
    secret = site.source / "folder" / "b"
    secret.chmod(0)
    answer = site.backup()
    assert answer.status == NOT_STORED, answer
    assert "folder/b" in answer.text, answer
    assert site.restore().status == 0
    assert sorted(os.listdir(site.out)) == ["a", "folder", "z"]
    assert os.listdir(site.out / "folder") == []


def test_an_unreadable_file_keeps_its_last_stored_version(as_nobody: Site) -> None:
    site = as_nobody
    assert site.backup().status == 0
    secret = site.source / "folder" / "b"
    stored = secret.read_bytes()
    secret.chmod(0)
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status == NOT_STORED, answer
    assert "folder/b" in answer.text, answer
    assert site.restore().status == 0
    assert (site.out / "folder" / "b").read_bytes() == stored
    assert (site.out / "a").read_bytes() == b"changed"


def test_an_unreadable_folder_keeps_everything_in_it(as_nobody: Site) -> None:
    site = as_nobody
    assert site.backup().status == 0
    stored = (site.source / "folder" / "b").read_bytes()
    (site.source / "folder").chmod(0)
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status == NOT_STORED, answer
    assert "folder" in answer.text, answer
    assert site.restore().status == 0
    assert (site.out / "folder" / "b").read_bytes() == stored


def test_a_source_that_is_not_there_is_a_user_error(site: Site) -> None:
    site.source = site.place / "nowhere"
    answer = site.backup()
    assert answer.status == 23, answer
    assert "nowhere" in answer.text
    assert site.names() == []


@pytest.mark.requirement("R52")
def test_a_source_that_changes_while_it_is_read_is_never_stored_mixed(site: Site) -> None:
    steady = [site.write(f"steady{number}", Random(number).randbytes(200_000)) for number in range(5)]
    lively = site.write("lively", b"\0" * 3_000_000)
    ended = threading.Event()

    def write() -> None:
        byte = 0
        while not ended.is_set():
            byte = (byte + 1) % 256
            with lively.open("r+b") as file:
                file.truncate(Random(byte).randint(1_000_000, 3_000_000))
                file.seek(0)
                file.write(bytes((byte,)) * 3_000_000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        answers = [site.backup("full", "--volsize", "1"), site.backup("incremental", "--volsize", "1")]
    finally:
        ended.set()
        writer.join()
    for answer in answers:
        assert answer.status in (0, NOT_STORED), answer
        assert answer.status == 0 or "lively" in answer.text, answer
    restored = site.restore()
    assert restored.status == 0, restored
    assert [(site.out / path.name).read_bytes() for path in steady] == [path.read_bytes() for path in steady]
    site.write("lively", b"calm" * 1000)
    assert site.backup("incremental").status == 0
    assert site.is_restored()


@pytest.mark.requirement("R7")
def test_a_fifo_in_the_source_is_stored_and_never_read(site: Site) -> None:
    os.mkfifo(site.source / "fifo")
    began = time.monotonic()
    assert site.backup().status == 0
    assert time.monotonic() - began < 60
    assert site.is_restored()


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


def test_two_runs_at_once_do_not_meet(site: Site) -> None:
    site.write("big", Random(3).randbytes(30_000_000))
    answers: list[Answer] = []
    runs = [threading.Thread(target=lambda: answers.append(site.backup())) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert 0 in {answer.status for answer in answers}, answers
    assert {answer.status for answer in answers} <= {0, 23}, answers
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
