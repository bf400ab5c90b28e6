"""Repository: what a command may do with a target. The core's own actions are written on the same object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from .backend import Role
    from .entry import Entry
    from .events import SetInfo


@dataclass(frozen=True, slots=True)
class VolumeRef:
    """One volume of a set, as its manifest describes it.

    ``first`` and ``last`` are the paths of its first and last entry (docs/format.md § 2); ``size`` is what the listing
    says, None when the volume is not at the target.
    """

    set_key: str
    number: int
    name: str
    sha1: str | None
    first: bytes
    last: bytes
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object as a listing shows it; ``size`` is None where the far side tells none, and so is ``modified``, when
    it was put by the far side's own clock.

    ``role`` is None for a name that no backup has. ``set_key`` names the set that the name speaks of, which may be one
    that is not whole; "" for none. ``number`` is a volume's, else 0.
    """

    name: str
    size: int | None = None
    role: Role | None = None
    set_key: str = ""
    number: int = 0
    modified: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out about one object. ``problem`` is "" when all is well.

    ``compared`` says what was looked at, and no more than that: "hash" (with the recorded one), "content" (decrypted,
    expanded, and its grammar read to the end), "cache" (with the copy in the cache), "signature" (content with the
    signature that was made of it). Empty: nothing could be compared.
    """

    name: str
    compared: tuple[str, ...]
    problem: str = ""
    set_key: str = ""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion removed, or with ``dry_run`` would remove, in that order."""

    names: tuple[str, ...]
    sets: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """One line of what this client remembers of its target: "stored", "seen" (made by others, when first met),
    "removed" or "accepted", and ``when``. ``volumes`` is 0 and ``size`` None where they are not known (yet).
    """

    kind: str
    sets: tuple[str, ...]
    when: int
    volumes: int = 0
    size: int | None = None
    problem: str = ""


class Ledger(Protocol):
    """A file of this client's memory: JSON lines that are durable once added. Raises SourceError, UserError."""

    def read(self) -> list[dict[str, Any]]: ...
    def append(self, *records: Mapping[str, Any]) -> None: ...


class Repository(Protocol):
    """Sets, entries and volumes of one target.

    Raises CollectionError where the sets do not allow what is asked, BackendError where the far side fails.
    """

    def sets(self) -> Sequence[SetInfo]:
        """Every set, oldest first."""
        ...

    def at(self, time: int) -> Sequence[SetInfo]:
        """What a restore of that time needs: a full set and the increments up to it."""
        ...

    def volumes(self, of: SetInfo, path: bytes | None = None) -> Sequence[VolumeRef]:
        """The volumes of a set; with ``path``, those that can hold it or what is below it."""
        ...

    def entries(self, time: int, path: bytes = b"") -> Iterator[Entry]:
        """The tree as it was, in archive order, from signatures alone. Sizes are 0: signatures do not hold them."""
        ...

    def open(self, path: bytes, time: int) -> BinaryIO:
        """One regular file as it was, patched and checked; what deltas gave must fit its signature."""
        ...

    def objects(self) -> Sequence[ListedObject]:
        """Everything that the target lists, by name, whatever it is."""
        ...

    def check(self, ref: VolumeRef) -> Finding:
        """Fetch a volume, hash, decrypt, expand and read it to its end, as tar.

        Damage is a Finding; what says nothing of the volume (a wrong key, a full disk) is raised.
        """
        ...

    def check_set(self, of: SetInfo) -> Sequence[Finding]:
        """Fetch a set's manifest and signatures from the target, whatever the cache has, and read them to their end."""
        ...

    def compare(self, time: int, files: Mapping[bytes, Callable[[], BinaryIO]]) -> Sequence[Finding]:
        """Compare contents, each opened when its turn comes, with the signatures of their paths at that time.

        A finding's name is the path, decoded as the file system does it.
        """
        ...

    def afresh(self, time: int) -> AbstractContextManager[Repository]:
        """The same target as a client sees it that never met it: nothing comes from the cache.

        Its own, temporary cache is filled with what ``time`` needs.
        """
        ...

    @property
    def fetched(self) -> frozenset[str]:
        """Names of the volumes that were fetched whole through this object, and had the hash that they should have."""
        ...

    def delete(self, sets: Sequence[SetInfo], *, dry_run: bool) -> Deletion:
        """Remove sets, in an order that a crash cannot hurt. Raises CollectionError when others depend on them."""
        ...

    def cold(self, refs: Sequence[VolumeRef]) -> frozenset[str]:
        """The names of those volumes that cannot be read yet. Asks for nothing, and costs little."""
        ...

    def warm_up(self, refs: Sequence[VolumeRef]) -> frozenset[str]:
        """Ask that cold volumes become readable, which may cost money; the names that are still cold."""
        ...

    def restore(self, into: bytes) -> int:
        """Do what the action ``restore`` does with the options of this run, into that folder; its exit status."""
        ...

    def commits(self) -> Sequence[Commit]:
        """What this client remembers, oldest first."""
        ...

    def alarms(self) -> Sequence[Finding]:
        """What is missing at the target, or is another there, than what this client remembers."""
        ...

    def accept(self, loss: Finding) -> None:
        """Take what an alarm is about as it stands, for good; for use while ``writing``."""
        ...

    def ledger(self, name: str) -> Ledger:
        """What this client remembers under a name: "checks", "pins" … Losing it loses no backup."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Hold the lock while changing anything. Raises Locked."""
        ...
