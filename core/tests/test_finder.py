"""Plugins are found by entry point, one is imported, and what is wrong with it is said by name (R65)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from stevedore.extension import ExtensionManager
from tarragon.api.errors import PluginError, UnknownScheme, UserError
from tarragon.api.hooks import TARRAGON_API
from tarragon.plugin import finder

GOOD = f"TARRAGON_API = {TARRAGON_API!r}\n"


def install(place, dist, entry_points, modules):
    """Put a distribution into a folder as an installer would: metadata, and modules."""
    info = place / f"{dist.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = []
    for group, names in entry_points.items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, code in modules.items():
        (place / f"{name}.py").write_text(code)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on the path of imports, and no memory of what was installed before."""
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def test_names_are_found_and_nothing_is_imported(place):
    install(
        place,
        "acme",
        {"tarragon.backend": {"acme": "acme_plugin", "boto3+acme": "acme_plugin"}},
        {"acme_plugin": "1/0"},
    )
    assert {"acme", "boto3+acme", "file"} <= finder.names("backend")
    assert "acme_plugin" not in sys.modules


def test_only_the_module_that_was_asked_for_is_imported(place):
    points = {"tarragon.backend": {"acmea": "acme_a", "acmeb": "acme_b"}}
    install(place, "acme", points, {"acme_a": GOOD, "acme_b": "1/0"})
    assert finder.load("backend", "acmea").__name__ == "acme_a"
    assert "acme_b" not in sys.modules


@pytest.mark.parametrize("kind", ["backend", "wrapper"])
def test_a_scheme_that_nobody_claims_names_the_package_to_install(place, kind):
    with pytest.raises(UnknownScheme) as caught:
        finder.load(kind, {"backend": "azure", "wrapper": "gio"}[kind])
    assert caught.value.hint == {"backend": "pip install tarragon-azure", "wrapper": "pip install tarragon-gio"}[kind]
    with pytest.raises(UnknownScheme) as caught:
        finder.load("backend", "gio+file")  # the prefix is what is missing
    assert caught.value.hint == "pip install tarragon-gio"
    with pytest.raises(UnknownScheme) as caught:
        finder.load(kind, "nobody-knows-this")
    assert caught.value.hint == ""


def test_another_plugin_that_is_missing_is_the_users_error(place):
    with pytest.raises(UserError):
        finder.load("stats", "nobody-knows-this")


@pytest.mark.requirement("R65")
def test_two_claims_are_an_error_that_names_both(place):
    install(place, "acme-one", {"tarragon.backend": {"acme": "acme_one"}}, {"acme_one": GOOD})
    install(place, "acme-two", {"tarragon.backend": {"acme": "acme_two"}}, {"acme_two": GOOD})
    with pytest.raises(PluginError) as caught:
        finder.load("backend", "acme")
    assert "acme-one" in caught.value.message
    assert "acme-two" in caught.value.message


def test_two_claims_for_one_module_are_one(place):
    """A module that was packed twice, or is installed and checked out."""
    install(place, "acme-one", {"tarragon.backend": {"acme": "acme_one"}}, {"acme_one": GOOD})
    install(place, "acme-two", {"tarragon.backend": {"acme": "acme_one"}}, {})
    assert finder.load("backend", "acme").__name__ == "acme_one"


@pytest.mark.requirement("R65")
@pytest.mark.parametrize(
    "code", ["1/0", "import nothing_of_that_name", "def broken(:", "assert False, 'no'", "raise OSError('disk')"]
)
def test_a_plugin_that_cannot_be_imported_is_named_with_its_package_and_the_cause(place, code):
    install(place, "acme", {"tarragon.backend": {"acme": "acme_broken"}}, {"acme_broken": code})
    with pytest.raises(PluginError) as caught:
        finder.load("backend", "acme")
    assert "'acme' of acme cannot be imported" in caught.value.message
    assert caught.value.__cause__ is not None


@pytest.mark.requirement("R65")
@pytest.mark.parametrize(
    "api",
    [(0, 0), (0, 2), (1, 1), (0,), (), None, "0.1", 1, ("a", "b"), (0, 1, 0)],
)
def test_a_plugin_made_for_another_core_is_refused(place, api):
    install(place, "acme", {"tarragon.backend": {"acme": "acme_old"}}, {"acme_old": f"TARRAGON_API = {api!r}\n"})
    with pytest.raises(PluginError) as caught:
        finder.load("backend", "acme")
    assert "acme" in caught.value.message


def test_no_cache_of_entry_points_is_written(tmp_path):
    """stevedore keeps one below ~/.cache, unless told otherwise."""
    code = "from tarragon.plugin import finder; finder.names('backend'); finder.load('backend', 'file')"
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-B", "-c", code], env=env, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
