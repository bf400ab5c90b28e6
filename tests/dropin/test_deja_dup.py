"""Deja Dup's own calls, replayed, with its reading of the records (docs/wrappers.md § 3)."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
from deja_dup import DejaDup

pytestmark = pytest.mark.slow


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's files, with the names that a shell would stumble over."""
    found = tmp_path / "home" / "us[e]r"
    for name, size in (("file", 10), ("d/one", 900_000), ("d/t wo", 900_000), ("q'uote", 1), ("Downloads/x", 5)):
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(size))
    (found / "ignored").mkdir()
    (found / "ignored" / ".deja-dup-ignore").touch()
    (found / "ignored" / "big").write_text("x")
    return found


@pytest.fixture
def deja_dup(tmp_path: Path) -> Iterator[DejaDup]:
    with programs.Household() as home:
        yield DejaDup(home, f"file://{tmp_path}/backup")


def escaped(path: Path) -> Path:
    """As Deja Dup writes real names in patterns: glob characters as classes of one."""
    return Path("".join(f"[{char}]" if char in "[?*" else char for char in str(path)))


def test_the_first_backup_and_all_that_follows(deja_dup, user, tmp_path):
    first = deja_dup.look()
    assert first.went_well
    assert first.chains == []

    total = deja_dup.estimate("full", escaped(user))
    assert total > 1_800_000
    made = deja_dup.back_up("full", escaped(user))
    assert made.went_well
    assert made.now == total
    relative = str(user)[1:]
    assert f"{relative}/q'uote" in made.handled
    assert not [path for path in made.handled if "Downloads" in path or "ignored" in path]

    seen = deja_dup.look()
    assert [len(chain) for chain in seen.chains] == [1]
    assert seen.encrypted is True
    listed = deja_dup.list().listed
    assert listed[f"{relative}/q'uote"][1] == "reg"
    assert listed[f"{relative}/d"][1] == "dir"

    then = seen.chains[0][0]
    old = (user / "file").read_bytes()
    (user / "file").write_bytes(b"changed")
    changed = deja_dup.back_up("incremental", escaped(user))
    assert changed.went_well
    assert f"{relative}/file" in changed.handled
    assert [len(chain) for chain in deja_dup.look().chains] == [2]

    one = tmp_path / "one"
    got = deja_dup.restore(one, f"--path-to-restore={relative}/file", f"--time={then}")
    assert got.went_well
    assert one.read_bytes() == old

    into = tmp_path / "into"
    into.mkdir()
    (into / "mine").write_text("stays")
    whole = deja_dup.restore(into, f"--path-to-restore={relative}")
    assert whole.went_well
    assert (into / "mine").read_text() == "stays"
    assert (into / "d" / "t wo").read_bytes() == (user / "d" / "t wo").read_bytes()
    assert "d/t wo" in whole.handled
    assert (whole.now, whole.now) == (whole.now, whole.total)

    assert deja_dup.run("cleanup", "--force", deja_dup.url).went_well
    assert deja_dup.back_up("full", escaped(user)).went_well
    assert deja_dup.run("remove-all-but-n-full", "1", "--force", deja_dup.url).went_well
    assert [len(chain) for chain in deja_dup.look().chains] == [1]


def test_the_words_of_44_restore_as_well(deja_dup, user, tmp_path):
    assert deja_dup.back_up("full", escaped(user)).went_well
    words = ["--file-to-restore=" + f"{user}/file"[1:], "--do-not-restore-ownership", "--force"]
    assert deja_dup.run("restore", *words, deja_dup.url, str(tmp_path / "old")).went_well
    assert (tmp_path / "old").read_bytes() == (user / "file").read_bytes()


def test_a_missing_and_a_wrong_passphrase_make_it_ask(deja_dup, user):
    assert deja_dup.back_up("full", escaped(user)).went_well
    shutil.rmtree(deja_dup.cache)
    deja_dup.passphrase = None
    assert deja_dup.list().asks_passphrase
    deja_dup.passphrase = "not the one"
    assert deja_dup.list().asks_passphrase
    deja_dup.passphrase = "secret"
    assert deja_dup.list().went_well


def test_the_first_manifest_taken_from_the_cache_makes_the_next_backup_check_the_passphrase(deja_dup, user):
    assert deja_dup.back_up("full", escaped(user)).went_well
    for manifest in deja_dup.cache.glob("*/duplicity-full.*.manifest"):
        manifest.unlink()
    deja_dup.passphrase = "not the one"
    assert deja_dup.back_up("incremental", escaped(user)).asks_passphrase
    deja_dup.passphrase = "secret"
    assert deja_dup.back_up("incremental", escaped(user)).went_well


def test_another_host_makes_it_ask_and_the_answer_is_taken(deja_dup, user, tmp_path):
    deja_dup.passphrase = ""
    assert deja_dup.back_up("full", escaped(user)).went_well
    manifest = next((tmp_path / "backup").glob("*.manifest"))
    cached = next(deja_dup.cache.glob("*/*.manifest"))
    for path in (manifest, cached):
        lines = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join([b"Hostname elsewhere", *lines[1:]]))
    shutil.rmtree(deja_dup.home.folder / "state")
    asked = deja_dup.back_up("incremental", escaped(user)).asks_about_host
    assert asked is not None
    assert asked[1] == "elsewhere"
    assert deja_dup.back_up("incremental", escaped(user), "--allow-source-mismatch").went_well


def test_a_killed_backup_is_gone_on_with(deja_dup, user, tmp_path):
    for number in range(6):
        (user / f"more{number}").write_bytes(random.Random(number).randbytes(900_000))
    deja_dup.killed("full", *deja_dup.backup_words(escaped(user)), after="INFO 2 ")
    made = deja_dup.back_up("full", escaped(user))
    assert made.went_well
    assert len(list((tmp_path / "backup").glob("duplicity-full.*.manifest.gpg"))) == 1
    listed = deja_dup.list().listed
    assert all(f"{user}/more{number}"[1:] in listed for number in range(6))


def test_what_is_not_there_is_told_in_its_words(deja_dup, user, tmp_path):
    assert deja_dup.list().no_backup
    assert deja_dup.back_up("full", escaped(user)).went_well
    assert deja_dup.restore(tmp_path / "none", "--path-to-restore=nothing/here").not_found


def test_left_over_files_make_it_clean_up_once(deja_dup, user, tmp_path):
    assert deja_dup.back_up("full", escaped(user)).went_well
    signatures = next((tmp_path / "backup").glob("*full-signatures*"))
    shutil.copy(signatures, signatures.with_name("duplicity-full-signatures.20200101T000000Z.sigtar.gpg"))
    assert deja_dup.back_up("incremental", escaped(user)).left_over
    assert deja_dup.run("cleanup", "--force", deja_dup.url).status == 0
    assert not deja_dup.back_up("incremental", escaped(user)).left_over
