"""The way in: read the line, run it, and turn whatever goes wrong into an exit status. Here, and nowhere else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from .first import First, first_pass, open_log, understood, version_line, without_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tarragon.api.hooks import Profile
    from tarragon.plugin.hub import Hub
    from tarragon.record import RunLog
    from tarragon.settings import Settings
    from tarragon.store.attempt import Stop

    from .parser import Parsed
    from .scan import Found

#: Environment variables that hold secrets; their values never show.
SECRETS = ("PASSPHRASE", "SIGN_PASSPHRASE", "BACKEND_PASSWORD", "FTP_PASSWORD", "IMAP_PASSWORD", "RSYNC_PASSWORD")


def main(argv: Sequence[str] | None = None, *, prog: str = "tarragon", compat: bool = False) -> int:
    """Run one command line; the exit status. The console script is ``script``.

    As ``prog`` "duplicity" only duplicity's own actions are action words; ``compat`` asks for its exit statuses.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    found: list[Found] = []
    rest, wrong, profile, json = words, None, None, False
    try:
        if prog != "duplicity":
            words, json = without_json(words)
            profile, words = _profile(words)
            words, more = without_json(words)
            json = json or more
        rest = first_pass(words, found)
    except Exception as err:  # noqa: BLE001 - the one place that turns errors into an exit status
        wrong = err
    first = understood(found, rest)._replace(json=json)
    if first.version and not json:
        return _say(version_line(prog), prog)
    return _logged(first, wrong, prog, compat, profile)


def _profile(words: list[str]) -> tuple[Profile | None, list[str]]:
    """The profile in front of a line, and the line with its options in that place."""
    if not words or words[0][:1] != "@":
        return None, words
    from .profile import profile_of

    profile, rest = profile_of(words, os.environ)
    return profile, [*profile.options, *rest]


def script(*, prog: str = "tarragon", compat: bool = False) -> NoReturn:
    """The console script: ``main``, and then an end also where a call hangs in a driver that nobody waits for."""
    status = main(prog=prog, compat=compat)
    if _is_held():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


def _is_held() -> bool:
    """Whether a thread is left inside a driver: an SDK's own threads could keep the program from ending."""
    attempt = sys.modules.get("tarragon.store.attempt")  # without it there is no far side
    return attempt is not None and attempt.is_held()


def _say(text: str, prog: str, *, aside: bool = False) -> int:
    """Show a text, on standard error when standard output is for a report."""
    from .log import make_log  # only for those who read

    log = make_log(aside=aside)
    log.show(text)
    return _whole(0, log, prog)


def _whole(status: int, log: RunLog, prog: str, *, compat: bool = False) -> int:
    """The status; an error's, when all went well but could not be shown: 0 means all that was asked for."""
    if log.lost is None or status:
        return status
    from .failure import answer, not_shown

    return answer(not_shown(log.lost), log, prog=prog, compat=compat)


def _logged(first: First, wrong: Exception | None, prog: str, compat: bool, profile: Profile | None) -> int:
    """The run, with its log and its signals. ``wrong`` is what the first pass stumbled over."""
    from tarragon.plugin.hub import Hub  # with the api: --version does without

    from .failure import answer, asked_for_compat, interruptible, not_shown

    log, wrong_log = open_log(first)
    wrong = wrong or wrong_log
    compat = compat or asked_for_compat(first.rest)
    hub = Hub(log)
    error: BaseException | None = None
    try:
        with interruptible() as stop:
            if first.json:
                _report(hub, log)
            if wrong and not first.version:
                raise wrong
            status = _run(first, hub, log, prog, compat, profile, stop)
            if log.lost and not status:
                raise not_shown(log.lost)
    except (Exception, KeyboardInterrupt) as err:  # noqa: BLE001 - the one place that turns errors into a status
        error, status = err, answer(err, log, prog=prog, compat=compat)
    hub.tell("ended", exit_code=status, error=error)
    status = _whole(status, log, prog, compat=compat)
    for handler in list(log.handlers):
        handler.close()
    return status


def _report(hub: Hub, log: RunLog) -> None:
    """Take into use what puts the run into one document."""
    hub.use("report", "json")
    report = hub.ask("make_report", name="json", log=log)
    if report is not None:
        hub.register(report)


def _run(first: First, hub: Hub, log: RunLog, prog: str, compat: bool, profile: Profile | None, stop: Stop) -> int:
    from .in_use import InUse
    from .parser import CORE, grammar_of, parse

    if first.version:
        return _say(version_line(prog), prog, aside=True)
    env = dict(os.environ)
    log.hide(*(env.get(name) for name in SECRETS))
    in_use = InUse(hub, log, CORE)
    words = [*profile.selection, *first.rest] if profile else first.rest
    in_use.choose(words, grammar_of(CORE), commands=prog != "duplicity")
    parsed = parse(words, in_use, env)
    if parsed.page:
        from .pages import page  # only for those who ask

        return _say(page(parsed.page, parsed.rest, in_use, prog), prog, aside=first.json)
    if profile is not None:
        from .profile import READING, action_of, placed

        if action_of(parsed.rest) not in ("", *READING):
            parsed = parse(first.rest, in_use, env)  # what the profile selects of a source means nothing here
        parsed = parsed._replace(rest=placed(parsed.rest, profile))
    for remark in parsed.remarks:
        log.warning("%s", remark)
    settings = _settings(parsed, log, prog, compat, profile)
    return _action(settings, hub, log, stop)


def _settings(parsed: Parsed, log: RunLog, prog: str, compat: bool, profile: Profile | None) -> Settings:
    """Everything that the line says, checked."""
    import time  # with all that follows

    from tarragon.plugin import finder
    from tarragon.settings import Options, Settings

    from .in_use import PLUGINS
    from .parser import times_read
    from .words import read

    log.hide(*parsed.secrets)
    given = parsed.values["current_time"]
    now = int(time.time()) if given is None else given
    parsed = times_read(parsed, now)
    commands: frozenset[str] = frozenset() if prog == "duplicity" else finder.names("command") | {PLUGINS}
    line = read(parsed.rest, now, commands=commands, separator=parsed.values["time_separator"])
    if line.notice:
        from .log import NOTICE

        log.log(NOTICE, "%s", line.notice)
    url = _as_manual_says(line.url, parsed.values) if line.url else None
    source = line.source
    if source is None and profile is not None and profile.source is not None:
        source = profile.source.encode("utf-8", "surrogateescape")
    return Settings(
        action=line.action,
        source=source,
        url=url,
        words=line.words,
        options=Options({**parsed.values, "action": line.action}, parsed.owners),
        selection=parsed.selection,
        now=now,
        prog=prog,
        compat=compat or parsed.values["compat_exit"],
    )


def _as_manual_says(url: str, values: Mapping[str, Any]) -> str:
    """What the manual of duplicity 3.0.2 still tells of ``--gio`` and ``--use-scp`` (docs/cli.md § 10)."""
    if values["gio"] and not url.startswith("gio+"):
        url = f"gio+{url}"
    if values["use_scp"] and url.startswith(("sftp://", "ssh://")):
        url = f"scp{url[url.index(':') :]}"
    return url


def _action(settings: Settings, hub: Hub, log: RunLog, stop: Stop) -> int:
    from tarragon.api.url import parse_url
    from tarragon.plugin import finder
    from tarragon.run.actions import run

    if settings.url:
        # Raises BadURL, and the password must never show: it is hidden before anybody speaks of the URL.
        log.hide(parse_url(settings.url, finder.names("backend"), finder.names("wrapper")).password)
    return int(run(settings, hub, log, stop))
