"""What collection-status and list-current-files answer: the text and the records of docs/cli.md § 8 and § 11.

Functions of data: what is listed, the caller has read. Where duplicity prints the insides of its objects (``b'New'``,
the text of a class) the plain word stands here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tarragon import clock
from tarragon.api.backend import Role
from tarragon.api.errors import BadOption
from tarragon.record import NOTICE, SHOW, quoted_field
from tarragon.volume import manifest
from tarragon.volume.name import FULL, SetTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tarragon.api.entry import Entry
    from tarragon.record import RunLog
    from tarragon.store.chain import BackupSet, Chain, Collection

_RULE = "-" * 25
#: Numbers of the records.
_STATUS, _LISTED = 3, 10
_STRAY_SIGNATURES, _STRAY_FILES = 2, 6
#: Statistics objects have three levels. To write what is nested a thousand deep takes Python for ever, or fails.
_LEVELS = 20


class SetChanges(NamedTuple):
    """One set, its changed files as ``manifest.changed_files`` yields them, and its statistics object if it has one."""

    of: SetTime
    files: Iterable[tuple[str, bytes]]
    stats: bytes | None = None


# -- collection-status ------------------------------------------------------------------------------------------------


def last_full_backup(log: RunLog, collection: Collection) -> None:
    """Tell the time of the newest full set of all chains, as duplicity does before most actions."""
    newest = max((chain.start for chain in collection.chains), default=None)
    log.log(NOTICE, "Last full backup date: %s", "none" if newest is None else clock.pretty(newest))


def left_over(log: RunLog, collection: Collection) -> None:
    """Warn of names that belong to no set, and of sets that hang on none: programs that read it run a cleanup."""
    for warning in collection.warnings:
        log.warning("%s", warning)
    by_number: dict[int, list[str]] = {_STRAY_SIGNATURES: [], _STRAY_FILES: []}
    for name in collection.strays:
        if name.role is not Role.OWN:
            by_number[_STRAY_SIGNATURES if name.role is Role.SIGNATURES else _STRAY_FILES].append(name.name)
    by_number[_STRAY_FILES] += [name for each in collection.orphans for name in each.names]
    for number, names in by_number.items():
        if names:
            what = "signatures" if number == _STRAY_SIGNATURES else "files"
            log.warning("%s of no backup set:\n%s", what, "\n".join(names), extra={"number": number})


def collection_status(
    log: RunLog, *, backend: str, archive_dir: str, collection: Collection, level: int = SHOW
) -> None:
    """Show all chains with their sets, and how many sets belong to none.

    The primary chain is the one that an increment can be built upon; there may be none. Sets without a manifest are
    counted, not listed: nothing can be restored from them, whatever duplicity shows.
    """
    primary = collection.basis()
    others = [chain for chain in collection.chains if chain is not primary]
    lost = len(collection.orphans) + sum(len(chain.beyond) for chain in collection.chains)
    incomplete = len(collection.incomplete)
    lines = ["Collection Status", "-" * 17, f"Connecting with backend: {backend}", f"Archive dir: {archive_dir}", ""]
    lines += [f"Found {len(others)} secondary backup chain(s)."]
    for number, chain in enumerate(others, 1):
        lines += [f"Secondary chain {number} of {len(others)}:", *_chain_text(chain), ""]
    if primary is not None:
        lines += ["", "Found primary backup chain with matching signature chain:", *_chain_text(primary)]
    else:
        lines += ["No backup chains with active signatures found"]
    lines += _left_over(lost, incomplete)
    data = [f"backend {_one_line(backend)}", f"archive-dir {_one_line(archive_dir)}"]
    for number, chain in enumerate(others):
        data += [f"chain-no-sig {number}", *_chain_data(chain)]
    if primary is not None:
        data += ["chain-complete", *_chain_data(primary)]
    data += [f"orphaned-sets-num {lost}", f"incomplete-sets-num {incomplete}"]
    extra = {"number": _STATUS, "fields": ("",), "data": data}  # duplicity's keyword line ends in a blank
    log.log(level, "%s", "\n".join(lines), extra=extra)


def chains_of(collection: Collection) -> list[dict[str, Any]]:
    """The same as plain values: the primary chain is the one that an increment can be built upon."""
    primary = collection.basis()
    return [
        {"primary": chain is primary, "problem": chain.problem, "sets": [each.info(number) for each in chain.sets]}
        for number, chain in enumerate(collection.chains)
    ]


def _chain_text(chain: Chain) -> Iterator[str]:
    yield _RULE
    yield f"Chain start time: {clock.pretty(chain.start)}"
    yield f"Chain end time: {clock.pretty(chain.sets[-1].of.time)}"
    yield f"Number of contained backup sets: {len(chain.sets)}"
    yield f"Total number of contained volumes: {sum(len(each.volumes) for each in chain.sets)}"
    yield f"{'Type of backup set:':>20}{'Time:':>33}{'Num volumes:':>18}"
    for each in chain.sets:
        yield f"{_type(each.of):>20}{clock.pretty(each.of.time):>33}{len(each.volumes):>18}"
    yield _RULE


def _chain_data(chain: Chain) -> Iterator[str]:
    for each in chain.sets:
        encrypted = "enc" if each.encrypted else "noenc"
        yield f" {each.of.kind} {clock.to_stamp(each.of.time)} {len(each.volumes)} {encrypted}"


def _left_over(lost: int, incomplete: int) -> Sequence[str]:
    if not lost and not incomplete:
        return ("No orphaned or incomplete backup sets found.",)
    return (
        f"Also found {lost} backup set(s) not part of any chain,",
        f"and {incomplete} incomplete backup set(s).",
        'These may be deleted by running duplicity with the "cleanup" command.',
    )


def _type(of: SetTime) -> str:
    return "Full" if of.kind == FULL else "Incremental"


def _one_line(text: str) -> str:
    """``text`` as (part of) a data line: a line end in it would be read as another line."""
    return text.replace("\n", "\\n")


# -- list-current-files -----------------------------------------------------------------------------------------------


def list_files(log: RunLog, entries: Iterable[Entry]) -> None:
    """Show each entry with its time as it comes; the root is ``.``."""
    for entry in entries:
        path = entry.path or b"."
        text = f"{clock.pretty(entry.mtime)} {_shown(path)}"
        about = "entries", {"path": path, "kind": entry.kind, "modified": entry.mtime}
        log.show(text, _LISTED, (clock.to_stamp(entry.mtime), quoted_field(path), entry.kind), about=about)


def _shown(path: bytes) -> str:
    """A path for the log, which writes bytes that are not UTF-8 as they were."""
    return path.decode("utf-8", "surrogateescape")


# -- --file-changed and --show-changes-in-set -------------------------------------------------------------------------


def file_changed(log: RunLog, path: bytes, sets: Iterable[tuple[SetTime, str]]) -> None:
    """Show in which sets ``path`` changed, oldest first, and how ("new", "changed" or "deleted")."""
    rows = [f"{_type(of):>20}{clock.pretty(of.time):>33}{word.capitalize():>22}" for of, word in sets]
    lines = [_RULE, f"File: {_shown(path)}", f"Total number of backup: {len(rows)}"]
    lines += [f"{'Type of backup set:':>20}{'Time:':>33}{'Type of file change:':>22}", *rows, _RULE]
    log.show("\n".join(lines), _STATUS)


def sets_shown(collection: Collection, index: int, *, as_json: bool) -> list[BackupSet]:
    """The sets that ``--show-changes-in-set`` means, newest first; none where there is no backup.

    0 is the newest set of the newest chain, 1 the one before. Below 0: the whole chain for JSON, else counted from the
    oldest set, -1 being the oldest. Raises BadOption for a number that no set has.
    """
    chain = collection.latest_chain()
    if chain is None:
        return []
    sets = list(reversed(chain.sets))
    if as_json and index < 0:
        return sets
    if not -len(sets) <= index < len(sets):
        raise BadOption(
            f"the newest chain has no set {index}", hint=f"--show-changes-in-set takes 0 to {len(sets) - 1} here, or -1"
        )
    return [sets[index]]


def changes_in_set(log: RunLog, sets: Iterable[SetChanges]) -> None:
    """Show the changed files of each set, their names quoted as in manifests."""
    for changes in sets:
        files = [(_word(path), change) for change, path in changes.files]
        width = max([len("File:"), *(len(word) for word, _ in files)])
        lines = [_RULE, f" Backup set time: {clock.pretty(changes.of.time)}", f"Total number of changes: {len(files)}"]
        lines += [f"{'File:':<{width}}{'Type of file change:':>22}"]
        lines += [f"{word:<{width}}{change:>22}" for word, change in files]
        log.show("\n".join([*lines, _RULE]), _STATUS)


def jsonstat_of_changes(log: RunLog, sets: Iterable[SetChanges]) -> None:
    """Show one JSON object: per set its statistics, ``{}`` without, and its changed files."""
    content: dict[str, Any] = {}
    for changes in sets:
        key = f"{changes.of.kind}-{clock.to_stamp(changes.of.time)}"
        files = {_word(path): change for change, path in changes.files}
        content[key] = {"json_stat": _statistics(log, key, changes.stats), "files_changed": files}
    log.show(json.dumps(content, indent=4), _STATUS)


def _word(path: bytes) -> str:
    """A path as one word, as manifests have it."""
    return _shown(manifest.quoted(path))


def _statistics(log: RunLog, key: str, stored: bytes | None) -> dict[str, Any]:
    """A stored statistics object, which anybody may have written; ``{}`` for what is none."""
    if stored is None:
        return {}
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError) as err:
        log.warning("the statistics of set %s cannot be read: %s", key, err)
        return {}
    if isinstance(found, dict) and _is_shallow(found, _LEVELS):
        return found
    log.warning("the statistics of set %s are not what a backup writes", key)
    return {}


def _is_shallow(value: object, levels: int) -> bool:
    """Whether ``value`` is nested at most so deep."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)
