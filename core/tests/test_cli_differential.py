"""Bad command lines, answered by real duplicity 3.2.1 and by us: the exit status must be the same.

Set TARRAGON_DUPLICITY to the program (``pip install duplicity==3.2.1`` in an environment of its own).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest
from tarragon.cli.main import main

DUPLICITY = os.environ.get("TARRAGON_DUPLICITY", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DUPLICITY, reason="TARRAGON_DUPLICITY does not say where duplicity 3.2.1 is"),
]

# Lines that neither program may get far with: what is wrong is found before the target is looked at.
LINES = """
--s full
--version --volsize x
full --volsize x --ver
full --log
full --comp /nothing file:///x
full --rest x /nothing file:///x
full --help- /nothing file:///x
full --hel /nothing file:///x
--volsize x --help full
full --force=1 /nothing file:///x
full --name -- /nothing file:///x
full -- /nothing file:///x
-- full --volsize x /nothing file:///x
full -- --volsize x file:///x
full --log-file -x /nothing file:///x
full --unknown /nothing file:///x
--unknown full /nothing file:///x
/nothing file:///x --unknown

''
full -r=foo /nothing
full -r
full -V5 /nothing
full -hV /nothing
full -v /nothing
full -v10 /nothing
full -v -1 /nothing
full -v9=x
full -v= /nothing file:///x
full -vWARN /nothing file:///x
-h -v10
'-v5 x' full /nothing file:///x
full --log-fd 0 /nothing x
full --log-fd -1 /nothing x
full --log-fd x /nothing x
--volsize 1.5 full src file:///x
--volsize 1k full src file:///x
full /nothing file:///x --rename a
full /nothing file:///x --name
full --name /nothing
--rename a b c full /nothing
--metadata-sync-mode foo full /nothing file:///x
--time-separator xx full /nothing file:///x
--time-separator '' full /nothing file:///x
-t yesterday restore file:///x src
-t 2024-13-01 restore file:///x src
--full-if-older-than foo full /nothing file:///x
--exclude-older-than foo full /nothing file:///x
--current-time foo full /nothing file:///x
--concurrency x full /nothing file:///x
--show-changes-in-set -1.5 collection-status file:///x
full --name -1 /nothing file:///x
full -1 /nothing file:///x
full --name '-x y' /nothing file:///x
full '-x y' file:///x
full '--vol 5' file:///x
full --vol=5 --compa --pyd /nothing file:///x
full --name=-x --name= /nothing file:///x
full --gpg-options "'--x=y'" /nothing file:///x
full --gpg-options --x=y /nothing file:///x
--log-fd=1 full /nothing file:///x --verb 9
full src nourl
full src ''
full src 'file: ///x'
full file:///x src
restore src file:///x
restore src src
foo src
foo file:///x
foo src file:///x
replicate file:///x file:///y
file:///x file:///y
src src
inc/ file:///x
inc file:///x
remove-older-than foo file:///x
remove-older-than 1d file:///x
remove-all-but-n-full foo file:///x
remove-all-inc-of-but-n-full 1.5 file:///x
--short-filenames full src file:///x
--short-filenames=1 full src file:///x
--short-file full src file:///x
full src file:///x --old-filenames
--include-globbing-filelist x full src file:///x
full src --file-to-restore x
full --help-x /nothing file:///x
help
FULL src file:///x
ful src file:///x
full src file:///x extra
full src
cleanup src
cleanup
remove-older-than file:///x
remove-older-than 3 file:///x extra
full src foo://x
full src file://
""".strip("\n").split("\n")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    for name in ("src", "home", "home-of-ours"):
        (folder / name).mkdir()
    return folder


@pytest.fixture
def both(sandbox, monkeypatch, capfd):
    """Run a line on duplicity and, meanwhile, on the function that our console script calls: statuses and records."""
    path = os.environ["PATH"]

    def run(line):
        logs = [sandbox / "log", sandbox / "log-of-ours"]
        for log in logs:
            log.unlink(missing_ok=True)
        theirs, ours = (["--log-file", str(log), *shlex.split(line)] for log in logs)
        env = {"HOME": str(sandbox / "home"), "PATH": path, "PASSPHRASE": "x"}
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        with subprocess.Popen([DUPLICITY, *theirs], cwd=sandbox, env=env, **quiet) as child:
            monkeypatch.chdir(sandbox)
            monkeypatch.setattr(os, "environ", {**env, "HOME": str(sandbox / "home-of-ours")})
            statuses = [main(ours)]
            statuses.insert(0, child.wait(timeout=120))
        texts = [log.read_text() if log.exists() else "" for log in logs]
        return [(status, re.findall("^ERROR.*", text, re.M)) for status, text in zip(statuses, texts, strict=True)]

    return run


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_is_answered_alike(line, both):
    theirs, ours = both(line)
    assert ours == theirs


# Accepted on purpose, or told in a better way (docs/cli.md § 10): (line, our status, theirs, why).
DIFFERENCES = [
    ("--volsize 1k -h", 0, 23, "whoever asks for help gets it"),
    ("--force=1 -h", 0, 23, "whoever asks for help gets it"),
    ("collection-status file:///x --log-fd 77", 23, 30, "a bad descriptor is a mistake on the line, not a crash"),
    ("collection-status file:///x --log-file /no/where/x", 23, 30, "a bad file is a mistake on the line, not a crash"),
]


@pytest.mark.parametrize(("line", "our_status", "their_status", "why"), DIFFERENCES)
def test_what_we_answer_differently_on_purpose(line, our_status, their_status, why, both):
    (theirs, _), (ours, _) = both(line)
    assert (ours, theirs) == (our_status, their_status), why
