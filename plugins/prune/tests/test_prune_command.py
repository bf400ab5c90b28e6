"""The real program over file://: dry runs, deletions, pins, and ten years in fast motion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from tarragon.cli.main import main

DAY = 86400
START = 1_700_000_000


@pytest.fixture
def box(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    return tmp_path


def tarragon(*words, at=None):
    """The program as a process: its exit status and what it says."""
    clock = () if at is None else ("--current-time", str(at))
    line = [sys.executable, "-m", "tarragon", *words, *clock]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def backup(box, day, kind="backup"):
    (box / "src" / "day").write_text(f"{day}\n")
    os.utime(box / "src" / "day", (START + day * DAY,) * 2)
    options = ["--no-encryption", "--no-print-statistics", "--concurrency", "0", "-v1"]
    assert main([kind, *options, "--current-time", str(START + day * DAY), "src", "file://box"]) == 0


def names(box):
    return sorted(path.name for path in (box / "box").iterdir())


def actions(text):
    return {key: word for word, key in re.findall(r"^(keep|delete) .*? ((?:full|inc)-\S+)", text, re.MULTILINE)}


def test_a_dry_run_explains_and_deletes_nothing(box):
    for day in (0, 1, 2):
        backup(box, day, "full")
    before = names(box)
    status, text = tarragon("prune", "--keep-last", "1", "file://box", at=START + 9 * DAY)
    assert (status, names(box)) == (0, before)
    assert sorted(actions(text).values()) == ["delete", "delete", "keep"]
    assert "last 1 of 1" in text
    gone = [name for name in before if "20231116" not in name]
    assert f"1 sets are kept; 2 sets, {len(gone)} objects, would be deleted by --force" in text


def test_force_deletes_the_end_of_a_chain_and_whole_chains(box):
    for day, kind in ((0, "full"), (1, "full"), (2, "incremental"), (3, "incremental"), (40, "full")):
        backup(box, day, kind)
    second = "inc-20231115T221320Z-20231116T221320Z"
    tarragon("prune", "--pin", second, "file://box")
    status, text = tarragon("prune", "--keep-last", "1", "--force", "file://box", at=START + 41 * DAY)
    assert status == 0, text
    assert list(actions(text).values()) == ["delete", "keep", "keep", "delete", "keep"]
    left = {name.split(".", 1)[1].split(".manifest")[0] for name in names(box) if "manifest" in name}
    assert left == {"20231115T221320Z", "20231115T221320Z.to.20231116T221320Z", "20231224T221320Z"}
    assert not [name for name in names(box) if "20231114" in name or "20231117" in name]
    assert main(["restore", "-v1", "--time", str(START + 2 * DAY), "file://box", "out"]) == 0
    assert (box / "out" / "day").read_text() == "2\n"


def test_a_pin_by_time_stays_until_it_is_taken_away(box):
    for day in (0, 1, 2):
        backup(box, day, "full")
    assert tarragon("prune", "--pin", str(START + DAY + 5), "file://box")[0] == 0
    _, text = tarragon("prune", "--keep-last", "1", "file://box", at=START + 9 * DAY)
    assert actions(text)["full-20231115T221320Z"] == "keep"
    assert "pinned" in text
    assert tarragon("prune", "--unpin", "full-20231115T221320Z", "file://box")[0] == 0
    _, text = tarragon("prune", "--keep-last", "1", "file://box", at=START + 9 * DAY)
    assert actions(text)["full-20231115T221320Z"] == "delete"


def test_a_dry_run_records_no_pin(box):
    backup(box, 0)
    tarragon("prune", "--dry-run", "--pin", "now", "file://box")
    assert not list(box.rglob("pins.jsonl"))


@pytest.mark.requirement("R13")
def test_nothing_is_deleted_while_the_target_is_not_as_remembered(box):
    for day in (0, 1, 2):
        backup(box, day, "full")
    for path in (box / "box").glob("*20231116*"):
        path.unlink()
    before = names(box)
    status, text = tarragon("prune", "--keep-last", "1", "--force", "file://box", at=START + 9 * DAY)
    assert (status, names(box)) == (102, before)
    assert "nothing is deleted while there are alarms" in text
    assert tarragon("accept-loss", "--force", "file://box")[0] == 0
    assert tarragon("prune", "--keep-last", "1", "--force", "file://box", at=START + 9 * DAY)[0] == 0
    assert [name for name in names(box) if "manifest" in name] == ["duplicity-full.20231115T221320Z.manifest"]


@pytest.mark.requirement("R57")
def test_a_set_with_a_missing_volume_is_told_and_never_taken_for_the_last_restorable(box):
    for day in (0, 1):
        backup(box, day, "full")
    (volume,) = (box / "box").glob("*20231115*vol1*")
    volume.unlink()
    status, text = tarragon("prune", "--keep-last", "1", "--force", "file://box", at=START + 9 * DAY)
    assert status == 102
    assert "set full-20231115T221320Z is damaged: volume 1 is not at the target" in text
    assert set(actions(text).values()) == {"keep"}
    assert tarragon("accept-loss", "--force", "file://box")[0] == 0
    status, text = tarragon("prune", "--keep-last", "1", "--force", "file://box", at=START + 9 * DAY)
    assert (status, set(actions(text).values())) == (0, {"keep"})


@pytest.mark.requirement("R17")
def test_sets_of_the_future_push_nothing_out(box):
    for day in (0, 500, 501, 502):
        backup(box, day, "full")
    _, text = tarragon("prune", "--keep-last", "2", "--force", "file://box", at=START + 9 * DAY)
    assert set(actions(text).values()) == {"keep"}
    assert text.count("dated after now") == 3


def forge(box, key, stamp, modified):
    """Copy a full set under another time, as somebody does who can write to the target; the target's clock is true."""
    for path in (box / "box").glob(f"*{key}*"):
        forged = path.with_name(path.name.replace(key, stamp))
        forged.write_bytes(path.read_bytes())
        os.utime(forged, (modified, modified))


@pytest.mark.slow
@pytest.mark.requirement("R17")
@pytest.mark.parametrize("how", ["future", "of the future when stored", "behind newer ones", "met behind newer ones"])
def test_a_thousand_forged_sets_push_no_real_one_out(box, how):
    """bupstash#256: whoever may add sets must not be able to have real ones deleted by the next prune."""
    now = int(time.time())
    first = (START - now) // DAY + (now - START) // DAY * 2 - 9  # nine days ago, in days since START
    for day in range(first, first + 9):
        backup(box, day, "full")
        for path in (box / "box").iterdir():
            if path.stat().st_mtime > now - 5:
                os.utime(path, (START + day * DAY + 60,) * 2)
    rules = ["prune", "--keep-last", "3", "--keep-daily", "5", "--keep-weekly", "2"]
    _, text = tarragon(*rules, "file://box", at=now)
    wanted = actions(text)
    assert sorted(wanted.values()).count("delete") >= 2
    key = max(name.split(".")[1] for name in names(box) if ".manifest" in name)
    for number in range(1000 if how == "future" else 200):
        at, modified = {
            "future": (now + DAY + number, now),
            "of the future when stored": (now - 60 - number * 300, now - 7 * DAY),
            "behind newer ones": (now - 5 * DAY - number * 60, now),
            "met behind newer ones": (now - 5 * DAY - number * 60, now - 5 * DAY),
        }[how]
        forge(box, key, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at)), modified)
    status, text = tarragon(*rules, "--force", "file://box", at=now)
    assert status == 0, text[-2000:]
    said = actions(text)
    assert {each: said[each] for each in wanted} == wanted
    assert set(said.values()) == {"keep", "delete"}
    assert all(word == "keep" for each, word in said.items() if each not in wanted)
    left = "".join(names(box))
    assert all((each.split("-")[1] in left) == (word == "keep") for each, word in wanted.items())


@pytest.mark.requirement("R17")
def test_a_clock_that_runs_ahead_of_the_target_deletes_nothing(box, monkeypatch, capsys):
    for day in (0, 1, 2):
        backup(box, day, "full")
    before = names(box)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 400 * DAY)
    capsys.readouterr()
    assert main(["prune", "--keep-within", "30D", "--force", "file://box"]) == 0
    assert "clock" in capsys.readouterr().err
    assert names(box) == before


@pytest.mark.parametrize(
    "words",
    [
        ["prune", "file://box"],
        ["prune", "--keep-last", "0", "file://box"],
        ["prune", "--keep-daily", "many", "file://box"],
        ["prune", "--keep-within", "2024-01-01", "file://box"],
        ["prune", "--keep-last", "1", "more", "file://box"],
        ["prune", "--keep-last", "1"],
    ],
)
def test_a_line_that_makes_no_sense_is_refused(box, words, capsys):
    assert main(words) == 23


@pytest.mark.slow
def test_every_set_kept_over_ten_years_is_restored(box, capsys):
    """A backup every two months, a full one each year, pruned each time."""
    rules = ["--keep-last", "2", "--keep-monthly", "4", "--keep-yearly", "6"]
    made = {}
    for number in range(61):
        day = (number - 61) * 60  # in the past: what is dated after it was stored is in doubt
        backup(box, day, "full" if number % 6 == 0 else "incremental")
        made[START + day * DAY] = f"{day}\n"
        now = str(START + day * DAY + 1)
        assert main(["prune", *rules, "--force", "--current-time", now, "file://box"]) == 0
    capsys.readouterr()
    assert main(["prune", *rules, "--current-time", now, "file://box"]) == 0
    said = actions(capsys.readouterr().out)
    assert set(said.values()) == {"keep"}
    assert 9 <= len(said) < 61
    for number, moment in enumerate(sorted(made)):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
        key = [each for each in said if each.endswith(stamp)]
        if key:
            assert main(["restore", "-v1", "--time", str(moment), "file://box", f"out{number}"]) == 0
            assert (box / f"out{number}" / "day").read_text() == made[moment]
            del said[key[0]]
    assert said == {}
