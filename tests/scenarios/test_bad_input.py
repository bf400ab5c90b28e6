"""What can go wrong around a backup does: each time exit status, message and hint tell, and nothing is lost.

Exit statuses are the strict ones: 100 some entries were not stored, 101 some were not restored; others are the numbers
of docs/cli.md § 9.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from random import Random

import pytest
from programs import ENCRYPT_KEY, SIGN_KEY, Answer, Household, describe, judged
from sites import Site

NOT_STORED, NOT_RESTORED = 100, 101


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


@pytest.mark.requirement("R50")
def test_volumes_that_were_opened_again_before_they_were_stored_are_restored(site: Site) -> None:
    site.options, site.environment = ("--verify-volumes",), {"PASSPHRASE": "right"}
    assert site.backup().status == 0
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
