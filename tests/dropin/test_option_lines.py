"""Each of the 139 options on a command line of the real duplicity 3.2.1 and of ours: taken, or refused alike.

What is taken stands in a few long lines, each option once in each way to write it; what is refused ends a line, so each
has its own: a sample of those, all with TARRAGON_OPTIONS=all. test_options.py asks our parser alone, in more depth.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("yaml", reason="PyYAML reads docs/cli.yaml")

import option_table
from pair import Observed, Pair, told
from programs import Program
from tarragon.cli.first import TAKES as LOGGING
from tarragon.cli.in_use import InUse
from tarragon.cli.parser import CORE
from tarragon.plugin.hub import Hub
from test_options import VALUES

pytestmark = pytest.mark.slow

EVERY = option_table.described()
PAGES = [option for option in EVERY if option["type"] == "action" or option["name"] == "--version"]
#: Those that 3.2.1 does not know; ours does (docs/drop-in.md).
MANUAL = [option for option in EVERY if not option["parser_321"]]
TAKEN = [option for option in EVERY if option not in PAGES + MANUAL]
#: Values that more than the parser looks at.
GOOD = {
    "--archive-dir": "@home", "--tempdir": "@home", "--exclude-filelist": "list", "--include-filelist": "list",
    "--files-from": "list", "--gpg-binary": "gpg", "--gpg-options": "'--quiet'", "--time-separator": ":",
    "--current-time": "1700000000", "--show-changes-in-set": "0", "--log-fd": "1", "--log-file": "log",
}  # fmt: skip
BAD = {"int": "1.5", "fd": "x", "char": "ab", "level": "loud", "time": "yesterday", "duration": "soon", "enum": "some"}
BAD_OF = {
    "--archive-dir": "list", "--exclude-filelist": "none", "--include-filelist": "none", "--files-from": "none",
}  # fmt: skip
END = ("cleanup", "file://@to")


def value(option: dict[str, Any]) -> str:
    usual: str = option.get("choices", [None])[-1] or VALUES.get(option["type"], "x")
    return GOOD.get(option["name"], usual)


def installed() -> list[dict[str, Any]]:
    """The options whose package is here; of the others the answer names it (test_options.py)."""
    in_use = InUse(Hub(), logging.getLogger("options"))
    in_use.ask_all()
    table = {**CORE, **in_use.options()}
    return [option for option in TAKEN if option["name"] in table]


def written(option: dict[str, Any], how: str) -> list[str]:
    """The words of an option in one of the ways to write it; none where it cannot be written so."""
    name, values = option["name"], [value(option), "y"][: option["nargs"]]
    match how:
        case "two words":
            return [name, *values]
        case "one word":
            return [f"{name}={values[0]}"] if len(values) == 1 else []
        case "shortened":
            return [shortest(name), *values]
        case _:
            return [word for alias in option["aliases"] for word in (alias, *values)]


def shortest(name: str) -> str:
    """The fewest letters that mean this option and no other of duplicity's."""
    others = [each for option in EVERY for each in (option["name"], *option["aliases"]) if each != name]
    cuts = (name[:end] for end in range(3, len(name) + 1))
    return next((cut for cut in cuts if not any(other.startswith(cut) for other in others)), name)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, real: Program) -> Iterator[Pair]:
    place = tmp_path_factory.mktemp("options")
    (place / "folder").mkdir()
    (place / "list").write_text("x\n")
    with Pair(place, real) as found:
        yield found


def without_a_program(option: dict[str, Any]) -> bool:
    return option["name"] == "--use-gpgsm" and not shutil.which("gpgsm")


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("how", ["two words", "one word", "shortened", "other names"])
def test_every_option_is_taken_in_every_way_to_write_it(how, pair):
    lines = [
        [word for option in options if not without_a_program(option) for word in written(option, how)]
        for options in (TAKEN, installed())
    ]
    theirs, ours = pair.both(lambda side: side.run([*lines[pair.sides.index(side)], *END], pair.place, {}))
    assert theirs.status == 0, theirs.err
    assert ours.status == 0, ours.err
    print(f"{how}: duplicity takes {len(lines[0])} words, ours {len(lines[1])}")


def test_all_options_are_looked_at():
    assert (len(TAKEN), len(PAGES), len(MANUAL)) == (123, 14, 2)
    # An option that another one begins with, as --include and --include-filelist, is written whole.
    assert sum(written(option, "shortened")[0] != option["name"] for option in TAKEN) > 100


# -- one line each -----------------------------------------------------------------------------------------------------


def lines_refused() -> list[list[str]]:
    """A bad value, none at all, and one for an option that takes none."""
    found = []
    for option in TAKEN:
        names = [option["name"], *option["aliases"]]
        if not option["nargs"]:
            found.append([f"{option['name']}=1", *END])
            continue
        bad = BAD_OF.get(option["name"]) or BAD.get(option["type"])
        if bad:
            found.append([option["name"], bad, *END])
        found += [[*END, name] for name in names]
        if option["nargs"] == 2:
            found.append([*END, option["name"], "a"])
    return found


REFUSED = lines_refused()
ALL = os.environ.get("TARRAGON_OPTIONS") == "all"


#: What 3.2.1 says to it, what ours, and why (docs/drop-in.md).
_NOT_NEEDED = (23, 0, "a list is opened by those who select: with another action the option means nothing")
DIFFERENT = {
    "--exclude-filelist none": _NOT_NEEDED,
    "--include-filelist none": _NOT_NEEDED,
    "--files-from none": _NOT_NEEDED,
    "--archive-dir list": (23, 30, "no mistake of the line: an action that only reads does without a cache"),
}


@pytest.mark.parametrize("words", REFUSED if ALL else REFUSED[::12], ids=" ".join)
def test_what_is_wrong_with_an_option_is_answered_alike(words, pair):
    theirs, ours = pair.run(*words, clock=False)
    if " ".join(words[:2]) in DIFFERENT:
        assert (theirs.status, ours.status) == DIFFERENT[" ".join(words[:2])][:2]
        return
    assert theirs.status != 0
    assert ours.status == theirs.status, ours.err + theirs.err
    # duplicity's log file, which stands behind, is not open yet while it reads the logging options.
    assert told(ours) == told(theirs) or (words[0] in LOGGING and told(theirs) == [])


@pytest.mark.parametrize("option", ["--exclude-filelist", "--include-filelist", "--files-from"])
def test_a_list_that_is_not_there_is_refused_by_those_who_read_it(option, pair):
    theirs, ours = pair.run("full", option, "none", "folder", "file://@to", "--no-encryption")
    assert (theirs.status, told(theirs)) == (ours.status, told(ours)) == (23, ["ERROR 23 CommandLineError"])


@pytest.mark.parametrize("option", PAGES if ALL else PAGES[::6], ids=lambda option: option["name"])
def test_a_page_is_shown_by_all_its_names(option, pair):
    for name in (option["name"], *option["aliases"]):
        runs: tuple[Observed, Observed] = pair.run(name, "--volsize=7", clock=False)
        assert [(run.status, run.err, len(run.out) > 20) for run in runs] == [(0, "", True)] * 2


@pytest.mark.parametrize("option", MANUAL, ids=lambda option: option["name"])
def test_what_only_the_old_manual_describes_is_taken_here_alone(option, pair):
    theirs, ours = pair.run(option["name"], *END, clock=False)
    if option["name"] == "--gio":  # the target is then another one, whose package is not there yet
        assert (theirs.status, ours.status) == (23, 23)
        assert "tarragon-gio" in ours.err
    else:
        assert (theirs.status, ours.status) == (23, 0)
