"""Wheels are built, and a package that leans on what it does not name is found out when it is tested alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def test_a_package_passes_its_tests_alone() -> None:
    command = [sys.executable, str(ROOT / "contrib" / "alone.py"), "plain"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 of 1 packages pass alone" in ended.stdout


def test_a_package_that_names_too_little_does_not(tmp_path: Path) -> None:
    """A copy of plain whose tests need a package that its project file does not name."""
    sys.path.insert(0, str(ROOT / "contrib"))
    import alone

    folder = tmp_path / "leaning"
    (folder / "src" / "tarragon_leaning").mkdir(parents=True)
    (folder / "tests").mkdir()
    project = (ROOT / "plugins" / "plain" / "pyproject.toml").read_text().replace("plain", "leaning")
    (folder / "pyproject.toml").write_text(project)
    (folder / "README.md").write_text("x")
    (folder / "src" / "tarragon_leaning" / "__init__.py").write_text("import tarragon_file\n")
    (folder / "src" / "tarragon_leaning" / "plugin.py").write_text("")
    (folder / "tests" / "test_leaning.py").write_text("def test_it():\n    import tarragon_leaning\n")
    every = {each.name: each for each in alone.packages()}
    (leaning,) = _read(alone, folder)
    needed = {name: every[name] for name in alone.ALWAYS}
    wheels = {name: alone.build(each.folder, tmp_path) for name, each in needed.items()}
    wheels[leaning.name] = alone.build(folder, tmp_path)
    fared = alone.alone(leaning, {**every, leaning.name: leaning}, wheels, False)
    assert "No module named 'tarragon_file'" in fared.wrong


def _read(alone: object, folder: Path) -> list:
    import tomllib

    from packages import Package

    text = tomllib.loads((folder / "pyproject.toml").read_text())
    return [Package(folder, text["project"], text["tool"]["tarragon"])]


def test_a_wheel_holds_its_modules_and_its_types_and_nothing_of_an_earlier_build(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "contrib"))
    import alone

    stale = ROOT / "plugins" / "plain" / "build" / "lib" / "tarragon_plain" / "stale.py"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("")
    with zipfile.ZipFile(alone.build(ROOT / "plugins" / "plain", tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {f"tarragon_plain/{name}" for name in ("__init__.py", "codec.py", "plugin.py", "py.typed")}
