"""Fixtures of the scenarios: places with a small source, for root and for somebody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from programs import AS_NOBODY, NOBODY, Household, Program, nobody_can_run
from sites import Site, filled


@pytest.fixture
def site(tmp_path: Path, ours: Program, home: Household) -> Site:
    return filled(Site(tmp_path, ours, home))


@pytest.fixture
def three_volumes(site: Site) -> Site:
    """A full backup of three volumes and a bit: one big file in each of the first three."""
    for name in "klm":
        site.write(name, Random(name).randbytes(960_000))
    assert site.backup("full", "--volsize", "1").status == 0
    assert len(list(site.repo.glob("*.difftar.gz"))) >= 3
    return site


@pytest.fixture
def as_nobody(ours: Program) -> Iterator[Site]:
    """A site that belongs to a user who is not root, who runs the program.

    It is not below pytest's folder: that one is closed to other users.
    """
    if not nobody_can_run(ours):
        pytest.skip("needs root, and a checkout that other users can reach")
    with Household(owner=NOBODY) as home:
        home.folder.chmod(0o755)
        site = filled(Site(home.folder / "site", ours, home))
        site.repo.mkdir()
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", site.place], check=True)
        site.prefix = AS_NOBODY
        yield site
