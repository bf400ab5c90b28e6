"""The process around gpg: it never hangs, never leaks, never tells a secret, and needs little memory."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest
from gpg_keyring import ENC, SIGN, Keyring, fake_gpg, opened, sealed
from tarragon.api import Cipher, CipherError, Role
from tarragon_gpg.child import Unresponsive
from tarragon_gpg.cipher import GpgCipher
from tarragon_gpg.make import make
from tarragon_gpg.recipe import Passphrases, recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PLAIN = bytes(range(256)) * 4096  # 1 MiB
CANARY = "canary-7f3a-do-not-sing"


@pytest.fixture(autouse=True)
def _clean(nothing_left: None) -> None:
    """Every test here leaves neither descriptors nor processes behind."""


def faked(keyring: Keyring, tmp_path: Path, body: str, limit_s: float = 0.5) -> GpgCipher:
    """A cipher of a run that reads, with a shell script for gpg."""
    context = keyring.context(action="restore", encrypt_key=[ENC], gpg_binary=fake_gpg(tmp_path, body))
    nothing: Passphrases = Passphrases(lambda: None, lambda: None)
    return GpgCipher(recipe(context, context.options.gpg_binary, limit_s), nothing)


def seconds(since: float) -> float:
    return time.monotonic() - since


@pytest.mark.requirement("R26")
@pytest.mark.parametrize("body", ["sleep 1000", "exec sleep 1000", "sleep 1000 & wait", "trap '' TERM INT; sleep 1000"])
def test_a_gpg_that_does_nothing_is_ended_after_the_limit(keyring: Keyring, tmp_path: Path, body: str) -> None:
    cipher = faked(keyring, tmp_path, body)
    start = time.monotonic()
    with pytest.raises(Unresponsive, match="did nothing for 0.5 seconds"):
        sealed(cipher, PLAIN * 8)
    with pytest.raises(Unresponsive):
        sealed(cipher, b"fits into the pipe")
    with pytest.raises(Unresponsive):
        opened(cipher, PLAIN)
    assert seconds(start) < 10


@pytest.mark.requirement("R26")
def test_a_program_that_hangs_while_keys_are_listed_is_ended(keyring: Keyring, tmp_path: Path) -> None:
    program = fake_gpg(tmp_path, "exec sleep 1000")
    with pytest.raises(Unresponsive):
        make(keyring.context(action="restore", sign_key=SIGN, gpg_binary=program), limit_s=0.5)


@pytest.mark.requirement("R26")
def test_a_pinentry_that_never_answers_is_not_waited_for(fresh: Keyring, tmp_path: Path) -> None:
    fresh.add("sign", "signpass")
    pinentry = fake_gpg(tmp_path, "exec sleep 1000")
    (fresh.home / "gpg-agent.conf").write_text(f"s2k-count 1024\npinentry-program {pinentry}\n")
    fresh.forget()
    start = time.monotonic()
    with pytest.raises(Unresponsive, match="did nothing"):
        make(fresh.context(use_agent=True, encrypt_key=[SIGN], sign_key=SIGN), limit_s=2)
    assert seconds(start) < 20


def test_a_slow_gpg_that_goes_on_is_waited_for(keyring: Keyring, tmp_path: Path) -> None:
    body = "for n in 1 2 3 4; do sleep 0.4; head -c 1000 >/dev/null; echo working >&2; done; cat >/dev/null"
    with pytest.raises(CipherError, match="not encrypted"):
        sealed(faked(keyring, tmp_path, body, limit_s=1.2), PLAIN)


def test_a_caller_that_takes_its_time_is_no_hang(keyring: Keyring) -> None:
    cipher = make(keyring.context(env={"PASSPHRASE": "pw"}), limit_s=2)
    with tempfile.TemporaryFile() as file:
        with cipher.sealing(file, Role.VOLUME) as writer:
            writer.write(PLAIN)
            time.sleep(2.2)
            writer.write(PLAIN)
        file.seek(0)
        with cipher.opening(file, Role.VOLUME) as reader:
            assert reader.read(10) == PLAIN[:10]
            time.sleep(2.2)
            assert len(reader.read()) == 2 * len(PLAIN) - 10


@pytest.mark.requirement("R21")
@pytest.mark.parametrize(
    "body",
    [
        "exit 0",
        "cat >/dev/null",
        "echo '[GNUPG:] END_ENCRYPTION'; cat > /dev/null",
        "kill -9 $$",
        "exec 2>&1; seq 300000; exit 0",
    ],
)
def test_a_program_that_only_says_nothing_wrong_is_not_believed(keyring: Keyring, tmp_path: Path, body: str) -> None:
    cipher = faked(keyring, tmp_path, body, limit_s=20)
    with pytest.raises(CipherError):
        sealed(cipher, PLAIN)
    with pytest.raises(CipherError):
        opened(cipher, PLAIN)


@pytest.mark.requirement("R21")
def test_status_lines_on_standard_error_are_no_status_lines(keyring: Keyring, tmp_path: Path) -> None:
    said = "BEGIN_DECRYPTION|DECRYPTION_INFO 2 9 0|PLAINTEXT 62 0 |DECRYPTION_OKAY|GOODMDC|END_DECRYPTION"
    lines = "".join(f"[GNUPG:] {line}\\n" for line in said.split("|"))
    fd = 'while [ "$1" != --status-fd ]; do shift; done; '
    cipher = faked(keyring, tmp_path, f'{fd}printf "{lines}" >&2', limit_s=20)
    with pytest.raises(CipherError):
        opened(cipher, PLAIN)
    honest = faked(keyring, tmp_path, f'{fd}printf "{lines}" > /proc/self/fd/$2; printf plain', limit_s=20)
    assert opened(honest, PLAIN) == b"plain"


def test_much_noise_on_standard_error_blocks_nothing_and_is_kept_short(keyring: Keyring, tmp_path: Path) -> None:
    cipher = faked(keyring, tmp_path, "seq 200000 >&2; cat; seq 200000 >&2; exit 3", limit_s=20)
    with pytest.raises(CipherError) as caught:
        opened(cipher, PLAIN)
    assert "; 200000" in str(caught.value)
    assert len(str(caught.value)) < 20_000


def test_a_wrapper_that_leaves_a_child_behind_does_not_hold_us(keyring: Keyring, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CipherError):
        sealed(faked(keyring, tmp_path, "sleep 15 & exit 1", limit_s=30), b"x")
    assert seconds(start) < 10


@pytest.mark.parametrize("how", ["close", "collect", "exception", "early"])
def test_nothing_is_left_of_what_is_abandoned(keyring: Keyring, how: str) -> None:
    cipher = make(keyring.context(env={"PASSPHRASE": "pw"}))
    message = sealed(cipher, PLAIN)
    for _ in range(3):
        with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as source:
            source.write(message)
            source.seek(0)
            writer, reader = cipher.sealing(into, Role.VOLUME), cipher.opening(source, Role.VOLUME)
            if how != "early":
                writer.write(PLAIN)
                reader.read(10)
            _give_up(how, writer, reader)
            del writer, reader
            gc.collect()


def _give_up(how: str, writer: object, reader: object) -> None:
    if how == "close":
        writer.close(), reader.close()  # type: ignore[attr-defined]
    elif how == "exception":
        for stream in (writer, reader):
            with pytest.raises(KeyError), stream:  # type: ignore[attr-defined]
                raise KeyError


@pytest.mark.requirement("R24")
def test_no_secret_is_in_the_arguments_or_the_environment_of_gpg(keyring: Keyring, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    body = f'cat /proc/$$/cmdline /proc/$$/environ > {seen}/$$; exec gpg "$@"'
    secrets = (
        "PASSPHRASE",
        "SIGN_PASSPHRASE",
        "FTP_PASSWORD",
        "BACKEND_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "SLATE_API_KEY",
    )
    context = keyring.context(env=dict.fromkeys(secrets, CANARY), gpg_binary=fake_gpg(tmp_path, body))
    cipher = make(context)
    assert opened(cipher, sealed(cipher, PLAIN)) == PLAIN
    told = [file.read_bytes() for file in seen.iterdir()]
    assert len(told) >= 4
    assert all(b"--symmetric" in text or b"--decrypt" in text for text in told)
    assert not any(CANARY.encode() in text or b"PASSPHRASE=" in text for text in told)
    assert CANARY not in repr(vars(cipher)) + repr(cipher.recipe) + repr(vars(cipher.secrets))  # type: ignore[attr-defined]


@pytest.mark.requirement("R24")
def test_no_secret_is_in_an_error(keyring: Keyring) -> None:
    message = sealed(make(keyring.context(env={"PASSPHRASE": "pw"})), PLAIN)
    with pytest.raises(CipherError) as caught:
        opened(make(keyring.context(env={"PASSPHRASE": CANARY}, action="restore", gpg_options=["-vvv"])), message)
    assert CANARY not in str(caught.value)


@pytest.mark.requirement("R26")
def test_without_a_terminal_it_works_or_fails_at_once(keyring: Keyring) -> None:
    script = """
import sys
from gpg_keyring import *
from tarragon_gpg.make import make
ring = Keyring.__new__(Keyring)
ring.env = dict(os.environ)
cipher = make(ring.context(env={"PASSPHRASE": "pw"}))
assert opened(cipher, sealed(cipher, b"plain")) == b"plain"
for options in ({"action": "backup"}, {"sign_key": SIGN, "encrypt_key": [ENC]}):
    try:
        make(ring.context(**options))
    except UserError:
        continue
    sys.exit(1)
"""
    env = keyring.env | {"PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=30,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()


def pieces(count: int) -> Iterator[bytes]:
    """``count`` MiB that shrink to about a third."""
    piece = os.urandom(2**18) + bytes(range(256)) * 3072
    return (piece for _ in range(count))


@pytest.mark.parametrize("compression", [True, False])
def test_a_long_stream_needs_little_memory(keyring: Keyring, compression: bool) -> None:
    cipher = make(keyring.context(env={"PASSPHRASE": "pw"}, compression=compression))
    _through(cipher, 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _through(cipher, 50) == 50 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


def _through(cipher: Cipher, count: int) -> int:
    with tempfile.TemporaryFile() as file:
        with cipher.sealing(file, Role.VOLUME) as writer:
            for piece in pieces(count):
                writer.write(piece)
        file.seek(0)
        with cipher.opening(file, Role.VOLUME) as reader:
            return sum(len(data) for data in iter(lambda: reader.read(2**20), b""))


def test_two_streams_at_once_do_not_disturb_each_other(keyring: Keyring) -> None:
    cipher = make(keyring.context(encrypt_key=[ENC]))
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as two:
        first, second = cipher.sealing(one, Role.VOLUME), cipher.sealing(two, Role.MANIFEST)
        for _ in range(20):
            first.write(PLAIN)
            second.write(b"2" * 1000)
        second.close()
        first.close()
        one.seek(0)
        two.seek(0)
        assert keyring.gpg("-d", passphrase="encpass", data=two.read()) == b"2" * 20_000
        assert keyring.gpg("-d", passphrase="encpass", data=one.read()) == PLAIN * 20


def test_a_copy_in_a_forked_process_ends_no_gpg_of_ours(keyring: Keyring) -> None:
    cipher = make(keyring.context(encrypt_key=[ENC]))
    with tempfile.TemporaryFile() as file:
        writer = cipher.sealing(file, Role.VOLUME)
        writer.write(PLAIN)
        child = os.fork()
        if not child:
            del writer
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        writer.write(PLAIN)
        writer.close()
        file.seek(0)
        assert keyring.gpg("-d", passphrase="encpass", data=file.read()) == PLAIN * 2


def test_a_gpg_that_cannot_take_our_packets_makes_its_own(keyring: Keyring, tmp_path: Path) -> None:
    body = 'for word in "$@"; do [ "$word" = --no-literal ] && exit 2; done; exec gpg "$@"'
    for options in ({"env": {"PASSPHRASE": "pw"}}, {"encrypt_key": [ENC]}):
        cipher = make(keyring.context(**options, gpg_binary=fake_gpg(tmp_path, body)))
        assert isinstance(cipher, GpgCipher)
        assert not cipher.packs_itself
        assert sealed(cipher, PLAIN)


def test_a_gpg_that_spoils_our_packets_makes_its_own(keyring: Keyring, tmp_path: Path) -> None:
    # It seals something, but not what it was given: only opening it shows that.
    body = 'for word in "$@"; do [ "$word" = --no-literal ] && { echo other | exec gpg "$@"; }; done; exec gpg "$@"'
    cipher = make(keyring.context(env={"PASSPHRASE": "pw"}, gpg_binary=fake_gpg(tmp_path, body)))
    assert isinstance(cipher, GpgCipher)
    assert not cipher.packs_itself
