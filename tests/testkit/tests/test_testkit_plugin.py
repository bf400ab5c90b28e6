from __future__ import annotations

import subprocess
import sys

CODE = "import sys, tarragon_testkit.pytest_plugin; print([m for m in sys.modules if m.startswith('tarragon')])"

FREE = """
import importlib, sys
sys.modules["pytest"] = None  # whoever imports it fails
for name in ("contract wrapper_contract codec_contract executor_contract filter_contract plugin_contract stateful "
             "check_backend fakes context wiring plugin").split():
    importlib.import_module(f"tarragon_testkit.{name}")
print("free")
"""

FAILING = """
from tarragon_testkit import BackendContract, MemoryBackend


class KeepsOld(MemoryBackend):
    def put(self, name, source, role):
        if name not in self.objects:
            super().put(name, source, role)


class TestKeepsOld(BackendContract):
    known_failures = {"a_deleted_name_can_be_used_again": "it can"}

    def connect(self, tmp_path, context):
        return KeepsOld(self.__dict__.setdefault("objects", {}))
"""


def test_pytest_pays_for_nothing_that_it_does_not_use():
    run = subprocess.run([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.strip() == "['tarragon_testkit', 'tarragon_testkit.pytest_plugin']"


def test_the_checks_and_the_command_need_no_pytest():
    run = subprocess.run([sys.executable, "-c", FREE], capture_output=True, text=True)
    assert run.stdout.strip() == "free", run.stderr


def test_a_broken_promise_is_reported_by_its_name_with_the_values_that_differ(tmp_path):
    (tmp_path / "test_box.py").write_text(FAILING)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    report = subprocess.run(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path).stdout
    assert "test_promise[a_put_replaces_what_was_there]" in report
    assert "[XPASS(strict)] it can" in report
    assert "where False = eventually(" in report
