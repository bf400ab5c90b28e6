"""What collection-status and list-current-files print: for people, and for programs that know duplicity's output."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tarragon.api import BadOption, Entry, ObjectInfo
from tarragon.cli.log import make_log
from tarragon.delta import sigtar
from tarragon.record import RunLog
from tarragon.run import report
from tarragon.run.report import SetChanges
from tarragon.store.chain import BackupSet, Collection, collect
from tarragon.volume import manifest
from tarragon.volume.name import Names, SetTime

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
T0 = 1700000000
FULL = SetTime("full", T0, T0)
INC = SetTime("inc", T0, T0 + 1000)
RULE = "-" * 25


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Stream(io.BytesIO):
    """What a program reads from --log-fd."""

    @property
    def records(self) -> list[str]:
        return self.getvalue().decode().split("\n\n")[:-1]


@contextmanager
def logging() -> Iterator[tuple[RunLog, Stream]]:
    stream = Stream()
    log = make_log(0, machine=[stream])  # the output itself is shown at every verbosity
    yield log, stream
    for handler in list(log.handlers):
        log.removeHandler(handler)


@pytest.fixture
def machine() -> Iterator[tuple[RunLog, Stream]]:
    with logging() as both:
        yield both


def repository(folder: str) -> tuple[Path, Collection]:
    repo = GOLDEN / folder / "repo"
    return repo, collect([ObjectInfo(path.name) for path in repo.iterdir()], [], Names())


def sets_of(collection: Collection) -> list[BackupSet]:
    chain = collection.latest_chain()
    assert chain is not None
    return list(chain.sets)


def changed_files(repo: Path, of: BackupSet) -> list[tuple[str, bytes]]:
    assert of.manifest is not None
    with (repo / of.manifest.name).open("rb") as file:
        return list(manifest.changed_files(file))


def changes(repo: Path, of: BackupSet) -> SetChanges:
    stats = gzip.decompress((repo / of.stats.name).read_bytes()) if of.stats else None
    return SetChanges(of.of, changed_files(repo, of), stats)


def opened(path: Path) -> gzip.GzipFile:
    return gzip.open(path)


def entries(repo: Path, collection: Collection) -> Iterator[Entry]:
    names = [each.signatures.name for each in sets_of(collection) if each.signatures]
    return (known.entry for known in sigtar.read([partial(opened, repo / name) for name in names]))


def names(*objects: str) -> list[ObjectInfo]:
    return [ObjectInfo(name) for name in objects]


def status(log: RunLog, collection: Collection, archive_dir: str = "/cache/name") -> None:
    report.collection_status(log, backend="file", archive_dir=archive_dir, collection=collection)


# -- collection-status ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R59")
def test_a_chain_stands_in_data_lines_and_in_a_table(machine, capsys):
    log, stream = machine
    status(log, repository("jsonstat")[1])
    (record,) = stream.records
    data, text = record.split("\n. ", 1)
    assert data.split("\n") == [
        "INFO 3 ",
        "backend file",
        "archive-dir /cache/name",
        "chain-complete",
        " full 20231114T221320Z 1 noenc",
        " inc 20231114T223000Z 1 noenc",
        " inc 20231114T224640Z 1 noenc",
        "orphaned-sets-num 0",
        "incomplete-sets-num 0",
    ]
    rows = [
        line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] in (["Full"], ["Incremental"])
    ]
    assert rows == [
        ["Full", "Tue", "Nov", "14", "22:13:20", "2023", "1"],
        ["Incremental", "Tue", "Nov", "14", "22:30:00", "2023", "1"],
        ["Incremental", "Tue", "Nov", "14", "22:46:40", "2023", "1"],
    ]
    assert "Number of contained backup sets: 3" in text


def test_encrypted_sets_are_marked(machine):
    log, stream = machine
    status(log, repository("jsonstat-gpg")[1])
    assert " full 20231114T221320Z 1 enc\n inc 20231114T223000Z 1 enc\n" in stream.records[0]


def test_a_repository_with_nothing_in_it_has_a_status(machine):
    log, stream = machine
    status(log, Collection())
    report.last_full_backup(log, Collection())
    assert stream.records == [
        "INFO 3 \nbackend file\narchive-dir /cache/name\norphaned-sets-num 0\nincomplete-sets-num 0\n"
        ". Collection Status\n. -----------------\n. Connecting with backend: file\n. Archive dir: /cache/name\n. \n"
        ". Found 0 secondary backup chain(s).\n. No backup chains with active signatures found\n"
        ". No orphaned or incomplete backup sets found."
    ]


def test_a_set_without_its_manifest_is_counted_and_not_offered(machine):
    log, stream = machine
    status(log, repository("interrupted-inc")[1])
    (record,) = stream.records
    assert "\n full " in record and "\n inc " not in record
    assert "incomplete-sets-num 1" in record
    assert ". and 1 incomplete backup set(s)." in record


def test_sets_behind_a_hole_belong_to_no_chain(machine):
    repo, _ = repository("jsonstat")
    lost = "duplicity-inc.20231114T221320Z.to.20231114T223000Z.manifest"
    log, stream = machine
    status(log, collect(names(*(path.name for path in repo.iterdir() if path.name != lost)), [], Names()))
    (record,) = stream.records
    assert "chain-no-sig 0\n full 20231114T221320Z 1 noenc\norphaned-sets-num 1\nincomplete-sets-num 1\n" in record


def test_a_line_end_in_the_cache_folders_name_makes_no_data_line(machine):
    log, stream = machine
    status(log, Collection(), archive_dir="/cache\nchain-complete")
    assert "\nchain-complete" not in stream.records[0]


# -- list-current-files -----------------------------------------------------------------------------------------------


def test_entries_are_listed_with_time_name_and_type(machine, capsys):
    log, stream = machine
    report.list_files(log, [Entry(b"", "dir", mtime=T0), Entry(b"a/it's", "sym", mtime=T0 + 1), Entry(b"p", "fifo")])
    assert stream.records == [
        "INFO 10 20231114T221320Z '.' dir\n. Tue Nov 14 22:13:20 2023 .",
        "INFO 10 20231114T221321Z 'a/it\\x27s' sym\n. Tue Nov 14 22:13:21 2023 a/it's",
        "INFO 10 19700101T000000Z 'p' fifo\n. Thu Jan  1 00:00:00 1970 p",
    ]
    assert capsys.readouterr().out.splitlines()[0] == "Tue Nov 14 22:13:20 2023 ."


def test_names_that_are_not_utf8_are_listed(machine, capfdbinary):
    log, stream = machine
    name = b"na\xffme"
    report.list_files(log, [Entry(name, "reg", mtime=T0)])
    report.file_changed(log, name, [(FULL, "new")])
    report.changes_in_set(log, [SetChanges(FULL, [("new", name)])])
    report.jsonstat_of_changes(log, [SetChanges(FULL, [("new", name)])])
    assert stream.records[0].startswith("INFO 10 20231114T221320Z 'na\\udcffme' reg\n")
    assert stream.records[1].split("\n")[2] == ". File: na\\udcffme"
    assert ". na\\udcffme                   new" in stream.records[2]
    out = capfdbinary.readouterr().out
    assert out.startswith(b"Tue Nov 14 22:13:20 2023 na\xffme\n")
    (written,) = json.loads(out[out.index(b"{") :])["full-20231114T221320Z"]["files_changed"]
    assert os.fsencode(written) == name


# -- --file-changed and --show-changes-in-set -------------------------------------------------------------------------


def test_the_sets_in_which_a_file_changed_are_told(machine, capsys):
    log, stream = machine
    report.file_changed(log, b"docs/notes.txt", [(FULL, "new"), (INC, "changed")])
    assert capsys.readouterr().out.splitlines() == [
        RULE,
        "File: docs/notes.txt",
        "Total number of backup: 2",
        " Type of backup set:                            Time:  Type of file change:",
        "                Full         Tue Nov 14 22:13:20 2023                   New",
        "         Incremental         Tue Nov 14 22:30:00 2023               Changed",
        RULE,
    ]
    assert stream.records[0].startswith(f"INFO 3\n. {RULE}\n")


def test_the_changes_of_a_set_are_a_table_as_wide_as_its_longest_name(machine, capsys):
    log, _ = machine
    files = [("deleted", b"docs/added.txt"), ("new", b"a b"), ("changed", b"x")]
    report.changes_in_set(log, [SetChanges(FULL, files), SetChanges(INC, [])])
    assert capsys.readouterr().out.splitlines() == [
        RULE,
        " Backup set time: Tue Nov 14 22:13:20 2023",
        "Total number of changes: 3",
        "File:           Type of file change:",
        "docs/added.txt               deleted",
        '"a\\x20b"                         new',
        "x                            changed",
        RULE,
        RULE,
        " Backup set time: Tue Nov 14 22:30:00 2023",
        "Total number of changes: 0",
        "File:  Type of file change:",
        RULE,
    ]


def json_of(out: str) -> dict[str, dict[str, object]]:
    found = json.loads(out[out.index("{") :])
    assert isinstance(found, dict)
    return found


def test_the_changes_of_a_set_as_json_hold_its_statistics(machine, capsys):
    log, _ = machine
    repo, collection = repository("jsonstat")
    (newest,) = report.sets_shown(collection, 0, as_json=True)
    report.jsonstat_of_changes(log, [changes(repo, newest)])
    (entry,) = json_of(capsys.readouterr().out).values()
    assert entry["json_stat"]["backup_meta"]["no_of_inc"] == 1
    assert entry["files_changed"]["docs/added.txt"] == "deleted"


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("stored", [b"", b"[1]", b"{", b"\xff", b"[" * 100000, nested(900), nested(21), None])
def test_a_statistics_object_that_is_none_does_not_hide_the_changes(machine, capsys, stored):
    log, _ = machine
    report.jsonstat_of_changes(log, [SetChanges(FULL, [("new", b"a")], stored)])
    found = json_of(capsys.readouterr().out)["full-20231114T221320Z"]
    assert found == {"json_stat": {}, "files_changed": {"a": "new"}}


@pytest.mark.parametrize(
    ("index", "as_json", "expected"),
    [(0, False, [2]), (1, True, [1]), (2, False, [0]), (-1, False, [0]), (-3, False, [2]), (-1, True, [2, 1, 0])],
)
def test_sets_are_counted_from_the_newest(index, as_json, expected):
    _, collection = repository("jsonstat")
    sets = sets_of(collection)
    assert [sets[number] for number in expected] == report.sets_shown(collection, index, as_json=as_json)


@pytest.mark.parametrize(("index", "as_json"), [(3, False), (3, True), (-4, False)])
def test_a_set_that_is_not_there_is_said_to_be_missing(index, as_json):
    with pytest.raises(BadOption, match=f"no set {index}"):
        report.sets_shown(repository("jsonstat")[1], index, as_json=as_json)


def test_an_empty_repository_has_no_sets_to_show():
    assert report.sets_shown(Collection(), 3, as_json=False) == []


# -- against duplicity ------------------------------------------------------------------------------------------------


def duplicity(tmp_path: Path, *words: str) -> tuple[str, list[str]]:
    """Standard output, and the records of the numbers 3 and 10."""
    program = os.environ.get("TARRAGON_DUPLICITY")
    if not program:
        pytest.skip("TARRAGON_DUPLICITY names no duplicity to compare with")
    record_file = tmp_path / "records"
    record_file.unlink(missing_ok=True)
    options = ["--archive-dir", f"{tmp_path}/cache", "--name", "it", "--log-file", str(record_file), "-v0"]
    run = subprocess.run(
        [program, *words, *options, "--no-encryption"], capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout, re.split(r"\n\n", record_file.read_text())[:-1]


def sensible(text: str) -> str:
    """Without what duplicity shows of its insides."""
    text = text.replace("archive-dir (. dir)", "archive-dir ARCHIVE")
    text = re.sub(r"File: b'(.*)'", r"File: \1", text)
    return re.sub(r"b'(New|Changed|Deleted)'$", r"   \1", text, flags=re.MULTILINE)


@pytest.mark.requirement("R59")
@pytest.mark.parametrize(
    "folder", ["jsonstat", "jsonstat-gpg", "two-chains", "multivol-gzip", "type-changes", "legacy-short", "volsize1"]
)
def test_the_status_of_a_golden_repository_is_duplicitys(tmp_path, folder, capsys):
    out, theirs = duplicity(tmp_path, "collection-status", f"file://{GOLDEN / folder / 'repo'}")
    archive_dir = f"{tmp_path}/cache/it"
    with logging() as (log, stream):
        report.collection_status(
            log, backend="BackendWrapper", archive_dir=archive_dir, collection=repository(folder)[1]
        )
    ours = [record.replace(f"archive-dir {archive_dir}", "archive-dir ARCHIVE") for record in stream.records]
    assert ours == [sensible(record) for record in theirs]
    assert capsys.readouterr().out == out


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("folder", ["jsonstat", "type-changes", "file-types", "plain-gzip"])
def test_the_files_of_a_golden_repository_are_listed_as_duplicity_does(tmp_path, folder, capsys):
    repo, collection = repository(folder)
    out, theirs = duplicity(tmp_path, "list-current-files", f"file://{repo}")
    with logging() as (log, stream):
        report.list_files(log, entries(repo, collection))
    assert stream.records == theirs
    assert capsys.readouterr().out == out


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("folder", ["jsonstat", "files-changed"])
@pytest.mark.parametrize("index", [0, 1, 2, -1])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_changes_of_a_golden_repository_are_shown_as_duplicity_does(tmp_path, folder, index, as_json, capsys):
    repo, collection = repository(folder)
    words = ["--jsonstat"] if as_json else []
    duplicity(tmp_path, "list-current-files", f"file://{repo}")  # brings the manifests to the cache
    out, theirs = duplicity(tmp_path, "collection-status", f"--show-changes-in-set={index}", f"file://{repo}", *words)
    show = report.jsonstat_of_changes if as_json else report.changes_in_set
    with logging() as (log, stream):
        show(log, [changes(repo, each) for each in report.sets_shown(collection, index, as_json=as_json)])
    assert stream.records == theirs
    assert capsys.readouterr().out == out


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("path", ["docs/notes.txt", "docs/old.txt", "nowhere"])
def test_what_became_of_a_file_is_told_as_duplicity_does(tmp_path, path, capsys):
    repo, collection = repository("jsonstat")
    duplicity(tmp_path, "list-current-files", f"file://{repo}")  # brings the manifests to the cache
    out, theirs = duplicity(tmp_path, "collection-status", "--file-changed", path, f"file://{repo}")
    files = [(each.of, *one) for each in sets_of(collection) for one in changed_files(repo, each)]
    found = [(of, word) for of, word, name in files if name == path.encode()]
    with logging() as (log, stream):
        report.file_changed(log, path.encode(), found)
    assert stream.records == [sensible(record) for record in theirs]
    assert capsys.readouterr().out == sensible(out)
