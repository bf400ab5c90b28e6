"""Our parser, with every package that is installed, against docs/cli.yaml: 139 options of 139."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("yaml", reason="PyYAML reads docs/cli.yaml")

import option_table
from tarragon.api import BadOption
from tarragon.cli.first import TAKES as LOGGING
from tarragon.cli.in_use import InUse
from tarragon.cli.options import QUOTED
from tarragon.cli.parser import CORE, parse
from tarragon.plugin.hub import Hub
from tarragon.settings import defaults

EVERY = option_table.described()
VALUES = {
    "int": "7",
    "fd": "7",
    "char": "c",
    "level": "info",
    "keyid": "0123ABCD",
    "time": "1D",
    "duration": "1D",
    "words": "one two",
}
OTHERS = {"--concurrency": None, "--verbosity": 3}


@pytest.fixture(scope="module")
def in_use():
    found = InUse(Hub(), logging.getLogger("options"))
    found.ask_all()
    return found


@pytest.fixture(scope="module")
def table(in_use):
    return {**CORE, **in_use.options()}


def value_of(option):
    if option.get("choices"):
        return option["choices"][-1]
    return VALUES.get(option["type"], "x")


def words_of(option, flag=None):
    value = value_of(option)
    return [flag or option["name"], *[value, "y"][: option["nargs"]]]


def parsed(in_use, *words):
    return parse(words, in_use, {})


def names(option):
    return (option["name"], *option["aliases"])


def ids(option):
    return option["name"]


def test_the_reference_has_139_options_and_all_are_known(in_use, table):
    accepted = []
    for option in EVERY:
        try:
            parsed(in_use, *words_of(option))
            accepted.append(option["name"])
        except BadOption as err:
            assert "is not installed" in err.message, option["name"]
            accepted.append(option["name"])
    assert len(accepted) == len(EVERY) == 139
    installed = [option for option in EVERY if option["name"] in table]
    pages = [option for option in EVERY if option["type"] == "action" and option["name"].startswith("--help")]
    away = {option_table.package(option["name"]) for option in EVERY if option not in installed + pages}
    print(f"{len(installed) + len(pages)} of 139 options are taken here; not installed: {sorted(away)}")


@pytest.mark.parametrize("option", EVERY, ids=ids)
def test_an_option_answers_to_all_its_names_alike(option, in_use, table):
    if option["name"] not in table:
        _is_page_or_named(option, in_use)
        return
    whole = parsed(in_use, *words_of(option))
    for flag in names(option):
        assert table[flag][0] is table[option["name"]][0]
        other = parsed(in_use, *words_of(option, flag))
        assert (other.values, other.selection, other.rest) == (whole.values, whole.selection, [])
        if option["nargs"] == 1:
            joined = "=" if flag.startswith("--") else ""
            other = parsed(in_use, f"{flag}{joined}{value_of(option)}")
            assert (other.values, other.selection) == (whole.values, whole.selection)


def _is_page_or_named(option, in_use):
    """Not in any table here: a help page, or an option of a package that is not installed."""
    if option["type"] == "action":
        assert parsed(in_use, option["name"]).page == option["name"]
        return
    with pytest.raises(BadOption, match=f"tarragon-{option_table.package(option['name'])}, which is not installed"):
        parsed(in_use, *words_of(option))
    if option["nargs"]:
        assert parsed(in_use, option["name"], "").rest == []  # an empty value sets nothing, so nothing is missing


@pytest.mark.parametrize("option", EVERY, ids=ids)
def test_an_option_has_the_default_of_duplicity(option, table):
    if option["name"] not in table or option["type"] == "action" or option.get("default_computed"):
        return
    ours = table[option["name"]][0]
    if ours.action == "select":
        assert option["repeatable"] == "ordered"
        return
    value = defaults(one for one, _ in table.values())[ours.name]
    wanted = OTHERS.get(option["name"], option["default"])
    if option["type"] == "flag":
        assert bool(value) == bool(wanted)
    else:
        assert (value or None) == (wanted or None)


@pytest.mark.parametrize("option", EVERY, ids=ids)
def test_a_second_use_does_what_it_does_in_duplicity(option, in_use, table):
    if option["name"] not in table or option["type"] == "action":
        return
    ours = table[option["name"]][0]
    if not option["nargs"]:
        assert parsed(in_use, option["name"], option["name"]).rest == []
        return
    first = {"--metadata-sync-mode": "full"}.get(option["name"]) or {"x": "v", "7": "6", "c": "d"}.get(
        value_of(option), value_of(option)
    )
    line = [option["name"], first, *(["w"] if option["nargs"] > 1 else []), *words_of(option)]
    both = parsed(in_use, *line)
    single = parsed(in_use, *words_of(option))
    name = ours.name
    if option["repeatable"] == "ordered":
        assert [word for word, _ in both.selection] == [option["name"][2:]] * 2
    elif option["repeatable"] == "append":
        assert both.values[name][-1:] == single.values[name]
        assert len(both.values[name]) == 2
    else:
        assert both.values[name] == single.values[name]


@pytest.mark.parametrize("option", EVERY, ids=ids)
def test_a_value_is_of_the_type_of_duplicity(option, in_use, table):
    if option["name"] not in table or option["name"] in LOGGING:
        return
    if option["type"] == "int":
        for bad in ("1.5", "1k", ""):
            with pytest.raises(BadOption):
                parsed(in_use, f"{option['name']}={bad}")
        # Python's whole numbers, whatever they are good for; packages may know better of their own.
        for good in ("0", "-1", "+3", " 5 ") if option["name"] in CORE else ("7",):
            assert parsed(in_use, f"{option['name']}={good}").values[table[option["name"]][0].name] == int(good)
    if option["nargs"] == 0 and option["type"] != "action":
        with pytest.raises(BadOption):
            parsed(in_use, f"{option['name']}=1")
    if option["type"] == "words" and table[option["name"]][0].action == "append":
        assert option["name"] in QUOTED
        quoted = parsed(in_use, f"{option['name']}=\"'--a=b c'\"")
        assert quoted.values[table[option["name"]][0].name] == ("--a=b c",)


def test_the_page_in_docs_is_current():
    assert option_table.page() == option_table.PAGE.read_text(encoding="utf-8")
