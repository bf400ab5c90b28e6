"""The remote is watched: what was committed and is gone, changed or rolled back is told, and nothing else is.

Faults are made in the repository, the cache and the state by hand; stock duplicity uses the same repository in between.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from programs import ENCRYPT_KEY, SIGN_KEY, Answer, Household, Program, judged, ownership

ALARM = 102
DAMAGE = 101
T0 = 1700000000
DAY = 86400
NO_KEY = ("--no-encryption",)


class Place:
    """A source, a repository, and a client that uses them at times of its own."""

    def __init__(self, home: Household, place: Path, options: tuple[str, ...] = NO_KEY) -> None:
        self.home, self.place, self.options = home, place, options
        self.source, self.repo = place / "source", place / "repo"
        self.env: dict[str, str] = {}
        self.time = T0
        self.source.mkdir(parents=True)
        (self.source / "a").write_bytes(b"first" * 100)

    @property
    def url(self) -> str:
        return f"file://{self.repo}"

    def run(self, program: Program, *words: str | Path) -> Answer:
        now = ("--current-time", str(self.time))
        return self.home.run(program, *words, *self.options, *now, env=self.env)

    def back_up(self, program: Program, action: str = "incremental", *words: str) -> Answer:
        """One more set, a day later, of a source that has one more file."""
        self.time += DAY
        # No two sets of a chain are of one size: a listing alone must tell them apart.
        (self.source / f"of-{self.time}").write_bytes(Random(self.time).randbytes(500 * (self.time // DAY % 7 + 1)))
        return self.run(program, action, *words, self.source, self.url)

    def status(self, program: Program) -> Answer:
        return self.run(program, "collection-status", self.url)

    def restore(self, program: Program, *words: str) -> tuple[Answer, Path]:
        into = self.place / "restored"
        shutil.rmtree(into, ignore_errors=True)
        return self.run(program, "restore", *words, self.url, into), into

    def is_restored(self, program: Program) -> bool:
        answer, into = self.restore(program)
        return answer.status == 0 and judged(*ownership(), self.source, into)[0]

    def accept(self, program: Program) -> Answer:
        return self.run(program, "accept-loss", "--force", self.url)

    def objects(self, word: str) -> list[Path]:
        return sorted(path for path in self.repo.iterdir() if word in path.name)

    def newest(self) -> list[Path]:
        stamp = max(path.name.split(".")[-2] for path in self.objects("manifest"))
        return [path for path in self.repo.iterdir() if f"{stamp}." in path.name and f"{stamp}.to" not in path.name]

    def log(self) -> list[dict[str, object]]:
        (path,) = self.home.folder.glob("state/tarragon/*/commits.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def cached(self, word: str) -> list[Path]:
        return sorted(self.home.folder.glob(f"cache/duplicity/*/*{word}*"))


@pytest.fixture
def place(home: Household, tmp_path: Path) -> Place:
    return Place(home, tmp_path)


def chain(place: Place, program: Program, increments: int = 2) -> None:
    assert place.back_up(program, "full").status == 0
    for _ in range(increments):
        assert place.back_up(program).status == 0


# -- what is an alarm


def remove_the_newest_set(place: Place) -> None:
    for path in place.newest():
        path.unlink()


def bring_back_an_older_state(place: Place) -> None:
    shutil.rmtree(place.repo)
    shutil.copytree(place.place / "older", place.repo)


def remove_everything(place: Place) -> None:
    for path in place.repo.iterdir():
        path.unlink()


def cut_the_listing_short(place: Place) -> None:
    for path in sorted(place.repo.iterdir())[len(list(place.repo.iterdir())) // 2 :]:
        path.unlink()


def make_a_hole(place: Place) -> None:
    place.objects("manifest")[1].unlink()  # names sort the full set first


def remove_a_volume(place: Place) -> None:
    place.objects("vol1")[0].unlink()


def cut_a_volume_short(place: Place) -> None:
    path = place.objects("vol1")[1]
    path.write_bytes(path.read_bytes()[:-1])


def swap_two_increments(place: Place) -> None:
    first, second = place.objects("inc")[:2], place.objects("inc")[-2:]
    for one, other in zip(first, second, strict=True):
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)


def strip_the_sums(place: Place) -> None:
    place.objects("tarragon.sums")[0].unlink()


def take_away_signatures(place: Place) -> None:
    place.objects("sigtar")[-1].unlink()


FAULTS = [
    remove_the_newest_set,
    bring_back_an_older_state,
    remove_everything,
    cut_the_listing_short,
    make_a_hole,
    remove_a_volume,
    cut_a_volume_short,
    swap_two_increments,
    strip_the_sums,
    take_away_signatures,
]


@pytest.mark.requirement("R13")
@pytest.mark.requirement("R14")
@pytest.mark.requirement("R15")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_not_as_it_was_is_an_alarm_until_it_is_accepted(
    fault: Callable[[Place], None], place: Place, ours: Program
) -> None:
    chain(place, ours)
    shutil.copytree(place.repo, place.place / "older")
    assert place.back_up(ours).status == 0
    evidence = len(place.cached(""))
    fault(place)
    told = place.status(ours)
    assert (told.status, "ALARM" in told.text) == (ALARM, True), told
    assert len(place.cached("")) == evidence, "what is left of the lost set was deleted here"
    made = place.back_up(ours)
    assert made.status == ALARM, made
    assert place.is_restored(ours) or place.restore(ours)[0].status == ALARM
    assert judged(*ownership(), place.source, place.place / "restored")[0], "the alarm has stopped the backup"
    assert place.run(ours, "collection-status", "--compat-exit", place.url).status == 0
    accepted = place.accept(ours)
    assert accepted.status == 0, accepted
    after = place.status(ours)
    assert (after.status, "ALARM" in after.text) == (0, False), after
    assert place.back_up(ours).status == 0
    assert place.is_restored(ours)


@pytest.mark.requirement("R13")
def test_another_manifest_of_the_same_size_is_met_when_it_is_fetched(place: Place, ours: Program) -> None:
    chain(place, ours, 1)
    manifest = place.objects("full")[-2]
    assert "manifest" in manifest.name
    manifest.write_bytes(manifest.read_bytes().replace(b"Hash SHA1 ", b"Hash SHA1  ")[:-1] + b"")
    shutil.rmtree(place.home.folder / "cache")
    answer, _ = place.restore(ours)
    assert "ALARM" in answer.text, answer
    assert answer.status != 0, answer


@pytest.mark.requirement("R13")
def test_a_log_that_was_changed_is_told(place: Place, ours: Program) -> None:
    chain(place, ours, 1)
    (path,) = place.home.folder.glob("state/tarragon/*/commits.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:]]))
    assert place.status(ours).status == ALARM
    assert place.accept(ours).status == 0
    assert place.status(ours).status == 0


# -- another repository, and none remembered


@pytest.mark.requirement("R13")
def test_another_repository_behind_the_same_name_is_told_once_and_gets_a_log_of_its_own(
    place: Place, ours: Program
) -> None:
    chain(place, ours, 1)
    other = place.place / "other"
    place.repo.rename(other)
    with Household() as somebody:
        theirs = Place(somebody, place.place / "theirs")
        theirs.repo, theirs.time = place.repo, T0 + 100 * DAY
        chain(theirs, ours, 1)
    place.time = T0 + 103 * DAY
    told = place.status(ours)
    assert (told.status, told.text.count("ALARM")) == (ALARM, 1), told
    made = place.back_up(ours, "backup")
    assert (made.status, "full" in made.text) == (ALARM, True), made
    assert place.status(ours).status == ALARM
    assert place.accept(ours).status == 0
    assert place.back_up(ours, "backup").status == 0
    place.repo.rename(place.place / "swapped")
    other.rename(place.repo)  # the first disk is back: its own log is the one
    assert place.status(ours).status == 0
    assert place.is_restored(ours) is False  # the source has gone on
    assert place.back_up(ours).status == 0
    assert place.is_restored(ours)


def test_losing_the_state_is_harmless_and_said_once(place: Place, ours: Program) -> None:
    chain(place, ours, 1)
    shutil.rmtree(place.home.folder / "state")
    assert "nothing is remembered" in place.status(ours).text
    assert "nothing is remembered" not in place.status(ours).text
    assert place.back_up(ours).status == 0
    assert place.is_restored(ours)


# -- stock duplicity beside us


@pytest.mark.requirement("R71")
@pytest.mark.parametrize("loses_cache", [False, True], ids=["cache kept", "cache lost"])
def test_stock_duplicity_extends_cleans_up_and_removes_without_an_alarm(
    loses_cache: bool, place: Place, ours: Program, real: Program
) -> None:
    def between() -> None:
        if loses_cache:
            shutil.rmtree(place.home.folder / "cache", ignore_errors=True)

    chain(place, ours, 1)
    before = sorted(path.name for path in place.repo.iterdir())
    assert place.run(real, "cleanup", "--force", place.url).status == 0
    assert sorted(path.name for path in place.repo.iterdir()) == before
    between()
    assert place.back_up(real).status == 0
    told = place.back_up(ours)
    assert (told.status, "written by others" in told.text) == (0, True), told
    assert "written by others" not in place.status(ours).text
    assert place.back_up(real).status == 0
    between()
    assert place.run(real, "verify", "--compare-data", place.url, place.source).status == 0
    assert place.is_restored(ours)
    chain(place, ours, 1)
    chain(place, real, 1)
    for words in (["remove-all-inc-of-but-n-full", "2"], ["remove-all-but-n-full", "2"], ["remove-older-than", "1D"]):
        removed = place.run(real, *words, "--force", place.url)
        assert removed.status == 0, removed
        between()
        told = place.status(ours)
        assert (told.status, "ALARM" in told.text) == (0, False), (words, told)
        made = place.back_up(ours)
        assert made.status == 0, (words, made)
        assert place.is_restored(ours)
    assert place.run(ours, "cleanup", "--force", place.url).status == 0
    assert place.run(real, "verify", "--compare-data", place.url, place.source).status == 0


def test_sums_of_sets_that_are_gone_are_cleaned_up(place: Place, ours: Program, real: Program) -> None:
    chain(place, ours, 0)
    chain(place, ours, 0)
    assert place.run(real, "remove-all-but-n-full", "1", "--force", place.url).status == 0
    assert len(place.objects("tarragon.sums")) == 2
    place.status(ours)
    place.run(ours, "cleanup", "--force", place.url)
    assert len(place.objects("tarragon.sums")) == 1
    assert place.is_restored(ours)


@pytest.mark.requirement("R14")
def test_cleanup_keeps_what_is_left_of_a_set_that_lost_its_manifest(place: Place, ours: Program) -> None:
    chain(place, ours, 1)
    place.newest()
    manifest = place.objects("manifest")[-1]
    held = manifest.read_bytes()
    manifest.unlink()
    assert place.run(ours, "cleanup", "--force", place.url).status == ALARM
    manifest.write_bytes(held)
    assert place.is_restored(ours)


# -- sums


@pytest.mark.requirement("R15")
def test_a_volume_of_the_same_sha1_is_refused_by_its_sha256(place: Place, ours: Program) -> None:
    """No collision is made: the manifest is changed to say the SHA-1 of another volume, as only a collision could."""
    chain(place, ours, 0)
    (volume,) = place.objects("vol1")
    (sums,) = place.objects("tarragon.sums")
    found = json.loads(gzip.decompress(sums.read_bytes()))
    assert [number for number, _, _ in found["volumes"]] == [1]
    found["volumes"][0][1] = "0" * 64
    sums.write_bytes(gzip.compress(json.dumps(found).encode()))
    place.home.forget()
    assert volume.exists()
    answer, _ = place.restore(ours, "--num-retries", "1")
    assert (answer.status, "SHA-256" in answer.text) == (DAMAGE, True), answer


@pytest.mark.requirement("R16")
@pytest.mark.parametrize("knows", [True, False], ids=["client that remembers", "client that never met it"])
def test_a_chain_spliced_of_two_hosts_is_refused(knows: bool, place: Place, ours: Program) -> None:
    chain(place, ours, 1)
    with Household() as somebody:
        other = Place(somebody, place.place / "other")
        (other.source / "mine").write_bytes(b"other host")
        chain(other, ours, 0)
        (other.source / "mine").write_bytes(b"other host, a day later")
        os.utime(other.source / "mine", (T0, T0))  # in the second of the first it would be taken for the same
        assert other.back_up(ours).status == 0
        for path in other.objects("inc") + other.objects("new-signatures") + other.objects("tarragon.sums")[1:]:
            shutil.copy(path, place.repo / path.name)
    if not knows:
        place.home.forget()
    answer, into = place.restore(ours)
    assert answer.status not in (0, ALARM), answer
    if knows:
        assert "ALARM" in answer.text, answer  # the manifest in the cache is the right one: its volume is not there
        assert "other host" not in str(sorted(into.iterdir()))
    else:
        assert "spliced" in answer.text, answer
        assert not into.exists()


# -- the cache


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("word", ["manifest", "sigtar"])
@pytest.mark.parametrize("fault", ["flipped", "of another repository"])
def test_a_cached_file_that_is_not_the_one_that_was_stored_is_fetched_again(
    word: str, fault: str, place: Place, ours: Program
) -> None:
    chain(place, ours, 1)
    victim = place.cached(word)[0]
    right = victim.read_bytes()
    if fault == "flipped":
        plain = gzip.decompress(right) if word == "sigtar" else right
        plain = plain.replace(b"first", b"fIrst").replace(b"Hash SHA1 ", b"Hash SHA1 0", 1)
        plain = plain[:-1] + bytes([plain[-1] ^ 1])
        victim.write_bytes(gzip.compress(plain) if word == "sigtar" else plain)
    else:
        with Household() as somebody:
            other = Place(somebody, place.place / "other")
            (other.source / "mine").write_bytes(b"other host")
            chain(other, ours, 1)
            shutil.copy(other.cached(word)[0], victim)
    made = place.back_up(ours)
    assert (made.status, "full" in place.objects("manifest")[-1].name) == (0, False), made
    if word == "manifest":
        assert victim.read_bytes() == right
    assert place.is_restored(ours)


@pytest.mark.requirement("R47")
def test_signatures_of_another_host_are_no_basis(place: Place, ours: Program) -> None:
    """A client that never met the repository has no hash to compare with: what they cover tells."""
    chain(place, ours, 0)
    with Household() as somebody:
        other = Place(somebody, place.place / "other")
        (other.source / "zz-mine").write_bytes(b"other host")
        chain(other, ours, 0)
        shutil.copy(other.objects("sigtar")[0], place.objects("sigtar")[0])
    place.home.forget()
    made = place.back_up(ours)
    assert (made.status, "to be trusted" in made.text) == (ALARM, True), made
    assert place.is_restored(ours) or place.restore(ours)[0].status == ALARM


# -- signing


SIGNED = ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY)
UNSIGNED = ("--encrypt-key", ENCRYPT_KEY)


@pytest.mark.requirement("R11")
@pytest.mark.parametrize("word", ["manifest", "sigtar", "vol1"])
@pytest.mark.parametrize("fault", ["unsigned", "plain"])
@pytest.mark.parametrize("keeps_cache", [True, False], ids=["cache kept", "cache lost"])
def test_every_object_of_a_signed_set_must_be_signed(
    word: str, fault: str, keeps_cache: bool, home: Household, tmp_path: Path, ours: Program
) -> None:
    home.import_golden_keys()
    place = Place(home, tmp_path, SIGNED)
    place.env = {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"}
    chain(place, ours, 0)
    with Household() as somebody:
        somebody.import_golden_keys()
        other = Place(somebody, tmp_path / "other", NO_KEY if fault == "plain" else UNSIGNED)
        other.env = place.env
        shutil.copytree(place.source, other.source, dirs_exist_ok=True)
        chain(other, ours, 0)
        (old,), (new,) = place.objects(word), other.objects(word)
        old.unlink()
        shutil.copy(new, place.repo / new.name)
    if not keeps_cache:
        home.forget()
    answer, into = place.restore(ours, "--num-retries", "1")
    if keeps_cache and word != "vol1":  # what we stored ourselves we know without a signature
        assert (answer.status, "ALARM" in answer.text) == (ALARM, True), answer
        assert judged(*ownership(), place.source, into)[0]
    else:
        assert answer.status not in (0, ALARM), answer
        assert not into.exists() or not list(into.iterdir()), answer


# -- the lease, and the clock


@pytest.mark.requirement("R43")
def test_a_lease_of_another_host_is_obeyed_and_of_a_dead_run_here_is_not(place: Place, ours: Program) -> None:
    chain(place, ours, 0)
    assert not place.objects("lease")
    import time

    lease = {"tarragon": "lease", "version": 1, "host": "elsewhere", "process": 7, "owner": "somebody"}
    path = place.repo / "tarragon.lease"
    path.write_text(json.dumps({**lease, "expires": int(time.time()) + 3600}))
    refused = place.back_up(ours)
    assert (refused.status, "'elsewhere'" in refused.text) == (23, True), refused
    assert place.status(ours).status == 0
    path.write_text(json.dumps({**lease, "expires": int(time.time()) - 1}))
    assert place.back_up(ours).status == 0
    assert not path.exists()


@pytest.mark.requirement("R54")
@pytest.mark.requirement("R17")
def test_sets_of_the_future_are_told_and_never_take_the_place_of_real_ones(place: Place, ours: Program) -> None:
    chain(place, ours, 0)
    with Household() as somebody:
        other = Place(somebody, place.place / "other")
        other.repo, other.time = place.repo, T0 + 4000 * DAY
        chain(other, ours, 0)
        chain(other, ours, 0)
    made = place.back_up(ours, "full")
    assert (made.status, "more than a day ahead" in made.text) == (ALARM, True), made
    newest = place.newest()
    strangers = [path for path in place.objects("full.2034") if path not in newest]
    assert len(strangers) == 4
    place.run(ours, "remove-all-but-n-full", "1", "--force", place.url)
    place.run(ours, "remove-older-than", "1D", "--force", place.url)
    assert all(path.exists() for path in newest)
    assert all(path.exists() for path in strangers), "sets that are not ours to judge were deleted"
