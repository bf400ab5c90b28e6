"""The conditions: one Filter for each selection option."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from tarragon.api import BLK, CHR, DIR, REG, BadOption, SourceError, Verdict

from .lists import Listed, Patterns, entries, numbered, patterns
from .patterns import pattern, regexp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from logging import Logger

    from tarragon.api import Context, Entry, Filter, FilterMode

    from .patterns import Pattern

_FRONT = -1  #: before all other conditions, wherever they stand


def condition(option: str, argument: str | None, mode: FilterMode, root: bytes, context: Context) -> Filter | None:
    """Make the condition for a selection option; None for a word that makes none.

    Raises BadOption for a value that cannot be used at all, SelectionError for a pattern.
    """
    if option in _FLAGS:
        make = _FLAGS[option]
    elif option in _MAKERS:
        if not argument:
            raise BadOption(f"--{option} needs a value that is not empty")
        make = partial(_MAKERS[option], argument)
    else:
        return None
    if mode.for_archive and option in _NOT_ON_RESTORE:
        raise BadOption(f"--{option} means nothing on restore")
    return make(mode, root, context)


class OnePattern:
    """``--include``, ``--exclude`` and their regexp forms."""

    rank = 0

    def __init__(self, one: Pattern, root: str | None) -> None:
        self.can_exclude = one.verdict is Verdict.EXCLUDE
        self._one = one
        self._root = root
        self._prefix = _prefix(root)

    def __call__(self, entry: Entry) -> Verdict | None:
        path = self._prefix + entry.path.decode("utf-8", "surrogateescape") if entry.path else self._root or ""
        return self._one(path, entry.kind == DIR)


class FileList:
    """``--include-filelist`` and ``--exclude-filelist``."""

    def __init__(
        self, many: Patterns, root: str | None, again: Callable[[], Iterator[tuple[int, str, Pattern]]]
    ) -> None:
        """``again`` reads the lines once more: only who asks why pays for it."""
        self.can_exclude = many.last is not Verdict.INCLUDE
        # A list without a pattern is no condition: it must not stand as the last one (error 16).
        self.rank = _FRONT if many.last is None else 0
        self._many = many
        self._root = root
        self._prefix = _prefix(root)
        self._again = again

    def __call__(self, entry: Entry) -> Verdict | None:
        return self._many(self._path(entry), entry.kind == DIR)

    def _path(self, entry: Entry) -> str:
        return self._prefix + entry.path.decode("utf-8", "surrogateescape") if entry.path else self._root or ""

    def why(self, entry: Entry) -> str:
        """The first line that includes or excludes; else the first that leads further inside."""
        leading = ""
        for number, line, one in self._again():
            said = one(self._path(entry), entry.kind == DIR)
            if said in (Verdict.INCLUDE, Verdict.EXCLUDE):
                return f"line {number}: {line}"
            leading = leading or (f"line {number}: {line}" if said is not None else "")
        return leading


class NoDevices:
    """``--exclude-device-files``."""

    can_exclude = True
    rank = _FRONT

    def __call__(self, entry: Entry) -> Verdict | None:
        return Verdict.EXCLUDE if entry.kind in (BLK, CHR) else None


class NotOlder:
    """``--exclude-older-than``."""

    can_exclude = True
    rank = 0

    def __init__(self, time: int) -> None:
        self._time = time

    def __call__(self, entry: Entry) -> Verdict | None:
        return Verdict.EXCLUDE if entry.kind == REG and entry.mtime < self._time else None


class OneFileSystem:
    """``--exclude-other-filesystems``."""

    can_exclude = True
    rank = 0

    def __init__(self, root: bytes) -> None:
        try:
            self._device = os.stat(root).st_dev
        except OSError as err:
            raise SourceError(f"the source '{os.fsdecode(root)}' cannot be looked at: {err.strerror}") from err

    def __call__(self, entry: Entry) -> Verdict | None:
        return Verdict.EXCLUDE if entry.on_device != self._device else None


class NotMarked:
    """``--exclude-if-present``: looks into each folder on disk."""

    can_exclude = True
    rank = _FRONT

    def __init__(self, name: str, root: bytes, log: Logger) -> None:
        self._name = os.fsencode(name)
        self._is_name = "/" not in name and "\0" not in name and name not in (".", "..")
        self._root = root
        self._log = log

    def __call__(self, entry: Entry) -> Verdict | None:
        if entry.kind != DIR or not self._is_name:
            return None
        folder = os.path.join(self._root, entry.path)
        try:
            os.lstat(os.path.join(folder, self._name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as err:
            if isinstance(err, PermissionError) and os.access(folder, os.R_OK, effective_ids=True):
                return None  # what is listed and cannot be looked at is told one by one
            extra = {"number": 10, "fields": (_quoted(folder),), "data": ()}
            self._log.warning("cannot look into '%s': %s", os.fsdecode(folder), err.strerror, extra=extra)
            return None
        return Verdict.EXCLUDE

    def why(self, entry: Entry) -> str:
        return f"it holds {os.fsdecode(self._name)}"


def _prefix(root: str | None) -> str:
    if root is None:
        return ""
    return root if root.endswith("/") else root + "/"


def _quoted(path: bytes) -> str:
    """A file name as a field of a record (docs/cli.md § 11)."""
    text = os.fsdecode(path).encode("unicode_escape").decode("ascii")
    return "'" + text.replace("'", "\\x27") + "'"


def _pattern_root(mode: FilterMode, root: bytes) -> str | None:
    """The path of the source as patterns see it: as typed, but without ``.`` parts and slashes that mean nothing."""
    if mode.for_archive:
        return None
    text = root.decode("utf-8", "surrogateescape")
    parts = "/".join(part for part in text.split("/") if part not in ("", "."))
    return "/" + parts if text.startswith("/") else parts or "."


def _one_pattern(verdict: Verdict, argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    path = _pattern_root(mode, root)
    return OnePattern(pattern(argument, mode, verdict, path), path)


def _one_regexp(verdict: Verdict, argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    return OnePattern(regexp(argument, mode, verdict), _pattern_root(mode, root))


def _file_list(verdict: Verdict, argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    path = _pattern_root(mode, root)
    lines = entries(argument, mode.null_separator)

    def again() -> Iterator[tuple[int, str, Pattern]]:
        return numbered(entries(argument, mode.null_separator), mode, verdict, path)

    return FileList(Patterns(patterns(lines, mode, verdict, path)), path, again)


def _not_marked(argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    return NotMarked(argument, root, context.log)


def _not_older(argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    return NotOlder(context.parse_time(argument))


def _listed(argument: str, mode: FilterMode, root: bytes, context: Context) -> Filter:
    return Listed(entries(argument, mode.null_separator))


_NOT_ON_RESTORE = ("exclude-if-present", "exclude-other-filesystems", "files-from")
_FLAGS: dict[str, Callable[[FilterMode, bytes, Context], Filter]] = {
    "exclude-device-files": lambda mode, root, context: NoDevices(),
    "exclude-other-filesystems": lambda mode, root, context: OneFileSystem(root),
}
_MAKERS: dict[str, Callable[[str, FilterMode, bytes, Context], Filter]] = {
    "include": partial(_one_pattern, Verdict.INCLUDE),
    "exclude": partial(_one_pattern, Verdict.EXCLUDE),
    "include-regexp": partial(_one_regexp, Verdict.INCLUDE),
    "exclude-regexp": partial(_one_regexp, Verdict.EXCLUDE),
    "include-filelist": partial(_file_list, Verdict.INCLUDE),
    "exclude-filelist": partial(_file_list, Verdict.EXCLUDE),
    "exclude-if-present": _not_marked,
    "exclude-older-than": _not_older,
    "files-from": _listed,
}
