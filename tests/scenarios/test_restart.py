"""A restore that was broken off goes on where it stopped: what stands is compared, not trusted (R6)."""

from __future__ import annotations

import os
import signal
import sys
from random import Random

import pytest
from programs import Answer, Program, describe, judged
from sites import Site

pytestmark = pytest.mark.slow

DAMAGE = 101
#: The program, but it dies at its n-th file, and writes down at once how far it has come.
DYING = """#!{python}
import os, signal, sys
from tarragon.cli.main import main
from tarragon.run import restart, tree
restart.EVERY_S = -1
left, real = [{files}], tree._fill
def fill(fd, data):
    left[0] -= 1
    if left[0] < 0:
        os.write(fd, b"torn")
        os.kill(os.getpid(), signal.{signal})
    real(fd, data)
tree._fill = fill
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def many(site: Site) -> Site:
    """Twelve files, each about a volume: the second half in an increment, some of them changed."""
    for number in range(12):
        site.write(f"d{number // 4}/f{number:02}", Random(number).randbytes(800_000))
    os.symlink("f00", site.source / "d0" / "link")
    assert site.backup("full", "--volsize", "1").status == 0
    for number in (1, 6, 11):
        path = site.source / f"d{number // 4}/f{number:02}"
        site.write(str(path.relative_to(site.source)), path.read_bytes()[:-9] + b"behind")
    assert site.backup("incremental", "--volsize", "1").status == 0
    describe(site.source, site.place / "now.tsv")
    return site


def die(site: Site, files: int, how: str = "SIGKILL", *words: str) -> Answer:
    dying = site.place / "dying"
    dying.write_text(DYING.format(python=sys.executable, files=files, signal=how))
    dying.chmod(0o755)
    return site.home.run(Program(str(dying), True), "restore", *site.options, *words, site.url, site.out)


def go_on(site: Site, *words: str) -> Answer:
    return site.run("restore", *words, site.url, site.out)


def must_be_whole(site: Site, answer: Answer) -> None:
    assert answer.status == 0, answer
    equal, difference = judged(site.place / "now.tsv", site.out)
    assert equal, difference
    assert not list(site.out.rglob(".tarragon-*"))
    assert not list(site.home.folder.glob("state/tarragon/*/restore-*"))


@pytest.mark.requirement("R6")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("files", [0, 7])
def test_a_restore_that_was_broken_off_is_brought_to_its_end(files: int, how: str, many: Site) -> None:
    answer = die(many, files, how)
    assert answer.status == (-signal.SIGKILL if how == "SIGKILL" else 4), answer
    answer = go_on(many)
    assert not files or "going on with a restore" in answer.text, answer
    must_be_whole(many, answer)


@pytest.mark.requirement("R6")
def test_volumes_of_what_stands_are_not_fetched(many: Site) -> None:
    assert die(many, 9).status == -signal.SIGKILL
    for path in many.repo.glob("duplicity-full.*.vol[1-5].difftar.gz"):
        path.write_bytes(bytes(path.stat().st_size))
    must_be_whole(many, go_on(many))


@pytest.mark.requirement("R6")
@pytest.mark.parametrize("fault", ["content", "mode", "time", "gone", "a folder", "a link"])
def test_what_stands_is_compared_and_mended(fault: str, many: Site) -> None:
    assert die(many, 9).status == -signal.SIGKILL
    path = many.out / "d0" / "f02"
    st = path.stat()
    if fault == "content":
        data = bytearray(path.read_bytes())
        data[400_000] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    elif fault == "mode":
        path.chmod(0o4711)
    elif fault == "time":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    if fault == "a folder":
        path.mkdir()
    elif fault == "a link":
        path.symlink_to("/etc/hostname")
    answer = go_on(many)
    if fault == "a folder":  # somebody's folder is not ours to remove
        assert answer.status == DAMAGE, answer
        assert "'d0/f02'" in answer.text or "d0/f02" in answer.text
    else:
        must_be_whole(many, answer)


@pytest.mark.requirement("R6")
def test_without_the_note_the_folder_is_written_into_only_by_force_and_is_compared_then(many: Site) -> None:
    assert die(many, 9).status == -signal.SIGKILL
    for path in many.home.folder.glob("state/tarragon/*/restore-*"):
        path.unlink()
    assert go_on(many).status == 11
    answer = go_on(many, "--force")
    assert "going on with a restore" in answer.text, answer
    must_be_whole(many, answer)


@pytest.mark.requirement("R6")
def test_another_restore_to_the_same_place_does_not_count_as_this_one(many: Site) -> None:
    assert die(many, 9).status == -signal.SIGKILL
    assert go_on(many, "--path-to-restore", "d1").status == 11
    assert go_on(many, "--time", "1700000013").status == 11
    must_be_whole(many, go_on(many))


@pytest.mark.requirement("R6")
def test_a_part_of_the_backup_is_gone_on_with_as_well(many: Site) -> None:
    assert die(many, 2, "SIGKILL", "--path-to-restore", "d1").status == -signal.SIGKILL
    answer = go_on(many, "--path-to-restore", "d1")
    assert answer.status == 0, answer
    assert "going on with a restore" in answer.text, answer
    describe(many.source / "d1", many.place / "part.tsv")
    equal, difference = judged(many.place / "part.tsv", many.out)
    assert equal, difference
