"""The statistics that duplicity has: printed, as JSON, and while the backup goes on (docs/format.md § 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api import Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from logging import Logger

    from tarragon.api import Context, Sink

TARRAGON_API = (0, 1)


@hookimpl
def options() -> Iterable[Option]:
    return (
        Option(
            flag="--print-statistics",
            action="flag",
            const=True,
            default=True,
            help="print the statistics after a backup (the default)",
        ),
        Option(
            flag="--no-print-statistics",
            action="flag",
            const=False,
            default=True,
            dest="print_statistics",
            help="do not print the statistics after a backup",
        ),
        Option(
            flag="--jsonstat",
            action="flag",
            const=True,
            default=False,
            help="print statistics as JSON, and store them beside each manifest; also for --show-changes-in-set",
        ),
        Option(flag="--progress", action="flag", const=True, default=False, help="report how far a backup has come"),
        Option(
            flag="--progress-rate",
            metavar="number",
            type=int,
            default=3,
            help="seconds between two progress reports (3)",
        ),
    )


@hookimpl
def make_sinks(names: Sequence[str], context: Context) -> Iterable[Sink]:
    """The sinks in the order in which they must be closed: the progress line ends first, JSON goes before the block."""
    # with json, and only for an action that makes statistics
    from .document import Document
    from .live import Live, is_wanted, terminal
    from .progress import Progress, SourceBytes
    from .tally import BACKUPS
    from .text import Text

    sinks: list[Sink] = []
    stream, action = terminal(context.env), context.options.action
    if "progress" in names and action in BACKUPS:
        sinks.append(Progress(context.log, context.options.progress_rate, quiet=stream is not None))
    if stream is not None and is_wanted(action, context.log, context.env):
        sinks.append(Live(context.log, stream, action))
    if "text" in names and action in BACKUPS:
        sinks.append(SourceBytes(context.log))
    if "jsonstat" in names:
        sinks.append(Document(context.log))
    if "text" in names and context.options.print_statistics:
        sinks.append(Text(context.log))
    return sinks


@hookimpl
def make_report(name: str, log: Logger) -> object | None:
    if name != "json":
        return None
    from .report import Report  # with json, and only for those who ask for it

    return Report(log)
