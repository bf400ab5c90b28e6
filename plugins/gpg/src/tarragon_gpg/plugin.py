"""GnuPG: encrypts what is stored, with a passphrase or for keys; reads .gpg, .g and .p7m (docs/format.md § 9)."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from tarragon.api import Option, hookimpl

if TYPE_CHECKING:
    from tarragon.api import Cipher, Context

TARRAGON_API = (0, 1)

_GPG = frozenset({"gpg", "g"})
_GPGSM = frozenset({"gpgsm", "p7m"})


def path(text: str) -> str:
    """A path of the command line, with ``~`` and ``$VAR`` filled in (docs/cli.md § 1)."""
    return os.path.expanduser(os.path.expandvars(text))


OPTIONS = (
    Option(
        flag="--encrypt-key",
        metavar="gpg-key-id",
        action="append",
        help="Encrypt for this public key instead of with a passphrase; may be given several times",
    ),
    Option(
        flag="--hidden-encrypt-key",
        metavar="gpg-key-id",
        action="append",
        help="As --encrypt-key, but the stored files do not tell the key",
    ),
    Option(
        flag="--sign-key",
        metavar="gpg-key-id",
        help="Sign what is stored; when reading, refuse what this key did not sign",
    ),
    Option(
        flag="--encrypt-sign-key",
        metavar="gpg-key-id",
        action="append",
        help="The same as --encrypt-key and --sign-key with this key",
    ),
    Option(
        flag="--encrypt-secret-keyring",
        metavar="path",
        type=path,
        help="Keyring that holds the secret key to read with (gpg before 2.1)",
    ),
    Option(flag="--gpg-binary", metavar="path", type=path, help="Program to run instead of gpg (or gpgsm) from PATH"),
    Option(
        flag="--gpg-options",
        metavar="options",
        action="append",
        help="More words for every call of gpg; quotes around the value are taken off, several values are joined",
    ),
    Option(flag="--use-agent", action="flag", default=False, help="Let gpg ask its agent for passphrases"),
    Option(flag="--use-gpgsm", action="flag", default=False, help="Encrypt with gpgsm (S/MIME) instead of gpg"),
)


@hookimpl
def options() -> tuple[Option, ...]:
    return OPTIONS


@hookimpl
def make_cipher(name: str, context: Context) -> Cipher | None:
    if name not in _GPG | _GPGSM:
        return None
    from .make import make  # subprocess and the rest cost 15 ms, and most runs of other ciphers never need them

    return make(context, smime=name in _GPGSM or bool(context.options.use_gpgsm))
