"""Whole runs on several stores as one: striped and mirrored, with stores that vanish and copies that rot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from programs import Answer, Household, Program, judged, ownership

NO_KEY = ("--no-encryption", "--num-retries", "2", "--backend-retry-delay", "0")


class Place:
    """A source of some volumes, and a repository of several folders."""

    def __init__(
        self, home: Household, place: Path, program: Program, query: str = "", *, scheme: str = "file", outer: str = ""
    ) -> None:
        self.home, self.place, self.program = home, place, program
        self.source = place / "source"
        self.parts = [place / f"part{number}" for number in (1, 2, 3)]
        self.source.mkdir()
        (self.source / "big").write_bytes(b"".join(n.to_bytes(4, "big") * (n % 3) for n in range(1_000_000)))
        self.write([{"url": f"{scheme}://{part}"} for part in self.parts])
        self.url = f"{outer}multi://{place / 'config.json'}{query}"
        self.time = 1_700_000_000

    def write(self, config: object) -> None:
        (self.place / "config.json").write_text(json.dumps(config))

    def run(self, action: str, *words: str | Path) -> Answer:
        now = ("--current-time", str(self.time))
        return self.home.run(self.program, action, *NO_KEY, *now, *words)

    def back_up(self, action: str) -> Answer:
        self.time += 1000
        (self.source / f"of {self.time}").write_bytes(b"%d" % self.time * 500)
        return self.run(action, "--volsize", "1", "--no-compression", self.source, self.url)

    def restored(self) -> tuple[Answer, bool, str]:
        into = self.place / "restored"
        shutil.rmtree(into, ignore_errors=True)
        answer = self.run("restore", self.url, into)
        return answer, *judged(*ownership(), self.source, into)

    def names(self) -> list[set[str]]:
        """What lies in the parts, without what only our own runs need."""
        return [{path.name for path in part.iterdir()} if part.is_dir() else set() for part in self.parts]


def vanish(part: Path) -> Path:
    """Take a folder away, so that nothing can be made in its place."""
    away = part.with_name(part.name + ".away")
    part.rename(away)
    part.write_bytes(b"no folder any more")
    return away


def come_back(part: Path, away: Path) -> None:
    part.unlink()
    away.rename(part)


@pytest.mark.parametrize(
    ("query", "scheme", "outer"),
    [
        ("", "file", ""),
        ("?mode=mirror&onfail=abort", "file", ""),
        ("?mode=mirror", "par2+file", ""),
        ("", "file", "par2+"),
    ],
)
def test_full_incremental_verify_and_restore(
    query: str, scheme: str, outer: str, ours: Program, home: Household, tmp_path: Path
) -> None:
    if "par2" in scheme + outer and shutil.which("par2") is None:
        pytest.skip("the program par2 is not installed")
    place = Place(home, tmp_path, ours, query, scheme=scheme, outer=outer)
    for action in ("full", "incremental"):
        answer = place.back_up(action)
        assert answer.status == 0, answer
    checked = place.run("verify", "--compare-data", place.url, place.source)
    assert checked.status == 0, checked
    home.forget()
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"
    one, two, three = place.names()
    assert (one == two == three) if query else not (one & two or two & three or one & three)
    assert min(len(one), len(two), len(three)) >= 2


@pytest.mark.requirement("R31")
def test_each_store_has_its_own_environment_and_its_secrets_are_in_no_log(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours)
    secret = {"name": "BACKEND_PASSWORD", "value": "canary-of-a-store"}
    place.write([{"url": f"file://{part}", "env": [secret]} for part in place.parts])
    place.time += 1000
    answer = place.run("full", "-v9", place.source, place.url)
    assert answer.status == 0, answer
    assert "canary-of-a-store" not in answer.text


@pytest.mark.parametrize("subpath", ["-host", "%2Fhost"])
def test_the_subpath_is_a_part_of_every_stores_url(
    subpath: str, ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, f"?subpath={subpath}")
    assert place.back_up("full").status == 0
    there = subpath.replace("%2F", "/")
    assert all(any(Path(f"{part}{there}").iterdir()) for part in place.parts)


def test_prefixes_keep_signatures_apart_from_volumes(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, "?mode=mirror")
    one, two, three = (f"file://{part}" for part in place.parts)
    place.write([{"url": one, "prefixes": ["arch-"]}, {"url": two, "prefixes": ["sign-"]}, {"url": three}])
    place.time += 1000
    prefixes = ("--file-prefix-archive", "arch-", "--file-prefix-signature", "sign-")
    answer = place.run("full", *prefixes, place.source, place.url)
    assert answer.status == 0, answer
    archives, signatures, rest = place.names()
    assert [name for name in archives if ".difftar" in name]
    assert [name for name in signatures if ".sigtar" in name]
    assert not [name for name in rest if ".difftar" in name or ".sigtar" in name]
    assert rest == {name for name in archives if not name.startswith("arch-")}
    into = tmp_path / "restored"
    answer = place.run("restore", *prefixes, place.url, into)
    assert judged(*ownership(), place.source, into)[0], answer


@pytest.mark.requirement("R6")
def test_a_rotten_copy_of_every_volume_is_taken_from_another_mirror(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, "?mode=mirror")
    place.back_up("full")
    hurt = 0
    for number, volume in enumerate(sorted(path.name for path in place.parts[0].glob("*difftar*"))):
        path = place.parts[number % 3] / volume
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        hurt += 1
    answer, equal, difference = place.restored()
    assert hurt >= 3
    assert equal, f"{difference}\n{answer}"
    assert answer.status == 0, answer


def test_a_mirror_that_vanishes_costs_a_warning_and_nothing_else(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours, "?mode=mirror")
    assert place.back_up("full").status == 0
    away = vanish(place.parts[0])
    answer = place.back_up("incremental")
    assert answer.status == 0, answer
    assert f"at 'file://{place.parts[0]}', going on without it" in answer.text
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"
    come_back(place.parts[0], away)
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"
    assert place.back_up("incremental").status == 0
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"


@pytest.mark.requirement("R14")
def test_nothing_is_removed_while_a_mirror_is_away(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, "?mode=mirror")
    place.back_up("full")
    place.back_up("full")
    before = place.names()[1:]
    away = vanish(place.parts[0])
    answer = place.run("remove-all-but-n-full", "1", "--force", place.url)
    assert answer.status != 0, answer
    assert "nothing is deleted while" in answer.text
    after = [{name for name in names if "lease" not in name} for names in place.names()[1:]]
    assert after == before
    come_back(place.parts[0], away)
    answer = place.run("remove-all-but-n-full", "1", "--force", place.url)
    assert answer.status == 0, answer
    assert not [name for names in place.names() for name in names if "20231114T223000Z" in name]


def test_a_mirror_that_must_not_fail_ends_the_backup(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, "?mode=mirror&onfail=abort")
    vanish_before = place.parts[1]
    vanish_before.write_bytes(b"no folder")
    answer = place.back_up("full")
    assert answer.status == 50, answer


@pytest.mark.requirement("R14")
def test_a_stripe_that_vanishes_ends_every_run_and_costs_nothing_here(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    """Stock duplicity takes what lies there for missing, drops its signatures and ends with 17."""
    place = Place(home, tmp_path, ours)
    assert place.back_up("full").status == 0
    away = vanish(place.parts[2])
    for action in ("collection-status", "incremental"):
        answer = place.back_up(action) if action == "incremental" else place.run(action, place.url)
        assert answer.status == 50, answer
    come_back(place.parts[2], away)
    answer = place.back_up("incremental")
    assert answer.status == 0, answer
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"


def test_a_stripe_that_is_full_or_refuses_leaves_its_turn_to_the_others(
    ours: Program, home: Household, tmp_path: Path
) -> None:
    place = Place(home, tmp_path, ours)
    place.write(
        [{"url": "file:///proc/no-folder-can-be-made-here"}, *({"url": f"file://{part}"} for part in place.parts[:2])]
    )
    answer = place.back_up("full")
    assert answer.status == 0, answer
    assert "cannot store" in answer.text
    answer, equal, difference = place.restored()
    assert equal, f"{difference}\n{answer}"


def test_a_wrong_configuration_ends_with_duplicitys_status(ours: Program, home: Household, tmp_path: Path) -> None:
    place = Place(home, tmp_path, ours, "?mode=both")
    assert place.run("collection-status", place.url).status == 50
    assert place.run("collection-status", f"multi://{tmp_path}/none.json").status == 50
