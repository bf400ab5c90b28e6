"""Names → sets → chains (docs/format.md § 7.1, § 13): what there is, what it hangs together with, what to restore.

Pure functions of a listing and of the names in the cache. The target rules: a set is whole when its manifest is there;
what is in the cache only says what need not be fetched, and which set was under way here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import CollectionError, NoManifest, ObjectInfo, Role
from tarragon.api.events import SetInfo
from tarragon.volume.name import FULL, Names, ObjectName, SetTime

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from tarragon.volume.manifest import Manifest

_SUFFIXES = ("", ".gz", ".gpg", ".p7m", ".z", ".g")


@dataclass(frozen=True, slots=True)
class BackupSet:
    """What one run stored: the objects at the target, and what the cache has of them.

    ``partial`` says that the run was broken off and may be resumed here; such a set never takes part in a restore.
    """

    of: SetTime
    volumes: Mapping[int, ObjectInfo] = field(default_factory=dict, hash=False)
    manifest: ObjectName | None = None
    signatures: ObjectName | None = None
    stats: ObjectName | None = None
    sums: ObjectName | None = None
    local_manifest: ObjectName | None = None
    local_signatures: ObjectName | None = None
    local_stats: ObjectName | None = None
    parts: tuple[ObjectName, ...] = ()
    encrypted: bool = False

    @property
    def key(self) -> str:
        return self.of.key

    @property
    def is_full(self) -> bool:
        return self.of.kind == FULL

    @property
    def is_whole(self) -> bool:
        """Whether its manifest is at the target: it is stored last (docs/format.md § 12.1)."""
        return self.manifest is not None

    @property
    def partial(self) -> bool:
        return not self.is_whole and self.is_under_way

    @property
    def is_under_way(self) -> bool:
        """Whether the cache has its manifest as that of a set under way: whole or not, duplicity begins it anew."""
        return any(part.role is Role.MANIFEST for part in self.parts)

    @property
    def has_signatures(self) -> bool:
        return self.signatures is not None or self.local_signatures is not None

    @property
    def names(self) -> list[str]:
        """Its objects at the target: manifest first, volumes last, so that a deletion in this order leaves no lie."""
        heads = [name.name for name in (self.manifest, self.signatures, self.stats, self.sums) if name]
        return heads + [self.volumes[number].name for number in sorted(self.volumes)]

    def missing(self, manifest: Manifest) -> list[int]:
        """Numbers of volumes that the manifest names and the target lacks."""
        return [volume.number for volume in manifest.volumes if volume.number not in self.volumes]

    def surplus(self, manifest: Manifest) -> list[int]:
        """Numbers of volumes at the target that the manifest does not name."""
        return sorted(self.volumes.keys() - {volume.number for volume in manifest.volumes})

    def info(self, chain: int = 0) -> SetInfo:
        """The set as commands and reports see it."""
        of = self.of
        return SetInfo(self.key, of.kind, of.start, of.time, len(self.volumes), self.encrypted, self.is_whole, chain)


@dataclass(frozen=True, slots=True)
class Chain:
    """A full set and the increments upon it, each on the one before. ``sets`` are all whole.

    ``beyond`` are sets behind a hole: they build on one that has lost its manifest. ``end`` is that of the last of all.
    """

    sets: tuple[BackupSet, ...]
    beyond: tuple[BackupSet, ...] = ()

    @property
    def start(self) -> int:
        return self.sets[0].of.time

    @property
    def end(self) -> int:
        return (self.beyond or self.sets)[-1].of.time

    @property
    def problem(self) -> str:
        """Why no increment may be built upon it; "" when one may."""
        if self.beyond:
            return f"set {self.beyond[0].key} builds on one that has no manifest"
        bare = [each.key for each in self.sets if not each.has_signatures]
        return f"the signatures of set {bare[0]} are missing" if bare else ""


class Choice(NamedTuple):
    """What a restore of some time needs. ``too_early``: before the first backup (``WARNING 11``)."""

    chain: Chain
    sets: tuple[BackupSet, ...]
    too_early: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """All that is known of one repository.

    ``orphans`` are whole sets that hang on none; ``incomplete`` those without a manifest. ``strays`` are names of the
    grammar that belong to no set or stand in each other's way; ``foreign`` counts the names that are not in it.
    """

    chains: tuple[Chain, ...] = ()
    orphans: tuple[BackupSet, ...] = ()
    incomplete: tuple[BackupSet, ...] = ()
    strays: tuple[ObjectName, ...] = ()
    foreign: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def newest(self) -> int | None:
        """The latest time of any set, whatever its state: a new set's time must lie after it."""
        return max((each.of.time for each in self), default=None)

    def __iter__(self) -> Iterator[BackupSet]:
        """Every set, whatever its state."""
        for chain in self.chains:
            yield from chain.sets + chain.beyond
        yield from self.orphans + self.incomplete

    def latest_chain(self) -> Chain | None:
        """The chain that ends last: the one that increments are added to (docs/format.md § 14)."""
        return max(self.chains, key=lambda chain: (chain.end, chain.start), default=None)

    def orphaned_without(self, keys: Container[str]) -> BackupSet | None:
        """A set that would lose one that it depends on, if the sets of these keys were gone."""
        for chain in self.chains:
            stands = True
            for each in chain.sets:
                stands = stands and each.key not in keys
                if not stands and each.key not in keys:
                    return each
        return None

    def basis(self) -> Chain | None:
        """The chain an increment can be built upon: the one that ends last, if it is whole and has all signatures.

        Signatures may be at the target or in the cache. Whether volumes are missing, its manifests tell.
        """
        latest = self.latest_chain()
        return latest if latest and not latest.problem else None

    def at(self, time: int) -> Choice:
        """What a restore of ``time`` needs (docs/format.md § 7.1).

        Of two chains that cover the time the one with the later start is taken, and a warning given, where duplicity
        gives up. Sets up to ``time`` that cannot be used are named in the warnings. Raises CollectionError when there
        is no chain, NoManifest when a set that is needed builds on one without a manifest.
        """
        chain, warnings = self.chain_at(time)
        lost = [each for each in chain.beyond if each.of.time <= time]
        if lost:
            raise NoManifest(
                f"set {lost[-1].key} builds on one that has no manifest",
                hint="restore a time before it, or bring the manifest back",
            )
        sets = chain.sets[:1] + tuple(each for each in chain.sets[1:] if each.of.time <= time)
        for each in self.orphans + self.incomplete:
            if sets[-1].of.time < each.of.time <= time:
                state = "belongs to no chain" if each.is_whole else "is not complete"
                warnings.append(f"set {each.key} {state} and is left out")
        return Choice(chain, sets, time < chain.start, tuple(warnings))

    def sets_at(self, time: int) -> list[BackupSet]:
        return list(self.at(time).sets)

    def chain_at(self, time: int) -> tuple[Chain, list[str]]:
        """The chain of a time, and warnings. Raises CollectionError when there is none."""
        if not self.chains:
            raise CollectionError("no backup chains found", hint="check the URL, the prefixes and --time-separator")
        covering = [chain for chain in self.chains if chain.start <= time <= chain.end]
        if len(covering) > 1:
            starts = ", ".join(chain.sets[0].key for chain in covering)
            return covering[-1], [f"several chains cover this time ({starts}): the one that starts last is used"]
        past = [chain for chain in self.chains if chain.end < time]
        return (covering or [max(past, key=lambda chain: chain.end, default=self.chains[0])])[0], []


def collect(remote: Iterable[ObjectInfo], local: Iterable[str], names: Names) -> Collection:
    """Sort a listing of the target, and the names in the cache, into sets and chains. Raises for nothing it finds."""
    found: dict[SetTime, _Objects] = defaultdict(_Objects)
    foreign, strays = 0, []
    own: list[tuple[ObjectName, ObjectInfo]] = []
    for info in remote:
        name = names.parse(info.name)
        if name is None:
            ours = names.own(info.name)
            foreign += ours is None
            own += [(ours, info)] if ours is not None and ours.of.time else []
        elif name.partial:
            strays.append(name)  # duplicity never stores one
        else:
            objects = found[name.of]
            objects.remote[name.role, name.number].append((objects.shared(name), info))
    for text in local:
        name = names.parse(text)
        if name:
            objects = found[name.of]
            objects.local.append(objects.shared(name))
    strays += _shared_out(own, found)
    sets, warnings = [], []
    for of in sorted(found, key=lambda of: (of.time, of.kind == FULL, of.start)):
        objects = found[of]
        made = objects.assembled(of)
        if made.manifest or made.volumes or made.partial:
            sets.append(made)
            warnings += [f"'{name.name}' stands beside another object for the same thing" for name in objects.strays]
        else:
            objects.strays += [name for name in (made.signatures, made.stats, made.sums) if name]
        strays += objects.strays
    bare = tuple(each for each in sets if not each.is_whole)
    return Collection(*_chains(sets), bare, tuple(dict.fromkeys(strays)), foreign, tuple(warnings))


class _Objects:
    """The names of one set while they are sorted."""

    def __init__(self) -> None:
        self.remote: dict[tuple[Role, int], list[tuple[ObjectName, ObjectInfo]]] = defaultdict(list)
        self.local: list[ObjectName] = []
        self.strays: list[ObjectName] = []
        self._of: SetTime | None = None

    def shared(self, name: ObjectName) -> ObjectName:
        """The name, with the one SetTime that all names of the set share: a long chain has thousands of them."""
        self._of = self._of or name.of
        return name._replace(of=self._of)

    def assembled(self, of: SetTime) -> BackupSet:
        """The set; what is left over goes to ``strays``."""
        names = [name for choices in self.remote.values() for name, _ in choices]
        manifests = [name for name in names if name.role is Role.MANIFEST]
        encrypted = any(name.encrypted for name in manifests or names)
        best = {what: self._best(choices, encrypted) for what, choices in self.remote.items()}
        one = {role: name for (role, _), (name, _) in best.items() if role is not Role.VOLUME}
        cached = {name.role: name for name in self.local if not name.partial}
        volumes = {number: info for (role, number), (_, info) in best.items() if role is Role.VOLUME}
        stored = one.get(Role.MANIFEST), one.get(Role.SIGNATURES), one.get(Role.STATS), one.get(Role.OWN)
        local = cached.get(Role.MANIFEST), cached.get(Role.SIGNATURES), cached.get(Role.STATS)
        parts = tuple(name for name in self.local if name.partial)
        return BackupSet(of, volumes, *stored, *local, parts, encrypted)

    def _best(self, choices: list[tuple[ObjectName, ObjectInfo]], encrypted: bool) -> tuple[ObjectName, ObjectInfo]:
        """The one that is encrypted as the manifest is, else of a known suffix, else of the shortest name."""
        best = min(choices, key=lambda choice: _misfit(choice[0], encrypted))
        self.strays += [name for name, _ in choices if name != best[0]]  # a listing may name one twice
        return best


def _shared_out(own: list[tuple[ObjectName, ObjectInfo]], found: Mapping[SetTime, _Objects]) -> list[ObjectName]:
    """Give each set its sums, whose name tells only the time; those of no set are left over."""
    sets: dict[int, list[SetTime]] = defaultdict(list)
    for of, objects in found.items():
        if objects.remote:
            sets[of.time].append(of)
    for name, info in own:
        for of in sets[name.of.time]:
            found[of].remote[Role.OWN, 0].append((name, info))
    return [name for name, _ in own if not sets[name.of.time]]


def _misfit(name: ObjectName, encrypted: bool) -> tuple[bool, bool, int, str]:
    return name.encrypted != encrypted, name.suffix not in _SUFFIXES, len(name.name), name.name


def _chains(sets: list[BackupSet]) -> tuple[tuple[Chain, ...], tuple[BackupSet, ...]]:
    """Chains, oldest first, and the whole sets that belong to none (docs/format.md § 13). ``sets`` are in order."""
    links: list[list[BackupSet]] = []
    ending: dict[int, list[list[BackupSet]]] = defaultdict(list)  # those that end, or once ended, at a time
    orphans: list[BackupSet] = []
    for each in sets:
        link = [] if each.is_full else _home(each, ending)
        if each.is_full:
            links.append(link)
        elif not link:
            orphans.append(each)
            continue
        elif link[-1].of.time != each.of.start:
            orphans.append(link.pop())
        link.append(each)
        ending[each.of.time].append(link)
    chains = []
    for link in links:
        whole = next((n for n, each in enumerate(link) if not each.is_whole), len(link))
        rest = tuple(each for each in link[whole:] if each.is_whole)
        if whole:
            chains.append(Chain(tuple(link[:whole]), rest))
        else:
            orphans += rest
    return tuple(chains), tuple(each for each in orphans if each.is_whole)


def _home(each: BackupSet, ending: dict[int, list[list[BackupSet]]]) -> list[BackupSet]:
    """The chain whose end an increment was built on, else the one whose last set it replaces, else an empty one.

    It replaces one that was built on the same set and is older; without a manifest it replaces no whole one.
    """
    base = each.of.start
    if each.of.time <= base:
        return []  # written when the clock had gone back
    links = ending[base]
    for link in links:
        if link[-1].of.time == base:
            return link
    for link in links:
        if len(link) > 1 and link[-2].of.time == base and (each.is_whole or not link[-1].is_whole):
            return link
    return []
