"""The eleven actions: which function does which, and what their answers mean as an exit status (docs/cli.md § 9)."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tarragon.api.errors import Interrupted, TarragonError, UserError
from tarragon.api.events import Outcome

from .context import Context
from .repository import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tarragon.plugin.hub import Hub
    from tarragon.record import RunLog
    from tarragon.settings import Settings
    from tarragon.store.attempt import Stop

    from .restored import Damage

#: Exit statuses of the strict command; with ``--compat-exit`` duplicity's stand in their place.
NOT_STORED, NOT_RESTORED, ALARM = 100, 101, 102


def run(settings: Settings, hub: Hub, log: RunLog, stop: Stop | None = None) -> int:
    """Run an action; the exit status. Observers are told how it ended whatever happens."""
    context = Context(settings, hub, log)
    context.stop = stop
    started = time.time()
    facts = context.facts
    status = 1
    error: BaseException | None = None
    hub.tell("run_started", command=settings.action, context=context)
    try:
        action = ACTIONS.get(settings.action)
        status = action(context, facts) if action is not None else _command(context)
        status = _watched(context, facts, status)
    except TarragonError as err:
        status, error = err.exit_code, err
        raise
    except KeyboardInterrupt as err:
        status, error = Interrupted.exit_code, err
        raise
    except BaseException as err:
        error = err
        raise
    finally:
        outcome = Outcome(settings.action, status, started, time.time(), error, facts)
        _close(context, outcome)
    return status


def _used(context: Context) -> Target | None:
    """The target, if this run has asked for it."""
    target = context.__dict__.get("repository")
    return target if isinstance(target, Target) else None


def _watched(context: Context, facts: dict[str, Any], status: int) -> int:
    """The status, when the target is not what this client remembers: of two bad news the alarm is the worse."""
    target = _used(context)
    alarms = target.watch.alarms if target is not None else []
    facts["alarms"] = [f"{each.name}: {each.problem}" for each in alarms]
    return ALARM if alarms and status in (0, NOT_STORED) and not context.settings.compat else status


def _close(context: Context, outcome: Outcome) -> None:
    try:
        target = _used(context)
        if target is not None:
            target.watch.settle()
        if "sinks" in context.__dict__:
            for sink in context.sinks:
                sink.close(outcome)
        context.hub.tell("run_finished", outcome=outcome, context=context)
    finally:
        context.close()


def _plugins(context: Context, facts: dict[str, Any]) -> int:
    """The core's own word beside the eleven: what is installed. 1 when something of it has a problem."""
    from dataclasses import asdict

    from tarragon.plugin.survey import survey, table

    if context.settings.words:
        raise UserError(f"'plugins' takes no words, but got '{context.settings.words[0]}'")
    found = survey()
    context.log.show(table(found))
    facts["plugins"] = [asdict(each) for each in found]
    return 1 if any(each.problems for each in found) else 0


def _command(context: Context) -> int:
    """An action word of a plugin."""
    word = context.action
    context.is_command = True
    context.hub.use("command", word)
    command = context.hub.ask("make_command", word=word, context=context)
    if command is None:
        raise UserError(f"there is no action '{word}'")
    return int(command(context.settings.words))


def _target(context: Context) -> Target:
    target = context.repository
    assert isinstance(target, Target)
    return target


def _backup(context: Context, facts: dict[str, Any]) -> int:
    from .backup import backup

    result = backup(context, _target(context))
    facts.update(problems=result.problems, dry_run=context.options.dry_run)
    if result.problems and not context.settings.compat:
        context.log.error("%d entries were not stored as they are (named above)", result.problems)
        return NOT_STORED
    return 0


def _restore(context: Context, facts: dict[str, Any]) -> int:
    from .restore import restore

    facts["dry_run"] = context.options.dry_run
    assert context.settings.target is not None
    damage = restore(context, _target(context), context.settings.target)
    return answer(context, damage, facts)


def answer(context: Context, damage: Damage, facts: dict[str, Any]) -> int:
    """0 only when nothing was lost (R56)."""
    facts["lost"] = [lost._asdict() for lost in damage.paths]
    facts.update(lost_volumes=list(damage.volumes), owners_not_set=damage.unlike)
    if context.settings.compat:
        return 0 if damage.first is None or context.options.ignore_errors else damage.first.exit_code
    return NOT_RESTORED if damage.paths or damage.volumes or damage.unlike else 0


def _verify(context: Context, facts: dict[str, Any]) -> int:
    from .verify import verify

    verified = verify(context, _target(context))
    facts.update(compared=verified.compared, different=verified.differences)
    status = answer(context, verified.damage, facts)
    if status:
        return status
    return 1 if verified.differences else 0


def _list(context: Context, facts: dict[str, Any]) -> int:
    from . import report
    from .restored import sets_at

    target = _target(context)
    sets = sets_at(context, target)
    facts["sets"] = [of.info() for of in sets]
    report.list_files(context.log, (known.entry for known in target.known(sets)))
    return 0


def _status(context: Context, facts: dict[str, Any]) -> int:
    from . import status

    status.status(context, _target(context))
    return 0


def _prune(context: Context, facts: dict[str, Any]) -> int:
    from . import prune

    work = {
        "cleanup": prune.cleanup,
        "remove-older-than": prune.remove_older_than,
        "remove-all-but-n-full": prune.remove_all_but_n_full,
        "remove-all-inc-of-but-n-full": prune.remove_all_inc_of_but_n_full,
    }
    target = _target(context)
    # What is to be removed is looked for with the lock held: after waiting for it, an older look would be stale.
    writes = context.action == "cleanup" or (context.options.force and not context.options.dry_run)
    with target.writing() if writes else nullcontext():
        work[context.action](context, target)
    return 0


ACTIONS: Mapping[str, Callable[[Context, dict[str, Any]], int]] = {
    "plugins": _plugins,
    "backup": _backup,
    "full": _backup,
    "incremental": _backup,
    "restore": _restore,
    "verify": _verify,
    "list-current-files": _list,
    "collection-status": _status,
    "cleanup": _prune,
    "remove-older-than": _prune,
    "remove-all-but-n-full": _prune,
    "remove-all-inc-of-but-n-full": _prune,
}
