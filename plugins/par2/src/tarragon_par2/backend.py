"""The wrapper par2: every object has recovery files beside it, and is checked against them when it is read.

NAME has NAME.par2 (sums of its blocks) and NAME.volA+B.par2 (B recovery blocks), made over the bytes as stored. They
are put before the object, so that no object is ever met with those of an older one, and deleted before it, so that none
comes back to life.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import shutil
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import (
    BackendError,
    BackendWrapper,
    Capability,
    ColdObject,
    IntegrityError,
    NoTempSpace,
    NotFound,
    ObjectInfo,
    Pace,
    Role,
    SourceError,
    TarragonError,
    Unsupported,
    operation,
    put_whole,
    puts_whole,
)

from . import program
from .packets import Protected, copy_whole, protected, recovery_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tarragon.api import Backend, Context, Source

_WRITING = frozenset({"backup", "full", "incremental"})
_PIECE = 1 << 20
_LARGEST_INDEX = 4 << 20  # 32,768 blocks, as many as there can be, take 0.7 MB
_SUMS_OF_A_BLOCK, _REST_OF_AN_INDEX = 20, 2048
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP}


class Par2Backend(BackendWrapper):
    """Recovery files around a backend.

    Sizes are told as they are at the far side, but not claimed: what is damaged there may be read at its right length.
    A put is whole or not there wherever the inner backend can rename, so that nothing is left to be renamed.
    """

    loses = Capability.RANGES | Capability.RENAME | Capability.SIZES
    download_pace = Pace.OWN  # an object is fetched whole before any of it is handed out

    def __init__(self, inner: Backend, context: Context) -> None:
        super().__init__(inner)
        if puts_whole(inner):
            self.capabilities |= Capability.ATOMIC_PUT
        self._context = context
        self._par2 = program.program(context)
        self._found: dict[str, dict[str, int | None]] | None = None
        if getattr(context.options, "action", "") in _WRITING:
            self._par2.must_be_there()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects without their recovery files; one that is gone, and that these can make anew, counts as there."""
        objects: set[str] = set()
        found: dict[str, dict[str, int | None]] = {}
        for info in self.inner.list(prefix):
            of = recovery_of(info.name)
            if of is None:
                objects.add(info.name)
                yield info
            else:
                found.setdefault(of[0], {})[info.name] = info.size
        if not prefix:
            self._found = found
        for name in found.keys() - objects:
            if name.startswith(prefix) and (size := self._size_made(name, found[name])) is not None:
                yield ObjectInfo(name, size)

    def put(self, name: str, source: Source, role: Role) -> None:
        _must_be_an_objects(name)
        if not source.size:
            self._forget(name)  # par2 cannot protect nothing, and older files would make something of it
            put_whole(self.inner, name, source, role, self._prefix)
            return
        with self._folder() as folder, source.as_file() as path:
            made = self._made(name, path, folder)
            try:
                for file in made:
                    beside = name + file.name.removeprefix(program.LOCAL)
                    source_beside = operation().metered(_File(file))
                    put_whole(self.inner, beside, source_beside, Role.RECOVERY, self._prefix)
                put_whole(self.inner, name, source, role, self._prefix)
            except BaseException:
                with suppress(TarragonError):  # what stands there, if anything, is not what these were made from
                    self._forget(name)
                raise

    def put_new(self, name: str, source: Source, role: Role) -> bool:
        """As the inner backend does it, without recovery files: made first they would not be exclusive."""
        _must_be_an_objects(name)
        is_ours = self.inner.put_new(name, source, role)
        if is_ours:
            self._forget(name)
        return is_ours

    def read(self, name: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """The whole object, mended where it must be. Raises IntegrityError where it cannot be."""
        _must_be_an_objects(name)
        told = self._told(name)
        if told is None:
            return self.inner.read(name)
        with self._context.temp_file() as path:
            missing: NotFound | None = None
            try:
                is_right = self._fetched(name, path, told)
            except NotFound as err:
                is_right, missing = False, err
            if not is_right:
                self._mend(name, path, told, missing)
            return path.open("rb")  # its name goes now, its bytes when it is closed

    def delete(self, name: str) -> None:
        _must_be_an_objects(name)
        beside = self._forget(name)
        try:
            self.inner.delete(name)
        except NotFound:
            if not beside:
                raise

    def stat(self, name: str) -> ObjectInfo:
        _must_be_an_objects(name)
        try:
            return self.inner.stat(name)
        except NotFound:
            for info in self.list(name):
                if info.name == name:
                    return info
            raise

    def delete_many(self, names: Iterable[str]) -> None:
        going = [name for name in names if recovery_of(name) is None]
        beside: dict[str, list[str]] = {name: [] for name in going}
        for info in self.inner.list(os.path.commonprefix(going)) if going else ():
            of = recovery_of(info.name)
            if of is not None and of[0] in beside:
                beside[of[0]].append(info.name)
        if going:
            self.inner.delete_many([each for name in going for each in (*beside[name], name)])

    def rename(self, old: str, new: str) -> None:
        raise Unsupported("an object with recovery files cannot be renamed: they hold its name")

    # -- the recovery files of one object -----------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return getattr(self._context.options, "file_prefix", None) or ""

    def _beside(self, name: str) -> Sequence[str]:
        return [info.name for info in self.inner.list(f"{name}.") if (recovery_of(info.name) or ("",))[0] == name]

    def _forget(self, name: str) -> Sequence[str]:
        """Delete the recovery files of an object; which there were."""
        beside = self._beside(name)
        if beside:
            self.inner.delete_many(beside)
        return beside

    def _made(self, name: str, path: Path, folder: Path) -> Sequence[Path]:
        with _local_errors(f"'{name}' for par2"):
            try:
                os.link(path, folder / name)
            except OSError as err:
                if err.errno not in _NO_LINK:
                    raise
                shutil.copyfile(path, folder / name)
        return self._par2.create(name, folder)

    def _told(self, name: str) -> Protected | None:
        """What the recovery files say of the object; None where there are none, or none that can be read."""
        told = self._told_by(f"{name}.par2", name)
        if told is not None:
            return told
        if self._found is None:
            for _ in self.list():
                continue
        beside = (self._found or {}).get(name, {})
        for other in sorted(beside.keys() - {f"{name}.par2"}):
            told = self._told_by(other, name)
            if told is not None:
                return told
        if beside:
            self._context.log.warning("no recovery file of '%s' can be read: it is taken as it is", name)
        return None

    def _told_by(self, beside: str, name: str) -> Protected | None:
        try:
            with closing(operation().paced(self.inner.read(beside))) as stream:
                return protected(_read_up_to(stream, _LARGEST_INDEX), name)
        except (NotFound, ColdObject):
            return None

    def _size_made(self, name: str, beside: dict[str, int | None]) -> int | None:
        """How long an object is of which only recovery files are left, if these are enough to make it."""
        blocks = sum((recovery_of(each) or ("", 0))[1] for each in beside)
        index = beside.get(f"{name}.par2") or 0
        if not blocks or index > blocks * _SUMS_OF_A_BLOCK + _REST_OF_AN_INDEX:
            return None  # seen by the sizes alone, so that a heap of orphans costs nothing
        for each in sorted(beside, key=len):
            told = self._told_by(each, name)
            if told is not None:
                return told.size if told.blocks <= blocks else None
        return None

    # -- reading ------------------------------------------------------------------------------------------------------

    def _fetched(self, name: str, into: Path, told: Protected) -> bool:
        """Whether the object is as its recovery files say. Of what is too long no more is taken than can be of use."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with closing(operation().paced(self.inner.read(name))) as stream, into.open("wb", buffering=0) as file:
            while size <= told.size + _PIECE and (piece := stream.read(_PIECE)):
                size += len(piece)
                digest.update(piece)
                _write(file, piece)
        return size == told.size and digest.digest() == told.md5

    def _mend(self, name: str, path: Path, told: Protected, missing: NotFound | None) -> None:
        state = "missing" if missing else "damaged"
        with self._folder() as folder, _local_errors(f"'{name}' for par2"):
            blocks = self._gather(name, folder, told)
            if missing and blocks < told.blocks:
                raise missing
            if not missing:
                os.rename(path, folder / name)
            problem = self._par2.repair(name, folder) if blocks else "there are no recovery blocks"
            if problem or not _is(folder / name, told):
                raise IntegrityError(
                    f"'{name}' is {state} at the target, and its recovery files cannot mend it: "
                    f"{problem or 'what they make is not what was stored'}",
                    hint="fetch it from a copy of the repository",
                )
            os.rename(folder / name, path)
        self._context.log.warning(
            "'%s' is %s at the target; it was mended from its recovery files, here and not there", name, state
        )

    def _gather(self, name: str, folder: Path, told: Protected) -> int:
        """Fetch what is whole of the recovery files; how many blocks of recovery data that is."""
        blocks = 0
        left = 4 * told.size + (64 << 20)  # far more than 100 percent takes
        for number, beside in enumerate(sorted(self._beside(name), key=len)):
            with self._context.temp_file() as path:
                try:
                    with (
                        closing(operation().paced(self.inner.read(beside))) as stream,
                        path.open("wb", buffering=0) as file,
                    ):
                        while left > 0 and (piece := stream.read(_PIECE)):
                            left -= len(piece)
                            _write(file, piece)
                except (NotFound, ColdObject) as err:
                    self._context.log.info("recovery file '%s' cannot be had: %s", beside, err)
                    continue
                local = f"{program.LOCAL}.vol{number}.par2" if number else f"{program.LOCAL}.par2"
                with _mapped(path) as data, (folder / local).open("wb") as into:
                    blocks += copy_whole(data, told, into)
        return blocks

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A new folder of this run, gone afterwards."""
        with self._context.temp_file() as path:
            folder = Path(f"{path}-par2")
            with _local_errors("a folder for par2"):
                folder.mkdir(mode=0o700)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


class _File:
    """A recovery file on its way (api.Source)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        return self._path.stat().st_size

    @property
    def sha1(self) -> str:
        with self.open() as stream:
            return hashlib.file_digest(stream, "sha1").hexdigest()  # type: ignore[arg-type]

    def open(self) -> BinaryIO:
        return self._path.open("rb")

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        yield self._path


def _must_be_an_objects(name: str) -> None:
    """Refuse names that are no object's here. Raises NotFound, which for these is what reading them would answer."""
    if "/" in name or name in ("", ".", ".."):
        raise BackendError(f"'{name}' cannot be the name of an object")
    if recovery_of(name) is not None:
        raise NotFound(f"'{name}' is the name of a recovery file: behind par2+ there is no such object")


def _read_up_to(stream: BinaryIO, most: int) -> bytes:
    pieces, size = [], 0
    while size < most and (piece := stream.read(min(_PIECE, most - size))):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _write(file: BinaryIO, piece: bytes) -> None:
    rest = memoryview(piece)
    with _local_errors("what was fetched"):
        while rest:
            rest = rest[file.write(rest) :]


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """A file's bytes, without reading them into memory."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _is(path: Path, told: Protected) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return hashlib.file_digest(file, "md5").digest() == told.md5 and path.stat().st_size == told.size
    return False


@contextmanager
def _local_errors(what: str) -> Iterator[None]:
    """A full temporary folder is not the far side's failure, and trying again does not help."""
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoTempSpace(f"no room for {what}", hint="choose another folder with --tempdir") from err
        raise SourceError(f"cannot prepare {what}: {err.strerror}") from err
