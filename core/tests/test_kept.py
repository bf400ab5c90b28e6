"""Which volumes of a broken run are kept: those that are at the target as they were stored, by the cheapest proof."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tarragon.api import Capability, NotFound, ObjectInfo, Role
from tarragon.run.journal import Kept
from tarragon.run.resume import is_there
from tarragon.store.store import Store
from tarragon.temp import TempFolder
from tarragon_testkit import BytesSource, MemoryBackend

NAME = "duplicity-full.20231114T221320Z.vol1.difftar.gz"
DATA = b"a volume" * 1000


class Place(MemoryBackend):
    """A store that makes digests of one kind, or none, and counts what is read."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.reads = kind, 0
        if not kind:
            self.capabilities &= ~Capability.DIGESTS

    def stat(self, name: str) -> ObjectInfo:
        if name not in self.objects:
            raise NotFound(name)
        digest = f"{self.kind}:{hashlib.new(self.kind, self.objects[name]).hexdigest()}" if self.kind else None
        return ObjectInfo(name, len(self.objects[name]), None, digest)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Any:
        self.reads += 1
        return super().read(name, start, stop)


class Run:
    """As much of a run as looking at volumes needs, after one was stored."""

    def __init__(self, place: Path, kind: str) -> None:
        self.backend = Place(kind)
        log = logging.getLogger("tarragon.test")
        store = Store(self.backend, log=log, sleep=lambda seconds: None)  # type: ignore[arg-type]
        self.context: Any = SimpleNamespace(store=store, temp=TempFolder(place), log=log)
        stored = store.put(NAME, BytesSource(DATA), Role.VOLUME, 1)
        self.kept = Kept(1, NAME, stored.size, stored.sha1, stored.sha256, stored.digest)
        self.backend.reads = 0  # the upload was checked too

    def keeps(self, kept: Kept | None = None, *, listed: bool = True) -> bool:
        info = ObjectInfo(NAME, len(self.backend.objects[NAME])) if listed else None  # as a listing tells it
        return is_there(self.context, info, kept or self.kept)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Run] = []

    def run(kind: str) -> Run:
        made.append(Run(tmp_path, kind))
        return made[-1]

    yield run
    for each in made:
        each.context.temp.close()


@pytest.mark.requirement("R46")
@pytest.mark.parametrize(("kind", "reads"), [("sha1", 0), ("md5", 0), ("", 1)])
def test_a_volume_is_read_back_only_where_the_far_side_makes_no_digest(kind: str, reads: int, make: Any) -> None:
    run = make(kind)
    assert run.keeps()
    assert run.backend.reads == reads


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("kind", ["sha1", "md5", ""])
def test_a_volume_of_the_same_size_that_is_another_is_not_kept(kind: str, make: Any) -> None:
    run = make(kind)
    run.backend.objects[NAME] = DATA[:-1] + b"x"
    assert not run.keeps()


@pytest.mark.requirement("R46")
def test_a_digest_that_nobody_wrote_down_is_no_proof(make: Any) -> None:
    run = make("md5")
    assert run.keeps(run.kept._replace(digest=""))
    assert run.backend.reads == 1


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("kind", ["sha1", ""])
def test_a_volume_that_a_late_listing_does_not_show_is_asked_for_by_name(kind: str, make: Any) -> None:
    run = make(kind)
    assert run.keeps(listed=False)
    del run.backend.objects[NAME]
    assert not run.keeps(listed=False)
