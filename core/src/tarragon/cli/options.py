"""The options that are core's, as a table. Those of backends, selection, gpg and statistics are their packages'."""

from __future__ import annotations

import os
import shlex

from tarragon.api.errors import BadOption
from tarragon.api.options import Option


def _character(text: str) -> str:
    if len(text) != 1:
        raise BadOption(f"--time-separator needs exactly one character, not '{text}'")
    return text


def _words(text: str) -> tuple[str, ...]:
    """A command line as a shell splits it; no shell will run it. Raises ValueError."""
    words = tuple(shlex.split(text))
    if not words:
        raise ValueError(text)
    return words


def _secret(name: str, what: str) -> tuple[Option, ...]:
    """Where a secret comes from when it does not come from the environment."""
    return (
        Option(flag=f"--{name}-file", metavar="path", help=f"read {what} from the first line of this file"),
        Option(flag=f"--{name}-fd", type=int, metavar="fd", help=f"read {what} from this descriptor"),
        Option(flag=f"--{name}-command", type=_words, metavar="command", help=f"run this; it prints {what}"),
    )


def _flag(flag: str, help: str, *, default: bool = False, dest: str | None = None) -> Option:
    """A flag that sets its setting; ``--no-x`` unsets the setting x."""
    const = not flag.startswith("--no-") or dest is None
    return Option(flag=flag, help=help, action="flag", const=const, default=default, dest=dest)


def _pair(name: str, help: str, help_no: str) -> tuple[Option, Option]:
    """``--name`` and ``--no-name``: one setting, on unless it is switched off."""
    dest = name.replace("-", "_")
    on = _flag(f"--{name}", help, default=True, dest=dest)
    return on, _flag(f"--no-{name}", help_no, default=True, dest=dest)


#: Read in a first pass over the whole line.
LOGGING = (
    Option(flag="--verbosity", aliases=("-v",), metavar="level", default=3, help="amount of output, 0 to 9 or a word"),
    Option(flag="--version", aliases=("-V",), action="flag", help="print the version and exit"),
    Option(flag="--log-fd", action="append", metavar="fd", help="write machine-readable messages to this descriptor"),
    Option(flag="--log-file", action="append", metavar="path", help="append machine-readable messages to this file"),
    Option(flag="--log-timestamp", action="flag", help="put date, time and level before each message"),
)

#: What a backup does.
BACKUP = (
    _flag("--dry-run", "say what would be done, and do nothing at the target"),
    Option(flag="--full-if-older-than", metavar="time", help="make a full backup when the last full one is older"),
    Option(flag="--full-if-n-inc", type=int, metavar="number", help="make a full backup after so many increments"),
    _flag("--skip-if-no-change", "make no increment when nothing changed"),
    _flag("--allow-source-mismatch", "accept another host name or source folder than last time"),
    Option(flag="--volsize", type=int, metavar="MiB", default=200, help="size at which a volume is closed"),
    Option(flag="--concurrency", type=int, metavar="number", help="workers side by side; 0: none; not given: chosen"),
    Option(flag="--executor", metavar="name", help="where the work is done: inline, threads, processes, ..."),
    Option(
        flag="--asynchronous-upload",
        action="flag",
        help="without effect since duplicity 3.0",
        deprecated="it no longer does anything; use --concurrency 1",
    ),
    _flag("--copy-links", "back up what a symbolic link points to"),
    Option(flag="--copy-blocksize", type=int, metavar="KiB", default=128, help="block size for copying files"),
    Option(flag="--max-blocksize", type=int, metavar="bytes", default=0, help="limit of the delta block size; 0: none"),
    *_pair("files-changed", "keep the list of changed files", "do not keep the list of changed files"),
    *_pair("compression", "pack what is stored", "do not pack what is stored (nothing is when it is encrypted)"),
    _flag("--verify-volumes", "open each volume again before it is stored, and compare; needs the secret key"),
)

#: Restoring, comparing, status, removal.
RESTORE = (
    Option(flag="--path-to-restore", aliases=("-r",), type=os.fsencode, metavar="path", help="take only this path"),
    Option(flag="--restore-time", aliases=("-t", "--time"), metavar="time", help="the backup as it was at this time"),
    Option(
        flag="--rename",
        type=os.fsencode,
        nargs=2,
        action="append",
        metavar="old new",
        help="restore the first path under the second name",
    ),
    _flag("--numeric-owner", "use the stored numeric owner, not the name"),
    *_pair("restore-ownership", "set owner and group", "do not set owner and group"),
    _flag("--ignore-errors", "go on after errors that concern one file"),
    _flag("--compare-data", "compare contents with the local files too"),
    Option(flag="--file-changed", type=os.fsencode, metavar="path", help="show in which sets this path changed"),
    Option(flag="--show-changes-in-set", type=int, metavar="number", help="list the changes of a set; 0 is the newest"),
    _flag("--force", "really delete; restore into a folder that is not empty"),
    Option(flag="--time-separator", type=_character, metavar="char", default=":", help="separator in old time stamps"),
)

#: Names, places, the far side.
PLACES = (
    Option(flag="--name", metavar="string", help="name of the backup, and of its cache folder"),
    Option(flag="--archive-dir", metavar="path", help="parent of the cache folders"),
    Option(flag="--config-dir", metavar="path", help="accepted; nothing reads it"),
    Option(flag="--tempdir", metavar="path", help="folder for temporary files"),
    *(
        Option(flag=f"--file-prefix{kind}", metavar="string", default="", help=f"put before the names of {what}")
        for kind, what in {
            "": "all files",
            "-archive": "volumes",
            "-manifest": "manifests",
            "-signature": "signature files",
            "-jsonstat": "statistics files",
        }.items()
    ),
    Option(
        flag="--metadata-sync-mode",
        choices=("full", "partial"),
        metavar="mode",
        default="partial",
        help="fetch the metadata of all chains (full) or of the one needed (partial)",
    ),
    *_pair("check-remote", "compare local metadata with the target's", "do not compare metadata with the target's"),
    *_pair("encryption", "encrypt what is stored", "do not encrypt what is stored"),
    Option(flag="--num-retries", type=int, metavar="number", default=5, help="tries before giving up"),
    Option(flag="--backend-retry-delay", type=int, metavar="seconds", default=30, help="pause between two tries"),
    Option(flag="--timeout", type=int, metavar="seconds", default=30, help="network timeout"),
)

#: Choices of plugins, and what is ours.
OURS = (
    Option(flag="--stats", metavar="name", action="append", help="statistics to make: text, jsonstat, progress, ..."),
    Option(
        flag="--lock-wait",
        type=int,
        metavar="seconds",
        default=0,
        help="wait so long for another run that writes to the same target; not given: fail at once",
    ),
    Option(flag="--limit-upload", type=int, metavar="KiB/s", default=0, help="bandwidth of all uploads; 0: no limit"),
    Option(flag="--limit-download", type=int, metavar="KiB/s", default=0, help="the same for downloads; 0: no limit"),
    _flag("--compat-exit", "end with duplicity's exit statuses"),
    *_secret("passphrase", "the passphrase"),
    *_secret("sign-passphrase", "the signing key's passphrase"),
    *_secret("backend-password", "the target's password"),
)

#: Not on any help page.
HIDDEN = (
    Option(flag="--current-time", type=int, metavar="seconds", hidden=True, help="pretend that this is the time"),
    Option(flag="--skip-volume", type=int, metavar="number", hidden=True, help="do not upload this volume"),
    Option(flag="--pydevd", action="flag", hidden=True, help="accepted; no debugger is started"),
    Option(flag="--gio", action="flag", hidden=True, help="take the target through GIO", deprecated="use a gio+ URL"),
    Option(flag="--use-scp", action="flag", hidden=True, help="copy with scp", deprecated="use an scp:// URL"),
)

#: Taken off the line before the rest is read (cli/first.py).
JSON = (Option(flag="--json", action="flag", help="standard output is one JSON document; text to standard error"),)

#: Headline → options, as on the help pages.
GROUPS = {
    "output and logging": LOGGING,
    "backup": BACKUP,
    "restore, verify, status, removal": RESTORE,
    "names, places and targets": PLACES,
    "tarragon": OURS,
    "": HIDDEN,
}

#: Old words that wrappers in the field still use (docs/cli.md § 10): only written out, never shortened.
OLD_NAMES = {"--file-to-restore": "--path-to-restore", "--do-not-restore-ownership": "--no-restore-ownership"}
#: In no program's parser, so never meant by a shortened word.
UNSHORTENED = frozenset(OLD_NAMES) | {"--gio", "--use-scp"}
#: ``~`` and ``$NAME`` in these are expanded.
EXPANDED = frozenset(
    {
        "--archive-dir",
        "--backend-password-file",
        "--config-dir",
        "--file-changed",
        "--files-from",
        "--gpg-binary",
        "--idr-fakeroot",
        "--log-file",
        "--passphrase-file",
        "--path-to-restore",
        "--sign-passphrase-file",
        "--tempdir",
    }
)
#: Values that lose surrounding quotes: words for another program.
QUOTED = frozenset({"--gpg-options", "--par2-options", "--rsync-options", "--ssh-options"})
#: Values that are times: turned into seconds once "now" and the separator are known.
TIMES = frozenset({"--restore-time", "--full-if-older-than", "--exclude-older-than"})
#: A value of theirs may begin with ``-o``.
DASHED = frozenset({"--ssh-options"})
