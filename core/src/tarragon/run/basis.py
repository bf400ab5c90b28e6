"""What a backup builds upon: the source as it is named, the chain it adds to, and the room it needs."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tarragon import clock
from tarragon.api.errors import (
    HostMismatch,
    IncrementalWithoutSignatures,
    IntegrityError,
    SourceMismatch,
    UserError,
    WrongKey,
)
from tarragon.api.repository import Finding
from tarragon.record import NOTICE, quoted_field

if TYPE_CHECKING:
    from tarragon.store.chain import BackupSet, Chain

    from .context import Context
    from .repository import Target

MIB = 1 << 20
#: The exit status of a passphrase that was needed and not given (docs/cli.md § 4).
NO_PASSPHRASE = 30


def upon(context: Context, target: Target, source: bytes) -> list[BackupSet]:
    """The sets that this run builds upon, with their metadata in the cache; none for a full backup."""
    chain = basis(context, target)
    if chain is None or not _can_read(context, target, chain):
        return []
    chain = basis(context, target)
    if chain is None:
        return []
    if not target.watch.trusts(chain.sets):
        context.log.log(NOTICE, "making a full backup: the sets of the last chain are not to be trusted")
        return []
    check_origin(context, target, chain.sets[-1], source)
    return list(chain.sets)


def _can_read(context: Context, target: Target, chain: Chain) -> bool:
    """Whether the chain's metadata is in the cache now, or can be fetched.

    Who encrypts to a key of somebody else, and has lost the cache, has nothing to build upon. Nobody is asked for a
    passphrase that was not given (R47).
    """
    try:
        target.sync(chain.sets)
    except (UserError, WrongKey) as err:
        is_missing = isinstance(err, WrongKey) or err.exit_code == NO_PASSPHRASE
        if context.action == "incremental" or "PASSPHRASE" in context.env or not is_missing:
            raise
        context.log.warning("making a full backup: what the last one left cannot be read here: %s", err)
        return False
    except IntegrityError as err:  # no reason to be without a backup
        target.watch.alarm(Finding("metadata of the last chain", ("content",), str(err)))
        return False
    return True


def shape(context: Context, source: bytes) -> dict[str, object]:
    """What must be the same for a run to go on with a set that another one began."""
    options = context.options
    return {
        "host": os.fsdecode(hostname()),
        "source": os.fsdecode(local_dir(source)),
        "selection": [list(word) for word in context.settings.selection],
        "copy_links": options.copy_links,
        "volsize": options.volsize,
        "max_blocksize": options.max_blocksize,
        "suffix": context.sealer.suffix,
        "prefix": [options.file_prefix, options.file_prefix_archive],
    }


def require_room(context: Context) -> None:
    """Raise NoTempSpace when the temporary folder is too small. Where the program chose how much is done side by side,
    and there is no room for that, it does one thing at a time.
    """
    if context.options.concurrency is None and context.temp.room() < room_needed(context):
        context.log.log(NOTICE, "one volume at a time: '%s' has room for no more", context.temp.place.parent)
        context.width = 0
    context.temp.require(room_needed(context))


def room_needed(context: Context) -> int:
    """Volumes that may wait in the temporary folder: being built, built, and on their way (R63)."""
    volumes = 2 * context.width + 2 if context.width else 2
    wanted: int = volumes * context.options.volsize * MIB
    return min(wanted, _source_bound(context))


def _source_bound(context: Context) -> int:
    """No need to ask for more room than the source's file system holds in all."""
    figures = os.statvfs(source_of(context))
    return (figures.f_blocks - figures.f_bfree) * figures.f_frsize + 64 * MIB


def source_of(context: Context) -> bytes:
    """The source as typed. Raises UserError when it is not there."""
    source = context.settings.source
    assert source is not None
    if not os.path.lexists(source):
        raise UserError(f"the source '{os.fsdecode(source)}' does not exist")
    return source


def local_dir(source: bytes) -> bytes:
    """The source as a manifest records it (docs/format.md § 2): as typed, without empty and ``.`` components."""
    parts = [part for part in source.split(b"/") if part not in (b"", b".")]
    joined = b"/".join(parts)
    return b"/" + joined if source.startswith(b"/") else joined or b"."


def basis(context: Context, target: Target) -> Chain | None:
    """The chain that this run adds an increment to; None for a full backup (docs/cli.md § 2).

    Raises IncrementalWithoutSignatures when an increment was asked for and none can be made.
    """
    options = context.options
    if context.action == "full":
        return None
    chain = target.collection.basis()
    if chain is None:
        latest = target.collection.latest_chain()
        why = latest.problem if latest is not None else "there is no full backup"
        # Wrappers ask for an increment, or a full one when the last is too old; none at all is too old.
        too_old = options.full_if_older_than is not None and (
            latest is None or latest.start < options.full_if_older_than
        )
        if context.action == "incremental" and not too_old and not target.watch.alarms:  # these never stop a backup
            raise IncrementalWithoutSignatures(
                f"no increment can be made: {why}", hint="make a full backup with 'full' or 'backup'"
            )
        context.log.log(NOTICE, "making a full backup: %s", why)
        return None
    if options.full_if_older_than is not None and chain.start < options.full_if_older_than:
        context.log.log(
            NOTICE, "making a full backup: the last one is older than %s", clock.pretty(options.full_if_older_than)
        )
        return None
    if options.full_if_n_inc is not None and len(chain.sets) - 1 >= options.full_if_n_inc:
        context.log.log(NOTICE, "making a full backup: there are %d increments", len(chain.sets) - 1)
        return None
    return chain


def check_origin(context: Context, target: Target, newest: BackupSet, source: bytes) -> None:
    """Refuse to mix hosts or sources in one chain, unless told to (docs/format.md § 2.4)."""
    if context.options.allow_source_mismatch:
        return
    before = target.manifest(newest)
    here = hostname()
    hint = "give --allow-source-mismatch if this is what you want"
    if before.host and before.host not in (here, os.fsencode(socket.getfqdn())):
        fields = (quoted_field(here), quoted_field(before.host))
        raise HostMismatch(
            f"the last backup was made on host {fields[1]}, this is {fields[0]}", hint=hint, fields=fields
        )
    if before.source and before.source != local_dir(source):
        fields = (quoted_field(local_dir(source)), quoted_field(before.source))
        raise SourceMismatch(f"the last backup was made of {fields[1]}, this is {fields[0]}", hint=hint, fields=fields)


def hostname() -> bytes:
    """The name of this host, as manifests record it."""
    return os.fsencode(socket.gethostname())
