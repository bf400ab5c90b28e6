"""The first pass: version and logging options, over the whole line, before anything is imported (docs/cli.md § 1)."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

from tarragon import __version__

from .scan import Grammar, scan_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.record import RunLog

    from .scan import Found

TAKES = {
    "--verbosity": 1,
    "-v": 1,
    "--version": 0,
    "-V": 0,
    "--log-fd": 1,
    "--log-file": 1,
    "--log-timestamp": 0,
}
#: What the readers of duply, Deja Dup and backupninja understand (docs/cli.md): ours is 0.x, which duply refuses.
DUPLICITY_LINE = f"duplicity 3.2.1 (Tarragon {__version__}) September 28, 2026"


class First(NamedTuple):
    """What the first pass found; ``rest`` is the line without it."""

    version: bool
    verbosity: str
    files: tuple[str, ...]
    descriptors: tuple[str, ...]
    timestamp: bool
    rest: list[str]
    json: bool = False


def first_pass(words: Sequence[str], found: list[Found]) -> list[str]:
    """Collect the logging options; the line without them. Raises AmbiguousOption, BadOption."""
    return scan_into(found, words, Grammar(TAKES, TAKES))


def understood(found: Sequence[Found], rest: list[str]) -> First:
    """What the logging options say. A bad line still gets the log that stands in front of its mistake."""
    last = dict(found)
    every = {name: tuple(values[0] for flag, values in found if flag == name) for name in ("--log-file", "--log-fd")}
    verbosity = [values[0] for flag, values in found if flag in ("--verbosity", "-v")]
    return First(
        version="--version" in last or "-V" in last,
        verbosity=verbosity[-1] if verbosity else "3",
        files=every["--log-file"],
        descriptors=every["--log-fd"],
        timestamp="--log-timestamp" in last,
        rest=rest,
    )


def without_json(words: list[str]) -> tuple[list[str], bool]:
    """The line without ``--json``, and whether that was there: it counts even when the rest cannot be understood.

    Only written out: shortened, as under the name duplicity, it means ``--jsonstat``.
    """
    return [word for word in words if word != "--json"], "--json" in words


def version_line(prog: str) -> str:
    """What ``--version`` prints."""
    return DUPLICITY_LINE if prog == "duplicity" else f"{prog} {__version__}"


def open_log(first: First) -> tuple[RunLog, Exception | None]:
    """The log as the line wants it, as far as that can be had, and what was wrong with the rest."""
    from tarragon.api.errors import UserError  # the api costs 20 ms: --version does without

    from .log import make_log, verbosity

    level, streams, wrong = 3, [], None
    try:
        level = verbosity(first.verbosity)
    except UserError as err:
        wrong = err
    for opening, texts in ((_open_file, first.files), (_open_descriptor, first.descriptors)):
        for text in texts:
            try:
                streams.append(opening(text))
            except UserError as err:
                wrong = wrong or err
    return make_log(level, machine=streams, timestamp=first.timestamp, aside=first.json), wrong


def _open_file(text: str) -> IO[bytes]:
    from tarragon.api.errors import BadOption  # as above

    from .parser import prepared

    try:
        return open(prepared("--log-file", text), "ab")
    except (OSError, ValueError) as err:
        raise BadOption(f"--log-file '{text}' cannot be opened: {getattr(err, 'strerror', err)}") from err


def _open_descriptor(text: str) -> IO[bytes]:
    from tarragon.api.errors import BadOption  # as above

    try:
        number = int(text)
    except ValueError:
        raise BadOption(f"--log-fd needs the number of a descriptor, not '{text}'") from None
    if number < 1:
        raise BadOption(f"--log-fd needs a descriptor of 1 or more, not {number}")
    try:
        return open(number, "wb", closefd=False)
    except (OSError, TypeError) as err:
        raise BadOption(f"--log-fd {number} is not open for writing") from err
