"""The storage classes of the backend s3: where volumes go, and how they are asked back. Extends tarragon_s3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tarragon.api import BadOption, Option, Role, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tarragon.api import Context

TARRAGON_API = (0, 1)

#: Option → class. Where several are given the first of these counts (docs/cli.md: as duplicity has it).
CLASSES = {
    "s3_use_rrs": "REDUCED_REDUNDANCY",
    "s3_use_ia": "STANDARD_IA",
    "s3_use_onezone_ia": "ONEZONE_IA",
    "s3_use_glacier": "GLACIER",
    "s3_use_glacier_ir": "GLACIER_IR",
    "s3_use_deep_archive": "DEEP_ARCHIVE",
}
_TIERS = ("standard", "bulk", "expedited")


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) < 10**5:
        raise BadOption(f"'{text}' is no number of days", hint="a whole number, 1 or more")
    return int(text)


def _flag(flag: str, where: str) -> Option:
    return Option(flag=flag, action="flag", help=f"keep volumes in {where}")


OPTIONS = (
    _flag("--s3-use-rrs", "Reduced Redundancy Storage"),
    _flag("--s3-use-ia", "Standard, Infrequent Access"),
    _flag("--s3-use-onezone-ia", "One Zone, Infrequent Access"),
    _flag("--s3-use-glacier", "Glacier Flexible Retrieval: to be thawed before they can be read"),
    _flag("--s3-use-glacier-ir", "Glacier Instant Retrieval"),
    _flag("--s3-use-deep-archive", "Glacier Deep Archive: to be thawed before they can be read"),
    Option(
        flag="--s3-thaw-tier",
        metavar="tier",
        default="standard",
        choices=_TIERS,
        help="how quickly, and at which price, archived volumes are asked back",
    ),
    Option(flag="--s3-thaw-days", metavar="days", type=_days, default=7, help="how long thawed volumes stay readable"),
)


@hookimpl
def options() -> Iterable[Option]:
    return OPTIONS


@hookimpl
def s3_put_arguments(role: Role, context: Context) -> Mapping[str, Any]:
    """The class for volumes. All else must be readable at once, whatever has been chosen for them."""
    chosen = next((name for option, name in CLASSES.items() if getattr(context.options, option)), None)
    if chosen is None:
        return {}
    return {"StorageClass": chosen if role is Role.VOLUME else "STANDARD"}


@hookimpl
def s3_restore_request(context: Context) -> Mapping[str, Any]:
    tier = context.options.s3_thaw_tier.capitalize()
    return {"Days": context.options.s3_thaw_days, "GlacierJobParameters": {"Tier": tier}}
