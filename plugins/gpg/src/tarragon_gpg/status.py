"""Status lines of gpg: a strict grammar, a tally, and what a tally proves.

They come on a descriptor of their own. Nothing else that gpg prints is ever looked at for a decision, and of a line
only the fields that gpg itself fills: never names, notations or other text of the sender.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tarragon.api import BadSignature, CipherError, WrongKey

if TYPE_CHECKING:
    from collections.abc import Collection

_LINE = re.compile(rb"\[GNUPG:\] ([A-Z][A-Z0-9_]*)(?: ([^\x00-\x1f\x7f]*))?\Z")
_FINGERPRINT = re.compile(rb"[0-9A-F]{40}(?:[0-9A-F]{24})?\Z")
_LONGEST = 64 * 1024  #: a line longer than this is no status line
_KEPT = 16  #: argument lists kept per keyword: more than any whole message has

#: What must stand between BEGIN_DECRYPTION and END_DECRYPTION.
_INSIDE = frozenset({"PLAINTEXT", "DECRYPTION_OKAY", "GOODMDC", "NEWSIG", "GOODSIG", "VALIDSIG"})
#: Words that no whole message brings with it, whatever else is said.
_FATAL = ("BADMDC", "DECRYPTION_FAILED", "NODATA", "UNEXPECTED", "BADARMOR", "TRUNCATED")
#: Where an ERROR is about the message; other places (a key that does not fit, a keyring that is not there) may pass.
_FATAL_ERRORS = (b"decryption.", b"proc_pkt.", b"nomdc")
_UNVERIFIED = ("ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG")
#: Signs of a passphrase or a key that does not fit, rather than of damage.
_KEY_TROUBLE = ("NO_SECKEY", "BAD_PASSPHRASE", "MISSING_PASSPHRASE", "INV_RECP", "INV_SGNR", "NO_RECP", "NO_SGNR")
#: The same in libgpg-error's numbers: no public key, bad passphrase, no secret key, unusable public and secret key.
_KEY_CODES = frozenset({9, 11, 17, 53, 54})


class StatusLog:
    """What gpg said of itself so far. A line that breaks the grammar is remembered as a fault and proves nothing."""

    def __init__(self) -> None:
        self.fault = ""
        self.outside = ""  #: a keyword that may stand only between BEGIN_ and END_DECRYPTION, and did not
        self.counts: Counter[str] = Counter()
        self._arguments: dict[str, list[list[bytes]]] = {}
        self._rest = b""
        self._inside = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the status descriptor, cut anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LONGEST:
            self.fault = self.fault or "a status line without end"
            self._rest = b""

    def finish(self) -> None:
        """The descriptor is at its end: half a line is a fault."""
        if self._rest:
            self.fault = self.fault or "the status ends within a line"

    def arguments(self, keyword: str) -> list[list[bytes]]:
        """The fields of each line with this keyword, in order."""
        return self._arguments.get(keyword, [])

    def has(self, *keywords: str) -> str:
        """The first of ``keywords`` that was said, or an empty string."""
        return next((word for word in keywords if self.counts[word]), "")

    def _line(self, line: bytes) -> None:
        found = _LINE.match(line)
        if not found or len(line) > _LONGEST:
            self.fault = self.fault or "a status line that breaks the grammar"
            return
        keyword = found.group(1).decode("ascii")
        self.counts[keyword] += 1
        if self.counts[keyword] <= _KEPT:
            self._arguments.setdefault(keyword, []).append((found.group(2) or b"").split(b" "))
        if keyword == "BEGIN_DECRYPTION":
            self._inside = True
        elif keyword == "END_DECRYPTION":
            self._inside = False
        elif keyword in _INSIDE and not self._inside:
            self.outside = self.outside or keyword


def sealing_error(log: StatusLog, exit_status: int, words: str, signers: Collection[str] | None) -> CipherError | None:
    """Why a message that gpg wrote is not whole; None when it is. ``signers`` is None when nothing is to be signed."""
    reason = _sealing_fault(log, exit_status, signers)
    if not reason:
        return None
    return _error(log, f"GnuPG did not write a whole message ({reason})", words)


def _sealing_fault(log: StatusLog, exit_status: int, signers: Collection[str] | None) -> str:
    if log.fault:
        return log.fault
    if exit_status != 0:
        return f"exit status {exit_status}"
    bad = log.has("FAILURE", "ERROR", "INV_RECP", "INV_SGNR", "NO_RECP", "NO_SGNR")
    if bad:
        return bad
    if log.counts["BEGIN_ENCRYPTION"] != 1 or log.counts["END_ENCRYPTION"] != 1:
        return "not encrypted"
    made = log.arguments("SIG_CREATED")
    if signers is None:
        return "signed unasked" if made else ""
    if len(made) != 1 or not _fingerprint(made[0], 5) or _fingerprint(made[0], 5) not in signers:
        return "not signed by the key asked for"
    return ""


def opening_error(log: StatusLog, exit_status: int, words: str, signers: Collection[str] | None) -> CipherError | None:
    """Why what gpg read is not to be trusted; None when it is.

    ``signers`` are the full fingerprints of which one must have signed; None when no signature is asked for. Then a
    signature that cannot be checked is no error, but a bad one is.
    """
    reason = _decryption_fault(log)
    if reason:
        return _error(log, f"GnuPG could not open the message ({reason})", words)
    reason = _signature_fault(log, signers)
    if reason:
        return BadSignature(_with(f"signature refused: {reason}", words))
    # gpg ends with 2 when the key of a signature is missing, however whole the message is.
    unverifiable = signers is None and exit_status == 2 and log.has("ERRSIG") and not log.has("ERROR")
    if exit_status != 0 and not unverifiable:
        return _error(log, f"GnuPG could not open the message (exit status {exit_status})", words)
    return None


def _decryption_fault(log: StatusLog) -> str:
    if log.fault or log.outside:
        return log.fault or f"{log.outside} outside of the encryption"
    bad = log.has(*_FATAL)
    if bad or any(fields[0].startswith(_FATAL_ERRORS) for fields in log.arguments("ERROR")):
        return bad or "ERROR"
    for keyword in ("BEGIN_DECRYPTION", "DECRYPTION_OKAY", "END_DECRYPTION", "PLAINTEXT"):
        if log.counts[keyword] != 1:
            return f"{log.counts[keyword]} times {keyword}"
    if log.counts["DECRYPTION_INFO"] != 1:
        return "no DECRYPTION_INFO"
    if log.counts["GOODMDC"] != 1 and not _is_aead(log):
        return "not protected against changes"
    return ""


def cms_sealing_error(
    log: StatusLog, exit_status: int, words: str, signers: Collection[str] | None
) -> CipherError | None:
    """Why what gpgsm wrote is not whole; None when it is. gpgsm says by its exit status alone that it is."""
    reason = log.fault or log.has("INV_RECP", "NO_RECP", "FAILURE", "ERROR")
    reason = reason or (f"exit status {exit_status}" if exit_status else "")
    return _error(log, f"gpgsm did not write a whole message ({reason})", words) if reason else None


def cms_opening_error(
    log: StatusLog, exit_status: int, words: str, signers: Collection[str] | None
) -> CipherError | None:
    """Why what gpgsm read is not to be trusted; None when it could be decrypted."""
    reason = log.fault or log.has("DECRYPTION_FAILED", "NODATA", "UNEXPECTED", "FAILURE", "ERROR")
    if not reason and exit_status:
        reason = f"exit status {exit_status}"
    if not reason and log.counts["DECRYPTION_OKAY"] != 1:
        reason = f"{log.counts['DECRYPTION_OKAY']} times DECRYPTION_OKAY"
    return _error(log, f"gpgsm could not open the message ({reason})", words) if reason else None


def _is_aead(log: StatusLog) -> bool:
    """DECRYPTION_INFO's third field names an AEAD algorithm: then DECRYPTION_OKAY covers the integrity."""
    fields = log.arguments("DECRYPTION_INFO")[0]
    return len(fields) >= 3 and fields[2].isdigit() and int(fields[2]) > 0


def _signature_fault(log: StatusLog, signers: Collection[str] | None) -> str:
    if log.counts["BADSIG"]:
        return "bad signature"
    if signers is None:
        return ""
    bad = log.has(*_UNVERIFIED)
    if bad:
        return bad
    if not log.counts["VALIDSIG"]:
        return "not signed"
    if any(log.counts[word] != 1 for word in ("NEWSIG", "GOODSIG", "VALIDSIG")):
        return "more than one signature"
    fields = log.arguments("VALIDSIG")[0]
    made_by, primary = _fingerprint(fields, 0), _fingerprint(fields, 9)
    if not made_by or not primary or made_by not in signers or primary not in signers:
        return f"signed by another key, {made_by or 'unknown'}"
    return ""


def _fingerprint(fields: list[bytes], index: int) -> str:
    if len(fields) <= index or not _FINGERPRINT.match(fields[index]):
        return ""
    return fields[index].decode("ascii")


def _error(log: StatusLog, message: str, words: str) -> CipherError:
    told = log.arguments("ERROR") + log.arguments("FAILURE")
    kind = WrongKey if log.has(*_KEY_TROUBLE) or _KEY_CODES.intersection(map(_code, told)) else CipherError
    if kind is WrongKey:
        message = f"the passphrase is wrong, or the key is missing: {message}"
    return kind(_with(message, words), fields=("GPGError",))


def _code(fields: list[bytes]) -> int:
    """The code of libgpg-error in an ERROR or FAILURE line: its lower 16 bits, the rest says which part is speaking."""
    digits = re.match(rb"[0-9]{1,10}", fields[1]) if len(fields) > 1 else None
    return int(digits.group()) & 0xFFFF if digits else 0


def _with(message: str, words: str) -> str:
    return f"{message}: {words}" if words else message
