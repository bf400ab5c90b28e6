"""Levels, terminal text and machine-readable records (docs/cli.md § 8, § 11)."""

from __future__ import annotations

import ast
import errno
import io
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import BadOption, Secret
from tarragon.cli.log import NOTICE, SHOW, make_log, quoted_field, threshold, verbosity


class Kept(io.BytesIO):
    """A stream that can be read after the handler closed it."""

    def close(self):
        pass

    @property
    def text(self):
        return self.getvalue().decode()


@pytest.fixture
def machine():
    return Kept()


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("0", 0),
        ("9", 9),
        ("05", 5),
        (" 5", 5),
        ("e", 0),
        ("Warning", 2),
        ("W", 2),
        ("NOTICE", 3),
        ("i", 5),
        ("debug", 9),
    ],
)
def test_a_verbosity_is_a_number_a_word_or_its_first_letter(text, level):
    assert level == verbosity(text)


@pytest.mark.parametrize("text", ["", "10", "-1", "warn", "no", "3.0"])
def test_any_other_verbosity_is_refused(text):
    with pytest.raises(BadOption) as caught:
        verbosity(text)
    assert caught.value.exit_code == 23


@pytest.mark.parametrize(
    ("level", "shown"),
    [(0, "E"), (1, "E"), (2, "EW"), (3, "EWN"), (4, "EWN"), (5, "EWNI"), (8, "EWNI"), (9, "EWNID")],
)
def test_a_verbosity_shows_its_level_and_those_above_and_output_always(machine, level, shown):
    log = make_log(level, machine=[machine])
    for number in (logging.ERROR, logging.WARNING, NOTICE, logging.INFO, logging.DEBUG):
        log.log(number, "text")
    log.show("list")
    words = [line.split()[0] for line in machine.text.splitlines() if re.match("[A-Z]+ 1$", line)]
    assert shown + "N" == "".join(word[0] for word in words)


def test_the_lines_between_info_and_debug_come_at_6_and_8():
    assert [threshold(level) for level in range(5, 10)] == [20, 16, 16, 12, 10]


def test_errors_go_to_standard_error_and_all_else_to_standard_output(capsys):
    log = make_log()
    log.error("bad")
    log.warning("odd")
    log.show("list")
    assert capsys.readouterr() == ("odd\nlist\n", "bad\n")


def test_a_timestamp_stands_before_the_first_line_of_each_message(capsys):
    make_log(timestamp=True).log(NOTICE, "one\ntwo")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} NOTICE one\ntwo\n", capsys.readouterr().out)


def test_a_record_is_keyword_line_data_lines_text_lines_and_an_empty_line(machine):
    log = make_log(9, machine=[machine])
    log.info("A a\nb", extra={"number": 4, "fields": ("'a'", "reg"), "data": ()})
    log.show("status", 3, data=("backend X", " full 20240101T000000Z 1 enc"))
    log.info("", extra={"number": 2, "fields": ("7", "10")})
    log.warning("w")
    assert machine.text == (
        "INFO 4 'a' reg\n. A a\n. b\n\n"
        "INFO 3\nbackend X\n full 20240101T000000Z 1 enc\n. status\n\n"
        "INFO 2 7 10\n\n"
        "WARNING 1\n. w\n\n"
    )


def test_statistics_are_a_notice_and_list_entries_info_10(machine, capsys):
    log = make_log(0, machine=[machine])
    log.show("Errors 0")
    log.show("Sun Nov 22 03:03:40 2026 a", 10, ("20261122T020340Z", "'a'", "reg"))
    assert [line for line in machine.text.splitlines() if line and not line.startswith(". ")] == [
        "NOTICE 1",
        "INFO 10 20261122T020340Z 'a' reg",
    ]


def test_text_without_lines_is_not_shown_on_the_terminal(capsys):
    make_log(9).info("", extra={"number": 2, "fields": ("7",)})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (b".", "'.'"),
        (b"a b", "'a b'"),
        (b"it's", r"'it\x27s'"),
        (b"a\nb\\", r"'a\nb\\'"),
        ("é€".encode(), r"'\xe9\u20ac'"),
        (b"\xe9", r"'\udce9'"),
    ],
)
def test_a_file_name_as_a_field(path, field):
    assert field == quoted_field(path)


@given(st.binary(max_size=40))
def test_any_file_name_can_be_read_back_from_one_line(path):
    field = quoted_field(path)
    assert field.isascii() and field.isprintable() and "'" not in field[1:-1]
    assert path == ast.literal_eval(field).encode("utf-8", "surrogateescape")


@pytest.mark.requirement("R31")
def test_a_hidden_secret_stands_in_no_message_field_or_traceback(machine, capsys):
    log = make_log(9, machine=[machine])
    log.hide(Secret("p@ss/word-canary"), "", None)
    log.error("at ftp://me:p%40ss%2Fword-canary@host", extra={"number": 50, "fields": ("p@ss/word-canary",)})
    try:
        raise OSError("p@ss/word-canary")
    except OSError as err:
        log.debug("where", exc_info=err)
    log.show("p@ss/word-canary")
    shown = "".join(capsys.readouterr()) + machine.text
    assert "word-canary" not in shown
    assert shown.count("***") >= 7


def test_a_weak_passphrase_does_not_spoil_a_list_of_files(machine, capsys):
    log = make_log(machine=[machine])
    log.hide("test")
    log.show("test.txt", 10, ("'test.txt'",))
    log.error("test")
    assert machine.text == "INFO 10 'test.txt'\n. test.txt\n\nERROR 1\n. ***\n\n"


def test_names_that_are_not_utf8_do_not_end_a_run(machine, capsysbinary):
    log = make_log(machine=[machine])
    log.show("n\udce9")
    assert capsysbinary.readouterr().out == b"n\xe9\n"
    assert ". n\\udce9" in machine.text


def test_two_runs_have_nothing_in_common(capsys):
    one, other = make_log(9), make_log(0)
    assert one is not other
    other.info("nothing")
    assert capsys.readouterr().out == ""
    assert one not in logging.Logger.manager.loggerDict.values()


def test_output_is_above_every_level():
    assert SHOW > logging.CRITICAL


class Full(Kept):
    """A log file on a device without room."""

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_list_is_lost_where_its_records_cannot_be_written_and_a_message_is_not(capsys):
    log = make_log(machine=[Full()])
    log.warning("a message")
    log.log(SHOW, "statistics", extra={"beside": True})
    assert log.lost is None
    log.show("an entry", 10)
    assert log.lost.errno == errno.ENOSPC
    assert "an entry" in capsys.readouterr().out
