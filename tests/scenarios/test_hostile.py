"""A repository that lies cannot make a restore touch anything outside the folder that it was given.

Each repository is forged (tests/judge/forge.py): correct names, hashes and manifests around entries that no honest
program writes. Beside the target stands a folder that must be the same before and after, to the nanosecond.
"""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forge import Forge, Member, member, root
from programs import (
    AS_NOBODY,
    ENCRYPT_KEY,
    GOLDEN,
    NOBODY,
    SIGN_KEY,
    Answer,
    Household,
    Program,
    nobody_can_run,
    tree_hash,
)

NOT_RESTORED = 101
GOOD = member("snapshot/zz-good", b"good", mode=0o600)


class Jail:
    """A target folder, and around it everything that a restore must leave alone."""

    def __init__(self, place: Path) -> None:
        self.outside = place / "outside"
        self.target = place / "jail" / "target"
        self.forge = Forge(place / "repo")
        self.outside.mkdir()
        (self.outside / "victim").write_bytes(b"precious")
        (self.outside / "victim").chmod(0o640)
        (self.outside / "folder").mkdir()
        (self.outside / "folder" / "child").write_bytes(b"precious too")
        self.target.parent.mkdir()
        self.before = tree_hash(self.outside)

    def restore(self, program: Program, home: Household, *words: str, prefix: tuple[str, ...] = ()) -> Answer:
        given = ("restore", "--no-encryption", *words, self.forge.url, self.target)
        return home.run(program, *given, prefix=prefix, wait_s=120)

    def is_unharmed(self) -> bool:
        beside = os.listdir(self.target.parent)
        return tree_hash(self.outside) == self.before and beside in ([], ["target"])

    def restored(self, name: str) -> bytes | None:
        path = self.target / name
        return path.read_bytes() if path.is_file() and not path.is_symlink() else None


@pytest.fixture
def jail(tmp_path: Path) -> Jail:
    return Jail(tmp_path)


def entries_that_climb(outside: Path) -> dict[str, list[Member]]:
    """Full sets whose entries point outside, by the name of the trick."""
    away = os.fsencode(outside)
    to_folder = member("snapshot/link", type="2", link=away + b"/folder")
    return {
        "dotdot": [member("snapshot/../escaped", b"x")],
        "dotdot in the middle": [member("snapshot/a/../../escaped", b"x")],
        "dotdot at the end": [member("snapshot/a/..", type="5")],
        "dotdot in a pax record": [member("snapshot/fine", b"x", records={"path": b"snapshot/../escaped"})],
        "dotdot in a part": [member("multivol_snapshot/../../escaped/1", b"x")],
        "absolute": [member(b"snapshot/" + away + b"/escaped", b"x")],
        "absolute without a kind": [member(away + b"/escaped", b"x")],
        "no kind": [member("escaped", b"x")],
        "unknown kind": [member("evil/escaped", b"x")],
        "NUL": [member("snapshot/fine", b"x", records={"path": b"snapshot/fi\0ne"})],
        "hard link": [member("snapshot/hard", type="1", link=away + b"/victim")],
        "hard link into the archive": [member("snapshot/hard", type="1", link=b"snapshot/zz-good")],
        "child of a link": [to_folder, member("snapshot/link/child", b"x")],
        "folder below a link": [to_folder, member("snapshot/link/new/", type="5")],
        "part below a link": [to_folder, member("multivol_snapshot/link/child/1", b"x")],
        "deep below a link": [to_folder, member("snapshot/link/a/b/c", b"x")],
        "link, then the same name as a file": [
            member("snapshot/x", type="2", link=away + b"/victim"),
            member("snapshot/x", b"x"),
        ],
        "link, then the same name as a folder": [
            member("snapshot/x", type="2", link=away + b"/folder"),
            member("snapshot/x/", type="5", mode=0o777),
        ],
        "child of a file": [member("snapshot/x", b"x"), member("snapshot/x/y", b"x")],
        "child of a fifo": [member("snapshot/x", type="6"), member("snapshot/x/y", b"x")],
        "component of 256 bytes": [member("snapshot/" + "n" * 256, b"x")],
        "path over PATH_MAX": [member("snapshot/" + "/".join(["d" * 200] * 30), b"x")],
        "backwards": [member("snapshot/z", b"x"), member("snapshot/a", b"x")],
        "part without a number": [member("multivol_snapshot/x/one", b"x")],
        "a size that lies": [member("snapshot/x", b"x", size=1 << 40)],
        "a size below zero": [Member(b"snapshot/x", "0", member("snapshot/x", size=(1 << 88) - 1).raw)],
    }


TRICKS = sorted(entries_that_climb(Path("/nowhere")))
HARMLESS = {"path over PATH_MAX", "backwards", "absolute"}  # these may be restored, inside the target


@pytest.mark.requirement("R1")
@pytest.mark.requirement("R2")
@pytest.mark.parametrize("trick", TRICKS)
def test_no_entry_reaches_outside_the_target(trick: str, jail: Jail, program: Program, home: Household) -> None:
    jail.forge.full([root(), *entries_that_climb(jail.outside)[trick], GOOD])
    answer = jail.restore(program, home)
    assert jail.is_unharmed(), answer
    assert not list(Path("/").glob("escaped*"))


@pytest.mark.requirement("R1")
@pytest.mark.parametrize("trick", [trick for trick in TRICKS if trick not in HARMLESS])
def test_a_hostile_entry_is_reported_and_never_a_crash(trick: str, jail: Jail, ours: Program, home: Household) -> None:
    jail.forge.full([root(), *entries_that_climb(jail.outside)[trick], GOOD])
    answer = jail.restore(ours, home)
    assert answer.status == NOT_RESTORED, answer
    assert "Traceback" not in answer.text, answer


REFUSED_ALONE = ("dotdot", "child of a link", "hard link", "component of 256 bytes", "child of a file")


@pytest.mark.requirement("R6")
@pytest.mark.parametrize("trick", REFUSED_ALONE)
def test_a_hostile_entry_costs_only_itself(trick: str, jail: Jail, ours: Program, home: Household) -> None:
    jail.forge.full([root(), *entries_that_climb(jail.outside)[trick], GOOD])
    answer = jail.restore(ours, home)
    assert jail.restored("zz-good") == b"good", answer


@pytest.mark.requirement("R1")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(member("deleted/../../outside/victim"), id="delete with dotdot"),
        pytest.param(member("deleted/link/child"), id="delete below a link"),
        pytest.param(member("diff/link/child", b"rs\x026\x05stolen\x00"), id="delta below a link"),
        pytest.param(member("diff/file", b"rs\x026\x05stolen\x00"), id="delta of a link"),
        pytest.param(member("snapshot/link/", type="5", mode=0o777), id="folder over a link"),
        pytest.param(member("snapshot/link/child", b"x"), id="file below a link"),
    ],
)
def test_no_change_reaches_outside_the_target(change: Member, jail: Jail, program: Program, home: Household) -> None:
    away = os.fsencode(jail.outside)
    links = [
        member("snapshot/file", type="2", link=away + b"/victim"),
        member("snapshot/link", type="2", link=away + b"/folder"),
    ]
    jail.forge.full([root(), *links, GOOD])
    jail.forge.incremental([change])
    answer = jail.restore(program, home)
    assert jail.is_unharmed(), answer


@pytest.mark.requirement("R3")
def test_restoring_a_link_leaves_its_target_alone(jail: Jail, program: Program, home: Household) -> None:
    link = member("snapshot/link", type="2", link=os.fsencode(jail.outside / "victim"), mode=0o777, uid=12345, mtime=1)
    jail.forge.full([root(), link, GOOD])
    answer = jail.restore(program, home)
    assert answer.status == 0, answer
    assert (jail.target / "link").is_symlink()
    assert jail.is_unharmed(), answer


@pytest.mark.requirement("R1")
def test_a_folder_that_is_swapped_for_a_link_while_we_restore_is_not_followed(
    jail: Jail, program: Program, home: Household
) -> None:
    files = [member(f"snapshot/d/{number:05d}", b"x" * 600) for number in range(3000)]
    jail.forge.full([root(), member("snapshot/d/", type="5", mode=0o755), *files, GOOD])
    racing = threading.Event()
    racing.set()

    def race() -> None:
        folder, aside = jail.target / "d", jail.target / "aside"
        while racing.is_set():
            try:
                folder.rename(aside)
                folder.symlink_to(jail.outside / "folder")
                folder.unlink()
                aside.rename(folder)
            except OSError:
                continue

    racer = threading.Thread(target=race)
    racer.start()
    try:
        jail.restore(program, home)
    finally:
        racing.clear()
        racer.join()
    assert tree_hash(jail.outside) == jail.before


@pytest.fixture
def open_jail(ours: Program) -> Iterator[tuple[Jail, Household]]:
    """A jail that belongs to a user who is not root; not below pytest's folder, which is closed to other users."""
    if not nobody_can_run(ours):
        pytest.skip("needs root, and a checkout that other users can reach")
    with Household(owner=NOBODY) as home:
        home.folder.chmod(0o755)
        place = home.folder / "place"
        place.mkdir()
        jail = Jail(place)
        os.chown(jail.target.parent, NOBODY, NOBODY)
        yield jail, home


@pytest.mark.requirement("R7")
def test_device_nodes_are_not_made_for_a_user_who_is_not_root(open_jail: tuple[Jail, Household], ours: Program) -> None:
    jail, home = open_jail
    jail.forge.full([root(), member("snapshot/disk", type="4", major=8, minor=0, mode=0o666), GOOD])
    answer = jail.restore(ours, home, prefix=AS_NOBODY)
    assert answer.status == NOT_RESTORED, answer
    assert "disk" in answer.text, answer
    assert os.listdir(jail.target) == ["zz-good"]


@pytest.mark.requirement("R3")
def test_setuid_of_another_owner_is_dropped_and_reported(open_jail: tuple[Jail, Household], ours: Program) -> None:
    jail, home = open_jail
    jail.forge.full([root(), member("snapshot/su", b"#!/bin/sh\n", mode=0o4755, uname="root", gname="root"), GOOD])
    answer = jail.restore(ours, home, prefix=AS_NOBODY)
    assert stat.S_IMODE((jail.target / "su").stat().st_mode) == 0o755, answer
    assert "without setuid" in answer.text, answer


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    "delta",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"rs\x027\x05hello\x00", id="another magic"),
        pytest.param(b"rs\x026\x05hel", id="cut literal"),
        pytest.param(b"rs\x026\x05hello", id="no end"),
        pytest.param(b"rs\x026\x45\x00\xff\x00", id="copy beyond the basis"),
        pytest.param(b"rs\x026\x54" + b"\xff" * 8 + b"\xff" * 8 + b"\x00", id="copy of everything there is"),
        pytest.param(b"rs\x026\x44" + b"\x7f" + b"\xff" * 7, id="a literal of eight exabytes"),
        pytest.param(b"rs\x026\x55\x00", id="a command that does not exist"),
    ],
)
def test_a_malformed_delta_leaves_its_file_out_and_says_so(
    delta: bytes, jail: Jail, ours: Program, home: Household
) -> None:
    jail.forge.full([root(), member("snapshot/file", b"basis"), GOOD])
    jail.forge.incremental([member("diff/file", delta, mtime=1)])
    answer = jail.restore(ours, home)
    assert answer.status == NOT_RESTORED, answer
    assert "file" in answer.text
    assert jail.restored("file") is None
    assert jail.restored("zz-good") == b"good"


@pytest.mark.requirement("R42")
def test_a_bomb_is_read_in_little_memory(jail: Jail, ours: Program, home: Household) -> None:
    zeros = member("snapshot/zeros", bytes(400_000_000))
    jail.forge.full([root(), zeros], [GOOD])
    answer = jail.restore(ours, home, prefix=("prlimit", "--data=400000000"))
    assert jail.restored("zz-good") == b"good", answer
    assert jail.restored("zeros") in (None, bytes(400_000_000)), "a file appears whole or not at all"


def volume_block(number: int, first: bytes, last: bytes, digest: bytes) -> bytes:
    lines = b"Volume %d:\n    StartingPath   %s  \n    EndingPath     %s  \n    Hash SHA1 %s\n"
    return lines % (number, first, last, digest)


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    "garble",
    [
        pytest.param(lambda text: b"", id="empty"),
        pytest.param(lambda text: bytes(range(256)) * 64, id="noise"),
        pytest.param(lambda text: text.replace(b"Volume 1:", b"Volume 3:"), id="a gap"),
        pytest.param(lambda text: text.replace(b"Volume 1:", b"Volume 0:"), id="number 0"),
        pytest.param(lambda text: text.replace(b"Volume 1:", b"Volume -1:"), id="a negative number"),
        pytest.param(lambda text: text.replace(b"Volume 1:", b"Volume 99999999999999999999:"), id="a huge number"),
        pytest.param(lambda text: text.replace(b"SHA1 ", b"SHA1 00"), id="a hash of the wrong length"),
        pytest.param(lambda text: text.replace(b"Volume 2:", b"Volume two:"), id="a number in words"),
        pytest.param(lambda text: text[: text.index(b"Volume 2")], id="the second half lost"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_no_silent_success(
    garble: Callable[[bytes], bytes], jail: Jail, ours: Program, home: Household
) -> None:
    jail.forge.full([root(), member("snapshot/a", b"a")], [GOOD])
    manifest = next(jail.forge.folder.glob("*.manifest"))
    manifest.write_bytes(garble(manifest.read_bytes()))
    answer = jail.restore(ours, home)
    assert answer.status != 0, answer
    assert "Traceback" not in answer.text, answer
    assert jail.is_unharmed()


@pytest.mark.requirement("R36")
def test_foreign_names_beside_a_backup_are_left_alone(jail: Jail, program: Program, home: Household) -> None:
    jail.forge.full([root(), GOOD])
    foreign = {
        "notes.txt",
        "xduplicity-full.20231114T221320Z.manifest",
        "duplicity-full.20239914T221320Z.manifest",
        "duplicity-full.20231114T221320Z.vol1.difftarx",
        "duplicity-full.20231114T221320Z.vol1x.difftar.gz",
        "duplicity-inc.20231114T221320Z.vol1.difftar.gz",
        "duplicity-inc.20231114T221320Z.to.yesterday.manifest",
        "duplicity-full-signatures.sigtar.gz",
        "latin1-\udce9\udcff",
        " ",
    }
    for name in foreign:
        (jail.forge.folder / name).write_bytes(b"not ours")
    (jail.forge.folder / "duplicity-full.folder").mkdir()
    answer = jail.restore(program, home)
    assert answer.status == 0, answer
    (jail.target / "more").write_bytes(b"more")
    words = ("full", "--no-encryption", "--allow-source-mismatch", jail.target, jail.forge.url)
    assert home.run(program, *words).status == 0
    assert {name for name in foreign if (jail.forge.folder / name).read_bytes() == b"not ours"} == foreign


@pytest.mark.requirement("R8")
def test_a_folder_with_something_in_it_is_no_target(jail: Jail, program: Program, home: Household) -> None:
    jail.forge.full([root(), GOOD])
    jail.target.mkdir()
    (jail.target / "mine").write_bytes(b"mine")
    before = tree_hash(jail.target)
    answer = jail.restore(program, home)
    assert answer.status == 11, answer
    assert tree_hash(jail.target) == before


@pytest.mark.requirement("R8")
def test_one_file_restored_onto_a_folder_leaves_the_folder_its_files(
    jail: Jail, program: Program, home: Household
) -> None:
    jail.forge.full([root(), GOOD])
    jail.target.mkdir()
    (jail.target / "mine").write_bytes(b"mine")
    answer = jail.restore(program, home, "--path-to-restore", "zz-good")
    assert answer.status == 11, answer
    assert (jail.target / "mine").read_bytes() == b"mine"


def encrypted(home: Household, *, signed: bool) -> Callable[[bytes], bytes]:
    """A function that encrypts to the golden key, and signs with the golden signing key if told so."""
    words = ["gpg", "--homedir", str(home.gnupg), "--batch", "--quiet", "--always-trust", "--pinentry-mode", "loopback"]
    words += ["--passphrase", "signpass", "--recipient", ENCRYPT_KEY, "--encrypt"]
    words += ["--default-key", SIGN_KEY, "--sign"] if signed else []
    return lambda data: subprocess.run(words, input=data, capture_output=True, check=True).stdout


@pytest.mark.requirement("R4")
@pytest.mark.requirement("R5")
def test_an_unsigned_volume_in_a_signed_set_never_becomes_visible(
    jail: Jail, ours: Program, keyed_home: Household, tmp_path: Path
) -> None:
    with_signature, without = (encrypted(keyed_home, signed=signed) for signed in (True, False))
    jail.forge.suffix, jail.forge.manifest_suffix = ".gpg", ".gpg"
    jail.forge.seal, jail.forge.seal_manifest = without, with_signature
    jail.forge.full([root(), member("snapshot/forged", b"forged"), GOOD])
    environment = {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"}
    options = ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY, "--archive-dir", tmp_path / "cache")
    answer = keyed_home.run(ours, "restore", *options, jail.forge.url, jail.target, env=environment)
    assert answer.status == 22, answer
    assert not jail.target.exists() or os.listdir(jail.target) == []


@pytest.mark.requirement("R5")
@pytest.mark.parametrize("harm", ["bit", "cut", "longer", "other"])
def test_no_byte_of_a_volume_with_a_wrong_hash_reaches_the_target(
    harm: str, jail: Jail, ours: Program, home: Household
) -> None:
    jail.forge.full([root(), member("snapshot/a", b"a" * 5000), GOOD])
    volume = next(jail.forge.folder.glob("*.difftar.gz"))
    stored = volume.read_bytes()
    flipped = bytearray(stored)
    flipped[4] ^= 1  # a byte of gzip's time: the content is still the same, and still it must not be used
    other = next((GOLDEN / "plain-gzip" / "repo").glob("*full*.difftar.gz")).read_bytes()
    volume.write_bytes({"bit": bytes(flipped), "cut": stored[:-9], "longer": stored + stored, "other": other}[harm])
    answer = jail.restore(ours, home)
    assert answer.status in (NOT_RESTORED, 20, 21), answer
    assert not jail.target.exists() or os.listdir(jail.target) == []
