"""What programs read of a target that lost something, or has something too much, on the real duplicity and on ours.

Each loss is one of its own, seen by a client without a cache. Where ours tells something else, the reason stands here.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pair import Observed, Pair, told
from programs import Program

pytestmark = pytest.mark.slow


def without(pattern: str) -> Callable[[Path], object]:
    """Take the newest of some objects away."""
    return lambda to: sorted(to.glob(pattern))[-1].unlink()


def beside(name: str, like: str = "") -> Callable[[Path], object]:
    """Put an object there that belongs to nothing: empty, or a copy."""
    return lambda to: (to / name).write_bytes(sorted(to.glob(like))[0].read_bytes() if like else b"")


LOSSES = {
    "nothing": lambda to: None,
    "a volume": without("duplicity-full.*vol1*"),
    "a manifest": without("duplicity-full.*.manifest"),
    "signatures": without("duplicity-full-signatures.*"),
    "signatures of nothing": beside("duplicity-new-signatures.20200101T000000Z.to.20200102T000000Z.sigtar.gz"),
    "signatures of a full set too much": beside(
        "duplicity-full-signatures.20200101T000000Z.sigtar.gz", like="*full-signatures*"
    ),
    "a volume of a full set too much": beside("duplicity-full.20200101T000000Z.vol1.difftar.gz"),
    "a volume of an increment too much": beside(
        "duplicity-inc.20200101T000000Z.to.20200102T000000Z.vol1.difftar.gz"
    ),
}  # fmt: skip
ACTIONS = ("collection-status", "cleanup", "list-current-files")


class Otherwise(NamedTuple):
    """What only duplicity tells, what only ours, and why."""

    theirs: list[str]
    ours: list[str]
    why: str


FULL, INC = " full T 1 noenc", " inc T 1 noenc"
TOLD = "cleanup removes it, and says so; duplicity's leaves it there"
NO_CHAIN = "an increment of no chain that has no manifest is counted as incomplete, and cleanup removes it"
#: (loss, action) → the records that differ.
OTHERWISE = {
    **{("signatures of a full set too much", each): Otherwise([], ["WARNING 2"], TOLD) for each in ACTIONS},
    ("a volume", "collection-status"): Otherwise([], [" full T 0 noenc"], "a set that lost its volumes still is one"),
    ("a manifest", "collection-status"): Otherwise(
        ["chain-no-sig 0", FULL], [], "a set without a manifest cannot be restored: it is no chain, but incomplete"
    ),
    ("a manifest", "list-current-files"): Otherwise([], [], "the newest backup that can be restored is listed"),
    ("signatures", "collection-status"): Otherwise(["WARNING 4"], [], "the status itself says which chain has none"),
    ("signatures", "cleanup"): Otherwise(["WARNING 4"], [], "nothing of it can be cleaned up"),
    ("signatures", "list-current-files"): Otherwise(
        ["0", "WARNING 4", "INFO 10 T '.' dir", "INFO 10 T 'a' reg", "INFO 10 T 'b' reg"],
        ["30", "ERROR 30 CollectionsError"],
        "duplicity lists an older backup as if it were the newest",
    ),
    ("a volume of a full set too much", "collection-status"): Otherwise(["chain-no-sig 1", FULL], [], "incomplete"),
    ("a volume of an increment too much", "collection-status"): Otherwise(
        ["WARNING 6", "orphaned-sets-num 1"], ["orphaned-sets-num 0"], NO_CHAIN
    ),
    ("a volume of an increment too much", "cleanup"): Otherwise(["WARNING 6"], [], NO_CHAIN),
    ("a volume of an increment too much", "list-current-files"): Otherwise(["WARNING 6"], [], NO_CHAIN),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, real: Program) -> Iterator[Pair]:
    """Two chains on each side, kept aside."""
    place = tmp_path_factory.mktemp("damaged")
    (place / "src").mkdir()
    with Pair(place, real) as found:
        for number, action in enumerate(("full", "incremental", "full")):
            (place / "src" / "ab"[number % 2]).write_text(str(number))
            for run in found.run(action, "--no-encryption", "src", "file://@to"):
                assert run.status == 0, run.err
        for side in found.sides:
            side.to.rename(side.home.folder / "whole")
        yield found


def heard(run: Observed) -> Counter[str]:
    """The status and all records, without their times; a warning counts once, duplicity often says it twice."""
    found = Counter([str(run.status), *(re.sub(r"\d{8}T\d{6}Z", "T", head) for head in told(run))])
    return Counter({head: 1 if head.startswith("WARNING") else count for head, count in found.items()})


@pytest.mark.requirement("R59")
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_programs_read_of_a_loss_what_they_read_with_duplicity(loss, action, pair):
    for side in pair.sides:
        shutil.rmtree(side.to, ignore_errors=True)
        shutil.copytree(side.home.folder / "whole", side.to)
        LOSSES[loss](side.to)
        side.home.forget()
    theirs, ours = (heard(run) for run in pair.run(action, "--no-encryption", "file://@to"))
    expected = OTHERWISE.get((loss, action), Otherwise([], [], ""))
    assert (sorted((theirs - ours).elements()), sorted((ours - theirs).elements())) == (
        sorted(expected.theirs),
        sorted(expected.ours),
    )
