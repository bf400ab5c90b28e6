"""Whole runs through ``par2+``: what the far side damages or loses is mended while it is read, and said."""

from __future__ import annotations

import shutil
from pathlib import Path

import golden_set
import pytest
from programs import Answer, Household, Program, judged, ownership

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="the program par2 is not installed")

NO_KEY = ("--no-encryption",)
GOLDEN = next(golden for golden in golden_set.golden_set() if golden.name == "par2")
STORED = ("*.difftar.gz", "*.sigtar.gz", "*.manifest", "*tarragon.sums*.gz")


def flip(path: Path, *, share: float = 0.04, pieces: int = 1) -> None:
    """Change bytes in some places, together no more than ``share`` of the file."""
    data = bytearray(path.read_bytes())
    size = max(1, int(len(data) * share / pieces))
    for piece in range(pieces):
        start = len(data) * (piece + 1) // (pieces + 1) - size // 2
        for at in range(start, start + size):
            data[at] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(data)


class Place:
    """A source, and a repository behind par2+."""

    def __init__(self, home: Household, place: Path, program: Program, *options: str) -> None:
        self.env = {"PASSPHRASE": "secret"}
        self.home, self.place, self.program, self.options = home, place, program, options
        self.source, self.repo = place / "source", place / "repo"
        self.source.mkdir()
        (self.source / "random").write_bytes(b"".join(bytes([n * n % 251]) * (n % 7) for n in range(200_000)))
        self.time = 1_700_000_000

    def run(self, action: str, *words: str | Path) -> Answer:
        now = ("--current-time", str(self.time))
        return self.home.run(self.program, action, *self.options, *now, *words, env=self.env)

    def back_up(self, action: str) -> Answer:
        self.time += 1000
        (self.source / f"of {self.time}").write_bytes(b"%d" % self.time * 500)
        answer = self.run(action, self.source, f"par2+file://{self.repo}")
        assert answer.status == 0, answer
        return answer

    def restored(self, *words: str) -> tuple[Answer, bool, str]:
        into = self.place / "restored"
        shutil.rmtree(into, ignore_errors=True)
        answer = self.run("restore", *words, f"par2+file://{self.repo}", into)
        return answer, *judged(*ownership(), self.source, into)

    def volumes(self) -> list[Path]:
        return sorted(self.repo.glob("*.difftar*[zr]"))


@pytest.mark.requirement("R73")
@pytest.mark.parametrize("moment", GOLDEN.moments, ids=str)
def test_duplicitys_damaged_repository_is_restored_whole(
    moment: golden_set.Moment, ours: Program, home: Household, tmp_path: Path
) -> None:
    """Stock duplicity ends with 21 here."""
    repo = GOLDEN.repo.parent / "damaged" / "repo"
    out = tmp_path / "out"
    answer = home.run(ours, "restore", *GOLDEN.options, *moment.options, GOLDEN.url_of(repo), out)
    assert answer.status == 0, answer
    assert "was mended from its recovery files" in answer.text
    assert judged(moment.expected, out, *ownership())[0], answer


@pytest.mark.requirement("R73")
@pytest.mark.parametrize("moment", GOLDEN.moments, ids=str)
def test_every_file_of_the_golden_repository_may_be_damaged_within_the_redundancy(
    moment: golden_set.Moment, ours: Program, home: Household, tmp_path: Path
) -> None:
    repo, out = tmp_path / "repo", tmp_path / "out"
    shutil.copytree(GOLDEN.repo, repo)
    hurt = [path for pattern in STORED for path in repo.glob(pattern)]
    for path in hurt:
        flip(path)
    answer = home.run(ours, "restore", *GOLDEN.options, *moment.options, GOLDEN.url_of(repo), out)
    assert len(hurt) == 6
    assert answer.status == 0, answer
    assert judged(moment.expected, out, *ownership())[0], answer
    needed = 1 if moment is GOLDEN.moments[0] else 2
    mended = [line for line in answer.text.splitlines() if "difftar" in line and "was mended" in line]
    assert len(mended) == needed, answer


@pytest.mark.parametrize("options", [NO_KEY, ()], ids=["plain", "encrypted"])
def test_full_incremental_verify_and_restore_and_no_recovery_file_is_listed(
    options: tuple[str, ...], ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, *options, "--par2-options=-b40")
    place.back_up("full")
    place.back_up("incremental")
    names = {path.name for path in place.repo.iterdir()}
    objects = {name for name in names if not name.endswith(".par2")}
    assert all(f"{name}.par2" in names for name in objects)
    assert not {name for name in names if "tmp-" in name}
    checked = place.run("verify", "--compare-data", f"par2+file://{place.repo}", place.source)
    assert checked.status == 0, checked
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"
    assert "mended" not in answer.text


@pytest.mark.requirement("R6")
def test_damage_in_volumes_signatures_manifests_and_sums_is_mended_for_a_client_that_knows_nothing(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY)
    place.back_up("full")
    place.back_up("incremental")
    hurt = [path for pattern in STORED for path in place.repo.glob(pattern)]
    for path in hurt:
        flip(path, pieces=3)
    home.forget()
    answer, equal, difference = place.restored()
    assert len(hurt) == 8
    assert equal, f"{difference}\n{answer}"
    assert answer.status == 0, answer
    assert answer.text.count("was mended") >= 4
    place.back_up("incremental")
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"


def test_a_volume_that_was_cut_short_is_mended(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY)
    place.back_up("full")
    volume = place.volumes()[0]
    volume.write_bytes(volume.read_bytes()[: -volume.stat().st_size // 20])
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"


@pytest.mark.parametrize("redundancy", [100, 10])
def test_a_missing_volume_is_made_anew_where_the_recovery_files_hold_all_of_it(
    redundancy: int, ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY, "--par2-options=-b40", "--par2-redundancy", str(redundancy))
    place.back_up("full")
    place.volumes()[0].unlink()
    answer, equal, difference = place.restored()
    assert equal is (redundancy == 100), f"{difference}\n{answer}"
    assert ("is missing at the target; it was mended" in answer.text) is (redundancy == 100), answer


@pytest.mark.requirement("R6")
def test_damage_beyond_the_redundancy_takes_the_ordinary_path_of_damage(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY)
    place.back_up("full")
    place.back_up("incremental")
    volume = next(path for path in place.volumes() if "-inc." in path.name)
    flip(volume, share=0.5)
    answer, equal, _ = place.restored()
    assert (answer.status, equal) == (101, False), answer
    assert "its recovery files cannot mend it" in answer.text
    assert f"of {place.time}" in answer.text
    assert (place.place / "restored" / "random").read_bytes() == (place.source / "random").read_bytes()


@pytest.mark.requirement("R51")
def test_removed_sets_take_their_recovery_files_along(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY, "--par2-options=-b40")
    place.back_up("full")
    old = {path.name for path in place.repo.iterdir()}
    place.back_up("full")
    answer = place.run("remove-all-but-n-full", "1", "--force", f"par2+file://{place.repo}")
    assert answer.status == 0, answer
    left = {path.name for path in place.repo.iterdir()}
    assert left
    assert not left & old


def test_a_backup_without_par2_says_what_to_install(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, *NO_KEY)
    answer = home.run(
        ours, "full", *NO_KEY, place.source, f"par2+file://{place.repo}", env={"PATH": str(tmp_path / "empty")}
    )
    assert answer.status == 50, answer
    assert "needs the program 'par2'" in answer.text
    assert "apt install par2" in answer.text
    assert not place.repo.exists()
