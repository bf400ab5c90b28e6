"""The real program over file://, with damage made by hand."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys

import pytest
from tarragon.cli.main import main
from tarragon.plugin.hub import Hub

START = 1_700_000_000
FULL, INC = "full-20231114T221320Z", "inc-20231114T221320Z-20231115T221320Z"


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A repository with a full set of five volumes and an increment, and a home for its cache."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "src"
    source.mkdir()
    for number in range(9):
        (source / f"file{number}").write_bytes(random.Random(number).randbytes(500_000))
    backup("full", START)
    (source / "file3").write_bytes(b"changed")
    backup("incremental", START + 86400)
    return tmp_path / "box"


def backup(kind, at):
    options = ["--no-encryption", "--no-print-statistics", "--concurrency", "0", "--volsize", "1", "-v1"]
    assert main([kind, *options, "--current-time", str(at), "src", "file://box"]) == 0


@pytest.fixture
def check(monkeypatch):
    """The program in this process: its exit status and its facts."""
    told = []
    monkeypatch.setattr(Hub, "tell", lambda self, hook, **news: "outcome" in news and told.append(news["outcome"]))

    def run(*words):
        status = main(["check", "--num-retries", "1", *words, "file://box"])
        assert told[-1].exit_code == status
        return status, told[-1].facts

    return run


def volumes(box, kind="full"):
    return sorted(box.glob(f"duplicity-{kind}.*.vol*"))


def problems(facts):
    return {found["name"]: found["problem"] for found in facts["problems"]}


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.requirement("R58")
def test_a_whole_repository_is_said_to_be_whole_and_how_far_it_was_looked_at(box):
    def tarragon(*words):
        line = [sys.executable, "-m", "tarragon", "check", *words, "file://box"]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    count = len(volumes(box)) + len(volumes(box, "inc"))
    size = sum(path.stat().st_size for path in volumes(box) + volumes(box, "inc"))
    listing = f"compared with the listing: {count} of {count} volumes of 2 sets are there; the sizes of"
    read = "fetched, hashed as recorded, decrypted and expanded as their names say, read to the end:"
    end = "no damage found in what was compared"
    assert tarragon() == (
        0,
        [f"{listing} 0 are known from checks", "no volume was fetched: hashes and contents were not compared", end],
        "",
    )
    metadata = "manifests and signature files fetched and read to the end: 4, of 2 sets; 2 compared with the cache"
    everything = f"{count} of {count} volumes (100 %), {size} of {size} bytes (100 %)"
    assert tarragon("--full") == (0, [f"{listing} 0 are known from checks", f"{read} {everything}", metadata, end], "")
    part = volumes(box)[0].stat().st_size
    share = f"1 of {count} volumes ({100 / count:.1f} %), {part} of {size} bytes ({100 * part / size:.1f} %)"
    status, lines, _ = tarragon("--sample", "1")
    assert (status, lines[0]) == (0, f"{listing} {count} are known from checks")
    assert lines[1:4:2] == [f"{read} {share}", f"round 2: good so far are {share}"]


@pytest.mark.requirement("R57")
def test_the_listing_alone_shows_what_is_missing_empty_and_foreign(box, check):
    missing, empty = volumes(box)[1], volumes(box)[3]
    missing.unlink()
    empty.write_bytes(b"")
    (box / "holiday.jpg").write_bytes(b"x")
    (box / volumes(box)[0].name.replace("vol1", "vol99")).write_bytes(b"x")
    status, facts = check("--quick")
    assert status == 101
    assert sorted(problems(facts).values()) == ["volume 2 is not at the target", "volume 4 is empty"]
    assert empty.name in problems(facts)
    assert len(facts["notes"]) == 2
    assert "vol99" in facts["notes"][0]
    assert facts["listing"]["present"] == facts["listing"]["volumes"] - 1


def test_foreign_objects_alone_are_no_damage(box, check):
    (box / "holiday.jpg").write_bytes(b"x")
    assert check()[0] == 0


@pytest.mark.requirement("R57")
def test_a_short_volume_shows_in_a_listing_once_its_size_is_known(box, check):
    cut = volumes(box)[2]
    size = cut.stat().st_size
    assert check("--quick")[0] == 0
    assert check("--full")[0] == 0
    os.truncate(cut, size - 1)
    status, facts = check("--quick")
    assert (status, problems(facts)) == (101, {cut.name: f"volume 3 is short: {size - 1} of {size} bytes"})


def forget(box):
    """As a client that has never met this target, and a target that Tarragon's own objects are lost from."""
    for path in box.glob("tarragon.sums*"):
        path.unlink()
    for name in ("xdg_state_home", "xdg_cache_home"):
        shutil.rmtree(box.parent / name)


@pytest.mark.parametrize("kind", ["full", "inc"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "extend", "swap"])
def test_every_volume_that_is_not_what_was_stored_is_found(box, check, kind, harm):
    victim, *others = volumes(box, kind)
    bad = {victim.name}
    if harm == "flip":
        flip(victim, victim.stat().st_size // 2)
    elif harm == "truncate":
        os.truncate(victim, victim.stat().st_size - 1)
    elif harm == "extend":
        victim.write_bytes(victim.read_bytes() + b"\0")
    else:
        other = (others or volumes(box))[0]
        bad.add(other.name)
        one, two = victim.read_bytes(), other.read_bytes()
        victim.write_bytes(two)
        other.write_bytes(one)
    forget(box)
    assert check("--quick")[0] == 0
    status, facts = check("--full")
    assert status == 101
    assert set(problems(facts)) == bad
    assert facts["hash"]["volumes"] == facts["hash"]["of_volumes"] - len(bad)
    assert facts["fetched"] == facts["hash"]["of_volumes"]


@pytest.mark.parametrize("pattern", ["*full-signatures*", "*new-signatures*", "*full.*.manifest"])
def test_damaged_metadata_is_found_behind_the_back_of_the_cache(box, check, pattern):
    (victim,) = box.glob(pattern)
    flip(victim, victim.stat().st_size // 2)
    assert check("--quick")[0] == 0
    status, facts = check("--full")
    assert (status, set(problems(facts))) == (101, {victim.name})


def test_a_manifest_that_nothing_can_be_read_from_costs_only_its_set(box, check, tmp_path):
    for path in (tmp_path / "xdg_cache_home").rglob("*.manifest"):
        path.unlink()
    (manifest,) = box.glob("*full.*.manifest")
    manifest.write_bytes(b"Volume 1:\n")
    status, facts = check("--full")
    assert status == 101
    assert [found["name"] for found in facts["problems"]] == [manifest.name]
    assert "its manifest cannot be read" in problems(facts)[manifest.name]
    assert facts["content"]["volumes"] == len(volumes(box, "inc"))
    assert facts["content"]["of_volumes"] == len(volumes(box, "inc")) + len(volumes(box))


@pytest.mark.requirement("R58")
def test_a_missing_volume_is_no_part_of_what_was_compared(box, check):
    count = len(volumes(box)) + len(volumes(box, "inc"))
    volumes(box)[1].unlink()
    figures = check("--full")[1]["hash"]
    assert (figures["volumes"], figures["of_volumes"]) == (count - 1, count)


def test_a_lost_set_is_damage_for_those_that_build_on_it(box, check):
    (lost,) = box.glob("*full.*.manifest")
    backup("full", START + 2 * 86400)
    lost.unlink()
    status, facts = check("--quick")
    (manifest,) = box.glob("*inc.*.manifest")
    assert (status, problems(facts)) == (101, {manifest.name: "a set that it builds on is missing"})
    assert [note for note in facts["notes"] if FULL in note]


def test_lost_signatures_are_damage(box, check):
    next(box.glob("*new-signatures*")).unlink()
    assert problems(check()[1]) == {INC: "its signatures are not at the target"}


def test_samples_get_round_to_all_and_find_what_is_damaged(box, check):
    flip(volumes(box)[-1], 1000)
    statuses, seen = [], 0
    for _ in range(4):
        status, facts = check("--sample", "30")
        statuses.append(status)
        seen += facts["hash"]["volumes"]
    assert 101 in statuses
    assert statuses[-1] == 101
    assert seen == facts["round"]["of_volumes"] - 1
    assert facts["round"]["volumes"] == seen


def test_damage_that_was_found_is_found_again_by_the_next_sample(box, check):
    flip(volumes(box)[0], 1000)
    assert check("--sample", "1")[0] == 101
    assert check("--sample", "1")[0] == 101


def test_a_repaired_volume_counts_again(box, check):
    victim = volumes(box)[0]
    flip(victim, 1000)
    check("--sample", "1")
    flip(victim, 1000)
    status, facts = check("--sample", "1")
    assert (status, facts["hash"]["volumes"]) == (0, 2)


@pytest.mark.parametrize(
    "words", [["--quick", "--full"], ["--sample", "0"], ["--sample", "101"], ["--sample", "x"], ["more"]]
)
def test_a_line_that_makes_no_sense_is_refused(box, words):
    assert main(["check", *words, "file://box"]) == 23


@pytest.mark.parametrize("mode", ["--quick", "--full"])
def test_a_wrong_key_is_an_error_of_its_own_and_no_damage(box, check, monkeypatch, tmp_path, mode):
    for path in box.iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "xdg_state_home")
    monkeypatch.setenv("PASSPHRASE", "of the test")
    (tmp_path / "home").mkdir(exist_ok=True)
    options = ["--no-print-statistics", "--concurrency", "0", "-v1"]
    assert main(["full", *options, "src", "file://box"]) == 0
    status, facts = check(mode)
    assert (status, facts["problems"]) == (0, [])
    monkeypatch.setenv("PASSPHRASE", "another")
    shutil.rmtree(tmp_path / "xdg_cache_home")
    shutil.rmtree(tmp_path / "xdg_state_home")
    assert main(["check", mode, "file://box"]) == 31


def test_a_target_without_backups_is_an_error_not_all_well(box):
    assert main(["check", "file://src"]) == 30


def test_nothing_at_the_target_is_changed(box, check):
    before = {path.name: path.read_bytes() for path in box.iterdir()}
    check("--full")
    check("--sample", "10")
    assert {path.name: path.read_bytes() for path in box.iterdir()} == before
