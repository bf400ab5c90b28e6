"""GpgsmCipher: S/MIME by gpgsm, for certificates only.

What gpgsm writes, and what it reads of older backups, is encrypted but not protected against changes (CMS
EnvelopedData, CBC). Whoever opens it must have compared its hash with one from a trusted place before (R23).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from tarragon.api import CipherError

from . import cms, status
from .cipher import RATIO_PLAIN, GpgCipher

if TYPE_CHECKING:
    from tarragon.api import Role


class GpgsmCipher(GpgCipher):
    """CMS by gpgsm: no passphrase, no signature, no hidden recipient, no compression."""

    suffix = ".p7m"
    ratio = RATIO_PLAIN
    sealing_error = staticmethod(status.cms_sealing_error)
    opening_error = staticmethod(status.cms_opening_error)

    def opening(self, source: BinaryIO, role: Role) -> BinaryIO:
        kind = cms.kind_of(source)
        if kind.tag_size is not None and kind.tag_size < cms.TAG_SIZE:
            raise CipherError(
                f"the message has an authentication tag of only {kind.tag_size} bytes",
                hint="no program that makes backups writes such messages: somebody changed it",
                fields=("GPGError",),
            )
        return super().opening(source, role)

    def words(self, loopback: bool) -> list[str]:
        asked = ["--pinentry-mode", "loopback"] if loopback else []
        return ["--batch", "--no-tty", "--no-secmem-warning", *asked, *self.recipe.words]

    def sealing_words(self) -> list[str]:
        return [*self.words(loopback=not self.recipe.uses_agent), *self.recipients(), "--encrypt"]

    def opening_words(self) -> list[str]:
        return [*self.words(loopback=not self.recipe.uses_agent), "--decrypt"]
