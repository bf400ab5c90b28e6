"""Times in every form of docs/cli.md § 6."""

from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tarragon.api import BadOption
from tarragon.clock import EARLIEST, LATEST, parse_interval, parse_time, pretty, to_stamp

NOW = 1_700_000_000  # 2023-11-14T22:13:20Z


@pytest.fixture
def berlin(monkeypatch):
    """One hour east of Greenwich in winter, two in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOW),
        ("0", 0),
        ("1234567890", 1234567890),
        ("1s", NOW - 1),
        ("1h78m", NOW - 3600 - 78 * 60),
        ("3D64s", NOW - 3 * 86400 - 64),
        ("2W", NOW - 14 * 86400),
        ("1M", NOW - 30 * 86400),
        ("1Y", NOW - 365 * 86400),
        ("2002-01-25T07:00:00+02:00", 1011934800),
        ("2002-01-25T05:00:00Z", 1011934800),
        ("2002-01-25T00:30:00-04:30", 1011934800),
        ("20020125T050000Z", 1011934800),
    ],
)
def test_every_form_that_does_not_depend_on_the_place(text, seconds):
    assert seconds == parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2002/3/5", (2002, 3, 4, 23, 0, 0)),
        ("2002-03-05", (2002, 3, 4, 23, 0, 0)),
        ("3/5/2002", (2002, 3, 4, 23, 0, 0)),
        ("03-05-2002", (2002, 3, 4, 23, 0, 0)),
        ("2002/3-5", (2002, 3, 4, 23, 0, 0)),
        ("20020305Z", (2002, 3, 4, 23, 0, 0)),
        ("2002-07-05", (2002, 7, 4, 23, 0, 0)),
        ("2002-01-25T07:00:00", (2002, 1, 25, 6, 0, 0)),
        ("2002-07-25T07:00:00", (2002, 7, 25, 6, 0, 0)),
        ("2024-02-30", (2024, 2, 29, 23, 0, 0)),
    ],
)
def test_dates_are_local_and_summer_time_is_not_considered(berlin, text, utc):
    assert calendar.timegm((*utc, 0, 0, 0)) == parse_time(text, NOW)


def test_the_time_separator_stands_in_for_the_colons():
    assert parse_time("2002-01-25T07_00_00+02_00", NOW, "_") == 1011934800
    with pytest.raises(BadOption):
        parse_time("2002-01-25T07:00:00+02:00", NOW, "_")


# Each of them is refused by duplicity 3.2.1 too.
REFUSED = [
    "-5",
    "1h-3m",
    "1d",
    "2024-13-01",
    "2024-01-32",
    "1/1/1900",
    "1/1/2100",
    "2024-01-01T00:00:00+0200",
    "2024-01-01T00:00",
    "2024-01-01T25:00:00Z",
    "NOW",
    "1.5D",
    "2024-1-1T0:0:0Z",
    "19000101T000000Z",
    "99999999T000000Z",
    "yesterday",
    "20241301T000000Z",
    "2024-02-30T00:00:00Z",
    "٣D",
    "١٢٣",
]


@pytest.mark.parametrize("text", [*REFUSED, "", "1D 1h", " now", "now\n", "3D\n", "20020125T050000Z\n"])
def test_anything_else_is_refused_with_the_bad_string_in_the_message(text):
    with pytest.raises(BadOption) as caught:
        parse_time(text, NOW)
    assert caught.value.exit_code == 23
    assert f"'{text}'" in caught.value.message


@pytest.mark.parametrize(
    ("text", "seconds"), [("200000Y", EARLIEST), ("9" * 5000, LATEST), ("9" * 5000 + "Y", EARLIEST)]
)
def test_a_time_beyond_all_times_is_the_first_or_the_last_of_them(text, seconds):
    assert seconds == parse_time(text, NOW)


@given(st.text() | st.from_regex(r"[-0-9TZsmhDWMY:/+]{0,30}", fullmatch=True))
@example("0000-00-00")
@example("2099-12-31")
@example("20991231T235961Z")
def test_any_text_is_a_time_that_can_be_shown_or_a_bad_option(text):
    try:
        seconds = parse_time(text, NOW)
    except BadOption:
        return
    assert to_stamp(seconds)
    assert pretty(seconds)


@given(st.integers(min_value=EARLIEST, max_value=4102444799))
def test_a_stamp_means_the_second_it_was_made_of(seconds):
    assert seconds == parse_time(to_stamp(seconds), NOW)


def test_intervals_add_up():
    assert parse_interval("1h78m") == 3600 + 78 * 60
    with pytest.raises(BadOption):
        parse_interval("78")


def test_shown_times_are_local_and_in_english(berlin):
    assert pretty(1795313020) == "Sun Nov 22 03:03:40 2026"
    assert pretty(1795313020 - 21 * 86400) == "Sun Nov  1 03:03:40 2026"
