"""Terminal sessions, 80 columns by 24 lines, in tmux: what a person sees. As a program it writes docs/terminal.md.

    .venv/bin/python tests/judge/terminal.py

The clock, sizes and speeds in it are those of the machine it ran on.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "terminal.md"
COLUMNS, LINES = 80, 24
_PROMPT = "$ "
_WAIT_S = 60


class Session:
    """A terminal with a shell in it. ``bin`` is the folder of the program; everything else it sees is in ``home``."""

    def __init__(self, home: Path, bin: Path) -> None:
        self._socket = f"tarragon-{os.getpid()}-{time.monotonic_ns()}"
        env = {
            "PATH": f"{bin}:/usr/bin:/bin", "HOME": str(home), "TERM": "screen", "LANG": "C.UTF-8", "PS1": _PROMPT,
            "TZ": "UTC",
        }  # fmt: skip
        words = ["env", "-i", *(f"{name}={value}" for name, value in env.items()), "bash", "--norc", "--noprofile"]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        self._tmux("new-session", "-d", "-s", "s", *size, "-c", str(home), shlex.join(words))
        self.until(_is_back)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-f", "/dev/null", "-L", self._socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "s", "-l", text)
        self._tmux("send-keys", "-t", "s", "Enter")
        time.sleep(0.4)  # until the shell has taken it, the screen is the old one

    def screen(self) -> str:
        """What stands on the terminal, without empty lines at its end."""
        return self._tmux("capture-pane", "-p", "-t", "s").rstrip()

    def until(self, found: Callable[[str], bool]) -> str:
        """Wait until the screen is as wanted. Raises TimeoutError with what is there."""
        end = time.monotonic() + _WAIT_S
        while True:
            screen = self.screen()
            if found(screen):
                return screen
            if time.monotonic() > end:
                raise TimeoutError(screen)
            time.sleep(0.1)

    def run(self, line: str, *answers: str) -> str:
        """Type a line; each answer when a prompt for it stands there; the screen when the shell is back."""
        self.type(line)
        for count, answer in enumerate(answers, 1):
            self.until(lambda screen, count=count: screen.count("passphrase") >= count and screen.endswith(":"))
            self.type(answer)
        return self.until(_is_back)

    def while_running(self, line: str, wanted: str) -> str:
        """Type a line; the screen as soon as ``wanted`` stands on it, with the run still going on."""
        self.type(line)
        return self.until(lambda screen: wanted in screen)


def _is_back(screen: str) -> bool:
    """Whether the shell waits for a line."""
    return screen.splitlines()[-1:] == [_PROMPT.rstrip()]


def place(home: Path) -> None:
    """A small source, and a larger one."""
    for name, size in (
        ("papers/thesis.tex", 40_000),
        ("papers/scans/a.pdf", 1_400_000),
        ("papers/scans/b.pdf", 900_000),
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    for number in range(12):
        path = home / "films" / f"{number}.mkv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(12_000_000))


def pages(home: Path, bin: Path) -> Sequence[tuple[str, str, str]]:
    """(title, what to see, screen) of every session."""
    found = []
    secret = "export PASSPHRASE='open sesame'"

    def session(title: str, text: str, line: str, *answers: str, before: Sequence[str] = ()) -> None:
        with Session(home, bin) as terminal:
            for each in before:
                terminal.run(each)
            terminal.run("clear")
            found.append((title, text, terminal.run(line, *answers)))
            print(title, flush=True)

    session("Help of one action", "Its first screen.", "tarragon restore --help | head -22")
    session(
        "A first backup",
        "The passphrase is asked for twice, and not shown.",
        "tarragon backup --volsize 1 papers file://disk",
        "open sesame",
        "open sesame",
    )
    with Session(home, bin) as terminal:
        line = "tarragon full --no-encryption --volsize 4 --progress --limit-upload 24000 films file://films.backup"
        screen = terminal.while_running(line, " left")
        found.append(("A backup under way", "One line, kept up to date; it is gone when the run ends.", screen))
        terminal.until(lambda screen: "Errors 0" in screen)
    with Session(home, bin) as terminal:
        line = "tarragon full --no-encryption --volsize 4 --limit-upload 24000 films file://films.other"
        screen = terminal.while_running(line, "/s, 0:0")
        about = (
            "How much is new nobody knows before the source was looked at: without --progress no time left is made up."
        )
        found.append(("A backup under way, without --progress", about, screen))
        terminal.until(lambda screen: "Errors 0" in screen)
    with Session(home, bin) as terminal:
        line = "tarragon restore --no-encryption --limit-download 24000 file://films.backup films.again"
        screen = terminal.while_running(line, " left")
        found.append(("A restore under way", "What is left is told from the volumes.", screen))
        terminal.until(lambda screen: "were restored" in screen)
    session(
        "A wrong passphrase",
        "What happened, what GnuPG said, what can be done.",
        "tarragon restore file://disk papers.again",
        "open says me",
    )
    session("A restore that goes well", "", "tarragon restore file://disk papers.again", before=[secret])
    session("A target that is not empty", "", "tarragon restore file://disk papers", before=[secret])
    volume = "disk/*vol2.difftar.gpg"
    session(
        "A volume that is missing",
        "What can be had is restored, what cannot is named.",
        "tarragon restore file://disk rest; echo status $?",
        before=[secret, f"mv {volume} kept"],
    )
    name = next((home / "disk").glob("*vol1.difftar.gpg")).name.replace("vol1", "vol2")
    (home / "kept").rename(home / "disk" / name)
    session("A mistyped option", "", "tarragon backup --vol-size 1 papers file://disk")
    session("A mistyped URL", "", "tarragon restore file://dsik papers.again", before=[secret])
    session("A scheme that nothing handles", "", "tarragon backup papers hdfs://cluster/papers")
    session("A path that is not in the backup", "", "tarragon restore -r thesis.tx file://disk t", before=[secret])
    session(
        "A temporary folder that is not there",
        "",
        "tarragon backup --tempdir /mnt/tmp papers file://disk",
        before=[secret],
    )
    session("A dry run", "", "tarragon backup --dry-run papers file://other --no-print-statistics", before=[secret])
    session(
        "Which option decides",
        "",
        "tarragon explain --exclude '**/scans' papers papers/scans/a.pdf papers/thesis.tex",
    )
    session("A check", "", "tarragon check --full file://disk", before=[secret])
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        place(home)
        text = (
            "# What a person sees\n\nTerminal sessions at 80 columns by 24 lines, captured from tmux by "
            "`tests/judge/terminal.py`. The\nline of a run under way is drawn on terminals only; in a log or a mail "
            "there is nothing of it.\n`tests/scenarios/test_terminal.py` looks at some of them again.\n"
        )
        for title, about, screen in pages(home, Path(sys.executable).parent):
            text += f"\n## {title}\n\n" + (f"{about}\n\n" if about else "") + f"```text\n{screen}\n```\n"
    PAGE.write_text(text.replace(folder, "/home/me"), encoding="utf-8")


def is_possible() -> bool:
    return shutil.which("tmux") is not None


if __name__ == "__main__":
    main()
