#!/usr/bin/env python3
"""Run the contract of every backend on its real server, and write the table of what came of it.

    python tests/contracts/contract_table.py --page docs/contracts.md [--only s3,sftp]

A contract is a class of ``plugins/*/tests/test_*contract*.py`` or of the testkit's own stores. Each file is one run of
pytest; what its report says is counted by class. Exit status 1 when a promise is broken that nobody knows of.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))  # plain modules

import servers_environment

CHECKOUT = Path(__file__).resolve().parents[2]

#: What a contract runs on: a word of the class's name → the server, and the command that tells its version.
SERVERS = (
    ("Moto", "moto", ("python", "-c", "import moto; print(moto.__version__)")),
    ("Rclone", "rclone serve s3", ("rclone", "version")),
    ("Seaweedfs", "SeaweedFS", ("weed", "version")),
    ("Ministack", "MiniStack", ("python", "-c", "from importlib.metadata import version; print(version('ministack'))")),
    ("Radosgw", "Ceph radosgw", ("radosgw", "--version")),
    ("Sftp", "OpenSSH", ("sshd", "-V")),
    ("Scp", "OpenSSH", ("sshd", "-V")),
    ("Xorriso", "xorriso", ("xorriso", "--version")),
    ("Par2File", "a folder; par2cmdline", ("par2", "-V")),
    ("Par2", "the testkit's memory; par2cmdline", ("par2", "-V")),
)
_FOLDER, _MEMORY = f"a folder, Linux {platform.release()}", "the testkit's memory"
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.-]*|\d+\.\d+\w*")


@dataclass
class Row:
    passed: int = 0
    skipped: int = 0
    known: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reasons: set[str] = field(default_factory=set)


def server_of(name: str) -> str:
    """The server of a class, with its version as it is installed here."""
    for word, server, command in SERVERS:
        if word in name:
            try:
                told = subprocess.run(
                    command, capture_output=True, text=True, env={"PATH": f"{servers_environment.path()}:/usr/sbin"}
                )
            except OSError:
                return f"{server} (not installed here)"
            found = _VERSION.search(told.stdout + told.stderr)
            return f"{server} {found[0]}" if found else server
    return _FOLDER if re.search("File|Folder", name) else _MEMORY


def run(file: Path) -> dict[str, Row]:
    """The contracts of one file, by class."""
    rows: dict[str, Row] = defaultdict(Row)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(file)]
        env = {**os.environ, "TARRAGON_ALL_SERVERS": "1"}
        subprocess.run(words, cwd=CHECKOUT, capture_output=True, check=False, env=env)
        root = ElementTree.parse(report).getroot()
    for case in root.iter("testcase"):
        row = rows[case.get("classname", "").rpartition(".")[2]]
        row.seconds += float(case.get("time", 0))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            row.failed.append(case.get("name", ""))
        elif skipped is None:
            row.passed += 1
        elif skipped.get("type") == "pytest.xfail":
            row.known += 1
            row.reasons.add(skipped.get("message", ""))
        else:
            row.skipped += 1
    return rows


HEAD = """# Contracts

What the testkit's contracts say of every backend on its real server, counted by `tests/contracts/contract_table.py` on
one slow machine that did other things too: the times compare with each other, not with yours. Skipped are the promises
of capabilities that are not claimed, and servers that were not installed. Known failures have their reasons below.

| plugin | contract | on | kept | skipped | known failures | broken | seconds |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="The table of contracts.")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--only", default="", help="names of plugins")
    options = parser.parse_args()
    lines, reasons, broken = [], set[str](), []
    for file in sorted(CHECKOUT.glob("plugins/*/tests/test_*contract*.py")):
        plugin = file.parents[1].name
        text = file.read_text()
        if not re.search(r"(Backend|Wrapper)Contract", text) or (
            options.only and plugin not in options.only.split(",")
        ):
            continue
        for name, row in run(file).items():
            where = server_of(name)
            figures = f"{row.passed} | {row.skipped} | {row.known} | {len(row.failed)} | {row.seconds:.0f}"
            lines.append(f"| {plugin} | {name} | {where} | {figures} |")
            reasons |= {f"{plugin}: {reason}" for reason in row.reasons}
            broken += [f"{plugin} {name}: {each}" for each in row.failed]
            print(lines[-1], flush=True)
    parts = [HEAD + "\n".join(lines) + "\n"]
    for title, words in (("Known failures", sorted(reasons)), ("Broken", broken)):
        if words:
            parts.append(f"## {title}\n\n" + "\n".join(f"- {word}" for word in words) + "\n")
    options.page.write_text("\n".join(parts))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
