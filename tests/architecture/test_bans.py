"""What no shipped source may do: run a shell, unpack by path strings, or execute what was read (R1, R29, R37)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for top in ("core/src", "librsync_ext", "plugins/*/src", "contrib", "tests/testkit/src")
    for folder in CHECKOUT.glob(top)
    for path in folder.rglob("*.py")
    if "tests" not in path.relative_to(folder).parts and "build" not in path.relative_to(folder).parts
)

#: Never called or named, by their full names.
NEVER = {
    "os.system", "os.popen", "os.popen2", "os.spawnl", "os.spawnlp", "os.spawnv", "os.spawnvp", "commands.getoutput",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "pty.spawn",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "marshal.load", "marshal.loads", "shelve.open",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "builtins.eval", "builtins.exec",
}  # fmt: skip
#: Never imported at all: they load code, or objects that are code.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "commands", "pipes"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
#: Of a tar file: they go by path strings and follow links.
EXTRACTS = {"extract", "extractall"}

#: Where objects travel between processes of one run, over a pipe of its own, or to nowhere: nothing is read from disk
#: or from the network.
TRAVELS = {
    "plugins/executors/src/tarragon_executors/processes.py",
    "tests/testkit/src/tarragon_testkit/codec_contract.py",
}


def dotted(node):
    """The full name of ``a.b.c``, or an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def is_true(node):
    return not (isinstance(node, ast.Constant) and node.value is False)


def breaches(source):
    """What a source does that it must not, with the lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names if name.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {f"{node.module}.{name.name}" for name in node.names}
            if (node.module or "").partition(".")[0] in MODULES or names & NEVER:
                found.append((node.lineno, node.module))
        elif isinstance(node, ast.Attribute) and dotted(node) in NEVER:
            found.append((node.lineno, dotted(node)))
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            shells = [word for word in node.keywords if word.arg == "shell" and is_true(word.value)]
            if name in BUILTINS or shells:
                found.append((node.lineno, name or "shell=True"))
            if isinstance(node.func, ast.Attribute) and node.func.attr in EXTRACTS:
                found.append((node.lineno, node.func.attr))
    return found


def test_all_that_is_shipped_is_looked_at():
    tops = {path.relative_to(CHECKOUT).parts[0] for path in SOURCES}
    assert {"core", "librsync_ext", "plugins", "tests"} <= tops
    assert len(SOURCES) > 90


@pytest.mark.requirement("R29")
@pytest.mark.requirement("R37")
@pytest.mark.requirement("R1")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_source_does_nothing_that_is_banned(source):
    found = breaches(source.read_bytes())
    if str(source.relative_to(CHECKOUT)) in TRAVELS:
        found = [(line, what) for line, what in found if what.partition(".")[0] != "pickle"]
    assert found == []


@pytest.mark.parametrize(
    "bad",
    [
        "import os\nos.system('x')", "from os import system", "import subprocess\nsubprocess.run('x', shell=True)",
        "subprocess.run('x', shell=flag)", "Popen(x, shell=1)", "import pickle", "from pickle import loads",
        "eval(x)", "exec(x)", "yaml.load(x)", "from yaml import load", "archive.extractall()", "archive.extract(m, p)",
        "import marshal", "from subprocess import getoutput", "__import__(name)", "call = os.popen",
    ],
)  # fmt: skip
def test_each_breach_would_be_noticed(bad):
    assert breaches(bad)


@pytest.mark.parametrize(
    "good", ["subprocess.run(['x'], shell=False)", "archive.extractfile(m)", "re.compile(x)", "yaml.safe_load(x)"]
)
def test_what_is_fine_is_not_complained_of(good):
    assert breaches(good) == []
