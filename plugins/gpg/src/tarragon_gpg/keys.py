"""Public keys that a word of the command line stands for, as gpg's keyring has them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from tarragon.api import BadOption, CipherError, WrongKey

from .child import Unresponsive

if TYPE_CHECKING:
    from .recipe import Recipe

#: In every call: nobody is asked, nothing is fetched from the net, no trust is computed.
QUIET = (
    "--batch",
    "--no-tty",
    "--no-secmem-warning",
    "--no-auto-check-trustdb",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
)


class PublicKey(NamedTuple):
    """One key: the fingerprints of the primary key and of its subkeys, the primary first."""

    fingerprints: tuple[str, ...]


def find(recipe: Recipe, word: str) -> list[PublicKey]:
    """Every key of the keyring that ``word`` fits: a fingerprint, an id, a mail address, part of a name."""
    return parse(answer(recipe, [*QUIET, *recipe.words, "--with-colons", "--list-keys", "--", word]))


def answer(recipe: Recipe, words: list[str]) -> bytes:
    """What the program prints for ``words``, whatever its exit status. Raises CipherError, Unresponsive."""
    try:
        done = subprocess.run(
            [recipe.program, *words],
            env=dict(recipe.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=recipe.limit_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        message = f"'{recipe.program}' did not answer within {recipe.limit_s:g} seconds"
        raise Unresponsive(message, fields=("GPGError",)) from err
    except OSError as err:
        raise CipherError(f"'{recipe.program}' cannot be run: {err.strerror}", fields=("GPGError",)) from err
    return done.stdout


def parse(listing: bytes) -> list[PublicKey]:
    """The keys of a ``--with-colons`` listing."""
    keys: list[list[str]] = []
    for line in listing.split(b"\n"):
        fields = line.split(b":")
        if fields[0] == b"pub":
            keys.append([])
        elif fields[0] == b"fpr" and len(fields) > 9 and keys:
            keys[-1].append(fields[9].decode("ascii", "replace"))
    return [PublicKey(tuple(fingerprints)) for fingerprints in keys if fingerprints]


def signers(recipe: Recipe) -> frozenset[str]:
    """Full fingerprints of the signing key: all that may stand in a signature of it.

    Raises WrongKey when it is not in the keyring. When reading, a word that fits several keys is no proof of any:
    BadOption.
    """
    found = find(recipe, recipe.signer)
    if not found:
        raise WrongKey(f"no key '{recipe.signer}' in the keyring", hint="gpg --list-keys", fields=("GPGError",))
    if len(found) > 1 and not recipe.writes:
        listed = ", ".join(key.fingerprints[0] for key in found)
        raise BadOption(f"--sign-key '{recipe.signer}' fits several keys: {listed}", hint="give the full fingerprint")
    return frozenset(fingerprint for key in found for fingerprint in key.fingerprints)


def signer_is_recipient(recipe: Recipe) -> bool:
    """Whether what is signed by the signing key is also sealed for it."""
    if not recipe.signer:
        return False
    recipients = recipe.recipients + recipe.hidden
    if recipe.signer in recipients:
        return True
    wanted = set(find(recipe, recipe.signer))
    return any(wanted.intersection(find(recipe, word)) for word in recipients)
