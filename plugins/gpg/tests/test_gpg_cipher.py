"""GpgCipher with real gpg: what is sealed can be opened by stock gpg and by us, and nothing that is not whole."""

from __future__ import annotations

import os
import pickle
import random
import sys
import tempfile
import time
import zlib
from typing import TYPE_CHECKING

import pytest
from gpg_keyring import BOTH, ENC, PLAIN, PUBLIC, SIGN, SIGNED, SYMMETRIC, Keyring, opened, sealed
from tarragon.api import BadOption, BadSignature, CipherError, Role, WrongKey
from tarragon_gpg.cipher import GpgCipher
from tarragon_gpg.make import make, without_keys
from tarragon_gpg.packets import deflater

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("size", [0, 1, 191, 192, 8383, 8384, 2**15 - 7, 2**15 - 6, 2**16, 2**16 + 1])
def test_packets_of_every_length_are_readable(keyring: Keyring, size: int) -> None:
    plain = bytes(index * 7 % 251 for index in range(size))
    assert keyring.gpg("-d", passphrase="encpass", data=sealed(make(keyring.context(**PUBLIC)), plain)) == plain


@pytest.mark.requirement("R28")
@pytest.mark.parametrize("algorithm", ["3DES", "CAST5", "BLOWFISH", "TWOFISH", "CAMELLIA256", "AES"])
def test_old_algorithms_are_read(keyring: Keyring, algorithm: str) -> None:
    message = keyring.gpg("-c", "--cipher-algo", algorithm, passphrase="pw", data=PLAIN)
    assert opened(make(keyring.context(env={"PASSPHRASE": "pw"}, action="restore")), message) == PLAIN


def test_a_secret_keyring_may_be_named(keyring: Keyring) -> None:
    message = sealed(make(keyring.context(**PUBLIC)), PLAIN)
    context = keyring.context(**PUBLIC, action="restore", encrypt_secret_keyring="/nowhere/secring.gpg")
    assert opened(make(context), message) == PLAIN


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


def test_without_the_faster_library_the_packets_are_the_same_kind(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert isinstance(deflater(), type(zlib.compressobj()))
    cipher = make(keyring.context(**PUBLIC))
    assert isinstance(cipher, GpgCipher)
    assert cipher.packs_itself
    assert keyring.gpg("-d", passphrase="encpass", data=sealed(cipher, PLAIN)) == PLAIN


def test_repeats_from_far_behind_are_readable(keyring: Keyring) -> None:
    """gpg itself never looks back further than 8 KiB for ZIP; it must read what looks back 32."""
    block = random.Random(4).randbytes(30_000)
    message = sealed(make(keyring.context(**PUBLIC)), block * 20)
    assert len(message) < 100_000
    assert keyring.gpg("-d", passphrase="encpass", data=message) == block * 20


def test_most_of_what_was_written_is_in_the_file_before_the_end(keyring: Keyring) -> None:
    with tempfile.TemporaryFile() as file, make(keyring.context(**PUBLIC)).sealing(file, Role.VOLUME) as writer:
        for _ in range(64):
            writer.write(os.urandom(16384))
        deadline = time.monotonic() + 20
        while os.fstat(file.fileno()).st_size < 2**20 - 200_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)


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
