"""What a command line does not need is not imported (docs/architecture.md, start-up budget)."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "argparse",
    "importlib.metadata",
    "multiprocessing",
    "pluggy",
    "requests",
    "stevedore",
    "subprocess",
    "tarfile",
}


def _imported(*words):
    """The modules that a run of ours imports, beyond those of the bare interpreter."""
    code = "import sys; before = set(sys.modules); from tarragon.cli.main import main; main(sys.argv[1:]); "
    code += "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    # -S and an explicit path: the editable installs of a checkout import much before we begin.
    path = [folder for folder in sys.path if folder]
    ended = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {path!r}; {code}", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["full", "--vers", "--volsize", "x"]])
def test_the_version_is_told_without_plugins_and_what_finds_them(words):
    imported = _imported(*words)
    assert not imported & HEAVY
    assert not [name for name in imported if name.startswith(("tarragon.api", "tarragon.plugin", "tarragon_"))]


def test_a_bad_line_imports_no_backend_but_the_one_it_names():
    imported = _imported("full", "/nothing/here", "file:///x", "--no-encryption")
    backends = {name.partition(".")[0] for name in imported if name.startswith("tarragon_")}
    assert backends <= {"tarragon_file", "tarragon_gzip", "tarragon_plain", "tarragon_stats"}
    assert not imported & {"argparse", "multiprocessing", "requests", "urllib.request"}


def _cpu_seconds(*words):
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(("words", "times"), [(["--version"], 10), (["--help"], 15)])
def test_the_budget_in_times_of_the_bare_interpreter_holds(words, times):
    bare = min(_cpu_seconds("-c", "pass") for _ in range(5))
    ours = min(_cpu_seconds("-m", "tarragon", *words) for _ in range(5))
    assert ours <= times * bare
