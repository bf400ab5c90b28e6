"""Command lines from the field (real_commands.txt), as written and moved into a sandbox.

As written, for acceptance alone: a scheme whose package is not installed but known counts as accepted. Moved, whole, on
the real duplicity and on ours: every absolute path below a small tree, every URL to ``file://``. A sample of the moved
lines; TARRAGON_LINES=all runs them all.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import programs
import pytest
from pair import DROP_IN, Observed, Pair, Side, stored, told
from tarragon.api.errors import UnknownScheme, UserError
from tarragon.api.url import is_url, parse_url
from tarragon.cli import words as cli_words
from tarragon.cli.first import first_pass
from tarragon.cli.in_use import InUse
from tarragon.cli.parser import CORE, grammar_of, parse, times_read
from tarragon.plugin import finder
from tarragon.plugin.hub import Hub
from tarragon.plugin.known import OPTIONS, TAKES, package_for

HERE = Path(__file__).parent
NOW = 1_706_745_600  # 2024-02-01


class Line(NamedTuple):
    """One line of the file: ``ok`` is what duplicity's parser answers."""

    text: str
    ok: bool
    env: dict[str, str]
    words: list[str]


def lines() -> list[Line]:
    found = []
    for raw in (HERE / "real_commands.txt").read_text(encoding="utf-8").splitlines():
        if raw.startswith("#"):
            continue
        text, _, answer = raw.partition("  # ")
        words = shlex.split(text)
        env = dict(word.split("=", 1) for word in words[: words.index("duplicity")])
        found.append(Line(text, answer.startswith("ok"), env, words[words.index("duplicity") + 1 :]))
    return found


LINES = lines()
#: Refused by duplicity, accepted by us on purpose (docs/cli.md § 10, docs/wrappers.md § 4): a word of the line → why.
KINDER = {"-oIdentityFile=/root/.ssh/id_dsa": "a value of --ssh-options may begin with -o"}
#: duplicity's parser takes the URL, and then refuses its scheme since 2.0.
GONE = ("s3+http://",)


def understood(words: list[str]) -> str:
    """Read a line as the program does, to the end of its checks; the scheme of its URL. Raises UserError."""
    rest = first_pass(words, [])
    in_use = InUse(Hub(), logging.getLogger("lines"))
    in_use.choose(rest, grammar_of(CORE), commands=False)
    try:
        parsed = times_read(parse(rest, in_use, {}), NOW)
    except UserError as err:
        if "is not installed" not in err.message:
            raise
        return err.message  # known, and answered with the package
    line = cli_words.read(parsed.rest, NOW)
    assert line.url is not None
    url = line.url.removeprefix("gio+")
    scheme = parse_url(url, finder.names("backend"), finder.names("wrapper")).scheme
    if scheme not in finder.names("backend") and not package_for("backend", scheme):
        raise UnknownScheme(f"nobody knows '{scheme}://'")
    return scheme


def test_there_are_lines():
    assert len(LINES) > 35
    assert sum(not line.ok for line in LINES) == 4


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.text[:70])
def test_a_line_as_written_is_accepted_where_duplicity_accepts_it(line, monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: True)  # of somebody else's machine
    if line.ok or any(word in KINDER for word in line.words):
        if any(word.startswith(GONE) for word in line.words):
            with pytest.raises(UnknownScheme):
                understood(line.words)
            return
        assert understood(line.words)
    else:
        with pytest.raises(UserError, match="removed|there is no option"):
            understood(line.words)


# -- moved into a sandbox ----------------------------------------------------------------------------------------------

TREE = """
etc/passwd home/user/file home/user/dir/x home/user/.cache/y home/user/Downloads/z home/user-data/a
home/user-data/backup/b home/user-data/owncloud-backup/c var/lib/q var/data/config/r var/data/config/duplicity/s
proc/1 sys/2 tmp/3 mnt/4 BACKUP/5 srv/data/6 data/7 var/backups/mysql/8 home/.DS_Store etc/.DS_Store
home/user/.gnupg/k"""
KEYS = {"0123ABCD": programs.ENCRYPT_KEY, "89EF4567": programs.SIGN_KEY}
#: What a backup and the lines that read it must have in common.
SHAPING = {"--name", "--archive-dir", "--encrypt-key", "--sign-key", "--encrypt-sign-key", "--hidden-encrypt-key"}
SHAPING |= {"--no-encryption", "--gpg-options", "--tempdir"}
SHAPING |= {f"--file-prefix-{kind}" for kind in ("archive", "manifest", "signature")}
MAKING = ("backup", "full", "incr", "incremental")
WRITTEN = {"inc": "incremental", "incr": "incremental"}
CHOSEN = LINES if os.environ.get("TARRAGON_LINES") == "all" else LINES[::7]


def grow(root: Path) -> None:
    for number, name in enumerate(TREE.split()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    profile = root / "etc" / "duply" / "profile"
    profile.mkdir(parents=True)
    (profile / "exclude").write_text(f"# not kept\n- {root}/proc\n\n+ {root}/etc\n- {root}/home/user/Downloads\n")
    (root / "etc" / "dup.list").write_text(f"{root}/etc\n")


class Moved:
    """A line with every place in the sandbox."""

    def __init__(self, line: Line, root: Path) -> None:
        self.root = root
        self.env = line.env
        self.words: list[str] = []
        self.shaping: list[str] = []
        self.local: str | None = None
        flag = None
        for word in line.words:
            name, equals, value = word.partition("=")
            if flag is not None:
                new = [self.value(flag, word)]
                known, flag = flag, None
                self._keep(known, [known, *new])
            elif name in TAKES and equals:
                new = [f"{name}={self.value(name, value)}"]
                self._keep(name, new)
            elif word in TAKES and TAKES[word]:
                new, flag = [word], word
            elif word in TAKES:
                new = [word]
                self._keep(word, new)
            else:
                new = [self.positional(word, restoring="restore" in line.words)]
            self.words += new

    def _keep(self, flag: str, words: list[str]) -> None:
        if flag in SHAPING:
            self.shaping += words

    def positional(self, word: str, *, restoring: bool) -> str:
        if is_url(word):
            return "file://@to"
        if word.startswith("/") and restoring:
            return f"@out{word}"
        if word.startswith("/"):
            self.local = self.below(word)
            return self.local
        return word

    def below(self, path: str) -> str:
        return f"{self.root}{path}".rstrip("/") if path != "/" else str(self.root)

    def value(self, flag: str, value: str) -> str:
        if flag == "--archive-dir":
            return "@home/archive"
        if flag == "--tempdir":
            return "@home/tmp"
        if flag == "--log-file":
            return "@home/of-the-line.log"
        if flag == "--log-fd":
            return "1"
        if flag == "--gpg-options":
            return value.replace("/root/.gnupg", "@home/gnupg")
        value = KEYS.get(value, value)
        return (
            self.below(value) if value.startswith("/") and flag not in ("--ssh-options", "--rsync-options") else value
        )

    @property
    def action(self) -> str:
        actions = {*cli_words.ACTIONS, *cli_words.ALIASES}
        return next((word for word in self.words if word in actions), "backup")


def passphrases(moved: Moved) -> dict[str, str]:
    """Those of the golden keys; the first is as good as any where there is no key."""
    pairs = list(zip(moved.shaping, moved.shaping[1:], strict=False))
    signs = f"--sign-key={programs.SIGN_KEY}" in moved.shaping or ("--sign-key", programs.SIGN_KEY) in pairs
    return {"PASSPHRASE": "encpass"} | ({"SIGN_PASSPHRASE": "signpass"} if signs else {}) | moved.env


def prepare(pair: Pair, moved: Moved) -> None:
    """The backups that a line reads: an old chain, and a newer one with an increment."""
    source = moved.local if moved.action == "verify" and moved.local else str(moved.root)
    for then, action in ((NOW - 62 * 86400, "full"), (NOW - 9 * 86400, "full"), (NOW - 7 * 86400, "incremental")):
        words = [action, *moved.shaping, "--allow-source-mismatch", source, "file://@to"]
        for run in pair.run(*words, f"--current-time={then}", clock=False, **passphrases(moved)):
            assert run.status == 0, run.out + run.err


def entries(side: Side, moved: Moved) -> list[str]:
    """What the newest backup of a side holds, listed by ours."""
    words = ["list-current-files", "-v0", "--archive-dir=@home/fresh", *moved.shaping, "file://@to"]
    shaping = [word for word in words if not word.startswith("--archive-dir=@home/archive")]
    run = Side(DROP_IN, side.home).run(shaping, moved.root, passphrases(moved))
    return [record.head for record in run.records if record.head.startswith("INFO 10 ")]


@pytest.fixture
def pair(tmp_path: Path, real: programs.Program) -> Iterator[Pair]:
    root = tmp_path / "root"
    grow(root)
    with Pair(root, real) as found:
        for side in found.sides:
            side.home.import_golden_keys()
            (side.home.folder / "archive").mkdir()
        yield found


def needs(line: Line) -> set[str]:
    """Packages that take options of the line and are not installed."""
    table = {**CORE, **_options()}
    flags = {word.partition("=")[0] for word in line.words if word.startswith("--")}
    return {OPTIONS[flag] for flag in flags if flag in OPTIONS and flag not in table and not flag.startswith("--help")}


def _options():
    in_use = InUse(Hub(), logging.getLogger("lines"))
    in_use.ask_all()
    return in_use.options()


@pytest.mark.slow
@pytest.mark.parametrize("line", CHOSEN, ids=lambda line: line.text[:70])
def test_a_line_does_in_a_sandbox_what_it_does_with_duplicity(line, pair):
    kinder = next((why for word, why in KINDER.items() if word in line.words), "")
    if kinder:
        pytest.skip(f"accepted here alone: {kinder}")
    away = needs(line)
    if away and "--ssh-options ''" not in line.text:
        pytest.skip(f"needs {', '.join(sorted(away))}, which is not installed")
    moved = Moved(line, pair.place)
    if moved.action not in MAKING:
        prepare(pair, moved)
    env = passphrases(moved)
    theirs, ours = pair.run(*moved.words, f"--current-time={NOW}", clock=False, **env)
    assert ours.status == theirs.status, ours.out + ours.err + theirs.out + theirs.err
    assert stored(ours) == stored(theirs)
    assert answers(ours) == answers(theirs)
    if moved.action in MAKING and ours.status == 0 and "--dry-run" not in moved.words:
        theirs_list, ours_list = pair.both(lambda side: entries(side, moved))
        assert ours_list
        assert ours_list == theirs_list


def answers(run: Observed) -> list[str]:
    """The records, and what a line with ``--log-fd 1`` or ``--jsonstat`` prints for programs."""
    found = told(run)
    count = re.search(r'"no_of_inc": (\d+)', run.out)
    return [*found, count[0] if count else ""]
