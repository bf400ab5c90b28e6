"""The real program over file://, with damage made by hand."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import subprocess
import sys

import pytest
from tarragon.cli.main import main
from tarragon.plugin.hub import Hub

START = 1_700_000_000
DAY = 86400
ALL = ("--rehearse-versions", "9", "--rehearse-files", "99")


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A repository with a full set of five volumes and two increments, and a home for its cache."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "src"
    (source / "below").mkdir(parents=True)
    (source / "link").symlink_to("file1")
    for number in range(9):
        (source / f"file{number}").write_bytes(random.Random(number).randbytes(500_000))
    (source / "below" / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    age(source)
    backup("full", START)
    for day in (1, 2):
        with (source / "file3").open("ab") as file:
            file.write(b"more")
        os.utime(source / "file3", (START + day * DAY - 50,) * 2)
        backup("incremental", START + day * DAY)
    return tmp_path / "box"


def age(source):
    for path in sorted(source.rglob("*")):
        if not path.is_symlink():
            os.utime(path, (START - 100, START - 100))


def backup(kind, at, *more):
    options = [*(more or ("--no-encryption",)), "--no-print-statistics", "--concurrency", "0", "--volsize", "1", "-v1"]
    assert main([kind, *options, "--current-time", str(at), "src", "file://box"]) == 0


@pytest.fixture
def rehearse(monkeypatch):
    """The program in this process: its exit status and its facts."""
    told = []
    monkeypatch.setattr(Hub, "tell", lambda self, hook, **news: "outcome" in news and told.append(news["outcome"]))

    def run(*words):
        status = main(["rehearse", "--num-retries", "1", *words, "file://box"])
        assert told[-1].exit_code == status
        return status, told[-1].facts

    return run


def problems(facts):
    return {name: problem for version in facts["versions"] for name, problem in version["problems"].items()}


@pytest.mark.requirement("R58")
def test_a_rehearsal_says_what_was_tried_compared_and_proven(box):
    line = [sys.executable, "-m", "tarragon", "rehearse", *ALL, "--seed", "a", "file://box"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    size = sum(path.stat().st_size for path in box.glob("*.vol*"))
    said = ended.stdout.splitlines()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert said[0] == "seed a"
    assert said[1] == (
        "full-20231114T221320Z: 10 of 10 files tried, of 10 in all, came out right with a clean cache; 4500000 bytes; "
        "10 files compared with their signatures; 0 problems"
    )
    count = len(list(box.glob("*.vol*")))
    share = f"{count} of {count} volumes (100 %), {size} of {size} bytes (100 %)"
    assert said[4] == f"fetched whole in rehearsals so far, for files that came out right: {share}"


@pytest.mark.requirement("R10")
def test_every_version_comes_out_right(box, rehearse):
    status, facts = rehearse(*ALL)
    assert status == 0
    assert [version["files"] for version in facts["versions"]] == [10, 10, 10]
    assert [version["signed"] for version in facts["versions"]] == [10, 10, 10]


def test_the_same_seed_makes_the_same_choice(box, rehearse):
    choices = [
        [(version["set"], version["bytes"], version["good"]) for version in rehearse("--seed", seed)[1]["versions"]]
        for seed in ("x", "x")
    ]
    assert choices[0] == choices[1]


def test_the_share_grows_from_run_to_run(box, rehearse):
    shares = [rehearse("--rehearse-files", "1", "--seed", str(number))[1]["proven"]["volumes"] for number in range(6)]
    assert shares == sorted(shares)
    assert 1 <= shares[0] < shares[-1]


@pytest.mark.parametrize("harm", ["delete", "flip", "truncate", "swap"])
def test_a_damaged_volume_costs_its_files_and_nothing_is_claimed_of_it(box, rehearse, harm):
    first, victim = sorted(box.glob("*full.*.vol*"))[:2]
    bad = {2}
    if harm == "delete":
        victim.unlink()
    elif harm == "flip":
        data = bytearray(victim.read_bytes())
        data[1000] ^= 1
        victim.write_bytes(data)
    elif harm == "truncate":
        os.truncate(victim, 1000)
    else:
        bad = {1, 2}
        one, two = first.read_bytes(), victim.read_bytes()
        first.write_bytes(two)
        victim.write_bytes(one)
    status, facts = rehearse(*ALL)
    assert status == 101
    assert problems(facts)
    for version in facts["versions"]:
        assert 0 < version["files"] < version["tried"]
        assert not bad & set(version["good"].get("full-20231114T221320Z", ()))
    assert facts["proven"]["volumes"] < facts["proven"]["of_volumes"]


@pytest.mark.requirement("R10")
def test_content_that_has_the_right_hash_but_not_the_right_signature_is_found(box, rehearse, tmp_path):
    """As after a program error: stored, hashed and listed as it should be, and yet not what was in the file."""
    victim = sorted(box.glob("*full.*.vol*"))[0]
    (manifest,) = box.glob("*full.*.manifest")
    before = hashlib.sha1(victim.read_bytes()).hexdigest()
    tar = bytearray(gzip.decompress(victim.read_bytes()))
    tar[len(tar) // 2] ^= 1
    victim.write_bytes(gzip.compress(tar))
    after = hashlib.sha1(victim.read_bytes()).hexdigest()
    manifest.write_bytes(manifest.read_bytes().replace(before.encode(), after.encode()))
    for path in box.glob("tarragon.sums*"):
        path.unlink()
    shutil.rmtree(tmp_path / "xdg_state_home")
    shutil.rmtree(tmp_path / "xdg_cache_home")
    status, facts = rehearse(*ALL)
    assert status == 101
    assert set(problems(facts).values()) == {"it does not fit its signature"}
    assert [version["tried"] - version["files"] for version in facts["versions"]] == [1, 1, 1]


@pytest.mark.parametrize("pattern", ["*full-signatures*", "*full.*.manifest"])
def test_damaged_metadata_at_the_target_show_although_the_cache_is_whole(box, rehearse, pattern):
    (victim,) = box.glob(pattern)
    os.truncate(victim, 100)
    assert rehearse(*ALL)[0] == 101


def test_a_damaged_cache_does_not_matter_and_is_left_alone(box, rehearse, tmp_path):
    found = [path for path in (tmp_path / "xdg_cache_home").rglob("*") if path.name.endswith((".gz", ".manifest"))]
    assert len(found) == 6
    for path in found:
        if path.name.endswith(".gz"):
            path.write_bytes(b"junk")
    assert rehearse(*ALL)[0] == 0
    assert {path.read_bytes() for path in found if path.name.endswith(".gz")} == {b"junk"}


def test_the_newest_version_is_compared_with_the_source(box, rehearse, tmp_path):
    status, facts = rehearse(*ALL, "--source", "src")
    assert status == 0
    assert [version["live"] for version in facts["versions"]] == [{}, {}, {"same": 10}]
    changed = tmp_path / "src" / "file1"
    changed.write_bytes(b"new")
    assert rehearse(*ALL, "--source", "src")[1]["versions"][2]["live"] == {"same": 9, "changed": 1}
    os.utime(changed, (START - 100, START - 100))
    status, facts = rehearse(*ALL, "--source", "src")
    assert (status, facts["versions"][2]["live"]) == (1, {"same": 9, "different": 1})


def test_encrypted_sets_are_rehearsed_and_a_wrong_key_is_no_damage(box, rehearse, monkeypatch, tmp_path):
    for path in box.iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "xdg_state_home")
    monkeypatch.setenv("PASSPHRASE", "of the test")
    (tmp_path / "home").mkdir(exist_ok=True)
    backup("full", START + 9 * DAY, "--encryption")
    status, facts = rehearse("--rehearse-files", "3")
    assert (status, facts["versions"][0]["files"]) == (0, 3)
    monkeypatch.setenv("PASSPHRASE", "another")
    assert main(["rehearse", "file://box"]) == 31


@pytest.mark.requirement("R58")
def test_a_volume_that_was_not_needed_is_not_counted(box, rehearse, tmp_path):
    """Of a file that was deleted and made anew, the older parts need not be fetched."""
    shutil.rmtree(tmp_path / "src")
    (tmp_path / "src").mkdir()
    big = tmp_path / "src" / "big"
    big.write_bytes(random.Random(1).randbytes(5_000_000))
    backup("full", START + 3 * DAY)
    big.unlink()
    backup("incremental", START + 4 * DAY)
    big.write_bytes(b"another")
    backup("incremental", START + 5 * DAY)
    seeds = (str(number) for number in range(99))
    newest = next(
        found
        for seed in seeds
        for found in rehearse("--seed", seed)[1]["versions"]
        if found["set"].endswith("20231119T221320Z")
    )
    full = newest["good"]["full-20231117T221320Z"]
    assert full in ([1], [2], [1, 2])
    assert len(list(box.glob("*full.20231117*.vol*"))) >= 5


def test_nothing_is_left_behind(box, rehearse, tmp_path, monkeypatch):
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    before = {path.name: path.read_bytes() for path in box.iterdir()}
    rehearse(*ALL, "--tempdir", str(sandbox))
    assert list(sandbox.iterdir()) == []
    assert {path.name: path.read_bytes() for path in box.iterdir()} == before


@pytest.mark.parametrize("words", [["--rehearse-files", "0"], ["--source", "nowhere"], ["more"]])
def test_a_line_that_makes_no_sense_is_refused(box, words):
    assert main(["rehearse", *words, "file://box"]) == 23
