"""Recipe: how gpg is to be called in this run, as plain data that travels to workers; and its passphrases."""

from __future__ import annotations

import re
import shlex
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tarragon.api import BadOption, UserError, WrongKey

from .child import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tarragon.api import Context, Secret

#: The actions that store something; with all others nothing is proven beyond the program (R25).
WRITING = frozenset({"backup", "full", "incremental"})

#: Names of variables that may hold a secret: no child gets them (R24). gpg starts a daemon that would keep them.
_SECRET = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|ACCOUNT_KEY|CONNECTION_STRING|CREDENTIAL", re.IGNORECASE)
#: Words of --gpg-options that choose compression or another packet layout: then gpg makes the packets itself.
_OWN_PACKETS = re.compile(
    r"-[A-Za-y]*z|--(no-)?compress|--bzip2|--personal-compress|--rfc|--openpgp|--pgp|--gnupg|--compliance"
    r"|--options|--textmode|-t|--set-filename|--no-literal|--for-your|--use-embedded"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about the calls of one run that is no secret."""

    program: str
    env: Mapping[str, str]
    recipients: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    signer: str = ""
    words: tuple[str, ...] = ()
    uses_agent: bool = False
    compresses: bool = True
    secret_keyring: str = ""
    #: The action stores: signatures are made, not demanded.
    writes: bool = False
    limit_s: float = LIMIT_S

    @property
    def is_symmetric(self) -> bool:
        """Whether a passphrase, not a key, opens what is sealed."""
        return not self.recipients and not self.hidden

    @property
    def leaves_packets_to_us(self) -> bool:
        """Whether nothing in the options needs gpg to make the literal and compressed packets itself."""
        return self.compresses and not self.signer and not any(_OWN_PACKETS.match(word) for word in self.words)


def recipe(context: Context, program: str, limit_s: float = LIMIT_S) -> Recipe:
    """Read the options of the run. Raises BadOption."""
    options = context.options
    both = _keys("--encrypt-sign-key", options.encrypt_sign_key or ())
    signer = _keys("--sign-key", [options.sign_key] if options.sign_key else ()) or both[-1:]
    return Recipe(
        program=program,
        env={name: value for name, value in context.env.items() if not _SECRET.search(name)},
        recipients=_keys("--encrypt-key", options.encrypt_key or ()) + both,
        hidden=_keys("--hidden-encrypt-key", options.hidden_encrypt_key or ()),
        signer=signer[0] if signer else "",
        words=_words(options.gpg_options or ()),
        uses_agent=bool(options.use_agent),
        compresses=bool(options.compression),
        secret_keyring=options.encrypt_secret_keyring or "",
        writes=options.action in WRITING,
        limit_s=limit_s,
    )


def _keys(flag: str, keys: Iterable[str]) -> tuple[str, ...]:
    for key in keys:
        if not key.strip() or key.startswith("-") or not key.isprintable():
            raise BadOption(f"{flag}: '{key}' names no key")
    return tuple(keys)


def _words(values: Iterable[str]) -> tuple[str, ...]:
    """Words of --gpg-options, split as a shell splits, without the quotes around each value (docs/cli.md § 1)."""
    joined = " ".join(value.strip('"').strip("'") for value in values)
    try:
        return tuple(shlex.split(joined))
    except ValueError as err:
        raise BadOption(f"--gpg-options: '{joined}' cannot be split into words: {err}") from err


class Passphrases:
    """The two passphrases of a run, each asked for when it is first needed, once.

    A copy in another process knows what was known when it was sent, and cannot ask.
    """

    def __init__(self, ask_reading: Callable[[], Secret | None], ask_writing: Callable[[], Secret | None]) -> None:
        self._ask: dict[str, Callable[[], Secret | None]] = {"reading": ask_reading, "writing": ask_writing}
        self._known: dict[str, Secret | None] = {}
        self._lock = threading.RLock()

    def reading(self) -> Secret | None:
        """What opens messages; None when gpg's agent is to ask."""
        return self._known_or_asked("reading")

    def writing(self) -> Secret | None:
        """What seals with a passphrase, or unlocks the signing key; None when neither is needed."""
        return self._known_or_asked("writing")

    def _known_or_asked(self, kind: str) -> Secret | None:
        with self._lock:
            if kind not in self._known:
                if kind not in self._ask:
                    raise WrongKey("the passphrase is not known here", hint="give it in PASSPHRASE")
                self._known[kind] = self._ask[kind]()
            return self._known[kind]

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {"_known": dict(self._known), "_ask": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())


def passphrases(recipe: Recipe, context: Context, signer_is_recipient: Callable[[], bool]) -> Passphrases:
    """The rules of docs/cli.md § 4: which variable holds which, and which may stand in for the other.

    What stands in the environment is known at once, so that workers know it too.
    """
    env = context.env

    def stands_in(name: str, other: str) -> bool:
        return other not in env and name in env and signer_is_recipient()

    def reading() -> Secret | None:
        if recipe.uses_agent:
            return None
        if recipe.writes and recipe.is_symmetric:
            return known.writing()
        names = ("SIGN_PASSPHRASE",) if stands_in("SIGN_PASSPHRASE", "PASSPHRASE") else ("PASSPHRASE",)
        return context.ask_password("Decryption passphrase", env=names)

    def writing() -> Secret | None:
        if recipe.uses_agent:
            return None
        if recipe.is_symmetric:
            return _symmetric(recipe, context)
        if not recipe.signer:
            return None
        names = ("PASSPHRASE",) if stands_in("PASSPHRASE", "SIGN_PASSPHRASE") else ("SIGN_PASSPHRASE",)
        return context.ask_password("Signing key passphrase", env=names)

    known = Passphrases(reading, writing)
    if not recipe.uses_agent and ("PASSPHRASE" in env or stands_in("SIGN_PASSPHRASE", "PASSPHRASE")):
        known.reading()
    return known


def _symmetric(recipe: Recipe, context: Context) -> Secret:
    """The passphrase to seal with: typed twice on a terminal. A signing key must have the same, or none."""
    secret = context.ask_password("Encryption passphrase", env=("PASSPHRASE",))
    if "PASSPHRASE" not in context.env and secret != context.ask_password("Once more the same passphrase"):
        raise UserError("the two passphrases are not the same")
    if not secret:
        raise UserError("the passphrase is empty", hint="set PASSPHRASE, or say --no-encryption")
    if recipe.signer and "SIGN_PASSPHRASE" in context.env:
        signing = context.ask_password("Signing key passphrase", env=("SIGN_PASSPHRASE",))
        # gpg takes one passphrase per call (docs/format.md § 9).
        if signing and signing != secret:
            raise UserError("the symmetric and the signing passphrase differ", hint="gpg takes only one")
    return secret
