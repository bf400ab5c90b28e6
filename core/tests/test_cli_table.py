"""Our tables against docs/cli.yaml: every action, option, alias, default and acceptance."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tarragon.cli.first import TAKES as LOGGING_TAKES
from tarragon.cli.options import EXPANDED, OLD_NAMES, QUOTED, TIMES
from tarragon.cli.parser import CORE, grammar_of
from tarragon.cli.scan import Found, scan
from tarragon.cli.words import ACTIONS, ALIASES, REMOVED
from tarragon.plugin.known import OPTIONS, TAKES, package_for
from tarragon.settings import defaults

ROOT = Path(__file__).resolve().parents[2]


def _make_known():
    spec = importlib.util.spec_from_file_location("make_known", ROOT / "core/tools/make_known.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


yaml = pytest.importorskip("yaml", reason="PyYAML reads docs/cli.yaml; only this test needs it")
DESCRIBED = yaml.safe_load((ROOT / "docs/cli.yaml").read_text(encoding="utf-8"))
EVERY = DESCRIBED["options"]
# Those that only the manual of 3.0.2 has: --gio and --use-scp, which are ours to accept (docs/cli.md § 10).
PROGRAM = [option for option in EVERY if option["source"] != "man302"]


def test_known_py_is_what_its_script_makes():
    made = _make_known().source_text(DESCRIBED)
    assert made == (ROOT / "core/src/tarragon/plugin/known.py").read_text(encoding="utf-8")


def test_every_action_and_alias_is_there_with_its_positionals():
    described = {action["name"]: action for action in DESCRIBED["actions"]}
    assert described.keys() == ACTIONS.keys()
    assert {alias: name for name, action in described.items() for alias in action["aliases"]} == ALIASES
    for name, action in described.items():
        words = {"remove_time": "time"}
        wanted = [words.get(word, word.replace("_", " ").replace("url", "URL")) for word in action["positionals"]]
        assert wanted == list(ACTIONS[name])


def test_every_option_is_accepted_and_none_is_invented():
    assert len(EVERY) == 139
    assert {flag for option in PROGRAM for flag in _long(option)} == set(OPTIONS)
    accepted = [option for option in EVERY if option["name"] in OPTIONS or option["name"] in CORE]
    assert accepted == EVERY


@pytest.mark.parametrize("option", EVERY, ids=lambda option: option["name"])
def test_an_option_takes_its_values_and_answers_to_its_aliases(option):
    grammar = grammar_of(CORE)
    values = tuple("x" for _ in range(option["nargs"]))
    for flag in (option["name"], *option["aliases"]):
        found, rest = scan(["a", flag, *values, "b"], grammar)
        assert [Found(flag, values)] == found
        assert rest == ["a", "b"]


def _long(option):
    return [flag for flag in (option["name"], *option["aliases"]) if flag.startswith("--")]


def _ours(option):
    return option["name"] in CORE and option["type"] != "action" and not option.get("default_computed")


# duplicity has 0 there and we choose for ourselves when the option is not given (docs/architecture.md, two passes).
OTHER_DEFAULTS = {"--concurrency": None, "--verbosity": 3}


@pytest.mark.parametrize("option", [o for o in EVERY if _ours(o)], ids=lambda option: option["name"])
def test_the_options_of_the_core_have_duplicitys_defaults(option):
    ours = defaults(one for one, _ in CORE.values())[CORE[option["name"]][0].name]
    wanted = OTHER_DEFAULTS.get(option["name"], option["default"])
    if option["repeatable"] == "append":
        wanted = ()
    if option["type"] == "flag":
        ours, wanted = bool(ours), bool(wanted)
    assert wanted == ours


@pytest.mark.parametrize("option", [o for o in EVERY if o["name"] in CORE], ids=lambda option: option["name"])
def test_the_options_of_the_core_have_duplicitys_aliases_and_choices(option):
    ours = CORE[option["name"]][0]
    assert sorted(option["aliases"]) == sorted(ours.aliases)
    assert option.get("choices") == (list(ours.choices) if ours.choices else None)
    assert (option["repeatable"] == "append") == (ours.action == "append")
    assert (option["type"] == "int") == (ours.type is int)


def test_the_first_pass_knows_the_five_logging_options():
    logging = [option for option in PROGRAM if option["name"] in LOGGING_TAKES]
    assert len(logging) == 5
    assert {
        flag: option["nargs"] for option in logging for flag in (option["name"], *option["aliases"])
    } == LOGGING_TAKES


def test_removed_and_changed_options_are_those_of_the_reference():
    removed = {option["name"] for option in DESCRIBED["removed_options"]}
    assert removed == {*REMOVED, "--gio"}
    assert {option["name"]: option["use"] for option in DESCRIBED["changed_options"]} == OLD_NAMES


def test_values_are_prepared_as_the_reference_types_them():
    by_type = {}
    for option in EVERY:
        by_type.setdefault(option["type"], set()).add(option["name"])
    assert by_type["words"] == QUOTED
    assert by_type["time"] | by_type["duration"] == TIMES
    assert by_type["path"] >= {flag for flag in EXPANDED if flag in OPTIONS}


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("backend", "s3", "tarragon-s3"),
        ("backend", "boto3+s3", "tarragon-s3"),
        ("wrapper", "par2", "tarragon-par2"),
        ("cipher", "gpgsm", "tarragon-gpg"),
        ("filter", "exclude-if-present", "tarragon-select"),
        ("backend", "nowhere", ""),
        ("observer", "x", ""),
    ],
)
def test_a_missing_plugin_is_answered_with_its_package(kind, name, package):
    assert package == package_for(kind, name)


def test_every_scheme_of_the_reference_has_a_package():
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    with_host = text.split("Schemes **with** a host (missing host: exit 23):")[1].split(". For these")[0]
    schemes = [word.strip() for word in with_host.replace("\n", " ").split(",") if "*" not in word]
    assert len(schemes) == 23
    assert not [scheme for scheme in schemes if not package_for("backend", scheme)]


def test_flags_of_plugins_take_no_value_and_the_rest_one():
    assert {option["name"]: option["nargs"] for option in PROGRAM}.items() <= TAKES.items()
