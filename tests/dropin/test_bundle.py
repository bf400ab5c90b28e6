"""The command ``duplicity`` that tarragon-duplicity installs, as wrappers look at it (docs/wrappers.md § 1)."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "duplicity"


def run(*words, **how):
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=60, check=False, **how)


def test_the_command_begins_with_a_python_line():
    # duply looks for it, and warns when it is not there.
    with COMMAND.open("rb") as file:
        assert re.match(rb"#!.*python", file.readline())


def test_the_command_does_not_stand_in_the_place_of_the_one_that_judges():
    assert COMMAND.resolve().parent != (CHECKOUT / ".venv-duplicity/bin").resolve()


def test_the_version_is_one_line_on_standard_output_and_nothing_else():
    ended = run("--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"duplicity 3\.2\.1 \(Tarragon [\d.]+\) [A-Z][a-z]+ \d\d?, \d{4}\n", ended.stdout)


def _as_duply(out):
    line = next(line for line in out.splitlines() if re.match(r"duplicity\s", line))
    numbers = re.sub(r"\D+$", "", line.split()[1]).split(".")
    return sum(int(number) * factor for number, factor in zip(numbers, (10000, 100, 1), strict=False))


def _as_deja_dup(out):
    return int(out.split()[-1].split(".")[0])


def _as_backupninja(out):
    return [int(number) for number in re.sub(r"[^\d.]", "", out.split()[1]).split(".")]


def test_the_readers_of_the_version_line_are_content():
    out = run("--version").stdout
    assert _as_duply(out) > 20100
    assert _as_deja_dup(out) >= 2
    assert _as_backupninja(out) >= [0, 6, 17]


@pytest.mark.parametrize("word", ["check", "prune", "rehearse", "accept-loss"])
def test_only_the_words_of_duplicity_are_actions(word, tmp_path):
    ended = run(word, f"file://{tmp_path}/box", cwd=tmp_path)
    assert ended.returncode == 23
    (tmp_path / word).mkdir()
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ended = run(word, f"file://{tmp_path}/box", "--no-encryption", cwd=tmp_path, env=home)
    assert ended.returncode == 0, ended.stderr
    assert list((tmp_path / "box").glob("duplicity-full.*.manifest"))


def test_the_statuses_are_those_of_duplicity(tmp_path):
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ended = run("list-current-files", "--no-encryption", f"file://{tmp_path}/none", env=home)
    assert ended.returncode == 30


def test_the_bundle_pins_nothing_and_brings_the_command():
    project = tomllib.loads((CHECKOUT / "contrib/bundles/tarragon-duplicity/pyproject.toml").read_text())["project"]
    assert list(project["scripts"]) == ["duplicity"]
    assert all(">=" in wanted for wanted in project["dependencies"])
