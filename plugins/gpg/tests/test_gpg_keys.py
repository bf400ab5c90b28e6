"""Keys and passphrases: what is missing or wrong is told before anything is stored, and nobody is asked in vain."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from gpg_keyring import ENC, PLAIN, PUBLIC, SIGN, SIGNED, SYMMETRIC, Keyring, opened, sealed
from tarragon.api import BadOption, CipherError, UserError, WrongKey
from tarragon_gpg.make import make


@pytest.fixture(autouse=True)
def _clean(nothing_left: None) -> None:
    """Every test here leaves neither descriptors nor processes behind."""


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
