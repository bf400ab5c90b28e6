"""From argv to settings, and from exceptions to exit statuses (docs/cli.md § 9, § 11)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types

import pytest
from tarragon.api import (
    BackendError,
    BadURL,
    CipherError,
    CollectionError,
    HostMismatch,
    Interrupted,
    Locked,
    NotFound,
    PermissionDenied,
    UnknownScheme,
)
from tarragon.cli.main import main

URL = "file:///nowhere/box"


@pytest.fixture
def run(monkeypatch):
    """Stands for the engine: keeps the settings, and ends as it is told to."""
    kept = types.SimpleNamespace(settings=None, ends=lambda settings, hub, log: 0)

    def engine(settings, hub, log, stop):
        kept.settings = settings
        return kept.ends(settings, hub, log)

    module = types.ModuleType("tarragon.run.actions")
    module.run = engine
    monkeypatch.setitem(sys.modules, "tarragon.run.actions", module)
    return kept


def _raising(err):
    def ends(settings, hub, log):
        raise err

    return ends


def test_a_line_becomes_settings(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"full --no-encryption . {URL} --volsize=3 --current-time 1700000000 --time 1D"
    assert main(line.split()) == 0
    settings = run.settings
    assert (settings.action, settings.source, settings.url, settings.words) == ("full", b".", URL, ())
    assert (settings.options.volsize, settings.options.encryption) == (3, False)
    assert settings.options.action == "full"
    assert (settings.now, settings.options.restore_time) == (1700000000, 1700000000 - 86400)
    assert (settings.prog, settings.compat) == ("tarragon", False)


def test_the_status_of_the_run_is_ours(run):
    run.ends = lambda settings, hub, log: 100
    assert main(["collection-status", URL]) == 100


@pytest.mark.parametrize(("words", "compat"), [([], False), (["--compat-exit"], True)])
def test_compat_exit_is_told_to_the_run(run, words, compat):
    main(["collection-status", URL, *words])
    assert run.settings.compat is compat


def test_the_words_of_the_manual_still_do_what_it_says(run):
    main(["collection-status", "--gio", "sftp://h/x"])
    assert run.settings.url == "gio+sftp://h/x"
    main(["collection-status", "--use-scp", "sftp://h/x"])
    assert run.settings.url == "scp://h/x"


@pytest.mark.parametrize(
    ("err", "status", "record"),
    [
        (BadURL("x"), 23, "ERROR 23 InvalidBackendURL"),
        (UnknownScheme("x"), 23, "ERROR 23 UnsupportedBackendScheme"),
        (Locked("x"), 23, "ERROR 23"),
        (HostMismatch("x", fields=("'a'", "'b'")), 3, "ERROR 3 'a' 'b'"),
        (CollectionError("x"), 30, "ERROR 30 CollectionsError"),
        (CipherError("x"), 31, "ERROR 31 GPGError"),
        (BackendError("x"), 50, "ERROR 50 BackendException"),
        (NotFound("x", fields=("get", "'n'")), 52, "ERROR 52 get 'n'"),
        (ZeroDivisionError("x"), 30, "ERROR 30 ZeroDivisionError"),
    ],
)
def test_an_error_ends_with_its_number_and_its_record(run, tmp_path, err, status, record):
    run.ends = _raising(err)
    log = tmp_path / "log"
    assert main(["collection-status", URL, "--log-file", str(log)]) == status
    assert log.read_text().startswith(f"{record}\n. ")


def test_with_compat_exit_the_reason_stands_in_the_record_and_the_status_is_50(run, tmp_path):
    run.ends = _raising(PermissionDenied("no", fields=("put", "'n'")))
    log = tmp_path / "log"
    assert main(["collection-status", URL, "--compat-exit", "--log-file", str(log)]) == 50
    assert re.findall("^ERROR.*", log.read_text(), re.MULTILINE) == ["ERROR 51 put 'n'", "ERROR 50 BackendException"]
    assert main(["collection-status", URL]) == 51


def test_a_message_comes_with_its_hint_and_without_a_traceback(run, capsys):
    run.ends = _raising(UnknownScheme("nothing installed handles 's3'", hint="pip install tarragon-s3"))
    main(["collection-status", URL])
    assert capsys.readouterr().err == "nothing installed handles 's3'\nhint: pip install tarragon-s3\n"


def test_the_traceback_is_there_for_those_who_ask_and_never_in_the_error_record(run, tmp_path, capsys):
    run.ends = _raising(ZeroDivisionError("x"))
    log = tmp_path / "log"
    main(["collection-status", URL, "-v9", "--log-file", str(log)])
    error, *others = log.read_text().split("\n\n")
    assert error.startswith("ERROR 30 ZeroDivisionError\n. ZeroDivisionError: x\n. hint: ")
    assert "Traceback" not in error
    assert [one for one in others if one.startswith("DEBUG 1\n") and "Traceback" in one]


@pytest.mark.requirement("R31")
def test_no_secret_shows_even_when_everything_goes_wrong(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PASSPHRASE", "canary-passphrase")
    url = "sftp://me:canary%20password@host/x"
    run.ends = _raising(ValueError(f"canary-passphrase at {url}: canary password"))
    log = tmp_path / "log"
    assert main(["collection-status", url, "-v9", "--log-file", str(log)]) == 30
    out, err = capsys.readouterr()
    assert "canary" not in out + err + log.read_text()
    assert "***" in err


@pytest.mark.parametrize("err", [KeyboardInterrupt(), Interrupted("stopped")])
def test_an_interrupted_run_ends_with_4_and_without_an_error_record(run, tmp_path, err):
    run.ends = _raising(err)
    log = tmp_path / "log"
    assert main(["collection-status", URL, "--log-file", str(log)]) == 4
    assert "ERROR" not in log.read_text()


def test_a_termination_signal_is_an_interruption(run):
    def ends(settings, hub, log):
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    run.ends = ends
    before = signal.getsignal(signal.SIGTERM)
    assert main(["collection-status", URL]) == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_bad_line_is_already_told_to_the_log_file(tmp_path):
    log = tmp_path / "log"
    assert main(["ful", "--log-file", str(log)]) == 23
    assert log.read_text().startswith("ERROR 23 CommandLineError\n. ")


def test_an_ambiguous_option_ends_with_2_on_standard_error_and_without_a_record(tmp_path, capsys):
    log = tmp_path / "log"
    assert main(["--log-file", str(log), "--comp"]) == 2
    out, err = capsys.readouterr()
    assert (out, log.read_text()) == ("", "")
    assert err.startswith("usage: tarragon ")
    assert "ambiguous" in err


@pytest.mark.parametrize(
    "words",
    [
        ["-v10"],
        ["--log-fd", "0"],
        ["--log-fd", "x"],
        ["--log-fd", "-1"],
        ["--log-fd=987"],
        ["--log-fd=99999999999999999999"],
        ["--log-file", "/no/where/x"],
    ],
)
def test_a_log_that_cannot_be_had_is_a_bad_option(words):
    assert main(["collection-status", URL, *words]) == 23


def test_a_descriptor_gets_the_records_and_stays_open(run):
    reading, writing = os.pipe()
    run.ends = lambda settings, hub, log: log.show("s", 3, data=(" full 20240101T000000Z 1 enc",)) or 0
    main([f"--log-fd={writing}", "collection-status", URL])
    os.write(writing, b"!")
    assert os.read(reading, 1000) == b"INFO 3\n full 20240101T000000Z 1 enc\n. s\n\n!"
    os.close(reading)
    os.close(writing)


def test_version_wins_over_every_other_error(capsys):
    assert main(["--nothing", "full", "--volsize", "x", "--version"]) == 0
    assert capsys.readouterr().out == "tarragon 0.1.0\n"


def test_the_version_line_of_the_drop_in_is_understood_by_all_its_readers(capsys):
    assert main(["--version"], prog="duplicity", compat=True) == 0
    line = capsys.readouterr().out
    assert "Tarragon" in line
    duply = re.match(r"duplicity\s+(\d+)\.(\d+)\.(\d+)", line)
    assert [int(word) for word in duply.groups()] >= [2, 1, 1]
    deja_dup = line.split()[-1].split(".")
    assert int(deja_dup[0]) >= 2
    backupninja = re.sub(r"[^\d.]", "", line.split()[1])
    assert [int(word) for word in backupninja.split(".")] >= [0, 6, 17]
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["--help-backup"], ["--help-inc"], ["--help-urls"], ["full", "--help"]]
)
def test_a_help_page_is_readable_at_80_columns(words, capsys):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) > 10
    assert not [line for line in out.splitlines() if len(line) > 80]


def test_help_shows_every_option_of_the_core_but_the_hidden(capsys):
    from tarragon.cli.parser import CORE

    main(["--help"])
    out = capsys.readouterr().out
    shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", out)) | {"-V"}
    missing = {flag for flag, (option, _) in CORE.items() if not option.hidden} - shown
    assert missing == set()
    assert "--current-time" not in shown


def test_the_page_of_an_action_leaves_out_what_has_no_meaning_for_it(capsys):
    main(["--help-restore"])
    out = capsys.readouterr().out
    assert "--path-to-restore" in out
    assert "--volsize" not in out


def _tarragon(words, **how):
    return subprocess.run([sys.executable, "-m", "tarragon", *words], timeout=60, **how)


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    ended = _tarragon(["--help"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_error(closed):
    command = f'"{sys.executable}" -m tarragon --help-urls {closed}'
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_every_log_file_gets_the_records(run, tmp_path):
    logs = [tmp_path / "one", tmp_path / "two"]
    words = [f"--log-file={log}" for log in logs]
    assert main(["ful", *words]) == 23
    assert [log.read_text().split("\n", 1)[0] for log in logs] == ["ERROR 23 CommandLineError"] * 2


@pytest.mark.parametrize("page", ["--help-urls", "--version"])
def test_a_page_that_cannot_be_shown_whole_is_an_error(page):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        ended = _tarragon([page], stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 30
    assert b"could not be written whole: No space left on device\nhint: " in ended.stderr


@pytest.mark.timeout(20)
def test_errors_whose_causes_go_in_a_circle_end_the_run_all_the_same(run):
    first, second = CipherError("one"), ValueError("two")
    first.__context__, second.__context__ = second, first
    run.ends = _raising(first)
    assert main(["collection-status", URL]) == 31
