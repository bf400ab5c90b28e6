"""GpgCipher with real gpg: what is sealed can be opened by stock gpg and by us, and nothing that is not whole."""

from __future__ import annotations

import pickle
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from gpg_keyring import ENC, SIGN, Keyring, opened, sealed
from tarragon.api import BadOption, BadSignature, CipherError, Role, UserError, WrongKey
from tarragon_gpg.make import make, without_keys

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = b"one line of many, and all alike\n" * 20_000
SYMMETRIC: dict[str, Any] = {"env": {"PASSPHRASE": "open sesame"}}
PUBLIC: dict[str, Any] = {"env": {"PASSPHRASE": "encpass"}, "encrypt_key": [ENC]}
SIGNED: dict[str, Any] = {
    "env": {"PASSPHRASE": "encpass", "SIGN_PASSPHRASE": "signpass"},
    "encrypt_key": [ENC],
    "sign_key": SIGN,
}
BOTH: dict[str, Any] = {"env": {"PASSPHRASE": "signpass", "SIGN_PASSPHRASE": "signpass"}, "sign_key": SIGN}
MODES = {
    "symmetric": SYMMETRIC,
    "public": PUBLIC,
    "several": PUBLIC | {"encrypt_key": [SIGN, "enc@example.invalid"]},
    "hidden": PUBLIC | {"encrypt_key": None, "hidden_encrypt_key": [ENC]},
    "signed": SIGNED,
    "symmetric and signed": BOTH,
    "encrypt-sign-key": {"env": {"PASSPHRASE": "encpass"}, "encrypt_sign_key": [ENC]},
    "no compression": SYMMETRIC | {"compression": False},
    "bzip2": SYMMETRIC | {"gpg_options": ["\"'--compress-algo=bzip2'\"", "--cipher-algo AES192"]},
}
PACKED_BY_US = {"symmetric", "public", "several", "hidden"}


@pytest.fixture(autouse=True)
def _clean(nothing_left: None) -> None:
    """Every test here leaves neither descriptors nor processes behind."""


@pytest.mark.parametrize("mode", MODES)
def test_stock_gpg_and_we_open_what_we_seal(keyring: Keyring, mode: str) -> None:
    options = MODES[mode]
    cipher = make(keyring.context(**options))
    message = sealed(pickle.loads(pickle.dumps(cipher)), PLAIN)
    assert keyring.gpg("-d", passphrase=options["env"]["PASSPHRASE"], data=message) == PLAIN
    assert opened(make(keyring.context(**options, action="restore")), message) == PLAIN
    assert (mode in PACKED_BY_US) is cipher.packs_itself  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [0, 1, 191, 192, 8383, 8384, 2**18 - 6, 2**18 - 5, 2**19, 2**19 + 1])
def test_packets_of_every_length_are_readable(keyring: Keyring, size: int) -> None:
    plain = bytes(index * 7 % 251 for index in range(size))
    assert keyring.gpg("-d", passphrase="encpass", data=sealed(make(keyring.context(**PUBLIC)), plain)) == plain


@pytest.mark.parametrize("words", [("-c",), ("-c", "-z", "0"), ("-e", "-r", ENC), ("-s", "-e", "-r", ENC, "-u", ENC)])
def test_we_open_what_stock_gpg_sealed(keyring: Keyring, words: tuple[str, ...]) -> None:
    message = keyring.gpg(*words, passphrase="encpass", data=PLAIN)
    assert opened(make(keyring.context(env={"PASSPHRASE": "encpass"}, action="restore")), message) == PLAIN


def test_the_message_begins_where_the_file_stood_and_the_file_knows_its_end(keyring: Keyring) -> None:
    cipher = make(keyring.context(**SYMMETRIC))
    with tempfile.TemporaryFile() as file:
        file.write(b"before")
        with cipher.sealing(file, Role.VOLUME) as writer:
            writer.write(PLAIN)
        end = file.tell()
        file.write(b"behind")
        file.seek(0)
        assert file.read(6) == b"before"
        assert file.seek(0, 2) == end + 6
        file.truncate(end)
        file.seek(6)
        with cipher.opening(file, Role.VOLUME) as reader:
            assert reader.read() == PLAIN


def test_ratio_and_suffix_are_told_to_the_planner(keyring: Keyring) -> None:
    cipher, plain = make(keyring.context(**PUBLIC)), make(keyring.context(**PUBLIC, compression=False))
    assert (cipher.suffix, cipher.packs, cipher.ratio, plain.ratio) == (".gpg", True, 0.5, 0.95)
    assert pickle.loads(pickle.dumps(plain)).ratio == 0.95


# -- what is not whole


@pytest.mark.requirement("R22")
@pytest.mark.parametrize("mode", ["symmetric", "public"])
def test_a_changed_bit_or_a_missing_end_is_refused(keyring: Keyring, mode: str) -> None:
    cipher = make(keyring.context(**MODES[mode]))
    message = sealed(cipher, PLAIN)
    reading = make(keyring.context(**MODES[mode], action="restore"))
    for at in (-1, -30, len(message) // 2, len(message) - 1200):
        broken = bytearray(message)
        broken[at] ^= 4
        with pytest.raises(CipherError):
            opened(reading, bytes(broken))
    for end in (0, 5, len(message) // 2, -1, -22):
        with pytest.raises(CipherError):
            opened(reading, message[:end])


@pytest.mark.requirement("R22")
@pytest.mark.parametrize("words", ["", "--ignore-mdc-error"])
def test_a_message_whose_integrity_was_cut_off_is_refused(keyring: Keyring, words: str) -> None:
    message = keyring.gpg("-c", "-z", "0", passphrase="pw", data=b"x" * 100)
    at = 2 + message[1]  # behind the packet of the passphrase
    assert message[at] == 0xD2 and message[at + 1] < 192
    body = message[at + 3 : -22]  # without version and MDC
    legacy = message[:at] + bytes([0xC9, len(body)]) + body  # tag 9: encrypted without integrity
    reading = make(keyring.context(env={"PASSPHRASE": "pw"}, action="restore", gpg_options=[words]))
    with pytest.raises(CipherError):
        opened(reading, legacy)


@pytest.mark.requirement("R21")
def test_two_messages_in_a_file_are_refused(keyring: Keyring) -> None:
    cipher = make(keyring.context(**SYMMETRIC))
    with pytest.raises(CipherError):
        opened(cipher, sealed(cipher, b"one") + sealed(cipher, b"two"))
    with pytest.raises(CipherError):
        opened(
            make(keyring.context(**SYMMETRIC, gpg_options=["--allow-multiple-messages"])), sealed(cipher, b"one") * 2
        )


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("words", [("--store",), ("-s", "-u", SIGN)])
def test_what_is_not_encrypted_is_refused(keyring: Keyring, words: tuple[str, ...]) -> None:
    message = keyring.gpg(*words, passphrase="signpass", data=PLAIN)
    with pytest.raises(CipherError):
        opened(make(keyring.context(**BOTH, action="restore")), message)


def test_a_reader_that_stops_early_still_hears_the_verdict(keyring: Keyring) -> None:
    cipher = make(keyring.context(**SYMMETRIC))
    message = bytearray(sealed(cipher, PLAIN * 10))
    with tempfile.TemporaryFile() as file:
        file.write(message)
        file.seek(0)
        with cipher.opening(file, Role.VOLUME) as reader:
            assert reader.read(5) == PLAIN[:5]
    message[-3] ^= 1
    with tempfile.TemporaryFile() as file:
        file.write(message)
        file.seek(0)
        reader = cipher.opening(file, Role.VOLUME)
        assert reader.read(5) == PLAIN[:5]
        with pytest.raises(CipherError):
            reader.close()
        assert reader.closed


def test_an_error_at_the_end_is_told_by_the_read_and_again_by_close(keyring: Keyring) -> None:
    reading = make(keyring.context(env={"PASSPHRASE": "wrong"}, action="restore"))
    with tempfile.TemporaryFile() as file:
        file.write(sealed(make(keyring.context(**SYMMETRIC)), PLAIN))
        file.seek(0)
        reader = reading.opening(file, Role.VOLUME)
        with pytest.raises(WrongKey, match="Bad session key"):
            reader.read()
        with pytest.raises(WrongKey):
            reader.close()


def test_a_full_disk_is_an_error(keyring: Keyring) -> None:
    cipher = make(keyring.context(**SYMMETRIC))
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(CipherError, match="No space left"):  # noqa: SIM117
        with cipher.sealing(full, Role.VOLUME) as writer:
            for _ in range(20):
                writer.write(PLAIN)


# -- signatures


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    "word", [SIGN, SIGN[-16:], "0x" + SIGN[-8:], "sign@example.invalid", "FD64AFCDD89C62F0D8BB43AABA8E3C88E1B56E84"]
)
def test_the_signing_key_may_be_named_in_every_way(keyring: Keyring, word: str) -> None:
    message = sealed(make(keyring.context(**SIGNED)), PLAIN)
    assert opened(make(keyring.context(**SIGNED | {"sign_key": word, "action": "verify"})), message) == PLAIN


@pytest.mark.requirement("R11")
@pytest.mark.parametrize("role", [Role.VOLUME, Role.MANIFEST, Role.SIGNATURES])
def test_unsigned_and_otherwise_signed_messages_are_refused(keyring: Keyring, role: Role) -> None:
    restoring = make(keyring.context(**SIGNED, action="restore"))
    with pytest.raises(BadSignature):
        opened(restoring, sealed(make(keyring.context(**PUBLIC)), PLAIN), role)
    other = keyring.gpg("-s", "-e", "-r", ENC, "-u", ENC, passphrase="encpass", data=PLAIN)
    with pytest.raises(BadSignature) as caught:
        opened(restoring, other, role)
    assert caught.value.exit_code == 22


def test_while_storing_an_older_unsigned_object_can_be_read(keyring: Keyring) -> None:
    assert opened(make(keyring.context(**SIGNED)), sealed(make(keyring.context(**PUBLIC)), PLAIN)) == PLAIN


def test_a_signature_of_a_missing_key_hinders_only_who_asked_for_it(fresh: Keyring, keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**SIGNED)), PLAIN)
    fresh.add("enc", "encpass")
    assert opened(make(fresh.context(**PUBLIC, action="restore")), message) == PLAIN
    with pytest.raises(WrongKey):
        make(fresh.context(**SIGNED, action="restore"))
    with pytest.raises(WrongKey):
        opened(make(fresh.context(**SIGNED, action="list-current-files")), message)
    make(fresh.context(**SIGNED, action="collection-status"))


def test_a_name_that_fits_two_keys_proves_nothing(keyring: Keyring) -> None:
    with pytest.raises(BadOption, match="several"):
        make(keyring.context(**SIGNED | {"sign_key": "example.invalid", "action": "restore"}))


# -- keys and passphrases, before anything is stored


@pytest.mark.requirement("R25")
def test_a_missing_program_or_key_fails_at_once(keyring: Keyring) -> None:
    with pytest.raises(CipherError, match="no program"):
        make(keyring.context(**SYMMETRIC, gpg_binary="/nowhere/gpg"))
    for options in (
        {"encrypt_key": ["nobody@x"]},
        {"hidden_encrypt_key": ["nobody@x"]},
        {"encrypt_key": [ENC, "AAAABBBBCCCCDDDD"]},
    ):
        with pytest.raises(WrongKey):
            make(keyring.context(**PUBLIC | options))
    with pytest.raises(WrongKey):
        make(keyring.context(**SIGNED | {"sign_key": "nobody@x"}))


@pytest.mark.requirement("R25")
def test_a_wrong_signing_passphrase_or_a_missing_secret_key_fails_at_once(fresh: Keyring) -> None:
    fresh.add("enc")
    fresh.add("sign", "signpass")
    fresh.forget()
    with pytest.raises(WrongKey):
        make(fresh.context(**SIGNED | {"env": {"SIGN_PASSPHRASE": "wrong"}}))
    make(fresh.context(**SIGNED | {"env": {"SIGN_PASSPHRASE": "signpass"}}))
    with pytest.raises(WrongKey, match="No secret key"):
        make(fresh.context(**SIGNED | {"sign_key": ENC}))


@pytest.mark.requirement("R25")
def test_an_expired_recipient_fails_at_once(fresh: Keyring) -> None:
    fresh.gpg(
        "--faked-system-time", "20200101T000000", "--quick-gen-key", "old@example.invalid", "rsa2048", "default", "1d"
    )
    with pytest.raises(WrongKey):
        make(fresh.context(encrypt_key=["old@example.invalid"]))


@pytest.mark.requirement("R25")
def test_a_wrong_key_passphrase_or_a_missing_secret_key_is_a_wrong_key(fresh: Keyring, keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**PUBLIC)), PLAIN)
    with pytest.raises(WrongKey, match="No secret key"):
        opened(make(fresh.context(**PUBLIC, action="restore")), message)
    fresh.add("enc", "encpass")
    fresh.forget()
    with pytest.raises(WrongKey, match="No secret key|Bad passphrase"):
        opened(make(fresh.context(env={"PASSPHRASE": "wrong"}, action="restore")), message)


def test_a_symmetric_backup_asks_twice_and_compares(keyring: Keyring) -> None:
    context = keyring.context(["pw", "pw"])
    cipher = make(context)
    assert len(context.asked) == 2 and all("passphrase" in prompt for prompt in context.asked[:1])
    assert opened(cipher, sealed(cipher, PLAIN)) == PLAIN
    assert len(context.asked) == 2
    with pytest.raises(UserError, match="not the same"):
        make(keyring.context(["pw", "pv"]))


def test_reading_asks_once_and_only_when_something_is_read(keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**SYMMETRIC)), PLAIN)
    context = keyring.context(["open sesame"], action="restore")
    cipher = make(context)
    assert context.asked == []
    assert opened(cipher, message) == opened(cipher, message) == PLAIN
    assert len(context.asked) == 1
    assert opened(pickle.loads(pickle.dumps(cipher)), message) == PLAIN


@pytest.mark.parametrize("action", ["collection-status", "cleanup", "remove-older-than", "restore"])
def test_making_a_cipher_to_read_needs_no_passphrase(keyring: Keyring, action: str) -> None:
    make(keyring.context(action=action))


def test_a_copy_that_knows_no_passphrase_says_so(keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**SYMMETRIC)), PLAIN)
    with pytest.raises(WrongKey, match="not known here"):
        opened(pickle.loads(pickle.dumps(make(keyring.context(["open sesame"], action="restore")))), message)


def test_a_backup_for_a_key_asks_for_nothing(keyring: Keyring) -> None:
    assert sealed(make(keyring.context(encrypt_key=[ENC])), PLAIN)


def test_one_passphrase_stands_in_for_the_other_when_the_signer_is_a_recipient(keyring: Keyring) -> None:
    keyring.forget()
    options: dict[str, Any] = {"encrypt_key": [ENC], "sign_key": "enc@example.invalid"}
    message = sealed(make(keyring.context(env={"PASSPHRASE": "encpass"}, **options)), PLAIN)
    keyring.forget()
    assert (
        opened(make(keyring.context(env={"SIGN_PASSPHRASE": "encpass"}, **options, action="restore")), message) == PLAIN
    )
    with pytest.raises(UserError):
        make(keyring.context(env={"PASSPHRASE": "encpass"}, encrypt_key=[ENC], sign_key=SIGN))


def test_two_passphrases_that_differ_cannot_be_used_at_once(keyring: Keyring) -> None:
    with pytest.raises(UserError) as caught:
        make(keyring.context(env={"PASSPHRASE": "a", "SIGN_PASSPHRASE": "b"}, sign_key=SIGN))
    assert caught.value.exit_code == 23


@pytest.mark.parametrize("passphrase", ["mit Leerzeichen", "ünïcödé €", " ", "x" * 200, "-", "a'b\"c\\"])
def test_passphrases_go_to_gpg_as_they_are(keyring: Keyring, passphrase: str) -> None:
    cipher = make(keyring.context(env={"PASSPHRASE": passphrase}))
    assert keyring.gpg("-d", passphrase=passphrase, data=sealed(cipher, PLAIN)) == PLAIN


def test_an_empty_passphrase_seals_nothing(keyring: Keyring) -> None:
    with pytest.raises(UserError, match="empty"):
        make(keyring.context(env={"PASSPHRASE": ""}))


@pytest.mark.parametrize("key", ["--output=/tmp/x", "-x", "", "a\nb"])
def test_words_that_name_no_key_are_refused(keyring: Keyring, key: str) -> None:
    with pytest.raises(BadOption):
        make(keyring.context(encrypt_key=[key]))
    with pytest.raises(BadOption):
        make(keyring.context(gpg_options=["' \"open"]))


def test_the_agent_gives_the_passphrase_when_it_is_to(keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**PUBLIC)), PLAIN)
    keyring.gpg("-d", passphrase="encpass", data=message)  # now the agent remembers
    assert opened(make(keyring.context(use_agent=True, action="restore")), message) == PLAIN
    cipher = make(keyring.context(use_agent=True, encrypt_key=[ENC], sign_key=ENC))
    assert keyring.gpg("-d", passphrase="encpass", data=sealed(cipher, PLAIN)) == PLAIN


def test_session_keys_for_secret_keys_can_be_cut_off(keyring: Keyring) -> None:
    message = keyring.gpg("-e", "-r", ENC, "-R", SIGN, "-c", "--s2k-count", "1024", passphrase="pw", data=PLAIN)
    cut = without_keys(message)
    assert cut[0] >> 2 & 0xF == 3 and message.endswith(cut)
    assert keyring.gpg("-d", passphrase="pw", data=cut) == PLAIN
    assert without_keys(b"\xc1\x02ab\x99\x00\x01x\xd2\xe9rest") == b"\x99\x00\x01x\xd2\xe9rest"


def test_the_golden_archives_are_readable(keyring: Keyring, golden: Path) -> None:
    for folder, options in {
        "gpg-symmetric": SYMMETRIC,
        "gpg-pubkey": PUBLIC,
        "gpg-signed": SIGNED,
        "gpg-symmetric-signed": BOTH,
    }.items():
        cipher = make(keyring.context(**options, action="restore"))
        for file in sorted((golden / folder / "repo").iterdir()):
            role = Role.MANIFEST if "manifest" in file.name else Role.VOLUME
            start = time.monotonic()
            assert opened(cipher, file.read_bytes(), role), (file, time.monotonic() - start)
