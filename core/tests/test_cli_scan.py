"""The grammar of command lines (docs/cli.md § 1)."""

from __future__ import annotations

import argparse
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import AmbiguousOption, BadOption
from tarragon.cli.scan import Found, Grammar, scan

TAKES = {
    "--name": 1,
    "--names": 1,
    "--force": 0,
    "--forward": 1,
    "--rename": 2,
    "--ssh-options": 1,
    "-r": 1,
    "-q": 0,
    "-w": 0,
}
GRAMMAR = Grammar(TAKES, TAKES)


@pytest.mark.parametrize(
    ("line", "found", "rest"),
    [
        ("full a b", [], ["full", "a", "b"]),
        ("--name x full", [("--name", ("x",))], ["full"]),
        ("full --name=x a", [("--name", ("x",))], ["full", "a"]),
        ("--name= a", [("--name", ("",))], ["a"]),
        ("--name=a=b", [("--name", ("a=b",))], []),
        ("--name x", [("--name", ("x",))], []),  # an exact name wins over --names
        ("--forc --forw x", [("--force", ()), ("--forward", ("x",))], []),
        ("--forw=x", [("--forward", ("x",))], []),
        ("--rename a b c", [("--rename", ("a", "b"))], ["c"]),
        ("-rpath -r path -r=path", [("-r", ("path",))] * 3, []),
        ("-qw -qrx", [("-q", ()), ("-w", ()), ("-q", ()), ("-r", ("x",))], []),
        ("--name -1 -- --name", [("--name", ("-1",))], ["--", "--name"]),
        ("--name -1.5 -7", [("--name", ("-1.5",))], ["-7"]),
        ("--name -", [("--name", ("-",))], []),
        ("--unknown a -x b", [], ["--unknown", "a", "-x", "b"]),
    ],
)
def test_options_stand_anywhere_and_what_is_left_keeps_its_order(line, found, rest):
    assert ([Found(*one) for one in found], rest) == scan(line.split(" "), GRAMMAR)


def test_a_value_may_begin_with_a_dash_when_it_holds_a_blank_or_begins_with_a_quote():
    assert ([Found("--name", ("-oA=b -oC=d",))], []) == scan(["--name", "-oA=b -oC=d"], GRAMMAR)
    assert ([Found("--name", ("'--x=y'",))], []) == scan(["--name", "'--x=y'"], GRAMMAR)


@pytest.mark.parametrize(
    "line", ["--name", "--name -x", "--name --force", "--name -- a", "--rename a", "--rename=a b", "--force=1", "-qr"]
)
def test_too_few_values_or_one_too_many_are_refused(line):
    with pytest.raises(BadOption) as caught:
        scan(line.split(" "), GRAMMAR)
    assert caught.value.exit_code == 23


def test_an_ambiguous_short_form_ends_with_2_and_names_what_it_could_be():
    with pytest.raises(AmbiguousOption, match="--force, --forward") as caught:
        scan(["--name", "--for"], GRAMMAR)
    assert caught.value.exit_code == 2


def test_the_value_that_backupninja_gives_is_taken():
    taken = ([Found("--ssh-options", ("-oIdentityFile=/k",))], ["a"])
    assert taken == scan(["--ssh-options", "-oIdentityFile=/k", "a"], GRAMMAR, ["--ssh-options"])
    with pytest.raises(BadOption):
        scan(["--ssh-options", "-x"], GRAMMAR, ["--ssh-options"])
    with pytest.raises(BadOption):
        scan(["--name", "-oIdentityFile=/k"], GRAMMAR, ["--ssh-options"])


def test_an_added_flag_never_makes_a_short_form_ambiguous():
    grammar = Grammar({**TAKES, "--forwards": 0, "--other": 0}, TAKES, ["--forwards", "--other"])
    assert [Found("--forward", ("x",)), Found("--other", ())] == scan(["--forw", "x", "--ot"], grammar)[0]


WORDS = st.sampled_from(
    [
        *TAKES,
        "--for",
        "--forc",
        "--na",
        "--name=x",
        "--names=",
        "--ren",
        "--force=1",
        "-rx",
        "-qw",
        "-qrx",
        "-qx",
        "-r=x",
    ]
    + [
        "a",
        "b c",
        "",
        "-",
        "--",
        "-1",
        "-1.5",
        "-x",
        "-x y",
        "--what",
        "--what=1",
        "--what is",
        "--forc e",
        "-q=",
        "'--x'",
    ]
)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the grammar is that of Python 3.11's argparse")
@given(st.lists(WORDS, max_size=6))
def test_the_grammar_is_that_of_argparse(words):
    assert _by_argparse(words) == _by_us(words)


def _by_us(words):
    try:
        found, rest = scan(words, GRAMMAR)
    except AmbiguousOption:
        return "ambiguous"
    except BadOption:
        return "bad"
    return found, rest


def _by_argparse(words):
    class Remember(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            values = [values] if isinstance(values, str) else values
            namespace.found.append(Found(self.dest, tuple(values)))

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            raise AssertionError(message)

    parser = Parser(add_help=False, exit_on_error=False)
    for flag, takes in TAKES.items():
        parser.add_argument(flag, dest=flag, action=Remember, nargs=None if takes == 1 else takes)
    try:
        namespace, rest = parser.parse_known_args(words, argparse.Namespace(found=[]))
    except argparse.ArgumentError:
        return "bad"
    except AssertionError as err:
        assert "ambiguous" in str(err)
        return "ambiguous"
    return namespace.found, rest
