"""GpgCipher: one gpg per stored file, straight to and from the file's descriptor (docs/format.md § 9)."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from tarragon.api import Cipher

from . import keys, status
from .child import Child
from .packets import PacketPacker
from .streams import OpeningReader, SealingWriter

if TYPE_CHECKING:
    from tarragon.api import CipherError, Role, Secret

    from .recipe import Passphrases, Recipe

#: About what is left of what gpg compresses, and of what it does not.
RATIO, RATIO_PLAIN = 0.5, 0.95


class GpgCipher(Cipher):
    """OpenPGP by gpg: with a passphrase or for keys, signed or not. Travels to workers with what it knows.

    ``packs_itself``: unsigned messages get their compressed packets from us, not from gpg; for a gpg that was shown
    to take them (make.py).
    """

    suffix = ".gpg"
    packs = True
    ratio = RATIO
    sealing_error = staticmethod(status.sealing_error)
    opening_error = staticmethod(status.opening_error)

    def __init__(self, recipe: Recipe, secrets: Passphrases, *, packs_itself: bool = False) -> None:
        self.recipe = recipe
        self.secrets = secrets
        self.packs_itself = packs_itself
        self._signers: frozenset[str] | None = None
        if not recipe.compresses:
            self.ratio = RATIO_PLAIN  # type: ignore[misc]  # the plan asks the object, as it asks packs

    def signers(self) -> frozenset[str] | None:
        """Fingerprints of which one must sign; None without a signing key. Raises WrongKey, BadOption."""
        if self.recipe.signer and self._signers is None:
            self._signers = keys.signers(self.recipe)
        return self._signers

    def sealing(self, into: BinaryIO, role: Role) -> BinaryIO:
        return self.writer(
            into, self.sealing_words(), self.secrets.writing(), PacketPacker if self.packs_itself else None
        )

    def opening(self, source: BinaryIO, role: Role) -> BinaryIO:
        # While a backup is made, older parts of the chain may be unsigned: what is signed from now on is not proven
        # by them. Reading demands it of every object (R11).
        signers = None if self.recipe.writes else self.signers()
        return self.reader(source, self.opening_words(), self.secrets.reading(), signers)

    def writer(
        self, into: BinaryIO, words: list[str], secret: Secret | None, packer: type[PacketPacker] | None
    ) -> BinaryIO:
        """A writer into a gpg called with ``words``."""
        signers = self.signers()
        into.flush()
        child = self._child(words, secret, into=into.fileno())

        def judge(child: Child) -> CipherError | None:
            return self.sealing_error(child.status, child.exit_status or 0, child.words, signers)

        def done() -> None:
            # Python's idea of the position is older than what gpg wrote.
            with contextlib.suppress(io.UnsupportedOperation):
                into.seek(os.lseek(into.fileno(), 0, os.SEEK_CUR))

        return cast("BinaryIO", SealingWriter(child, judge, packer() if packer else None, done))

    def reader(
        self, source: BinaryIO, words: list[str], secret: Secret | None, signers: frozenset[str] | None
    ) -> BinaryIO:
        """A reader from a gpg called with ``words``."""
        # Python may have read ahead: only a seek to the end makes it forget that, before gpg moves the descriptor.
        at = source.tell()
        source.seek(0, os.SEEK_END)
        source.seek(at)
        child = self._child(words, secret, source=source.fileno())

        def judge(child: Child) -> CipherError | None:
            return self.opening_error(child.status, child.exit_status or 0, child.words, signers)

        return cast("BinaryIO", OpeningReader(child, judge))

    def _child(
        self, words: list[str], secret: Secret | None, source: int | None = None, into: int | None = None
    ) -> Child:
        recipe = self.recipe
        return Child(recipe.program, words, recipe.env, source=source, into=into, secret=secret, limit_s=recipe.limit_s)

    def words(self, loopback: bool) -> list[str]:
        """What every call begins with; ``loopback``: passphrases come from us, not from the agent's pinentry."""
        asked = ["--pinentry-mode", "loopback"] if loopback else []
        return [*keys.QUIET, *asked, *self.recipe.words, "--trust-model", "always"]

    def recipients(self) -> list[str]:
        """The keys to encrypt for, as words of the call."""
        named = [word for key in self.recipe.recipients for word in ("--recipient", key)]
        return named + [word for key in self.recipe.hidden for word in ("--hidden-recipient", key)]

    def sealing_words(self) -> list[str]:
        """The call that seals."""
        recipe = self.recipe
        words = self.words(loopback=not recipe.uses_agent)
        if self.packs_itself:
            words += ["--no-literal", "--compress-algo", "none"]
        elif not recipe.compresses:
            words += ["--compress-algo", "none"]
        if recipe.signer:
            words += ["--local-user", recipe.signer, "--sign"]  # not --default-key: gpg may take another for it
        return [*words, *self.recipients(), "--symmetric" if recipe.is_symmetric else "--encrypt"]

    def opening_words(self) -> list[str]:
        """The call that opens."""
        keyring = ["--secret-keyring", self.recipe.secret_keyring] if self.recipe.secret_keyring else []
        return [*self.words(loopback=not self.recipe.uses_agent), *keyring, "--decrypt"]
