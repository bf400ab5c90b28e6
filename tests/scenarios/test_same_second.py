"""A file written to in the second in which it was read: the next increment has what it holds, not what it held."""

from __future__ import annotations

import os
import subprocess

import pytest
from sites import Site

pytestmark = pytest.mark.requirement("R52")


@pytest.mark.parametrize("size", [5, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("off", [-1, 0, 3], ids=["before", "same", "after"])
def test_what_was_written_in_the_second_of_its_backup_is_in_the_next(site: Site, size: int, off: int) -> None:
    path = site.write("young", b"a" * size)
    os.utime(path, (site.now + 1 + off,) * 2)
    assert site.backup("full").status == 0
    path.write_bytes(b"a" * (size - 1) + b"b")
    os.utime(path, (site.now + off,) * 2)
    assert site.backup("incremental").status == 0
    assert site.is_restored()


def test_what_is_young_and_the_same_is_not_stored_again(site: Site) -> None:
    path = site.write("young", b"same")
    os.utime(path, (site.now + 1000,) * 2)
    assert site.backup("full").status == 0
    assert site.backup("incremental").status == 0
    inside = subprocess.run(["tar", "tzf", site.volume("*inc*.difftar.gz")], capture_output=True, text=True, check=True)
    assert "young" not in inside.stdout


def test_what_is_older_than_the_set_is_believed_by_its_time(site: Site) -> None:
    """As duplicity does: nothing of an old file is read (docs/format.md § 6.1)."""
    path = site.write("old", b"as it was")
    when = path.stat().st_mtime
    site.now += 100
    assert site.backup("full").status == 0
    path.write_bytes(b"hidden!!!")
    os.utime(path, (when, when))
    assert site.backup("incremental").status == 0
    assert site.restore().status == 0
    assert (site.out / "old").read_bytes() == b"as it was"
