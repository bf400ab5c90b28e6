"""Who may import whom: the contracts of pyproject.toml for the core, and those of every plugin and of the kernel."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in CHECKOUT.glob("plugins/*/src/*/__init__.py"))
PLUGIN_SOURCES = [source for package in PLUGINS for source in sorted(package.rglob("*.py"))]
KERNEL = CHECKOUT / "librsync_ext" / "src" / "tarragon_librsync"


def imported(source, *, top_only=False):
    """The modules that a source imports; ``from tarragon import api`` counts as ``tarragon.api``."""
    tree = ast.parse(source)
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def own(name):
    return name.partition(".")[0].startswith("tarragon")


def is_of(name, package):
    return name == package or name.startswith(package + ".")


def trespasses(package, source, *, extended=()):
    """What a plugin's source imports of ours beyond the API, its own package, and plugins that it says it extends."""
    allowed = ("tarragon.api", package, *extended)
    return [name for name in imported(source) if own(name) and not any(is_of(name, one) for one in allowed)]


def test_the_contracts_of_the_core_hold():
    linter = Path(sys.executable).parent / "lint-imports"
    command = str(linter) if linter.exists() else shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed")
    ended = subprocess.run([command, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_there_are_plugins_to_look_at():
    assert {"tarragon_file", "tarragon_gpg", "tarragon_select"} <= {package.name for package in PLUGINS}


@pytest.mark.parametrize("source", PLUGIN_SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_plugin_imports_of_ours_the_api_alone(source):
    package = source.relative_to(CHECKOUT / "plugins").parts[2]
    assert trespasses(package, source.read_bytes(), extended=extended_by(source)) == []


def extended_by(source):
    """The packages of plugins that a plugin extends: those that its project file depends on."""
    import tomllib

    project = CHECKOUT / "plugins" / source.relative_to(CHECKOUT / "plugins").parts[0] / "pyproject.toml"
    needs = tomllib.loads(project.read_text())["project"]["dependencies"]
    names = [need.partition(">")[0].strip().replace("-", "_") for need in needs]
    return [name for name in names if name.startswith("tarragon_") and name != "tarragon_core"]


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_an_entry_point_module_imports_the_api_and_the_standard_library(package):
    """It is imported to learn which options there are: no SDK for that."""
    foreign = [
        name
        for name in imported((package / "plugin.py").read_bytes(), top_only=True)
        if not is_of(name, "tarragon.api") and name.partition(".")[0] not in {*sys.stdlib_module_names, package.name}
    ]
    assert foreign == []


@pytest.mark.parametrize("source", sorted(KERNEL.rglob("*.py")), ids=lambda path: path.name)
def test_the_kernel_imports_cffi_and_the_standard_library(source):
    allowed = {
        *sys.stdlib_module_names,
        "tarragon_librsync",
        "cffi",
        "_cffi_backend",
        "typing_extensions",
    }  # that for types
    assert [name for name in imported(source.read_bytes()) if name.partition(".")[0] not in allowed] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from tarragon.volume import name", ["tarragon.volume.name"]),
        ("from tarragon import tar", ["tarragon.tar"]),
        ("import tarragon.temp", ["tarragon.temp"]),
        ("def f():\n    from tarragon_gzip import plugin", ["tarragon_gzip.plugin"]),
        ("from tarragon.api import Backend\nfrom tarragon import api\nimport tarragon_me.x\nimport os", []),
    ],
)
def test_a_trespass_would_be_noticed(code, found):
    assert found == trespasses("tarragon_me", code)
