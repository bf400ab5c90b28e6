"""Start-up with forty plugins installed: what is imported, and what it costs (docs/architecture.md, start-up budget).

The plugins are generated into a temporary folder on the path of imports, with metadata as an installer writes it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys

import pytest

COUNT = 40
#: What the dummies claim, in turn; not observers, which every run is there for.
KINDS = ("backend", "wrapper", "compressor", "cipher", "suffix", "filter", "stats", "executor", "command", "report")
PLUGIN = """\
import json
from tarragon.api import TARRAGON_API, Option, hookimpl
TARRAGON_API = TARRAGON_API

@hookimpl
def options():
    return [Option(flag="--dummy-{number}-%s" % word, help="of no use") for word in ("one", "two", "three")]

@hookimpl
def open_backend(url):
    from tarragon_dummy{number} import backend
"""
#: Prints what a run of ours imported, to a file that the environment names.
WATCH = """\
import atexit, json, os, sys
if os.environ.get("IMPORTED"):
    atexit.register(lambda: open(os.environ["IMPORTED"], "w").write(json.dumps(sorted(sys.modules))))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with forty distributions, four of each kind."""
    place = tmp_path_factory.mktemp("site")
    for number in range(COUNT):
        package = place / f"tarragon_dummy{number}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "backend.py").write_text("import sqlite3, xml.dom.minidom\n")
        (package / "plugin.py").write_text(PLUGIN.replace("{number}", str(number)))
        info = place / f"tarragon_dummy{number}-1.0.dist-info"
        info.mkdir()
        described = f"Metadata-Version: 2.1\nName: tarragon-dummy{number}\nVersion: 1.0\nRequires-Dist: tarragon-core\n"
        (info / "METADATA").write_text(described)
        kind = KINDS[number % len(KINDS)]
        (info / "entry_points.txt").write_text(f"[tarragon.{kind}]\ndummy{number} = tarragon_dummy{number}.plugin\n")
        (info / "INSTALLER").write_text("pip\n")
        files = [f"{package.name}/{name}.py,," for name in ("__init__", "backend", "plugin")]
        (info / "RECORD").write_text("\n".join([*files, f"{info.name}/METADATA,,", ""]))
    (place / "watch_imports.py").write_text(WATCH)
    return place


class Machine:
    """Runs of ours, with a home of their own."""

    def __init__(self, installed, home):
        self.home = home
        paths = [str(installed)]
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home),
            "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": os.pathsep.join(paths), "LANG": "C.UTF-8",
        }  # fmt: skip

    def imported(self, *words):
        """The modules that a command line imports; it must succeed."""
        report = self.home / "imported.json"
        code = "import watch_imports, sys; from tarragon.cli.main import main; sys.exit(main(sys.argv[1:]))"
        ended = subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**self.env, "IMPORTED": str(report)},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return set(json.loads(report.read_text()))

    def cpu(self, *words):
        """CPU seconds of one run, its children with it."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run([sys.executable, *words], env=self.env, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ended.returncode == 0, ended.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def machine(installed, tmp_path):
    return Machine(installed, tmp_path)


def plugins(modules):
    """The packages of plugins among modules, the dummies as one."""
    found = {name.partition(".")[0] for name in modules if name.startswith("tarragon_")}
    return {"dummy" if name.startswith("tarragon_dummy") else name.removeprefix("tarragon_") for name in found}


@pytest.fixture
def full(tmp_path):
    """A command line that backs an empty folder up."""
    (tmp_path / "source").mkdir()
    return ["full", "--no-encryption", str(tmp_path / "source"), f"file://{tmp_path}/target"]


@pytest.mark.requirement("R65")
def test_the_dummies_are_seen(machine):
    code = (
        "import sys; from tarragon.plugin import finder; "
        "print(len([n for kind in sys.argv[1:] for n in finder.names(kind) if n.startswith('dummy')]))"
    )
    line = [sys.executable, "-c", code, *KINDS]
    ended = subprocess.run(line, env=machine.env, capture_output=True, text=True, check=True)
    assert str(COUNT) == ended.stdout.strip()


def test_the_version_imports_no_plugin_and_nothing_that_finds_them(machine):
    modules = machine.imported("--version")
    assert set() == plugins(modules)
    assert set() == modules & {"pluggy", "stevedore", "importlib.metadata", "argparse", "tarragon.api"}


def test_a_run_imports_its_own_plugins_and_no_others(machine, full):
    modules = machine.imported(*full)
    assert plugins(modules) <= {"file", "gzip", "plain", "stats", "executors", "librsync"}
    assert {"file", "gzip"} <= plugins(modules)


def test_what_a_backup_to_a_folder_has_no_use_for_is_not_imported(machine, full):
    never = {
        "requests",
        "urllib.request",
        "http.client",
        "ssl",
        "email.mime",
        "xml",
        "sqlite3",
        "multiprocessing",
        "asyncio",
    }
    assert set() == machine.imported(*full, "--concurrency", "0") & never


def test_a_plugins_sdk_is_not_imported_for_its_options(machine):
    """For --help the modules of all plugins are loaded: their entry-point modules, and nothing behind those."""
    modules = machine.imported("--help")
    assert "dummy" in plugins(modules)
    assert not [name for name in modules if name.startswith("tarragon_dummy") and name.endswith(".backend")]
    assert "sqlite3" not in modules


BUDGET = {"--version": 10, "--help": 15, "full": 20}


@pytest.mark.parametrize("what", sorted(BUDGET))
def test_cpu_time_stays_within_its_multiple_of_the_bare_interpreter(machine, full, what):
    words = full if what == "full" else [what]
    if what == "full":
        words = [*full, "--concurrency", "0"]
    machine.cpu("-m", "tarragon", *words)  # bytecode is written once
    best = float("inf")
    for _ in range(3):  # another process on the same core can only make it slower
        bare = statistics.median(machine.cpu("-c", "pass") for _ in range(5))
        ours = min(machine.cpu("-m", "tarragon", *words) for _ in range(5))
        best = min(best, ours / bare)
        if best <= BUDGET[what]:
            break
    assert best <= BUDGET[what]
