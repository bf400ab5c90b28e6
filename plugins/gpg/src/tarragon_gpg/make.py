"""Make the cipher of a run, and prove before anything is stored that it works (R25)."""

from __future__ import annotations

import re
import secrets
import shutil
from typing import TYPE_CHECKING

from tarragon.api import CipherError, Role, Secret, UserError

from . import keys
from .child import LIMIT_S, Unresponsive
from .cipher import GpgCipher
from .gpgsm import GpgsmCipher
from .packets import PacketPacker
from .recipe import passphrases, recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from tarragon.api import Cipher, Context

    from .recipe import Passphrases, Recipe

_PROBE = b"tarragon proves a key\n" * 40  # compressible, longer than one byte of length
_OLDEST_GPGSM = (2, 2, 27)  # the first that is known to work (docs/cli.md § 3, --use-gpgsm)


def make(context: Context, *, smime: bool = False, limit_s: float = LIMIT_S) -> Cipher:
    """The cipher for the options of the run.

    Raises CipherError when the program is missing; for an action that stores also WrongKey for a key that cannot be
    used or a passphrase that does not fit, and UserError when a passphrase is needed and nobody can be asked.
    """
    plan = recipe(context, _program(context, smime), limit_s)
    known = passphrases(plan, context, lambda: keys.signer_is_recipient(plan))
    cipher = _smime(plan, known, context) if smime else GpgCipher(plan, known)
    if plan.uses_agent and plan.is_symmetric and plan.writes:
        context.log.warning("--use-agent without a key: the agent asks for the passphrase of each file")
    if plan.writes:
        with context.temp_file() as path, path.open("w+b") as scratch:
            prove(cipher, scratch)
    elif context.options.action in ("restore", "verify"):
        cipher.signers()
    return cipher


def _program(context: Context, smime: bool) -> str:
    # --gpg-binary names the gpgsm only when gpgsm was asked for, not when a .p7m happens to be read.
    named = context.options.gpg_binary if smime is bool(context.options.use_gpgsm) else None
    wanted = named or ("gpgsm" if smime else "gpg")
    found = shutil.which(wanted, path=context.env.get("PATH"))
    if found is None:
        raise CipherError(f"no program '{wanted}'", hint="install GnuPG or say --gpg-binary", fields=("GPGError",))
    return found


def _smime(plan: Recipe, known: Passphrases, context: Context) -> GpgsmCipher:
    if plan.signer:
        raise UserError("gpgsm cannot sign what it encrypts", hint="leave --sign-key out, or use gpg")
    if plan.writes and (plan.hidden or not plan.recipients):
        raise UserError("gpgsm encrypts only for certificates that are named", hint="give --encrypt-key")
    version = re.match(rb"gpgsm \(GnuPG[^)]*\) (\d+)\.(\d+)\.(\d+)", keys.answer(plan, ["--version"]))
    if version and tuple(map(int, version.groups())) < _OLDEST_GPGSM:
        raise CipherError("this gpgsm is too old", hint="2.2.27 or newer is needed", fields=("GPGError",))
    context.log.warning("what gpgsm encrypts is not protected against changes: only the recorded hashes are")
    return GpgsmCipher(plan, known)


def prove(cipher: GpgCipher, scratch: BinaryIO) -> None:
    """Seal a small message and, where a passphrase opens it, open it again; find out who is to pack.

    Raises what sealing and opening raise.
    """
    plan = cipher.recipe
    if plan.leaves_packets_to_us and not isinstance(cipher, GpgsmCipher):
        cipher.packs_itself = can_pack(cipher, scratch)
        if cipher.packs_itself and plan.is_symmetric:
            return  # sealed and opened already
    _seal(scratch, cipher.sealing)
    if plan.is_symmetric and _opened(scratch, cipher.opening) != _PROBE:
        raise CipherError("what GnuPG opened is not what it sealed", fields=("GPGError",))


def can_pack(cipher: GpgCipher, scratch: BinaryIO) -> bool:
    """Whether this gpg seals packets of ours, for these keys or passphrase, so that plain gpg opens them."""
    plan = cipher.recipe
    trial = GpgCipher(plan, cipher.secrets, packs_itself=True)
    try:
        if plan.is_symmetric:
            _seal(scratch, trial.sealing)
            return _opened(scratch, trial.opening) == _PROBE
        return _can_pack_for_keys(trial, scratch)
    except Unresponsive:
        raise
    except CipherError:
        return False


def _can_pack_for_keys(trial: GpgCipher, scratch: BinaryIO) -> bool:
    """Seal for the keys and for a passphrase made up here, and open by that one: secret keys are left alone.

    Their packets are cut off first: a smart card would count a wrong try.
    """
    made_up = Secret(secrets.token_hex(16))
    common = trial.words(loopback=True)
    sealing = [*common, "--no-armor", "--no-literal", "--compress-algo", "none", *trial.recipients()]
    sealing += ["--s2k-mode", "3", "--s2k-count", "1024", "--encrypt", "--symmetric"]
    _seal(scratch, lambda into, role: trial.writer(into, sealing, made_up, PacketPacker))
    scratch.seek(0)
    message = without_keys(scratch.read())
    scratch.seek(0)
    scratch.truncate()
    scratch.write(message)
    scratch.flush()
    return _opened(scratch, lambda source, role: trial.reader(source, [*common, "--decrypt"], made_up, None)) == _PROBE


def without_keys(message: bytes) -> bytes:
    """The message without the packets (tag 1) that hold its session key for public keys (RFC 4880 § 4.2)."""
    kept, at = bytearray(), 0
    while at < len(message):
        size = _packet_size(message, at)
        if size is None:
            return bytes(kept + message[at:])
        tag = message[at] & 0x3F if message[at] & 0x40 else message[at] >> 2 & 0xF
        if tag != 1:
            kept += message[at : at + size]
        at += size
    return bytes(kept)


def _packet_size(message: bytes, at: int) -> int | None:
    """Bytes of the packet at ``at`` with its header; None for one in parts or to the end: the encrypted data."""
    first, length = message[at], message[at + 1 : at + 6]
    if not first & 0x40:
        width = {0: 1, 1: 2, 2: 4}.get(first & 3)
        return None if width is None else 1 + width + int.from_bytes(length[:width], "big")
    if length[0] < 192:
        return 2 + length[0]
    if length[0] < 224:
        return 3 + (length[0] - 192 << 8) + length[1] + 192
    return 6 + int.from_bytes(length[1:5], "big") if length[0] == 255 else None


def _seal(scratch: BinaryIO, sealing: Callable[[BinaryIO, Role], BinaryIO]) -> None:
    scratch.seek(0)
    scratch.truncate()
    with sealing(scratch, Role.OWN) as writer:
        writer.write(_PROBE)


def _opened(scratch: BinaryIO, opening: Callable[[BinaryIO, Role], BinaryIO]) -> bytes:
    scratch.seek(0)
    with opening(scratch, Role.OWN) as reader:
        return reader.read()
