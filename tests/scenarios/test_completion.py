"""Completion in real shells, and the manual page before its own judges. What a machine lacks is skipped."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from programs import CHECKOUT

FOLDER = CHECKOUT / "contrib" / "completions"
PAGE = CHECKOUT / "docs" / "man" / "tarragon.1"


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two profiles, and a file to complete."""
    folder = tmp_path / "config" / "tarragon"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[profile.home]\nsource = '/'\n[profile.home.options]\n[profile.nas]\n")
    (tmp_path / "a file").touch()
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "TERM": "xterm",
        "LANG": "C.UTF-8",
    }  # fmt: skip


def by_bash(home: Path, line: str) -> set[str]:
    words = line.split(" ")
    quoted = " ".join(f'"{word}"' for word in ["tarragon", *words])
    script = f'source "{FOLDER}/tarragon.bash"; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _tarragon; ' + (
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "--norc", "-c", script]
    ended = subprocess.run(command, env=environment(home), cwd=home, capture_output=True, text=True, timeout=30)
    return set(filter(None, ended.stdout.split("\n")))


def by_fish(home: Path, line: str) -> set[str]:
    script = f"source {FOLDER}/tarragon.fish; complete -C 'tarragon {line}'"
    command = ["fish", "--no-config", "-c", script]
    ended = subprocess.run(command, env=environment(home), cwd=home, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    return {each.partition("\t")[0] for each in ended.stdout.split("\n") if each}


def by_zsh(home: Path, line: str) -> set[str]:
    """What an interactive zsh shows after a tab, or puts on the line when there is one thing only."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home)
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment(home) | {"PS1": "READY> "})
    seen = b""

    def until(pattern: bytes, wait_s: float) -> None:
        nonlocal seen
        end = time.monotonic() + wait_s
        while time.monotonic() < end and not re.search(pattern, seen):
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)

    try:
        until(rb"READY> ", 20)
        setup = f"fpath=({FOLDER} $fpath); autoload -Uz compinit; compinit -D -u; compdef _tarragon tarragon; "
        setup += "LISTMAX=1000; unsetopt beep; stty rows 200 cols 200; autoload -U _tarragon; print DO''NE\n"
        os.write(terminal, setup.encode())
        until(rb"DONE\r?\n", 30)
        seen = b""
        os.write(terminal, f"tarragon {line}\t".encode())
        until(rb"\x00", 3)
        first = seen
        os.write(terminal, b"\t")
        until(rb"\x00", 2)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b" ", first + seen).decode("utf-8", "replace")
    return set(re.findall(r"[@A-Za-z-][A-Za-z0-9_@-]*", text))


SHELLS = {"bash": by_bash, "fish": by_fish, "zsh": by_zsh}


@pytest.mark.parametrize("shell", SHELLS)
def test_options_actions_and_profiles_are_completed(shell: str, home: Path) -> None:
    needs(shell)
    complete = SHELLS[shell]
    assert "--volsize" in complete(home, "--vols")
    assert "--s3-region-name" in complete(home, "--s3-reg")
    found = complete(home, "rem")
    assert {"remove-older-than", "remove-all-but-n-full", "remove-all-inc-of-but-n-full"} <= found
    assert {"@home", "@nas"} <= complete(home, "@")


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_values_are_completed_by_what_they_are(shell: str, home: Path) -> None:
    needs(shell)
    complete = SHELLS[shell]
    assert {"full", "partial"} <= complete(home, "--metadata-sync-mode ")
    assert any("a" in each and "file" in each for each in complete(home, "--archive-dir a"))
    assert "backup" not in complete(home, "full ")
    assert "check" in complete(home, "@home che")


def test_an_option_without_a_file_for_its_value_offers_none(home: Path) -> None:
    needs("bash")
    assert by_bash(home, "--volsize ") == set()


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("mandoc", ["mandoc", "-Tlint", "-W", "warning", str(PAGE)]),
        ("man", ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(PAGE)]),
    ],
)
def test_the_manual_page_is_clean(program: str, command: list[str], tmp_path: Path) -> None:
    needs(program)
    ended = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    told = ended.stderr + (ended.stdout if program == "mandoc" else "")
    assert (ended.returncode, told) == (0, "")


def test_the_manual_page_fits_a_narrow_terminal(tmp_path: Path) -> None:
    needs("man")
    command = ["man", "-E", "UTF-8", "-l", str(PAGE)]
    env = environment(tmp_path) | {"MANWIDTH": "80", "MANPAGER": "cat", "PAGER": "cat"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    shown = re.sub(".\b", "", ended.stdout)
    assert "--path-to-restore" in shown
    assert not [line for line in shown.splitlines() if len(line) > 80]
