"""The command: choose, restore with a clean cache, compare, remember, and say how much is proven by now."""

from __future__ import annotations

import errno
import os
import random
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from tarragon.api import (
    REG,
    BackendError,
    BadOption,
    CipherError,
    CollectionError,
    IntegrityError,
    NoTempSpace,
    NotInBackup,
    SourceError,
    WrongKey,
)

from . import live, proven

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tarragon.api import Context, Entry, Repository, SetInfo, VolumeRef

#: Exit statuses: something could not be restored as it was; only the live source differs.
DAMAGE, DIFFERENT = 101, 1
#: Output: shown at every verbosity.
_SHOW = 60
#: What is no property of the file that was restored.
_DAMAGE = (IntegrityError, CollectionError, CipherError, BackendError, NotInBackup)


@dataclass
class Version:
    """What came of one version. ``tried`` files of ``of_files`` were chosen, ``files`` of these came out right.

    ``signed`` counts the files whose content was compared with a signature.
    """

    key: str
    files: int = 0
    tried: int = 0
    of_files: int = 0
    size: int = 0
    signed: int = 0
    volumes: list[VolumeRef] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    live: dict[str, list[str]] = field(default_factory=dict)


class Rehearse:
    """``tarragon rehearse [options] URL``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        options = self._context.options
        if words:
            raise BadOption(f"'rehearse' takes a target URL only, not '{words[0]}'")
        if options.source is not None and not os.path.lexists(options.source):
            raise BadOption(f"the source '{options.source}' does not exist")
        repository = self._context.repository
        sets = repository.sets()
        if not sets:
            raise CollectionError("there is nothing to rehearse: no backup sets found")
        seed = options.seed or token_hex(8)
        chance = random.Random(seed)
        chosen = chance.sample(list(sets), min(options.rehearse_versions, len(sets)))
        newest = max(each.time for each in sets)
        self._say("seed %s", seed)
        if options.dry_run:
            for of in chosen:
                self._say("would restore %d files of set %s, chosen at random", options.rehearse_files, of.key)
            self._context.facts.update(dry_run=True, seed=seed, versions=[])
            return 0
        versions = []
        for of in sorted(chosen, key=lambda each: each.time):
            version = self._rehearse(repository, of, chance, of.time == newest)
            repository.ledger("checks").append(_record(version, self._context.now, seed))
            self._tell(version)
            versions.append(version)
        self._context.facts.update(seed=seed, versions=[_facts(version) for version in versions])
        self._tell_proven(repository, sets)
        return _status(versions)

    def _say(self, text: str, *values: object) -> None:
        self._context.log.log(_SHOW, text, *values)

    # -- one version --------------------------------------------------------------------------------------------------

    def _rehearse(self, repository: Repository, of: SetInfo, chance: random.Random, is_newest: bool) -> Version:
        version = Version(of.key)
        with _noted(version.problems, of.key), repository.afresh(of.time) as fresh, ExitStack() as sandbox:
            entries = fresh.entries(of.time)
            files, version.of_files = proven.picked(entries, REG, self._context.options.rehearse_files, chance)
            version.tried = len(files)
            restored: dict[bytes, Path] = {}
            for entry in files:
                with _noted(version.problems, _name(entry.path)):
                    place = sandbox.enter_context(self._context.temp_file())
                    version.size += _restored(fresh, entry, of.time, place)
                    restored[entry.path] = place
            self._compare(fresh, version, of.time, restored)
            right = [path for path in restored if _name(path) not in version.problems]
            version.files, version.volumes = len(right), _read(fresh, of.time, right)
            if is_newest and self._context.options.source is not None:
                self._compare_live(version, of.time, [entry for entry in files if entry.path in restored], restored)
        return version

    def _compare(self, fresh: Repository, version: Version, time: int, restored: dict[bytes, Path]) -> None:
        if not restored:
            return
        openers = {path: _opener(place) for path, place in restored.items()}
        for finding in fresh.compare(time, openers):
            version.signed += "signature" in finding.compared
            if finding.problem:
                version.problems[finding.name] = finding.problem

    def _compare_live(self, version: Version, time: int, entries: list[Entry], restored: dict[bytes, Path]) -> None:
        source = os.fsencode(self._context.options.source)
        for entry in entries:
            with restored[entry.path].open("rb") as content:
                answer = live.compared(source, entry, time, content)
            version.live.setdefault(answer, []).append(_name(entry.path))

    # -- what is said -------------------------------------------------------------------------------------------------

    def _tell(self, version: Version) -> None:
        for name, problem in version.problems.items():
            self._context.log.error("damage: %r of %s: %s", name, version.key, problem)
        for name in version.live.get(live.DIFFERENT, ()):
            self._context.log.warning(
                "%r of %s differs from the source, though its time is the same", name, version.key
            )
        self._say(
            "%s: %d of %d files tried, of %d in all, came out right with a clean cache; %d bytes; "
            "%d files compared with their signatures; %d problems",
            version.key, version.files, version.tried, version.of_files, version.size, version.signed,
            len(version.problems),
        )  # fmt: skip
        if version.live:
            counts = {answer: len(names) for answer, names in version.live.items()}
            self._say(
                "compared with the source: %d the same, %d different; %d not compared: changed since, or not readable",
                counts.get(live.SAME, 0), counts.get(live.DIFFERENT, 0),
                counts.get(live.CHANGED, 0) + counts.get(live.UNREADABLE, 0),
            )  # fmt: skip

    def _tell_proven(self, repository: Repository, sets: Sequence[SetInfo]) -> None:
        records = repository.ledger("checks").read()
        present = {each.name: each.size for each in repository.objects()}
        volumes: list[VolumeRef] = []
        problems: dict[str, str] = {}
        for of in sets:
            with _noted(problems, of.key):
                volumes += repository.volumes(of)
        for key, problem in problems.items():
            self._context.log.warning("the manifest of set %s cannot be read: %s", key, problem)
        for ref in volumes:
            if ref.name not in present:
                self._context.log.warning("volume %d of set %s is not at the target", ref.number, ref.set_key)
        unknown = sum(of.volumes for of in sets if of.key in problems)
        share = proven.share(proven.places(records), volumes, present, unknown)
        self._say("fetched whole in rehearsals so far, for files that came out right: %s", share)
        self._context.facts["proven"] = share._asdict()


@contextmanager
def _noted(problems: dict[str, str], name: str) -> Iterator[None]:
    """Damage becomes a problem of ``name``, and the rehearsal goes on; a wrong key ends it."""
    try:
        yield
    except WrongKey:
        raise
    except _DAMAGE as err:
        problems[name] = str(err)


def _name(path: bytes) -> str:
    return os.fsdecode(path)


def _opener(place: Path) -> Any:
    return lambda: place.open("rb")


def _restored(fresh: Repository, entry: Entry, time: int, place: Path) -> int:
    """Restore one file into the sandbox; its size."""
    with fresh.open(entry.path, time) as content:
        try:
            with place.open("wb") as into:
                shutil.copyfileobj(content, into, 1 << 20)
                return into.tell()
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoTempSpace("no room for a restored file", hint="choose another folder with --tempdir") from err
            raise SourceError(f"cannot write a restored file: {err.strerror}") from err


def _read(fresh: Repository, time: int, paths: Sequence[bytes]) -> list[VolumeRef]:
    """The volumes that were fetched whole, with the right hash, for these files."""
    found = {}
    for path in paths:
        for of in fresh.at(time):
            found.update({ref.name: ref for ref in fresh.volumes(of, path) if ref.sha1 is not None})
    return [ref for name, ref in found.items() if name in fresh.fetched]


def _facts(version: Version) -> dict[str, Any]:
    return {
        "set": version.key,
        "files": version.files,
        "tried": version.tried,
        "of_files": version.of_files,
        "bytes": version.size,
        "signed": version.signed,
        "problems": dict(version.problems),
        "live": {answer: len(names) for answer, names in version.live.items()},
        "good": proven.by_set(version.volumes),
    }


def _record(version: Version, now: int, seed: str) -> dict[str, Any]:
    return {"kind": "rehearsal", "time": now, "seed": seed, **_facts(version)}


def _status(versions: Sequence[Version]) -> int:
    if any(version.problems for version in versions):
        return DAMAGE
    return DIFFERENT if any(version.live.get(live.DIFFERENT) for version in versions) else 0
