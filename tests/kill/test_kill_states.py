"""Runs that end early without a sudden death, and states that other programs leave (R45-R48, R51, R53, R63)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

import preload
from programs import GOLDEN, Answer, Household, Program, judged, ownership
from stage import FIRST_TIME, Stage, Stored

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not preload.is_possible(), reason="needs Linux and a C compiler"),
]


@pytest.fixture
def stage(home: Household, ours: Program, real: Program) -> Stage:
    """A source of five files, of 1.3 MB each, and nothing stored."""
    made = Stage(home, ours, real, "gzip")
    made.source.mkdir(parents=True)
    fill(made.source, Random(1), 5)
    return made


def fill(folder: Path, random: Random, count: int, second: int = 1_600_000_000) -> None:
    for number in range(count):
        path = folder / f"f{number}"
        path.write_bytes(random.randbytes(1_300_000))
        os.utime(path, (second + number, second + number))


def must_hold(stage: Stage) -> None:
    """The newest set is the source, whoever restores it."""
    for program in (stage.real, stage.ours):
        stage.must_equal(stage.seen(), stage.restored(program), program.command)


# -- states that duplicity left ---------------------------------------------------------------------------------------


class Golden:
    """An interrupted repository that duplicity left, in a place of its own, and who goes on with it."""

    def __init__(self, case: str, home: Household, ours: Program) -> None:
        self.case, self.home, self.ours, self.now = GOLDEN / case, home, ours, 1700000999
        self.place = home.folder / "golden"
        self.place.mkdir()
        self.repo, self.source = self.place / "repo", self.place / "src"
        shutil.copytree(self.case / "repo", self.repo)
        shutil.copytree(self.case / "archive", self.place / "archive" / "golden")
        subprocess.run(["tar", "-xpf", self.case / "source.tar", "-C", self.place], check=True)

    def back_up(self) -> Answer:
        self.now += 1
        cache = ("--archive-dir", self.place / "archive", "--name", "golden")
        clock = ("--no-encryption", "--allow-source-mismatch", "--current-time", str(self.now))
        answer = self.home.run(self.ours, "backup", *cache, *clock, "src", f"file://{self.repo}", cwd=self.place)
        assert answer.status == 0, answer
        return answer

    def must_be(self, wanted: Path, *programs: Program) -> None:
        for program in programs:
            out = self.place / f"out-{program.letter}"
            shutil.rmtree(out, ignore_errors=True)
            fresh = ("--no-encryption", "--archive-dir", self.place / f"archive-{program.letter}")
            owner = () if ownership() == () else ("--no-restore-ownership",)
            answer = self.home.run(program, "restore", *fresh, *owner, f"file://{self.repo}", out, cwd=self.place)
            assert answer.status == 0, answer
            equal, difference = judged(*ownership(), wanted, out)
            assert equal, difference


@pytest.mark.requirement("R46")
@pytest.mark.parametrize(("case", "cut"), [("interrupted-full", "dir/e"), ("interrupted-inc", "c-exact")])
def test_what_duplicity_left_is_gone_on_with(
    case: str, cut: str, home: Household, ours: Program, real: Program
) -> None:
    golden = Golden(case, home, ours)
    left = {path: path.read_bytes() for path in golden.repo.iterdir()}
    answer = golden.back_up()
    assert "going on with" in answer.text, answer
    assert left == {path: path.read_bytes() for path in left}, "what was stored is kept"
    golden.must_be(golden.case / "expected" / "resumed.tsv", real, ours)
    path = golden.source / cut
    path.write_bytes(b"before" + path.read_bytes()[:-10] + b"behind")  # its signature speaks of what volumes hold
    golden.back_up()
    golden.must_be(golden.source, real, ours)


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("change", ["first byte", "byte before the cut", "mode", "time", "shorter", "gone", "a link"])
@pytest.mark.parametrize(("case", "cut"), [("interrupted-full", "dir/e"), ("interrupted-inc", "c-exact")])
def test_a_file_that_has_changed_since_it_was_cut_off_is_not_gone_on_with(
    case: str, cut: str, change: str, home: Household, ours: Program
) -> None:
    golden = Golden(case, home, ours)
    path = golden.source / cut
    st, data = path.stat(), bytearray(path.read_bytes())
    place = 0 if change == "first byte" else 65000
    data[place] ^= 1
    if change in ("gone", "a link"):
        path.unlink()
    if change == "a link":
        path.symlink_to("b-small")
    elif change == "mode":
        path.chmod(0o600 if st.st_mode & 0o077 else 0o644)
    elif change == "shorter":
        path.write_bytes(path.read_bytes()[:65000])
    elif change not in ("gone", "time"):
        path.write_bytes(data)
    if path.exists() and not path.is_symlink():
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns + (10**9 if change == "time" else 0)))
    answer = golden.back_up()
    assert "going on with" not in answer.text, answer
    assert "is not gone on with" in answer.text, answer
    golden.must_be(golden.source, ours)


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("at", [2, 5, 8, 11, 14, 17])
@pytest.mark.parametrize("first", ["ours", "real"])
def test_either_program_goes_on_with_what_the_other_left(first: str, at: int, stage: Stage) -> None:
    one, other = (stage.ours, stage.real) if first == "ours" else (stage.real, stage.ours)
    # Our volumes take their names by renaming; duplicity writes them where they stay.
    ops = "target.rename" if one.is_ours else "target.open,target.rename,cache.sync"
    killed = stage.backup("full", env=stage.shim.armed(at, "after", ops), program=one)
    assert killed.status in (-signal.SIGKILL, 0), killed
    stage.now += 100
    for program, judges in ((other, (stage.real, stage.ours)), (one, (stage.real,))):
        ended = stage.backup("backup", program=program)
        assert ended.status == 0, ended
        for judge in judges:
            stage.must_equal(stage.seen(), stage.restored(judge), judge.command)
        stage.now += 100
        fill(stage.source, Random(stage.now), 2, stage.now)


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    ("act", "width", "first"), [("term", "0", 1), ("term", "2", 6), ("int", "0", 11), ("int", "2", 16)]
)
def test_a_signal_ends_a_run_with_4_in_time_and_the_next_run_goes_on(
    act: str, width: str, first: int, stage: Stage
) -> None:
    stage.keep("nothing")
    counted = stage.backup("full", "--concurrency", width, env=stage.shim.armed())
    assert counted.status == 0, counted
    for at in range(first, stage.shim.count, 20):  # other calls in each case
        stage.bring_back("nothing")
        ended = stage.backup("full", "--concurrency", width, env=stage.shim.armed(at, act))
        # A run whose manifest stands may as well come to its end.
        assert ended.status == 4 or (ended.status == 0 and at > stage.shim.count - 40), (at, ended)
        assert ended.seconds < 10, (at, ended)
        assert "Traceback" not in ended.text, (at, ended)
        stage.now += 10
        ended = stage.backup("full", "--concurrency", width)
        assert ended.status == 0, (at, ended)
        if at % 2:
            must_hold(stage)


# -- no room ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.requirement("R48")
def test_a_full_target_ends_the_run_with_a_typed_error_and_with_room_it_goes_on(small: Path, stage: Stage) -> None:
    stage.repo = small / "repo"
    ended = stage.backup("full")
    assert ended.status == 53, ended
    assert "Traceback" not in ended.text
    assert not [name for name in os.listdir(stage.repo) if name.startswith("tarragon.tmp-")]
    subprocess.run(["mount", "-o", "remount,size=30m", small], check=True)
    ended = stage.backup("full")
    assert ended.status == 0, ended
    assert "going on with the" in ended.text
    must_hold(stage)


@pytest.mark.requirement("R63")
def test_a_full_temporary_folder_ends_the_run_with_a_typed_error_and_nothing_is_lost(small: Path, stage: Stage) -> None:
    assert stage.backup("full").status == 0
    fill(stage.source, Random(2), 3, 1_650_000_000)
    stage.now += 10
    ended = stage.backup("incremental", "--tempdir", small)
    assert ended.status not in (0, 30), ended
    assert "room" in ended.text
    assert stage.backup("incremental").status == 0
    must_hold(stage)


@pytest.mark.requirement("R52")
@pytest.mark.parametrize("width", ["0", "2"])
def test_what_cannot_be_read_between_two_large_files_costs_nothing_behind_it(width: str, stage: Stage) -> None:
    """It has a job of its own, of which nothing comes: behind an empty volume duplicity would read no other."""
    broken = Path("/sys/class/net/lo/speed")  # to be opened, but not to be read
    for path in stage.source.iterdir():
        path.unlink()
    for name in ("a", "c"):
        (stage.source / name).write_bytes(Random(name).randbytes(3_000_000))
    victim = stage.source / "b"
    victim.touch()
    if not broken.exists() or subprocess.run(["mount", "--bind", broken, victim], check=False).returncode:
        pytest.skip("this user may not put a file that cannot be read there")
    try:
        ended = stage.backup("full", "--concurrency", width)
    finally:
        subprocess.run(["umount", "-l", victim], check=True)
    assert ended.status == 100, ended
    victim.unlink()
    want = {path: facts for path, facts in stage.seen().items() if path != b"."}
    for program in (stage.real, stage.ours):
        found = {path: facts for path, facts in stage.restored(program).items() if path != b"."}
        stage.must_equal(want, found, program.command)


# -- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R53")
def test_a_second_run_names_the_first_and_a_run_after_a_sudden_death_goes_on_at_once(stage: Stage) -> None:
    words = [stage.ours.command, "full", "--volsize", "1", *map(str, stage.options()), "source", stage.url]
    environment = stage.home.environment()
    first = subprocess.Popen(words, env=environment, cwd=stage.place, start_new_session=True, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not (stage.repo.exists() and any("vol1" in name for name in os.listdir(stage.repo))):
        assert time.monotonic() < until and first.poll() is None, "the first run ended, or never began"
    os.killpg(first.pid, signal.SIGSTOP)
    second = stage.backup("full")
    assert second.status == 23, second
    assert f"process {first.pid} (full)" in second.text
    other_cache = stage.run("cleanup", *stage.options(), "--force", stage.url)
    assert other_cache.status == 23, other_cache
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    stage.now = int(time.time()) + 5
    ended = stage.backup("full")
    assert ended.status == 0, ended
    must_hold(stage)


# -- keys and clocks --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R47")
@pytest.mark.parametrize("lost", ["", "state", "cache", "both"])
def test_whoever_holds_only_the_public_key_can_go_on_or_begin_again(lost: str, ours: Program, real: Program) -> None:
    with Household() as poor, Household() as rich:
        rich.import_golden_keys()
        poor.import_keys(*sorted((GOLDEN / "keys").glob("*-public.asc")))
        stage = Stage(poor, ours, real, "public")
        stage.source.mkdir(parents=True)
        fill(stage.source, Random(1), 5)
        stage.mode = stage.mode._replace(options=(*stage.mode.options, "--gpg-options", "--trust-model always"))
        passphrase = stage.mode
        stage.mode = stage.mode._replace(environment={})
        assert stage.backup("full").status == 0
        fill(stage.source, Random(2), 4, 1_650_000_000)
        stage.now += 100
        killed = stage.backup("incremental", env=stage.shim.armed(5, "after", "target.rename"))
        assert killed.status == -signal.SIGKILL, killed
        for name, folder in (("cache", stage.cache), ("state", stage.state)):
            if lost in (name, "both"):
                shutil.rmtree(folder)
        stage.now += 100
        ended = stage.backup("backup")
        assert ended.status == 0, ended
        stage.home, stage.mode = rich, passphrase
        must_hold(stage)


@pytest.mark.requirement("R54")
def test_a_clock_that_goes_back_or_stands_still_makes_later_sets_all_the_same(stage: Stage) -> None:
    times = []
    for number, step in enumerate((0, 0, -1000, 0, -1_000_000)):
        stage.now += step
        fill(stage.source, Random(number), 1, 1_650_000_000 + 10 * number)
        killed = stage.backup("backup", env=stage.shim.armed(30, "before"))
        assert killed.status == -signal.SIGKILL, killed
        ended = stage.backup("backup")
        assert ended.status == (102 if step < -86_400 else 0), ended  # a clock a day behind is an alarm
        times.append(stage.newest())
        must_hold(stage)
    assert times == sorted(set(times))
    assert times[0] >= FIRST_TIME


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("lost", ["", "state"])
def test_nothing_follows_the_empty_volume_at_the_end_of_a_set_that_is_gone_on_with(lost: str, stage: Stage) -> None:
    """Two files of several volumes changed, the second one last: the set ends with an empty volume."""
    for path in stage.source.iterdir():
        path.unlink()
    big = stage.source / "big"
    for number, action in enumerate(("full", "incremental")):
        big.write_bytes(Random(number).randbytes(2_400_000))
        os.utime(big, (stage.now, stage.now))
        if action == "full":
            assert stage.backup(action).status == 0
            stage.now += 100
    os.utime(stage.source, (1_600_000_000, 1_600_000_000))
    counted = stage.shim.armed(ops="target.rename")
    stage.keep("changed")
    assert stage.backup("incremental", "--concurrency", "0", env=counted).status == 0
    renames = [call.number for call in stage.shim.calls() if "sigtar" in call.path]
    assert tarfile.open(max(stage.repo.glob("*inc*.difftar.gz"))).getmembers() == [], "an empty volume at the end"
    stage.bring_back("changed")
    env = stage.shim.armed(renames[0], "before", "target.rename")
    killed = stage.backup("incremental", "--concurrency", "0", env=env)
    assert killed.status == -signal.SIGKILL, killed
    if lost:
        shutil.rmtree(stage.state)
    (stage.source / "later").write_bytes(b"behind all that is stored")
    os.utime(stage.source, (1_600_000_000, 1_600_000_000))  # it is stored already
    stage.now += 100
    ended = stage.backup("incremental", "--concurrency", "0")
    assert ended.status == 0 and "going on with the" in ended.text, ended
    must_hold(stage)


# -- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R51")
@pytest.mark.parametrize("words", [("remove-all-but-n-full", "1"), ("remove-all-inc-of-but-n-full", "1")])
def test_a_deletion_that_is_killed_leaves_whole_sets_and_is_brought_to_an_end(
    words: tuple[str, str], stage: Stage
) -> None:
    for number, action in enumerate(("full", "incremental", "incremental", "full")):
        stage.now = FIRST_TIME + 100 * number
        fill(stage.source, Random(number), 2, 1_650_000_000 + 10 * number)
        assert stage.backup(action).status == 0
        stage.stored.append(Stored(stage.now, stage.seen()))
    stage.keep("chains")
    deletion = (*words, "--force", *stage.options(), stage.url)
    counted = stage.run(*deletion, env=stage.shim.armed(ops="target.unlink,cache.unlink"))
    assert counted.status == 0, counted
    for at in range(1, stage.shim.count + 1, 3):
        stage.bring_back("chains")
        killed = stage.run(*deletion, env=stage.shim.armed(at, "after", "target.unlink,cache.unlink"))
        assert killed.status == -signal.SIGKILL, killed
        whole = whole_times(stage)
        for stored in stage.stored[:-1]:
            if stored.time in whole and (stored.time // 100 + at) % 3:
                stage.must_equal(stored.state, stage.restored(stage.real, stored.time), f"{stored.time} after {at}")
        ended = stage.run(*deletion)
        assert ended.status == 0, ended
        ended = stage.run("cleanup", "--force", *stage.options(), stage.url)
        assert ended.status == 0, ended
        assert not stage.leftovers(), at
        stage.must_equal(stage.seen(), stage.restored(stage.real), f"the newest set after {at}")


@pytest.mark.requirement("R13")
@pytest.mark.requirement("R51")
@pytest.mark.parametrize("by", ["ours", "real"])
def test_a_set_that_became_visible_just_before_the_death_is_no_stranger_once_the_older_ones_are_removed(
    by: str, stage: Stage
) -> None:
    for path in sorted(stage.source.iterdir())[1:]:
        path.unlink()
    assert stage.backup("full").status == 0
    stage.now += 100
    killed_behind_its_manifest(stage, "full")
    shutil.rmtree(stage.cache)  # with it, duplicity would take the set for unfinished
    program = stage.ours if by == "ours" else stage.real
    removed = stage.run("remove-all-but-n-full", "1", "--force", *stage.options(), stage.url, program=program)
    assert removed.status == 0, removed
    assert not stage.has_set(FIRST_TIME)
    stage.now += 100
    ended = stage.backup("full")
    assert ended.status == 0, ended


# -- duplicity by itself ----------------------------------------------------------------------------------------------


def test_duplicity_alone_refuses_an_increment_beside_signatures_that_have_no_manifest(stage: Stage) -> None:
    """No run of ours: what the mixed series meet with stock duplicity is its own (docs/kill-matrix.md)."""
    cache, ops = stage.cache, "target.open,target.rename"
    for number, action in enumerate(("full", "incremental")):
        fill(stage.source, Random(number), 2, 1_650_000_000 + 10 * number)
        assert stage.backup(action, program=stage.real).status == 0
        stage.now += 100
    fill(stage.source, Random(2), 3, 1_660_000_000)
    stage.now = 1_700_010_061  # with other times it takes the right signatures
    one = stage.backup("incremental", program=stage.real, env=stage.shim.armed(2, "before", ops))
    stage.cache = stage.place / "cache of another host"
    stage.now -= 1
    signatures = stage.shim.armed(100, "", ops)
    stage.keep("one host killed")
    assert stage.backup("incremental", program=stage.real, env=signatures).status == 0
    at = next(call.number for call in stage.shim.calls() if "sigtar" in call.path)
    stage.bring_back("one host killed")
    other = stage.backup("incremental", program=stage.real, env=stage.shim.armed(at, "after", ops))
    assert (one.status, other.status) == (-signal.SIGKILL, -signal.SIGKILL)
    assert stage.has_stray_signatures()
    stage.cache, stage.now = cache, stage.now + 100
    refused = stage.backup("incremental", program=stage.real)
    assert refused.status == 17, refused
    assert "Old signatures not found and incremental specified" in refused.text
    ended = stage.backup("backup")
    assert ended.status == 0, ended
    must_hold(stage)


@pytest.mark.requirement("R13")
def test_a_set_of_ours_that_duplicity_finished_is_remembered_before_the_next_one_is_begun(stage: Stage) -> None:
    assert stage.backup("full").status == 0
    stage.now += 100
    killed = stage.backup("full", "--concurrency", "0", env=stage.shim.armed(8, "before", "target.rename"))
    assert killed.status == -signal.SIGKILL, killed
    begun = stage.now
    stage.now += 100
    assert stage.backup("full", program=stage.real).status == 0
    assert begun in stage.whole(), "duplicity went on with ours"
    words = ("remove-all-but-n-full", "1", "--force", *stage.options(), stage.url)
    assert stage.run(*words).status == 0
    stage.now += 100
    killed = stage.backup("full", "--concurrency", "0", env=stage.shim.armed(6, "before", "target.rename"))
    assert killed.status == -signal.SIGKILL, killed
    again = stage.run(*words)
    assert again.status == 0, again


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("seen", ["collection-status", "prune"])
def test_a_set_that_duplicity_takes_for_broken_off_and_makes_anew_is_no_loss(seen: str, stage: Stage) -> None:
    """Whole at the target, under way in the cache: who looks at it then does not remember it yet."""
    assert stage.backup("full").status == 0
    fill(stage.source, Random(1), 2, 1_650_000_000)
    stage.now += 100
    begun = killed_behind_its_manifest(stage, "incremental")
    shutil.rmtree(stage.state)
    words = ("prune", "--keep-last", "9", "--force") if seen == "prune" else (seen,)
    looked = stage.run(*words, *stage.options(), stage.url)
    assert looked.status == 0, looked
    stage.now += 100
    assert stage.backup("incremental", program=stage.real).status == 0
    assert not stage.has_set(begun), "duplicity went on with it, or left it as it was"
    stage.now += 100
    ended = stage.backup("incremental")
    assert ended.status == 0, ended
    must_hold(stage)


@pytest.mark.requirement("R13")
def test_a_set_that_the_cache_has_not_followed_is_remembered_by_the_next_backup(stage: Stage) -> None:
    assert stage.backup("full").status == 0
    stage.now += 100
    begun = killed_behind_its_manifest(stage, "full")
    shutil.rmtree(stage.state)
    stage.now += 100
    assert stage.backup("incremental").status == 0
    for path in stage.repo.glob(f"*{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(begun))}.manifest*"):
        path.unlink()
    alarm = stage.run("collection-status", *stage.options(), stage.url)
    assert alarm.status == 102, alarm


def killed_behind_its_manifest(stage: Stage, action: str) -> int:
    """A run that dies when its set is whole at the target and the cache has not followed; the set's time."""
    killed = stage.backup(action, env=stage.shim.armed(1, "before", "cache.rename"))
    assert killed.status == -signal.SIGKILL, killed
    assert stage.has_set(stage.now)
    return stage.now


def whole_times(stage: Stage) -> set[int]:
    """The times of the sets whose manifests stand at the target."""
    names = os.listdir(stage.repo)
    stamps = {stored.time: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(stored.time)) for stored in stage.stored}
    return {seconds for seconds, stamp in stamps.items() if any(f"{stamp}.manifest" in name for name in names)}
