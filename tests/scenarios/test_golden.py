"""Every repository of tests/golden, made by real duplicity, is read as its README says.

The tests are made from the folder: a repository dropped in there, with a README of the same shape, is tested at once.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import entry_points
from pathlib import Path

import golden_set
import pytest
import records
from compare_tree import load
from golden_set import Golden, Moment
from programs import ENCRYPT_KEY, Answer, Household, Program, judged, ownership

ALL = golden_set.golden_set()
SOUND = [golden for golden in ALL if not golden.is_damaged]
DAMAGED = [golden for golden in ALL if golden.is_damaged]
SIGNED = [golden for golden in SOUND if golden.sign_key]
FILES_LEFT_OUT = 101  # the strict exit status: something was not restored
VOLUME = re.compile(r"\.difftar|\.dt(\.|$)")

pytestmark = pytest.mark.requirement("R73")


def each(of: list[Golden]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("golden", [pytest.param(golden, id=golden.name) for golden in of])


def each_moment(of: list[Golden]) -> pytest.MarkDecorator:
    cases = [pytest.param(golden, moment, id=f"{golden.name}-{moment}") for golden in of for moment in golden.moments]
    return pytest.mark.parametrize(("golden", "moment"), cases)


@pytest.fixture(autouse=True)
def _scheme_is_here(request: pytest.FixtureRequest, program: Program) -> None:
    case = getattr(request.node, "callspec", None)
    if case is None or not program.is_ours:
        return
    golden = case.params["golden"]
    installed = entry_points(group="tarragon.backend").names | entry_points(group="tarragon.wrapper").names
    for scheme in golden.scheme.split("+"):
        if scheme not in installed:
            pytest.skip(f"{golden.name}: no package for '{scheme}' is installed")


class Reader:
    """Runs the program on one golden repository, with a cache of its own."""

    def __init__(self, program: Program, home: Household, place: Path) -> None:
        self.program = program
        self.home = home
        self.place = place
        self.out = place / "out"

    def run(
        self, action: str, golden: Golden, *words: str | Path, repo: Path | None = None, moment: Moment | None = None
    ) -> Answer:
        """``words`` are further options and, behind the URL, the folder, if there is one."""
        folders = [word for word in words if isinstance(word, Path)]
        options = [word for word in words if not isinstance(word, Path)]
        time = moment.options if moment else ()
        place = ("--archive-dir", self.place / "cache")
        url = golden.url_of(repo or golden.repo)
        given = (action, *place, *golden.options, *time, *options, url, *folders)
        return self.home.run(self.program, *given, env=golden.environment, records=True)

    def restore(self, golden: Golden, moment: Moment, *words: str, repo: Path | None = None) -> Answer:
        return self.run("restore", golden, *words, self.out, moment=moment, repo=repo)


@pytest.fixture
def reader(program: Program, keyed_home: Household, tmp_path: Path) -> Reader:
    return Reader(program, keyed_home, tmp_path)


def is_listed(program: Program, path: bytes) -> bool:
    """Real duplicity's record stream loses the names that are not UTF-8."""
    return program.is_ours or path.decode("utf-8", "ignore").encode() == path


def test_the_golden_set_is_here_and_understood() -> None:
    assert len(ALL) >= 28
    assert [golden.name for golden in ALL if not golden.moments] == []


@each_moment(SOUND)
def test_each_time_is_restored_exactly(golden: Golden, moment: Moment, reader: Reader) -> None:
    options = () if ownership() == () else ("--no-restore-ownership",)
    answer = reader.restore(golden, moment, *options)
    equal, difference = judged(moment.expected, reader.out, *ownership())
    assert equal, f"{difference}\n{answer}"
    assert answer.status == 0 or ownership(), answer


@each_moment(SOUND)
def test_each_time_is_listed_exactly(golden: Golden, moment: Moment, reader: Reader) -> None:
    answer = reader.run("list-current-files", golden, moment=moment)
    assert answer.status == 0, answer
    found = {path: item for path, item in records.listed(answer.records).items() if is_listed(reader.program, path)}
    wanted = {
        path: (records.Listed(found[path].mtime if fact.mtime == "-" else int(fact.mtime), fact.type))
        for path, fact in load(bytes(moment.expected)).items()
        if is_listed(reader.program, path) and path in found
    }
    wanted_names = {path for path in load(bytes(moment.expected)) if is_listed(reader.program, path)}
    assert wanted_names == set(found)
    assert wanted == found


@each(SOUND)
def test_a_restored_tree_verifies_and_a_changed_one_does_not(golden: Golden, reader: Reader) -> None:
    moment = golden.moments[-1]
    reader.restore(golden, moment)
    same = reader.run("verify", golden, "--compare-data", reader.out, moment=moment)
    assert same.status == 0 or ownership(), same
    (reader.out if reader.out.is_file() else reader.out / "not in the backup").write_bytes(b"changed")
    changed = reader.run("verify", golden, "--compare-data", reader.out, moment=moment)
    assert changed.status == 1, changed


@each(SOUND)
def test_collection_status_names_every_set_and_counts_every_volume(golden: Golden, reader: Reader) -> None:
    answer = reader.run("collection-status", golden)
    assert answer.status == 0, answer
    found = list(records.sets(answer.records))
    names = [path.name for path in golden.repo.iterdir() if not path.name.endswith(".par2")]
    orphans = int(re.findall(rb"orphaned-sets-num (\d+)", answer.records)[0])
    assert {time for _, time, _ in found} <= set(golden.set_times)
    assert len(golden.set_times) == len(found) + orphans, answer
    if not orphans:
        assert len([name for name in names if VOLUME.search(name)]) == sum(count for _, _, count in found)


@each(SIGNED)
@pytest.mark.requirement("R5")
def test_another_signature_than_the_one_asked_for_restores_nothing(golden: Golden, reader: Reader) -> None:
    answer = reader.restore(golden, golden.moments[-1], "--sign-key", ENCRYPT_KEY)
    assert answer.status == 22, answer
    assert not reader.out.exists() or list(reader.out.iterdir()) == []


@each_moment(DAMAGED)
@pytest.mark.requirement("R6")
def test_a_damaged_volume_is_reported_and_nothing_wrong_is_restored(
    golden: Golden, moment: Moment, reader: Reader
) -> None:
    answer = reader.restore(golden, moment)
    assert answer.status != 0, answer
    assert re.search(r"vol2\.\S*.* SHA-?1 ", answer.text, re.DOTALL), answer
    _, difference = judged(moment.expected, reader.out, *ownership())
    assert "sha256" not in difference
    assert "extra" not in difference


@each_moment(DAMAGED)
@pytest.mark.requirement("R6")
def test_a_damaged_volume_costs_only_what_it_holds(
    golden: Golden, moment: Moment, reader: Reader, ours: Program
) -> None:
    answer = reader.restore(golden, moment)
    _, difference = judged(moment.expected, reader.out, *ownership())
    *lines, _count = difference.splitlines()
    lost = [line.removeprefix("missing: ").rpartition(" ")[0] for line in lines]
    assert answer.status == FILES_LEFT_OUT, answer
    assert 0 < len(lost) < len(load(bytes(moment.expected))) - 1, difference
    assert all(line.startswith("missing: ") for line in lines), difference
    assert [path for path in lost if path not in answer.text] == [], answer


@each_moment(DAMAGED)
def test_a_damaged_repository_that_is_mended_restores_exactly(
    golden: Golden, moment: Moment, reader: Reader, tmp_path: Path
) -> None:
    repo = tmp_path / "mended"
    shutil.copytree(golden.repo, repo)
    volume = next(repo.glob("*full*.vol2.*"))
    stored = bytearray(volume.read_bytes())
    stored[len(stored) // 2] ^= 0xFF
    volume.chmod(0o600)
    volume.write_bytes(stored)
    answer = reader.restore(golden, moment, repo=repo)
    equal, difference = judged(moment.expected, reader.out, *ownership())
    assert equal, f"{difference}\n{answer}"
