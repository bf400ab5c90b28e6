"""GpgsmCipher with real gpgsm, and the CMS messages that it must not even be shown."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from gpg_keyring import ENC, KEYS, Keyring, fake_gpg, opened, sealed
from hypothesis import given
from hypothesis import strategies as st
from tarragon.api import CipherError, Role, UserError, WrongKey
from tarragon_gpg import plugin
from tarragon_gpg.cms import kind_of
from tarragon_gpg.gpgsm import GpgsmCipher
from tarragon_gpg.make import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLAIN = b"one line of many, and all alike\n" * 5000
CERTIFICATE = "509531A315360492C6D7910ECDB2754D374A878B"
ENV = {"PASSPHRASE": "p12pw"}


@pytest.fixture(scope="module")
def smime() -> Iterator[Keyring]:
    """A home of gpgsm with a certificate that it trusts, and its key."""
    ring = Keyring()
    (ring.home / "trustlist.txt").write_text(f"{CERTIFICATE} S\n")
    ring.gpg("--import", str(KEYS / "smime.p12"), passphrase="p12pw", program="gpgsm")
    yield ring
    ring.close()


@pytest.fixture(autouse=True)
def _clean(nothing_left: None) -> None:
    """Every test here leaves neither descriptors nor processes behind."""


def test_gpgsm_and_we_open_what_we_seal(smime: Keyring) -> None:
    cipher = make(smime.context(env=ENV, encrypt_key=["smime@example.invalid"]), smime=True)
    message = sealed(cipher, PLAIN)
    assert (cipher.suffix, cipher.packs, cipher.ratio) == (".p7m", True, 0.95)
    assert smime.gpg("--decrypt", passphrase="p12pw", data=message, program="gpgsm") == PLAIN
    assert opened(make(smime.context(env=ENV, action="restore"), smime=True), message) == PLAIN


def test_it_is_chosen_by_its_name_its_suffix_and_the_option(smime: Keyring) -> None:
    for name, wanted in (("gpgsm", False), ("p7m", False), ("gpg", True), ("g", True)):
        context = smime.context(env=ENV, action="restore", use_gpgsm=wanted)
        assert isinstance(plugin.make_cipher(name, context), GpgsmCipher)
    for name in ("gpg", "g"):
        cipher = plugin.make_cipher(name, smime.context(action="restore"))
        assert cipher is not None
        assert cipher.suffix == ".gpg"
    assert plugin.make_cipher("age", smime.context()) is None


@pytest.mark.requirement("R25")
def test_what_gpgsm_cannot_do_is_refused_at_once(smime: Keyring, tmp_path: Path) -> None:
    for options in ({}, {"hidden_encrypt_key": [ENC]}, {"encrypt_key": [CERTIFICATE], "sign_key": CERTIFICATE}):
        with pytest.raises(UserError):
            make(smime.context(env=ENV, **options), smime=True)
    with pytest.raises(WrongKey):
        make(smime.context(env=ENV, encrypt_key=["nobody@x"]), smime=True)
    old = fake_gpg(tmp_path, "echo 'gpgsm (GnuPG) 2.2.26'")
    with pytest.raises(CipherError, match="too old"):
        make(smime.context(env=ENV, encrypt_key=[CERTIFICATE], gpg_binary=old, use_gpgsm=True), smime=True)


def test_a_wrong_passphrase_or_a_missing_end_is_refused(smime: Keyring) -> None:
    message = sealed(make(smime.context(env=ENV, encrypt_key=[CERTIFICATE]), smime=True), PLAIN)
    reading = make(smime.context(env=ENV, action="restore"), smime=True)
    for end in (0, 1, 40, 300, len(message) // 2):
        with pytest.raises(CipherError):
            opened(reading, message[:end])
    smime.forget()
    with pytest.raises(CipherError, match="Bad passphrase|No secret key"):
        opened(make(smime.context(env={"PASSPHRASE": "wrong"}, action="restore"), smime=True), message)


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + body


def ber(tag: int, *parts: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def authenticated(tag: bytes, pack: Callable[..., bytes] = der) -> bytes:
    """AuthEnvelopedData without recipients, with a tag of any length."""
    oid = bytes.fromhex("060b2a864886f70d0109100117")
    content = pack(0x30, bytes.fromhex("06092a864886f70d010701"), pack(0xA0, der(0x04, b"x" * 500), der(0x04, b"y")))
    message = pack(0x30, der(0x02, b"\0"), der(0x31), content, pack(0xA1, der(0x31)), der(0x04, tag))
    return pack(0x30, oid, pack(0xA0, message))


@pytest.mark.requirement("R23")
@pytest.mark.parametrize("pack", [der, ber])
@pytest.mark.parametrize("size", [0, 1, 4, 12, 15])
def test_a_short_authentication_tag_is_refused_before_gpgsm_sees_the_message(
    smime: Keyring, tmp_path: Path, size: int, pack: Callable[..., bytes]
) -> None:
    # A gpgsm that would say yes to everything.
    body = 'while [ "$1" != --status-fd ]; do shift; done; echo "[GNUPG:] DECRYPTION_OKAY" > /proc/self/fd/$2; echo yes'
    gullible = fake_gpg(tmp_path, body)
    cipher = make(smime.context(env=ENV, action="restore", gpg_binary=gullible, use_gpgsm=True), smime=True)
    assert opened(cipher, authenticated(b"t" * 16, pack)) == b"yes\n"
    with pytest.raises(CipherError, match=f"only {size} bytes"):
        opened(cipher, authenticated(b"t" * size, pack), Role.MANIFEST)


@pytest.mark.requirement("R40")
@given(st.binary(max_size=400), st.integers(0, 700))
def test_any_bytes_are_a_kind_or_a_typed_error(data: bytes, cut: int) -> None:
    for message in (data, authenticated(b"t" * 16)[:cut] + data, authenticated(b"", ber)[:cut] + data):
        stream = io.BytesIO(message)
        try:
            kind_of(stream)
        except CipherError:
            pass
        assert stream.tell() == 0


def test_fields_nested_without_end_are_refused() -> None:
    with pytest.raises(CipherError, match="nested too deeply"):
        kind_of(io.BytesIO(authenticated(b"t", ber)[:30] + b"\x30\x80" * 100_000))
