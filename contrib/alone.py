"""Build wheels, and test packages alone: each wheel in an empty environment, with what it names and nothing else.

    python contrib/alone.py [--keep] [PACKAGE ...]      all packages unless some are named
    python contrib/alone.py --wheels FOLDER             only build the wheels

Beside the wheel stand those of the tree that it needs, the core at the lowest release that it allows (where a tag of
that release is here; else this tree's, which is said), the kernel, the testkit, and what its extra ``test`` names. Its
tests are run from its folder; its sources are not importable there. The exit status is 1 if any package failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from packages import ROOT, Package, packages

ALWAYS = ("tarragon-core", "tarragon-librsync", "tarragon-testkit")
RUNNER = ("pytest", "pytest-timeout")
_SUMMARY = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed)")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Lone(NamedTuple):
    """How a package fared alone."""

    package: str
    counts: dict[str, int]
    core: str
    seconds: float
    wrong: str = ""

    def __str__(self) -> str:
        counts = " ".join(f"{count} {word}" for word, count in sorted(self.counts.items()))
        return (
            f"{self.package:24} {'FAILED' if self.wrong else 'ok':7} {counts:40} core {self.core} {self.seconds:.0f} s"
        )


def run(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program; what it says is only shown when something is wrong with it."""
    given = [str(word) for word in words]
    return subprocess.run(given, capture_output=True, text=True, check=False, **more)


def must_run(*words: str | Path, **more: object) -> str:
    ended = run(*words, **more)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    return ended.stdout


def build(folder: Path, into: Path) -> Path:
    """The wheel of one folder. What an earlier build left beside the sources would be packed too, so it goes first."""
    shutil.rmtree(folder / "build", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=into) as place:
        words = ("wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "-w", place, folder)
        must_run(sys.executable, "-m", "pip", *words)
        (wheel,) = Path(place).glob("*.whl")
        for left in (folder / "build", *folder.glob("src/*.egg-info"), *folder.glob("*.egg-info")):
            shutil.rmtree(left, ignore_errors=True)
        return wheel.rename(into / wheel.name)


def lowest_core(package: Package, into: Path, ours: Path) -> tuple[str, Path]:
    """The core that the package names as the oldest that will do: its version, and its wheel."""
    bound = package.needs.get("tarragon-core", "").removeprefix(">=") or "0"
    tag = f"tarragon-core-v{bound}"
    found = [tag, f"{tag}.0"]
    tags = must_run("git", "-C", ROOT, "tag", "--list", *found).split()
    if not tags:
        return "of this tree", ours
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "core.tar"
        must_run("git", "-C", ROOT, "archive", "-o", archive, tags[0], "core")
        must_run("tar", "-xf", archive, "-C", place)
        (into / tags[0]).mkdir(exist_ok=True)
        return bound, build(Path(place) / "core", into / tags[0])


def _named(need: str) -> str:
    """The distribution of a requirement, without its versions."""
    found = _NAME.match(need)
    assert found, need
    return found[0]


def of_the_tree(package: Package, every: dict[str, Package]) -> set[str]:
    """The packages of this tree that one needs, with all that these need."""
    found: set[str] = set()
    wanted = [*package.needs, *map(_named, package.test_needs), *ALWAYS]
    while wanted:
        name = wanted.pop()
        if name in every and name not in found | {package.name}:
            found.add(name)
            wanted += every[name].needs
    return found


def alone(package: Package, every: dict[str, Package], wheels: dict[str, Path], keep: bool) -> Lone:
    """Install a package in an empty environment, and run its tests."""
    started = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="tarragon-alone-"))
    core = "?"
    try:
        needed = {name: wheels[name] for name in of_the_tree(package, every)}
        core, needed["tarragon-core"] = lowest_core(package, place, wheels["tarragon-core"])
        foreign = [need for need in package.test_needs if _named(need) not in every]
        must_run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
        python = place / "venv" / "bin" / "python"
        words = ("install", "--quiet", "-c", ROOT / "constraints.txt", wheels[package.name], *needed.values())
        must_run(sys.executable, "-m", "pip", "--python", python, *words, *foreign, *RUNNER)
        must_run(sys.executable, "-m", "pip", "--python", python, "check")
        counts, said = _tested(python, package)
        wrong = said if counts.get("failed") or counts.get("error") or not counts.get("passed") else ""
        return Lone(package.name, counts, core, time.monotonic() - started, wrong)
    except RuntimeError as err:
        return Lone(package.name, {}, core, time.monotonic() - started, str(err))
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)


def _tested(python: Path, package: Package) -> tuple[dict[str, int], str]:
    tests = package.folder / "tests"
    if not tests.is_dir():  # a bundle: that it installs, and that what it brings fits together, is its test
        must_run(python, "-c", "from importlib.metadata import version; version('tarragon-core')")
        return {"passed": 1}, ""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TARRAGON"))}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '/usr/bin:/bin')}"
    words = ("-m", "pytest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-v", "-rsfE")
    ended = run(python, *words, tests, cwd=ROOT, env=environment)
    lines = ended.stdout.strip().splitlines() or [""]
    counts = {word: int(count) for count, word in _SUMMARY.findall(lines[-1])}
    if ended.returncode not in (0, 1):
        counts["error"] = counts.get("error", 0) + 1
    return counts, "\n".join(lines[-60:]) + ended.stderr[-2000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="*", help="par2, s3_classes, or tarragon-par2; all plugins unless given")
    parser.add_argument("--wheels", metavar="FOLDER", type=Path, help="build all wheels there, and nothing else")
    parser.add_argument("--keep", action="store_true", help="leave the environments in the temporary folder")
    given = parser.parse_args()
    every = {each.name: each for each in packages()}
    if given.wheels:
        shutil.rmtree(given.wheels, ignore_errors=True)
        given.wheels.mkdir(parents=True)
        for each in every.values():
            print(build(each.folder, given.wheels).name, flush=True)
        return 0
    short = [name.replace("_", "-") for name in given.package]
    wanted = [name if name in every else f"tarragon-{name}" for name in short]
    wanted = wanted or [each.name for each in packages("plugins/*")]
    if missing := [name for name in wanted if name not in every]:
        parser.error(f"no package '{missing[0]}' in this tree")
    fared = []
    with tempfile.TemporaryDirectory(prefix="tarragon-wheels-") as place:
        needed = {*wanted, *ALWAYS, *(need for name in wanted for need in of_the_tree(every[name], every))}
        wheels = {name: build(every[name].folder, Path(place)) for name in sorted(needed)}
        for name in wanted:
            fared.append(alone(every[name], every, wheels, given.keep))
            print(fared[-1], flush=True)
            if fared[-1].wrong:
                print(fared[-1].wrong, flush=True)
    failed = [each.package for each in fared if each.wrong]
    print(f"{len(fared) - len(failed)} of {len(fared)} packages pass alone", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
