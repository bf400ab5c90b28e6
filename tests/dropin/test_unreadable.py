"""Files that cannot be read, on the real duplicity and on ours: what programs hear of them, and what is stored."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from pair import Observed, Pair, stored
from programs import IS_ROOT, Program

pytestmark = pytest.mark.slow

#: Without the right to read everything root too is refused; it stays the owner of the programs.
REFUSED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, real: Program) -> Iterator[Pair]:
    place = tmp_path_factory.mktemp("unreadable")
    source = place / "src"
    for name in ("closed/x", "file", "kept/y", "listed/z", "none"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(source / "sock"))
    for name, mode in (("none", 0), ("closed", 0), ("listed", 0o400)):
        (source / name).chmod(mode)
    with Pair(place, real) as found:
        if IS_ROOT:
            if not shutil.which("setpriv") or subprocess.run([*REFUSED, "true"], check=False).returncode:
                pytest.skip("root reads everything here: setpriv cannot take that away")
            for side in found.sides:
                side.prefix = REFUSED
        yield found
    for name in ("closed", "listed"):
        (source / name).chmod(0o700)


def told(run: Observed) -> list[str]:
    """What is said of entries. The order is not compared: ours looks ahead while files are stored (docs/drop-in.md)."""
    return sorted(each.head for each in run.records if re.match(r"WARNING (9|10) |INFO (4|5|6|15) |ERROR ", each.head))


def errors(run: Observed) -> list[str]:
    return re.findall(r"^Errors \d+$", run.out, re.MULTILINE)


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("typed", ["src", "./src/", "@/src"])
def test_what_cannot_be_read_is_left_out_and_told(typed, pair):
    source = typed.replace("@", str(pair.place))
    theirs, ours = pair.run("full", "--no-encryption", "-v9", source, "file://@to", "--allow-source-mismatch")
    assert (theirs.status, stored(theirs)) == (ours.status, stored(ours)) == (0, stored(theirs))
    assert told(ours) == told(theirs)
    assert len([head for head in told(theirs) if head.startswith("WARNING 10 ")]) == 2
    assert len([head for head in told(theirs) if head.startswith("WARNING 9 ")]) == 1
    # duplicity does not count what it cannot even look at.
    assert (errors(theirs), errors(ours)) == (["Errors 2"], ["Errors 3"])


def test_a_folder_that_cannot_be_looked_into_for_a_mark_is_told(pair):
    words = ["full", "--exclude-if-present=MARK", "--no-encryption", "-v9", "src", "file://@to"]
    theirs, ours = pair.run(*words, "--allow-source-mismatch")
    assert told(ours) == told(theirs)
    # Once for the mark, and once to store it.
    assert told(theirs).count("WARNING 10 'src/closed'") == 2


#: Date, time and milliseconds, and the level in six places.
STAMPED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:DEBUG |INFO  |NOTICE|WARNING|ERROR ) ", re.MULTILINE)


def test_a_timestamp_stands_in_front_of_each_message(pair):
    words = ["full", "--no-encryption", "-v9", "src", "file://@to", "--allow-source-mismatch"]
    for run in pair.run(*words, "--log-timestamp"):
        levels = {line.split()[2] for line in run.out.splitlines() if STAMPED.match(line)}
        assert {"INFO", "NOTICE", "WARNING"} <= levels
        # The first line of each message has one, and no record has any.
        unread = [line for line in run.out.splitlines() if "src/none" in line]
        assert unread
        assert all(STAMPED.match(line) for line in unread)
        assert not [record for record in run.records if STAMPED.search(record.text)]
    for run in pair.run("full", "--log-timestamp", "nowhere", "file://@to"):
        assert (run.status, bool(STAMPED.match(run.err)), run.out) == (23, True, "")
    for run in pair.run(*words):
        assert not STAMPED.search(run.out)
