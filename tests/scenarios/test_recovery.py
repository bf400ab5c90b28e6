"""A backup is restored by contrib/recovery/recover.sh, with nothing but tar, gpg, gunzip and rdiff."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import golden_set
import pytest
from golden_set import Golden
from programs import CHECKOUT, ENCRYPT_KEY, IS_ROOT, SIGN_KEY, Household, Program, describe, judged, ownership
from trees import Tree

SCRIPT = CHECKOUT / "contrib" / "recovery" / "recover.sh"
OLD_NAMES = ("legacy-", "prefix", "root-is-file", "par2")  # what the script leaves to a person with docs/recovery.md
TOOLS = ("bash", "tar", "gpg", "gzip", "gunzip", "rdiff", "awk", "find", "grep", "sed") + (
    "cat", "chmod", "chown", "cut", "dirname", "head", "ls", "mkdir", "mktemp", "mv", "rm", "sha1sum", "stat", "tac",
    "tail", "touch",
)  # fmt: skip
READABLE = [g for g in golden_set.golden_set() if not g.is_damaged and not g.name.startswith(OLD_NAMES)]

pytestmark = [
    pytest.mark.skipif(not shutil.which("rdiff"), reason="rdiff is not here"),
    pytest.mark.skipif(not IS_ROOT, reason="owners and devices come back only for root"),
]


def recover(home: Household, repo: Path, out: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script; nothing of Tarragon, of duplicity or of Python is on its path."""
    tools = home.folder / "tools"
    if not tools.exists():
        tools.mkdir()
        for name in TOOLS:
            (tools / name).symlink_to(str(shutil.which(name)))
    passphrase = {name: value for name, value in environment.items() if name == "PASSPHRASE"}
    return subprocess.run(
        ["bash", SCRIPT, repo, out],
        env=home.environment() | passphrase | {"PATH": str(tools)},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("golden", [pytest.param(golden, id=golden.name) for golden in READABLE])
def test_what_duplicity_wrote_is_recovered_by_hand(golden: Golden, keyed_home: Household, tmp_path: Path) -> None:
    environment = golden.environment
    if "SIGN_PASSPHRASE" in environment and environment["SIGN_PASSPHRASE"] == environment["PASSPHRASE"]:
        environment = {"PASSPHRASE": environment["PASSPHRASE"]}
    ended = recover(keyed_home, golden.repo, tmp_path / "out", environment)
    equal, difference = judged(golden.moments[-1].expected, tmp_path / "out", *ownership())
    assert equal, f"{difference}\n{ended}"
    assert ended.returncode == 0, ended


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        pytest.param(("--no-encryption", "--volsize", "1"), {}, id="gzip"),
        pytest.param(("--no-encryption", "--no-compression"), {}, id="plain"),
        pytest.param(("--volsize", "1"), {"PASSPHRASE": "three in the morning"}, id="symmetric"),
        pytest.param(
            ("--encrypt-key", ENCRYPT_KEY, "--sign-key", SIGN_KEY),
            {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"},
            id="signed",
        ),
    ],
)
def test_what_we_wrote_is_recovered_by_hand(
    options: tuple[str, ...], environment: dict[str, str], program: Program, keyed_home: Household, tmp_path: Path
) -> None:
    tree = Tree(tmp_path / "source", Random(f"{options}"), big=2_500_000)
    tree.grow(25)
    for second, action in enumerate(("full", "incremental", "incremental", "incremental")):
        time = ("--current-time", str(1_700_000_000 + second))
        place = ("--archive-dir", tmp_path / "cache", *time, *options)
        url = f"file://{tmp_path}/repo"
        answer = keyed_home.run(program, action, *place, tmp_path / "source", url, env=environment)
        assert answer.status == 0, answer
        describe(tmp_path / "source", tmp_path / "expected.tsv")
        tree.edit(12)
    ended = recover(keyed_home, tmp_path / "repo", tmp_path / "out", environment)
    equal, difference = judged(tmp_path / "expected.tsv", tmp_path / "out", *ownership())
    assert equal, f"{difference}\n{ended}"
    assert ended.returncode == 0, ended


def test_a_damaged_volume_is_named_and_the_rest_is_recovered(home: Household, tmp_path: Path) -> None:
    repo = CHECKOUT / "tests" / "golden" / "corrupt-volume" / "repo"
    ended = recover(home, repo, tmp_path / "out", {})
    assert ended.returncode == 1
    assert "duplicity-full.20231114T221320Z.vol2.difftar.gz' is damaged" in ended.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["d-onemore", "dir", "m-new", "z-last"]
