"""The same selections, made by duplicity 3.2.1 and by us, over one tree.

Set TARRAGON_DUPLICITY to the program; TARRAGON_SELECTIONS to the number of generated selections (10), and
TARRAGON_SELECTION_SEED to the number of the first of them, to look at others than last time.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tarragon.api import CHR, DIR, FIFO, REG, SYM, Entry, FilterMode, UserError, Verdict
from tarragon.clock import parse_time
from tarragon.source.select import Selection, selection, switches
from tarragon_select import plugin

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "judge"))  # as tests/conftest.py does

from selections import CORNERS, Case, Generator, case_of, grow

if TYPE_CHECKING:
    from collections.abc import Iterator

DUPLICITY = os.environ.get("TARRAGON_DUPLICITY", "")
COUNT = int(os.environ.get("TARRAGON_SELECTIONS", "10"))
SEED = int(os.environ.get("TARRAGON_SELECTION_SEED", "0"))
pytestmark = pytest.mark.skipif(not DUPLICITY, reason="TARRAGON_DUPLICITY does not name duplicity 3.2.1")

KINDS = {stat.S_IFREG: REG, stat.S_IFDIR: DIR, stat.S_IFLNK: SYM, stat.S_IFIFO: FIFO, stat.S_IFCHR: CHR}
NOW = int(time.time())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the tree as ``src``."""
    found = tmp_path_factory.mktemp("selection")
    grow(found)
    return found


def theirs(case: Case, place: Path, folder: Path) -> list[bytes] | int:
    """What duplicity stores, from the signatures of a full backup; its exit status when it refuses."""
    source = case.source.replace("@", str(place))
    command = [DUPLICITY, "full", "--no-encryption", "--no-print-statistics", "--allow-source-mismatch", "-v1"]
    command += [
        f"--archive-dir={folder}/cache",
        f"--tempdir={folder}",
        *case.line(place, folder),
        source,
        f"file://{folder}/to",
    ]
    ended = subprocess.run(command, cwd=place, capture_output=True, timeout=60)
    if ended.returncode:
        return ended.returncode
    (signatures,) = (folder / "to").glob("*.sigtar.gz")
    with tarfile.open(signatures, encoding="utf-8", errors="surrogateescape") as tar:
        return sorted(os.fsencode(member.name.partition("/")[2]) for member in tar)


def ours(case: Case, place: Path, folder: Path) -> list[bytes] | int:
    """What we would store; the exit status when we refuse."""
    source = os.fsencode(case.source.replace("@", str(place)))
    before = os.getcwd()
    os.chdir(place)
    try:
        return sorted(
            selected(source, chosen(case.named(place, folder), source, FilterMode(null_separator=case.null_separator)))
        )
    except UserError as err:
        return err.exit_code
    finally:
        os.chdir(before)


def chosen(words: list[tuple[str, str | None]], source: bytes, mode: FilterMode) -> Selection:
    """Our reading of the selection options."""
    context = SimpleNamespace(log=logging.getLogger("select"), now=NOW, parse_time=lambda text: parse_time(text, NOW))
    lists = [word for word in words if word[0] == "files-from"]  # an option that is stored: the last counts
    return selection(
        [word for word in words if word not in lists[:-1]],
        switches(plugin.OPTIONS),
        lambda option, argument, mode: plugin.make_filter(option, argument, mode, source, context),
        mode,
    )


def selected(source: bytes, chosen: Selection) -> Iterator[bytes]:
    """A walk that stores nothing: the paths that it would store."""
    yield b""

    def below(path: bytes) -> list[bytes]:
        found: list[bytes] = []
        for name in sorted(os.listdir(os.path.join(source, path))):
            one = path + b"/" + name if path else name
            st = os.lstat(os.path.join(source, one))
            entry = Entry(one, KINDS[stat.S_IFMT(st.st_mode)], mtime=int(st.st_mtime), on_device=st.st_dev)
            verdict = chosen.verdict(entry)
            if verdict is Verdict.EXCLUDE:
                continue
            inside = below(one) if entry.kind == DIR else []
            if inside or verdict is Verdict.INCLUDE:
                found += [one, *inside]
        return found

    yield from below(b"")


def assert_same(case: Case, place: Path, folder: Path) -> None:
    wanted, got = theirs(case, place, folder), ours(case, place, folder)
    if isinstance(wanted, int) or isinstance(got, int):
        assert wanted == got, case
    else:
        only = {"duplicity": sorted(set(wanted) - set(got)), "ours": sorted(set(got) - set(wanted))}
        assert wanted == got, f"{case}\nonly in: {only}"


@pytest.mark.parametrize("number", range(len(CORNERS)))
def test_a_corner_of_the_rules_is_selected_as_by_duplicity(number: int, place: Path, tmp_path: Path) -> None:
    assert_same(CORNERS[number], place, tmp_path)


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_a_generated_selection_is_the_same_as_by_duplicity(seed: int, place: Path, tmp_path: Path) -> None:
    assert_same(Generator(seed).case(), place, tmp_path)


RESTORES = [
    case_of("exclude=././b/c", "include=./b", "exclude=**/x", "exclude=ignorecase:./TOP"),
    case_of("include=**/d", "exclude-regexp=^b$", "exclude=deep/"),
    case_of("filter-literal", "include=./b/c2", "exclude=b", "filter-regexp", "exclude=^old/[12]", "exclude=/b"),
    case_of("exclude-filelist=@0", lists=(b"+ ./b/c/d\n- b\n'./[[]a]'\n*p\n",)),
    case_of("exclude=b/../top"),
    case_of("exclude=/b"),
    case_of("exclude-if-present=x"),
    case_of("exclude-older-than=2005-01-01"),
]


@pytest.fixture(scope="module")
def backup(place: Path) -> Path:
    """A backup of the tree."""
    command = [DUPLICITY, "full", "--no-encryption", "-v0", f"--archive-dir={place}/cache", "src", f"file://{place}/to"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=60)
    return place


@pytest.mark.parametrize("number", range(len(RESTORES)))
def test_a_restore_takes_what_duplicity_takes(number: int, backup: Path, tmp_path: Path) -> None:
    case = RESTORES[number]
    into = tmp_path / "restored"
    command = [
        DUPLICITY,
        "restore",
        "--no-encryption",
        "-v0",
        f"--archive-dir={backup}/cache",
        *case.line(backup, tmp_path),
    ]
    ended = subprocess.run([*command, f"file://{backup}/to", str(into)], capture_output=True, timeout=60)
    try:
        wanted = chosen(case.named(backup, tmp_path), b"", FilterMode(for_archive=True))
    except UserError as err:
        assert ended.returncode == err.exit_code
        return
    restored = sorted(selected(os.fsencode(into), Selection()))
    assert restored == sorted(selected(os.fsencode(backup) + b"/src", wanted))
