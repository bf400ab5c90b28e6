"""Every package below plugins/ keeps the promises of a plugin package, and tests what it makes by the kit (R69)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tarragon_testkit.harness import NotAsked
from tarragon_testkit.plugin_contract import PLUGIN, PluginHarness

CHECKOUT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml"))
#: Kind of plugin → the contract that one of its tests must use.
CONTRACTS = {
    "backend": "BackendContract",
    "wrapper": "WrapperContract",
    "compressor": "CompressorContract",
    "cipher": "CipherContract",
    "executor": "ExecutorContract",
    "filter": "FilterContract",
    "stats": "SinkContract",
}


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def kinds(folder):
    groups = project(folder).get("entry-points", {})
    return [group.removeprefix("tarragon.") for group in groups if group.startswith("tarragon.")]


def modules(folder):
    groups = project(folder).get("entry-points", {})
    return sorted({module for names in groups.values() for module in names.values()})


def harness(folder, module):
    needs = project(folder)["dependencies"]
    others = {path.name.replace("_", "-"): path.name for path in FOLDERS}
    dists = [found.group(1) for need in needs if (found := re.match(r"tarragon-([a-z0-9-]+)", need))]
    extends = [f"tarragon_{others[dist]}.plugin" for dist in dists if dist in others]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    return PluginHarness(module, extends=extends, readme=readme, needs=needs)


@pytest.mark.requirement("R69")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_plugin_package_keeps_its_promises(folder):
    broken = []
    for module in modules(folder):
        for check in PLUGIN.checks:
            try:
                check.run(harness(folder, module))
            except NotAsked:
                continue
            except AssertionError as err:
                broken.append(f"{module}: {check.name}: {err}")
    assert broken == []


@pytest.mark.requirement("R69")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_what_a_bundled_plugin_makes_is_tested_by_the_kit(folder):
    tests = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("tests/**/test_*.py")))
    missing = [kind for kind in kinds(folder) if kind in CONTRACTS and CONTRACTS[kind] not in tests]
    assert missing == []
