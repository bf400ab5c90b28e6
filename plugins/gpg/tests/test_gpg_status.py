"""What status lines prove, and what they do not: recorded streams, forged ones, and each with a line changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import BadSignature, CipherError, WrongKey
from tarragon_gpg.status import StatusLog, opening_error, sealing_error

FPR = "DDCD82D34F16ECE121DF2BAE3D1CEA8989547814"
OTHER = "055BF1B198969A0406708C4827AE08AF13B87367"
SIGNERS = frozenset({FPR, "FD64AFCDD89C62F0D8BB43AABA8E3C88E1B56E84"})

# Recorded from gpg 2.2.40.
SYMMETRIC = """NEED_PASSPHRASE_SYM 9 3 2
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
PLAINTEXT 62 1795448269 p
PLAINTEXT_LENGTH 3
DECRYPTION_OKAY
GOODMDC
END_DECRYPTION"""
SIGNATURE = f"""NEWSIG
KEY_CONSIDERED {FPR} 0
SIG_ID Pq5P+mfokqEjGijc/NJ/nEMwxb0 2026-11-23 1795448269
GOODSIG 3D1CEA8989547814 Throwaway sign key <sign@example.invalid>
VALIDSIG {FPR} 2026-11-23 1795448269 0 4 0 1 10 00 {FPR}"""
SIGNED = SYMMETRIC.replace("DECRYPTION_OKAY", SIGNATURE + "\nDECRYPTION_OKAY")
UNVERIFIED = SYMMETRIC.replace(
    "DECRYPTION_OKAY",
    f"NEWSIG\nERRSIG 3D1CEA8989547814 1 10 00 1795448269 9 {FPR}\nNO_PUBKEY 3D1CEA8989547814\nDECRYPTION_OKAY",
)
TWO = """NEED_PASSPHRASE_SYM 9 3 2
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
PLAINTEXT 62 1795448269 p
PLAINTEXT_LENGTH 3
NEED_PASSPHRASE_SYM 9 3 2
ERROR decryption.early_plaintext 89
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
ERROR proc_pkt.plaintext 89_BAD_DATA
DECRYPTION_FAILED
END_DECRYPTION
DECRYPTION_OKAY
GOODMDC
END_DECRYPTION"""
WRONG = """NEED_PASSPHRASE_SYM 9 3 2
BEGIN_DECRYPTION
DECRYPTION_INFO 2 9 0
ERROR symkey_decrypt.maybe_error 11_BAD_PASSPHRASE
DECRYPTION_FAILED
END_DECRYPTION"""
SEALED = "BEGIN_ENCRYPTION 2 9\nEND_ENCRYPTION"
SEALED_SIGNED = f"BEGIN_SIGNING H10\nSIG_CREATED S 1 10 00 1795448269 {FPR}\n{SEALED}"


def log_of(text: str) -> StatusLog:
    return fed("".join(f"[GNUPG:] {line}\n" for line in text.split("\n")).encode())


def fed(data: bytes) -> StatusLog:
    log = StatusLog()
    log.feed(data)
    log.finish()
    return log


def opening(text: str, exit_status: int = 0, signers: frozenset[str] | None = None) -> CipherError | None:
    return opening_error(log_of(text), exit_status, "", signers)


@pytest.mark.requirement("R21")
def test_recorded_whole_messages_are_accepted() -> None:
    assert opening(SYMMETRIC) is None
    assert opening(SIGNED) is None
    assert opening(SIGNED, signers=SIGNERS) is None


def test_an_aead_message_needs_no_mdc() -> None:
    assert opening(SYMMETRIC.replace("INFO 2 9 0", "INFO 0 9 2").replace("GOODMDC\n", "")) is None


@pytest.mark.requirement("R22")
def test_a_message_without_integrity_is_refused_whatever_the_exit_status() -> None:
    assert isinstance(opening(SYMMETRIC.replace("GOODMDC\n", "")), CipherError)
    assert isinstance(opening(SYMMETRIC.replace("GOODMDC", "BADMDC")), CipherError)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    "line", ["BEGIN_DECRYPTION", "DECRYPTION_INFO", "PLAINTEXT", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"]
)
@pytest.mark.parametrize("times", [0, 2])
def test_each_line_that_matters_must_stand_exactly_once(line: str, times: int) -> None:
    lines = SYMMETRIC.split("\n")
    at = next(index for index, text in enumerate(lines) if text.split()[0] == line)
    lines[at : at + 1] = [lines[at]] * times
    assert isinstance(opening("\n".join(lines)), CipherError)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("line", ["NEWSIG", "GOODSIG", "VALIDSIG"])
@pytest.mark.parametrize("times", [0, 2])
def test_each_line_of_a_demanded_signature_must_stand_exactly_once(line: str, times: int) -> None:
    lines = SIGNED.split("\n")
    at = next(index for index, text in enumerate(lines) if text.split()[0] == line)
    lines[at : at + 1] = [lines[at]] * times
    assert isinstance(opening("\n".join(lines), signers=SIGNERS), BadSignature)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("word", ["ERRSIG", "BADSIG", "EXPKEYSIG", "REVKEYSIG", "EXPSIG"])
def test_a_demanded_signature_may_have_no_doubt_beside_it(word: str) -> None:
    text = SIGNED.replace("SIG_ID", f"{word} 3D1CEA8989547814 somebody\nSIG_ID")
    assert isinstance(opening(text, signers=SIGNERS), BadSignature)


def test_a_bad_signature_is_refused_even_when_none_is_demanded() -> None:
    assert isinstance(opening(SIGNED.replace("GOODSIG", "BADSIG")), BadSignature)


def test_a_signature_of_an_unknown_key_is_no_error_when_none_is_demanded() -> None:
    assert opening(UNVERIFIED, 2) is None


def test_exit_status_2_without_an_unverifiable_signature_is_refused() -> None:
    assert isinstance(opening(SYMMETRIC, 2), CipherError)
    assert isinstance(opening(SIGNED, 1), CipherError)
    assert isinstance(opening(UNVERIFIED, 1), CipherError)


def test_an_unknown_key_is_refused_when_a_signature_is_demanded() -> None:
    assert isinstance(opening(UNVERIFIED, 2, SIGNERS), BadSignature)
    assert isinstance(opening(SYMMETRIC, 0, SIGNERS), BadSignature)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    "text",
    [
        SIGNED.replace(f"VALIDSIG {FPR}", f"VALIDSIG {OTHER}"),
        SIGNED.replace(f"00 {FPR}", f"00 {OTHER}"),
        SIGNED.replace(f"VALIDSIG {FPR}", f"VALIDSIG {FPR[24:]}"),
        SIGNED.replace(f" 10 00 {FPR}", ""),
    ],
)
def test_another_key_or_a_short_id_is_no_proof(text: str) -> None:
    assert isinstance(opening(text, signers=SIGNERS), BadSignature)


@pytest.mark.requirement("R21")
def test_two_messages_in_one_file_are_refused() -> None:
    assert isinstance(opening(TWO, 2), CipherError)
    assert isinstance(opening(TWO, 0), CipherError)
    assert isinstance(opening(SYMMETRIC + "\n" + SYMMETRIC), CipherError)


def test_a_wrong_passphrase_is_a_wrong_key() -> None:
    assert isinstance(opening(WRONG, 2), WrongKey)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("where", ["PLAINTEXT 62 1795448269 p", "GOODMDC", "NEWSIG"])
def test_what_stands_outside_of_the_encryption_is_refused(where: str) -> None:
    lines = [line for line in SIGNED.split("\n") if line != where]
    assert isinstance(opening("\n".join([where, *lines])), CipherError)
    assert isinstance(opening("\n".join([*lines, where])), CipherError)


FORGED = [
    f"PLAINTEXT 62 0 x%0A[GNUPG:]%20GOODSIG%203D1CEA8989547814%20me%0A[GNUPG:]%20VALIDSIG%20{FPR}",
    f"NOTATION_DATA [GNUPG:] VALIDSIG {FPR} 2026-11-23 1795448269 0 4 0 1 10 00 {FPR}",
    f"GOODSIG 055BF1B198969A04 [GNUPG:] VALIDSIG {FPR} 2026-11-23 0 0 4 0 1 10 00 {FPR}",
]


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("line", FORGED)
def test_text_of_the_sender_proves_nothing(line: str) -> None:
    lines = [
        text for text in SYMMETRIC.split("\n") if not (line.startswith("PLAINTEXT") and text.startswith("PLAINTEXT "))
    ]
    lines.insert(lines.index("PLAINTEXT_LENGTH 3"), line)
    assert isinstance(opening("\n".join(lines), signers=SIGNERS), BadSignature)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("bad", [b"\f", b"\r", b"\v", b"\x1c", b"\x00", b"\x1b[2K", b"\x7f"])
def test_control_characters_in_a_line_are_refused_and_end_no_line(bad: bytes) -> None:
    good = b"".join(b"[GNUPG:] %s\n" % line.encode() for line in SYMMETRIC.split("\n"))
    assert opening_error(fed(good), 0, "", None) is None
    forged = good.replace(b" p\n", b" p" + bad + b"[GNUPG:] VALIDSIG " + FPR.encode() + b"\n")
    assert isinstance(opening_error(fed(forged), 0, "", None), CipherError)


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    "line", [b"gpg: Good signature", b"[GNUPG:]GOODMDC", b" [GNUPG:] GOODMDC", b"[GNUPG:] goodmdc", b"", b"x" * 70_000]
)
def test_a_line_that_is_no_status_line_is_refused(line: bytes) -> None:
    good = b"".join(b"[GNUPG:] %s\n" % text.encode() for text in SYMMETRIC.split("\n"))
    assert isinstance(opening_error(fed(line + b"\n" + good), 0, "", None), CipherError)
    assert isinstance(opening_error(fed(good + b"[GNUPG:] HALF A LI"), 0, "", None), CipherError)


def test_memory_stays_bounded_whatever_is_said() -> None:
    log = StatusLog()
    for _ in range(2000):
        log.feed(b"[GNUPG:] NOTATION_DATA x\n" * 10)
        log.feed(b"y" * 1000)
    assert len(log.arguments("NOTATION_DATA")) < 100
    assert len(log._rest) <= 65536 + 1000


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_cut_anywhere_give_an_answer_and_never_a_yes(data: bytes, cuts: list[int]) -> None:
    log, at = StatusLog(), 0
    for cut in [*sorted(cuts), len(data)]:
        log.feed(data[at:cut])
        at = max(at, cut)
    log.finish()
    assert isinstance(opening_error(log, 0, "", None), CipherError)


@given(st.integers(1, 400))
def test_the_answer_does_not_depend_on_how_the_stream_is_cut(size: int) -> None:
    data = b"".join(b"[GNUPG:] %s\n" % line.encode() for line in SIGNED.split("\n"))
    log = StatusLog()
    for at in range(0, len(data), size):
        log.feed(data[at : at + size])
    log.finish()
    assert opening_error(log, 0, "", SIGNERS) is None


def test_sealing_is_judged_by_its_last_word() -> None:
    assert sealing_error(log_of(SEALED), 0, "", None) is None
    assert sealing_error(log_of(SEALED_SIGNED), 0, "", SIGNERS) is None
    assert isinstance(sealing_error(log_of(SEALED), 2, "", None), CipherError)
    assert isinstance(sealing_error(log_of("BEGIN_ENCRYPTION 2 9"), 0, "", None), CipherError)
    assert isinstance(sealing_error(log_of(SEALED + "\nFAILURE encrypt 1"), 0, "", None), CipherError)


def test_sealing_is_signed_by_the_key_asked_for_or_not_at_all() -> None:
    assert isinstance(sealing_error(log_of(SEALED), 0, "", SIGNERS), CipherError)
    assert isinstance(sealing_error(log_of(SEALED_SIGNED), 0, "", None), CipherError)
    assert isinstance(sealing_error(log_of(SEALED_SIGNED), 0, "", frozenset({OTHER})), CipherError)


def test_a_missing_recipient_is_a_wrong_key() -> None:
    assert isinstance(sealing_error(log_of("INV_RECP 0 nobody@x\nFAILURE encrypt 167772380"), 2, "", None), WrongKey)
