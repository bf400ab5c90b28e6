"""The author's path: the template under a new name is built, installed alone with the lowest core, and runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TEMPLATE = CHECKOUT / "contrib" / "plugin-template"
NAME = "crate"


def run(*words, cwd=None, check=True):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG", "TARRAGON"))}
    ended = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=env)
    if check and ended.returncode != 0:
        pytest.fail(f"{words[1:4]}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return ended


def instantiate(name, folder):
    spec = importlib.util.spec_from_file_location("new_plugin", TEMPLATE / "new_plugin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.instantiate(name, folder)


def wheel(source, into):
    """Build from a copy: nothing is left in the checkout."""
    copy = into / "sources" / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", into, copy)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the plugin's sources, and an environment that holds its wheel, the lowest core, and the kit."""
    place = tmp_path_factory.mktemp("author")
    instantiate(NAME, place / "plugin")
    wheels = place / "wheels"
    for source in (CHECKOUT / "core", CHECKOUT / "tests" / "testkit", place / "plugin"):
        wheel(source, wheels)
    run(sys.executable, "-m", "venv", place / "venv")
    project = tomllib.loads((place / "plugin" / "pyproject.toml").read_text())["project"]
    core = next(need for need in project["dependencies"] if need.startswith("tarragon-core")).replace(">=", "==")
    ended = run(
        place / "venv" / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "--find-links", wheels,
        "-c", CHECKOUT / "constraints.txt", core, f"tarragon-{NAME}[test]", check=False,
    )  # fmt: skip
    if "No matching distribution found for pluggy" in ended.stderr:
        pytest.skip("no package index can be reached")
    assert ended.returncode == 0, ended.stderr
    return place


def test_every_file_has_the_new_name(tmp_path):
    made = instantiate(NAME, tmp_path / "plugin")
    assert tmp_path / "plugin" / "src" / f"tarragon_{NAME}" / "plugin.py" in made
    assert [path for path in made if re.search("shelf", path.read_text() + str(path), re.I)] == []
    assert "class CrateBackend(Backend):" in (tmp_path / "plugin/src/tarragon_crate/backend.py").read_text()


@pytest.mark.parametrize("name", ["Crate", "a b", "-x", "../x", ""])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(ValueError, match="lower case"):
        instantiate(name, tmp_path / "plugin")
    assert not (tmp_path / "plugin").exists()


@pytest.mark.slow
def test_nothing_else_of_ours_is_installed(place):
    listed = run(place / "venv" / "bin" / "pip", "list", "--format", "freeze").stdout
    ours = sorted(line.partition("==")[0] for line in listed.splitlines() if "tarragon" in line)
    assert ours == ["tarragon-core", f"tarragon-{NAME}", "tarragon-testkit"]


@pytest.mark.slow
def test_its_own_tests_pass_alone_with_the_lowest_core(place):
    ended = run(
        place / "venv" / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=place / "plugin"
    )
    last = ended.stdout.strip().splitlines()[-1]
    assert re.match(r"\d+ passed, \d+ skipped", last), last


@pytest.mark.slow
def test_the_installed_program_knows_it_and_its_promises_hold(place, tmp_path):
    told = run(place / "venv" / "bin" / "tarragon", "plugins", cwd=tmp_path).stdout
    line = next(line for line in told.splitlines() if line.startswith(f"tarragon-{NAME} "))
    assert line.split()[1:] == ["0.1.0", "API", "0.1", "ok"]
    url = f"{NAME}://{tmp_path}/box.db"
    checked = run(place / "venv" / "bin" / "tarragon", "check-backend", "--small", url, cwd=tmp_path)
    assert " 0 broken, " in checked.stdout.splitlines()[-1]
