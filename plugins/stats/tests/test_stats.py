"""The statistics sinks: what they print, store and tell while a backup goes on (docs/format.md § 10)."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tarragon.api import FileSeen, FilesSame, Note, Outcome, Role, SetCommitted, SetInfo, Sink, StoredVolume
from tarragon_stats import plugin
from tarragon_stats.document import without_password
from tarragon_stats.live import Live, terminal
from tarragon_stats.progress import Progress, SourceBytes, line
from tarragon_stats.text import Text, duration, readable

GOLDEN = Path(__file__).parents[3] / "tests" / "golden"
START = 1795315513.2
META = {
    "action": "full",
    "skipped_inc": False,
    "time_full_bkp": 1700000000,
    "time_full_bkp_str": "20231114T221320Z",
    "no_of_inc": 0,
    "concurrency": 0,
    "target": "ftp://me:s3cret@host/box",
    "source": "src",
    "local_json_stat": ["N/A"],
}


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    def of(self, number: int) -> list[tuple[str, ...]]:
        return [record.fields for record in self.seen if record.number == number]

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def records():
    return Records()


@pytest.fixture
def log(records):
    log = logging.Logger("test", 10)
    log.addHandler(records)
    return log


def volume(size: int, role: Role = Role.VOLUME) -> StoredVolume:
    return StoredVolume("name", role, size, "0" * 40)


def committed() -> SetCommitted:
    return SetCommitted(SetInfo("full-T", "full", 1700000000, 1700000000, 1, False))


def outcome(command: str = "full", error: BaseException | None = None) -> Outcome:
    return Outcome(command, 0, START, START + 1, error)


def events() -> list[object]:
    """The full backup that docs/format.md § 10.1 shows."""
    return [
        Note("walk_started", {"time": START}),
        FileSeen(b"", "dir", "new", 4096),
        FileSeen(b"d", "dir", "new", 4096),
        FileSeen(b"a", "reg", "new", 200000, 200000),
        FileSeen(b"b", "reg", "new", 6, 6),
        FileSeen(b"l", "sym", "new", 9),
        FileSeen(b"e", "reg", "new", 0),
        FileSeen(b"f", "fifo", "new", 0),
        Note("walk_ended", {"time": START + 0.0151}),
        volume(200895),
        volume(5000, Role.SIGNATURES),
    ]


def play(sink: Sink, *told: object, end: Outcome | None = None) -> None:
    for event in told:
        sink.record(event)
    sink.close(end or outcome())


BLOCK = """\
--------------[ Backup Statistics ]--------------
StartTime 1795315513.20 (Sun Nov 22 02:45:13 2026)
EndTime 1795315513.22 (Sun Nov 22 02:45:13 2026)
ElapsedTime 0.02 (0.02 seconds)
SourceFiles 7
SourceFileSize 208207 (203 KB)
NewFiles 7
NewFileSize 208207 (203 KB)
DeletedFiles 0
ChangedFiles 0
ChangedFileSize 0 (0 bytes)
ChangedDeltaSize 0 (0 bytes)
DeltaEntries 7
RawDeltaSize 200006 (195 KB)
TotalDestinationSizeChange 200895 (196 KB)
Errors 0
-------------------------------------------------
"""


def figures(text: str) -> dict[str, str]:
    """The lines of a block, by name."""
    return dict(one.split(" ", 1) for one in text.splitlines() if not one.startswith("-") and " " in one)


# -- the block --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R59")
def test_the_block_is_duplicitys_to_the_byte(log, records):
    play(Text(log), *events(), committed())
    assert records.texts == [BLOCK]
    assert records.seen[0].levelno == 60


def test_an_increment_counts_what_changed_went_and_stayed(log, records):
    play(
        Text(log),
        Note("walk_started", {"time": START}),
        FileSeen(b"", "dir", "new", 4096),
        FileSeen(b"a", "reg", "changed", 200001, 33),
        FileSeen(b"gone", "reg", "deleted"),
        FilesSame(5, 8200),
        Note("problem", {"kind": "unreadable", "path": b"x", "reason": "no permission"}),
        Note("problem", {"kind": "changed", "path": b"y", "reason": "twice"}),
        Note("problem", {"kind": "vanished", "path": b"z", "reason": "gone"}),
        Note("walk_ended", {"time": START}),
        committed(),
    )
    found = figures(records.texts[0])
    assert found["SourceFiles"] == "7"
    assert found["SourceFileSize"] == "212297 (207 KB)"
    assert (found["NewFiles"], found["ChangedFiles"], found["DeletedFiles"]) == ("1", "1", "1")
    assert found["ChangedFileSize"] == "200001 (195 KB)"
    assert found["DeltaEntries"] == "3"
    assert found["RawDeltaSize"] == "33 (33 bytes)"
    assert found["Errors"] == "2"


def test_a_backup_that_failed_before_its_set_was_stored_prints_nothing(log, records):
    play(Text(log), *events(), end=outcome(error=OSError("no space")))
    assert records.texts == []


def test_a_set_that_was_stored_is_counted_though_the_run_ends_with_an_error(log, records):
    play(Text(log), *events(), committed(), end=outcome(error=OSError("something was not readable")))
    assert records.texts == [BLOCK]


def test_a_run_that_keeps_no_set_prints_the_block_all_the_same(log, records):
    # --skip-if-no-change and --dry-run, as duplicity has it
    play(Text(log), Note("walk_started", {"time": START}), FilesSame(3, 9), Note("walk_ended", {"time": START}))
    assert figures(records.texts[0])["SourceFiles"] == "3"


def test_no_other_action_prints_the_block(log, records):
    play(Text(log), *events(), end=outcome("verify"))
    assert records.texts == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (10239, "10.00 KB"),
        (10240, "10.0 KB"),
        (102399, "100.0 KB"),
        (102400, "100 KB"),
        (1048575, "1024 KB"),
        (1048576, "1.00 MB"),
        (5 << 40, "5.00 TB"),
        (3 << 50, "3072 TB"),
    ],
)
def test_sizes_read_as_duplicity_writes_them(size, expected):
    assert expected == readable(size)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.014, "0.01 seconds"),
        (65.2, "1 minute 5.20 seconds"),
        (7203, "2 hours 3.00 seconds"),
        (3719.999, "1 hour 2 minutes 0.00 seconds"),
    ],
)
def test_durations_read_as_duplicity_writes_them(seconds, expected):
    assert expected == duration(seconds)


# -- JSON -------------------------------------------------------------------------------------------------------------


def sinks_for(log, names, **options):
    values = {"print_statistics": True, "progress_rate": 3, **options}
    options = SimpleNamespace(action="full", **values)
    return list(plugin.make_sinks(names, SimpleNamespace(log=log, env={}, options=options)))


def json_sink(log):
    (sink,) = sinks_for(log, ["jsonstat"])
    return sink


def test_the_document_has_duplicitys_keys_in_duplicitys_order(log):
    sink = json_sink(log)
    for event in [*events(), Note("set", META)]:
        sink.record(event)
    found = sink.document().decode()
    assert found.startswith('{\n    "Filename": null,\n    "StartTime": 1795315513.2,\n')
    assert found.endswith('"N/A"\n        ]\n    }\n}')
    content = json.loads(found)
    assert content["TotalDestinationSizeChange"] is None
    assert content["EndTime_str"] == "20261122T024513Z"
    assert (content["SourceFiles"], content["RawDeltaSize"], content["DeltaEntries"]) == (7, 200006, 7)


def test_the_golden_documents_of_duplicity_have_the_same_keys(log):
    sink = json_sink(log)
    for event in [*events(), Note("set", META)]:
        sink.record(event)
    ours = json.loads(sink.document())
    paths = sorted((GOLDEN / "jsonstat" / "repo").glob("*.jsonstat.gz"))
    assert len(paths) == 3
    for path in paths:
        theirs = json.loads(gzip.decompress(path.read_bytes()))
        assert list(theirs) == list(ours)
        assert list(theirs["backup_meta"]) == list(ours["backup_meta"])


def test_transfer_statistics_stand_before_the_times(log):
    sink = json_sink(log)
    for event in [*events(), Note("set", {**META, "ConcurrentTransferStats": {"count": 3}})]:
        sink.record(event)
    keys = list(json.loads(sink.document()))
    assert keys[keys.index("RawDeltaSize") + 1 :] == [
        "ConcurrentTransferStats",
        "StartTime_str",
        "EndTime_str",
        "backup_meta",
    ]


def test_json_is_printed_before_the_block_and_is_what_is_stored(log, records):
    sinks = sinks_for(log, ["text", "jsonstat"])
    for event in [*events(), Note("set", META)]:
        for sink in sinks:
            sink.record(event)
    stored = [document for sink in sinks if (document := sink.document()) is not None]
    for sink in sinks:
        sink.record(committed())
        sink.close(outcome())
    shown = [record.getMessage() for record in records.seen if record.levelno == 60]
    assert shown == [stored[0].decode(), BLOCK]


def test_json_is_printed_without_the_block_too(log, records):
    for sink in sinks_for(log, ["text", "jsonstat"], print_statistics=False):
        play(sink, *events(), Note("set", META), committed())
    assert [text[:1] for text in records.texts if "Time" in text] == ["{"]


def test_a_set_that_is_not_kept_is_printed_and_not_stored(log, records):
    sink = json_sink(log)
    for event in [*events(), Note("set", {**META, "skipped_inc": True})]:
        sink.record(event)
    assert sink.document() is None
    sink.close(outcome())
    assert json.loads(records.texts[0])["backup_meta"]["skipped_inc"] is True


@pytest.mark.requirement("R31")
def test_the_password_of_the_target_is_in_no_document(log, records):
    sink = json_sink(log)
    play(sink, *events(), Note("set", META), committed())
    assert json.loads(records.texts[0])["backup_meta"]["target"] == "ftp://me:***@host/box"
    assert b"s3cret" not in sink.document()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///a:b@c", "file:///a:b@c"),
        ("par2+sftp://me@host:22//abs", "par2+sftp://me@host:22//abs"),
        ("ftp://u:p@ss:w?rd@host", "ftp://u:***@host"),
        ("b2://id:key@bucket/x@y", "b2://id:***@bucket/x@y"),
    ],
)
def test_only_the_password_is_taken_out_of_a_url(url, expected):
    assert expected == without_password(url)


def test_a_source_that_is_not_utf8_makes_valid_json(log):
    sink = json_sink(log)
    for event in [*events(), Note("set", {**META, "source": b"na\xffme"})]:
        sink.record(event)
    assert os.fsencode(json.loads(sink.document())["backup_meta"]["source"]) == b"na\xffme"


# -- while it goes on -------------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_programs_hear_of_source_bytes_after_each_volume_and_at_the_end(log, records):
    clock = Clock()
    sink = SourceBytes(log, clock)
    sink.record(FileSeen(b"a", "reg", "new", 10))
    sink.record(volume(7))
    sink.record(volume(7, Role.MANIFEST))
    sink.record(FileSeen(b"b", "reg", "changed", 90))
    sink.record(FilesSame(5, 1000))
    sink.close(outcome())
    assert records.of(2) == [("10",), ("100",)]
    assert records.texts == ["1 volume stored", ""]


def test_a_dry_run_tells_its_total_once_a_second_and_at_the_end(log, records):
    clock = Clock()
    sink = SourceBytes(log, clock)
    for _ in range(4):
        sink.record(FileSeen(b"a", "reg", "new", 10))
        clock.now += 0.5
    sink.close(outcome())
    assert records.of(2) == [("30",), ("40",)]


def test_ranges_of_a_large_file_count_as_they_come(log, records):
    sink = SourceBytes(log, Clock())
    for _ in range(2):
        sink.record(Note("range", {"bytes": 500}))
        sink.record(volume(7))
    sink.record(FileSeen(b"a", "reg", "new", 1000))
    sink.close(outcome())
    assert records.of(2) == [("500",), ("1000",)]


def progress(log, rate=3, **how):
    clock = Clock()
    return Progress(log, rate, clock, **how), clock


def test_progress_is_told_at_the_rate_asked_for(log, records):
    sink, clock = progress(log, rate=2)
    sink.record(Note("total", {"bytes": 1000}))
    for _ in range(8):
        clock.now += 0.5
        sink.record(FileSeen(b"a", "reg", "new", 100))
        sink.record(volume(1024))
    sink.record(Note("walk_ended", {"time": 1.0}))
    sink.close(outcome())
    # the report comes with the event at which the time is up
    assert records.of(16) == [
        ("3072", "2", "40", "3", "1536", "0"),
        ("7168", "4", "80", "1", "1792", "0"),
        ("8192", "4", "100", "0", "2048", "0"),
    ]
    assert records.texts[0] == "3.0KB 00:00:02 [1.5KB/s] [================>                        ] 40% ETA 3sec"


def test_progress_without_a_total_claims_no_percentage(log, records):
    sink, clock = progress(log)
    sink.record(Note("walk_started", {"time": 1.0}))
    clock.now += 3
    sink.record(volume(3 << 20))
    assert records.of(16) == [("3145728", "3", "0", "0", "1048576", "0")]
    assert records.texts == ["3.0MB 00:00:03 [1.0MB/s]"]


def test_progress_says_when_nothing_moves(log, records):
    sink, clock = progress(log)
    sink.record(volume(1024))
    for _ in range(2):
        clock.now += 3
        sink.record(Note("anything", {}))
    assert [fields[-1] for fields in records.of(16)] == ["0", "1"]


def test_a_line_reads_as_duplicitys():
    expected = "24.7MB 00:00:01 [7.4MB/s] [======>                                  ] 15% ETA 5sec"
    assert expected == line(25947401, 1, 7783224, 15, 5)
    expected = "38.2MB 00:00:02 [7.4MB/s] [========================================>] 100% ETA 0sec"
    assert expected == line(40093813, 2, 7783224, 100, 0)


def test_on_a_terminal_the_records_have_no_text(log, records):
    sink, clock = progress(log, quiet=True)
    sink.record(volume(1))
    clock.now += 3
    sink.record(volume(1))
    assert (len(records.of(16)), records.texts) == (1, [""])


# -- the line of a terminal -------------------------------------------------------------------------------------------


def live(log, stream, action="full"):
    clock = Clock()
    return Live(log, stream, action, clock), clock


def shown_by(master):
    os.set_blocking(master, False)
    shown = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(master, 4096):
            shown += data
    return shown.decode()


def test_on_a_terminal_one_line_is_kept_up_to_date_and_never_mixed_with_messages(log, records):
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as terminal:
        sink, clock = live(log, terminal)
        sink.record(Note("total", {"bytes": 10}))
        clock.now += 3
        sink.record(FileSeen(b"a", "reg", "new", 5))
        log.warning("look", extra={"number": 1})
        clock.now += 3
        sink.record(Note("walk_ended", {"time": 1.0}))
        sink.close(outcome())
        log.warning("after", extra={"number": 1})
        shown = shown_by(master)
    os.close(master)
    drawn, wiped, again, last = shown.split("\r\x1b[K")[1:]
    assert drawn == "5 bytes of 10 bytes new, 1 files, 2 bytes/s, 3 s left"
    assert wiped == ""
    assert again == "5 bytes of 10 bytes new, 1 files, 1 byte/s, 6 s left"
    assert last == ""


def test_a_terminal_that_is_gone_does_not_end_the_backup(log):
    master, slave = os.openpty()
    gone = open(slave, "w", encoding="utf-8")
    sink, clock = live(log, gone)
    os.close(master)
    clock.now += 3
    sink.record(volume(1))
    sink.close(outcome())


def text_after(action, events, seconds):
    sink, _ = live(logging.getLogger("nobody"), io.StringIO(), action)
    for event in events:
        sink.record(event)
    return sink.text(seconds)


@pytest.mark.parametrize(
    ("action", "events", "seconds", "text"),
    [
        ("full", [], 1, "0 bytes new, 0 files, 0:01 min"),
        ("full", [Note("looked", {"entries": 5000})], 61, "5000 looked at, 0 bytes new, 0 files, 1:01 min"),
        ("full", [FileSeen(b"a", "reg", "new", 4 << 20)], 4, "4.00 MB new, 1 files, 1.00 MB/s, 0:04 min"),
        (
            "backup",
            [Note("total", {"bytes": 8 << 30}), FileSeen(b"a", "reg", "changed", 1 << 30)],
            600,
            "1.00 GB of 8.00 GB new, 1 files, 1.71 MB/s, 1 h 10 min left",
        ),
        ("restore", [Note("volume", {"done": 1, "of": 4})], 10, "1 of 4 volumes, 30 s left"),
        ("restore", [FileSeen(b"a", "reg", "restored", 2048)], 4, "1 files, 2.00 KB, 512 bytes/s, 0:04 min"),
    ],
)
def test_the_line_says_how_much_and_what_is_left_of_what(action, events, seconds, text):
    assert text_after(action, events, seconds) == text


def test_more_done_than_was_found_at_first_is_not_less_than_nothing_left():
    events = [Note("total", {"bytes": 10}), FileSeen(b"a", "reg", "new", 50)]
    assert text_after("full", events, 10).endswith("0 s left")


@pytest.mark.parametrize(("term", "there"), [("xterm", True), ("dumb", False), (None, False)])
def test_a_line_is_drawn_on_terminals_only(monkeypatch, term, there):
    env = {} if term is None else {"TERM": term}
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal(env) is None
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as tty:
        monkeypatch.setattr(sys, "stdout", tty)
        assert (terminal(env) is tty) is there
    os.close(master)


# -- against duplicity ------------------------------------------------------------------------------------------------


def duplicity(tmp_path: Path, *words: str) -> str:
    program = os.environ.get("TARRAGON_DUPLICITY")
    if not program:
        pytest.skip("TARRAGON_DUPLICITY names no duplicity to compare with")
    run = subprocess.run(
        [program, *words, "--no-encryption", "--archive-dir", str(tmp_path / "cache")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return run.stdout


def seen(root: Path, path: Path, change: str, delta_size: int | None = None) -> FileSeen:
    st = path.lstat()
    kind = {stat.S_IFREG: "reg", stat.S_IFDIR: "dir", stat.S_IFLNK: "sym"}[stat.S_IFMT(st.st_mode)]
    read = st.st_size if kind == "reg" and delta_size is None else delta_size or 0
    name = b"" if path == root else os.fsencode(path.relative_to(root))
    return FileSeen(name, kind, change, st.st_size, read)


def parts_of(output: str) -> tuple[dict[str, object], str]:
    """The JSON and the block in what was printed."""
    begin, end = output.index("\n{\n") + 1, output.index("\n}\n") + 3
    block = output.index("----")
    return json.loads(output[begin:end]), output[block : output.index("-" * 49, block) + 51]


def comparable(text: str) -> list[str]:
    """Without what differs from run to run: times, and the size of what was packed."""
    return [one for one in text.split("\n") if "Time" not in one and not one.startswith("TotalDest")]


def test_block_and_json_are_those_of_duplicity_for_the_same_tree(tmp_path, log, records):
    root = tmp_path / "src"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_bytes(os.urandom(123456))
    (root / "sub" / "b").write_bytes(b"b")
    (root / "keep").write_bytes(b"keep")
    (root / "link").symlink_to("a")
    target = f"file://{tmp_path}/box"
    for turn, action in enumerate(("full", "incremental")):
        told = [Note("walk_started", {"time": START})]
        if action == "full":
            told += [seen(root, path, "new") for path in (root, *sorted(root.rglob("*")))]
        else:
            with (root / "a").open("ab") as file:
                file.write(b"more")
            (root / "sub" / "b").unlink()
            os.utime(root / "sub", (1, 1))
            os.utime(root / "a", (1, 1))  # duplicity sees no change within one second
            told += [FilesSame(3, sum(path.lstat().st_size for path in (root, root / "keep", root / "link")))]
            told += [FileSeen(b"sub/b", "reg", "deleted"), seen(root, root / "sub", "new")]
        words = (action, "--jsonstat", "--current-time", str(1700000000 + turn), "src", target)
        theirs_json, theirs = parts_of(duplicity(tmp_path, *words))
        if action == "incremental":
            told += [seen(root, root / "a", "changed", theirs_json["RawDeltaSize"])]
        told += [Note("set", theirs_json["backup_meta"]), Note("walk_ended", {"time": START}), committed()]
        records.seen.clear()
        for sink in sinks_for(log, ["jsonstat", "text"]):
            play(sink, *told)
        ours_json, ours = [record.getMessage() for record in records.seen if record.levelno == 60]
        assert comparable(theirs) == comparable(ours + "\n")
        times = {name: value for name, value in theirs_json.items() if "Time" in name}
        assert json.dumps(theirs_json) == json.dumps({**json.loads(ours_json), **times})
