"""Project files, bundles and the table of packages agree with each other (docs/architecture.md, packages)."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from tarragon.plugin.known import package_for

CONTRIB = Path(__file__).parents[2] / "contrib"
HOW = "run: make generated"


def loaded(name):
    """A script of contrib/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, CONTRIB / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


packages = loaded("packages")
generate = loaded("generate")
EVERY = packages.packages()
PLUGINS = packages.packages("plugins/*")
BY_NAME = {each.name: each for each in EVERY}
NUMBER = re.compile(r"\| (\d+) \|$|with (\d+)(?: lines|\.)", re.MULTILINE)


def each(of):
    return pytest.mark.parametrize("package", of, ids=lambda package: package.name)


def test_there_are_packages_to_look_at():
    assert {"tarragon-core", "tarragon-testkit", "tarragon-file", "tarragon-par2", "tarragon"} <= BY_NAME.keys()


@each(PLUGINS)
def test_a_plugin_says_its_tier_and_its_owner_and_nothing_unknown(package):
    said = package.tarragon
    assert said.get("tier") in (1, 2, 3)
    assert said.get("owner")
    assert {name: type(value) for name, value in said.items()} == {name: packages.KEYS.get(name) for name in said}
    assert all(isinstance(word, str) for name in ("extras", "tested") for word in said.get(name, ()))
    assert not (said.get("bundle") and said.get("extras")), "what every installation has is no extra"


@each(PLUGINS)
def test_folder_distribution_and_module_have_one_name(package):
    assert package.name == f"tarragon-{package.folder.name.replace('_', '-')}"
    assert (package.folder / "src" / f"tarragon_{package.folder.name}").is_dir()
    assert (package.folder / "README.md").is_file()
    assert list((package.folder / "changes").glob("*.md"))


@each(PLUGINS)
def test_a_store_says_what_it_was_tested_on(package):
    if {"backend", "wrapper"} & package.entry_points().keys():
        assert package.tarragon.get("tested"), "[tool.tarragon] tested = […]: servers or programs, with versions"


ACTIONS = {word: plugin.name for plugin in PLUGINS for word in plugin.entry_points().get("command", ())}


def actions_run(source):
    """Action words of packages in calls that run a command line: ``lines.done("check", …)``."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("run", "done")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value in ACTIONS
    }


@each(PLUGINS)
def test_tests_name_the_packages_whose_actions_they_run(package):
    """Else they fail where the package is tested alone, which takes longer to find out."""
    named = {package.name, *package.needs, *(need.partition(">")[0] for need in package.test_needs)}
    words = set().union(*(actions_run(path.read_text("utf-8")) for path in (package.folder / "tests").glob("*.py")))
    assert {ACTIONS[word] for word in words} <= named, "[project.optional-dependencies] test"


def test_an_action_that_is_run_is_found():
    assert actions_run("lines.done('check', url)\nx.run('full')\ny('prune')\nhome.run(f'check')") == {"check"}


CONTRACTS = {
    "backend": "BackendContract",
    "wrapper": "WrapperContract",
    "compressor": "CompressorContract",
    "cipher": "CipherContract",
    "executor": "ExecutorContract",
}


@pytest.mark.requirement("R69")
@each(PLUGINS)
def test_a_plugin_is_held_to_the_contract_of_its_kind(package):
    tests = "".join(path.read_text(encoding="utf-8") for path in (package.folder / "tests").glob("*.py"))
    wanted = {CONTRACTS[kind] for kind in package.entry_points() if kind in CONTRACTS}
    assert [name for name in sorted(wanted) if not re.search(rf"class \w+\(.*\b{name}\)", tests)] == []


@each(EVERY)
def test_packages_of_this_tree_name_each_other_by_lower_bounds_that_there_are(package):
    for name, bound in package.needs.items():
        if name.startswith("tarragon"):
            assert name in BY_NAME, f"'{name}' is no package of this tree"
            assert re.fullmatch(r">=\d+(\.\d+)*", bound), f"{name}{bound}: a lower bound, and nothing else"
            needed, there = ([int(part) for part in text.split(".")] for text in (bound[2:], BY_NAME[name].version))
            assert needed <= there, f"{name}{bound} is not written yet: this tree has {BY_NAME[name].version}"


def test_the_bundle_is_current():
    assert generate.bundle() == generate.BUNDLE.read_text(encoding="utf-8"), HOW


def test_every_plugin_is_in_the_bundle_or_an_extra_of_it():
    project = BY_NAME["tarragon"].project
    extras = project["optional-dependencies"]
    inside = {need.partition(">")[0] for need in project["dependencies"]}
    for plugin in PLUGINS:
        if plugin.name not in inside:
            assert extras[plugin.short] == [plugin.lower_bound]
            assert plugin.lower_bound in extras["all"]
    assert {"tarragon-core", "tarragon-librsync", "tarragon-file", "tarragon-gpg", "tarragon-check"} <= inside


def test_the_table_of_packages_is_current():
    """But for line counts, which may be off by a tenth before they are worth a change."""
    new, old = generate.table(), generate.TABLE.read_text(encoding="utf-8")
    assert NUMBER.sub("…", new) == NUMBER.sub("…", old), HOW
    counts = [[int(one or other) for one, other in NUMBER.findall(text)] for text in (new, old)]
    assert len(counts[0]) == len(PLUGINS) + 2
    for is_now, was in zip(*counts, strict=True):
        assert abs(is_now - was) <= max(20, is_now / 10), HOW


@each(PLUGINS)
def test_messages_name_the_package_that_there_is(package):
    """Who types a scheme or an option's word without the package is told this name."""
    for kind, names in package.entry_points().items():
        for name in names:
            assert package_for(kind, name) in ("", package.name), f"core/tools/make_known.py: {kind} '{name}'"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("capabilities = Capability.STAT | Capability.SIZES", "SIZES STAT"),
        ("self.capabilities = Capability.STAT | (Capability.COLD if cold else Capability.NONE)", "COLD* STAT"),
        ("x = Capability.STAT in backend.capabilities", ""),
        ("x = backend.capabilities & ~Capability.STAT", ""),
    ],
)
def test_what_a_source_claims_is_told_from_what_it_asks(source, found, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "x.py").write_text(source)
    assert packages.capabilities(packages.Package(tmp_path, {}, {})) == found
