"""The parsers that read what others wrote, each as a function of bytes that must not fail.

A target takes any bytes. It returns, or raises what the parser promises to raise (Malformed, BadURL, …), which the
target catches; anything else that leaves it is a finding, and so are a broken promise about the result, a crash of the
process, more than five seconds, or more than a gigabyte.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))  # the judges are plain modules

import tarragon_librsync
from programs import GOLDEN
from tarragon import clock, tar
from tarragon.api import Entry, order_key
from tarragon.api.errors import BadOption, BadURL, TarragonError, UnknownScheme
from tarragon.api.url import is_url, parse_url
from tarragon.delta import difftar, sigtar
from tarragon.volume import manifest
from tarragon.volume.name import Names, Prefixes
from tarragon_gpg.status import StatusLog, opening_error, sealing_error
from tarragon_gzip.codec import Gzip

MOST = 64 << 20  # bytes of plain text that a target reads of one input
SIGNER = "DDCD82D34F16ECE121DF2BAE3D1CEA8989547814"


def is_safe(path: bytes) -> bool:
    """No component of a path leads out of the tree."""
    return not path.startswith(b"/") and b"\0" not in path and not {b"..", b"."} & set(path.split(b"/"))


def fuzz_tar(data: bytes) -> None:
    reader = tar.Reader(io.BytesIO(data))
    try:
        for member in reader:
            taken = sum(len(chunk) for chunk in reader.chunks(4096))
            assert taken == member.size
    except tar.Malformed:
        return


def fuzz_gzip(data: bytes) -> None:
    left = MOST
    try:
        with Gzip().unpacking(io.BytesIO(data)) as plain:
            while left > 0 and (piece := plain.read(1 << 20)):
                left -= len(piece)
                assert len(piece) <= 1 << 20
    except TarragonError:
        return


def fuzz_manifest(data: bytes) -> None:
    try:
        found = manifest.read(io.BytesIO(data))
    except manifest.Malformed:
        return
    numbers = [record.number for record in found.volumes]
    assert numbers == sorted(set(numbers))
    manifest.check(found)
    for record in found.volumes:
        found.volumes_for(record.first)
        assert manifest.unquoted(manifest.quoted(record.first)) == record.first
    try:
        for _kind, path in manifest.changed_files(io.BytesIO(data)):
            assert isinstance(path, bytes)
    except manifest.Malformed:
        return


def fuzz_sigtar(data: bytes) -> None:
    half = len(data) // 2
    for archives in ((data,), (data[:half], data[half:])):
        try:
            found = [known.entry.path for known in sigtar.read([opener(archive) for archive in archives])]
        except TarragonError:
            continue
        assert all(is_safe(path) for path in found)
        keys = [order_key(path) for path in found]
        assert keys == sorted(keys)


def opener(archive: bytes) -> Callable[[], io.BytesIO]:
    return lambda: io.BytesIO(archive)


def fuzz_difftar(data: bytes) -> None:
    half = len(data) // 1024 * 512
    volumes = [
        difftar.OpenVolume(b"", b"zzz", io.BytesIO(data[:half])),
        difftar.OpenVolume(b"a", b"b", None, "lost"),
        difftar.OpenVolume(b"zzz", b"zzz", io.BytesIO(data[half:])),
    ]
    try:
        for patch in difftar.decode(volumes, mentioned):
            assert is_safe(patch.entry.path) or not patch.entry.path
            try:
                for _piece in patch.data:
                    pass
            except TarragonError:
                continue
    except TarragonError:
        return


def mentioned(first: bytes, last: bytes) -> Iterator[tuple[Entry, bool]]:
    return iter(())


def fuzz_names(data: bytes) -> None:
    text = os.fsdecode(data)
    for names in (Names(), Names(Prefixes(every="all-", manifest="m."), time_separator="_")):
        found = names.parse(text)
        if found is None:
            continue
        assert found.name == text
        assert found.stem in text.lower() or found.stem
        assert isinstance(found.encrypted, bool)
        assert isinstance(found.compressed, bool)
        assert 0 <= found.of.start <= 1 << 40 or found.of.start < 0


def fuzz_urls(data: bytes) -> None:
    text = os.fsdecode(data)
    is_url(text)
    try:
        url = parse_url(text, ("file", "ftp", "s3", "boto3+s3"), ("par2",))
    except (BadURL, UnknownScheme):
        return
    again = parse_url(url.raw, ("file", "ftp", "s3", "boto3+s3"), ("par2",))
    assert again == url
    assert not (url.host or "").startswith("-")
    assert not any(ord(char) < 32 or ord(char) == 127 for char in url.host or "")
    if url.password is not None and len(url.password.reveal()) > 3 and "@" not in text.partition("?")[2]:
        assert "***" in str(url)


def fuzz_times(data: bytes) -> None:
    text = os.fsdecode(data)
    try:
        clock.parse_time(text, 1_700_000_000)
    except BadOption:
        return


def fuzz_status(data: bytes) -> None:
    whole, pieces = StatusLog(), StatusLog()
    whole.feed(data)
    whole.finish()
    for start in range(0, len(data), 7):
        pieces.feed(data[start : start + 7])
    pieces.finish()
    for signers in (None, frozenset({SIGNER})):
        verdict = opening_error(whole, 0, "gpg", signers)
        assert (verdict is None) == (opening_error(pieces, 0, "gpg", signers) is None)
        if verdict is None:
            lines = data.split(b"\n")
            assert b"[GNUPG:] DECRYPTION_OKAY" in lines
            assert signers is None or any(line.startswith(b"[GNUPG:] VALIDSIG ") for line in lines)
        opening_error(whole, 2, "gpg", signers)
        sealing_error(whole, 0, "gpg", signers)


def fuzz_delta(data: bytes) -> None:
    basis = bytes(range(256)) * 40
    size = 0
    try:
        for piece in tarragon_librsync.patch(io.BytesIO(basis), io.BytesIO(data), limit=MOST):
            size += len(piece)
            assert size <= MOST
    except tarragon_librsync.RsyncError:
        return


def fuzz_signature(data: bytes) -> None:
    try:
        commands = b"".join(tarragon_librsync.delta(data, io.BytesIO(b"new content" * 500)))
    except (tarragon_librsync.RsyncError, ValueError):
        return
    assert commands.startswith(b"rs\x026")
    assert commands.endswith(b"\0")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tar": fuzz_tar,
    "gzip": fuzz_gzip,
    "manifest": fuzz_manifest,
    "sigtar": fuzz_sigtar,
    "difftar": fuzz_difftar,
    "names": fuzz_names,
    "urls": fuzz_urls,
    "times": fuzz_times,
    "status": fuzz_status,
    "delta": fuzz_delta,
    "signature": fuzz_signature,
}

STATUS_SEEDS = (
    b"[GNUPG:] ENC_TO 27AE08AF13B87367 1 0\n[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] DECRYPTION_INFO 2 9\n"
    b"[GNUPG:] PLAINTEXT 62 0 \n[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] GOODMDC\n[GNUPG:] END_DECRYPTION\n",
    b"[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] PLAINTEXT 62 0 \n[GNUPG:] NEWSIG\n"
    b"[GNUPG:] GOODSIG 3D1CEA8989547814 Sign Key\n"
    b"[GNUPG:] VALIDSIG DDCD82D34F16ECE121DF2BAE3D1CEA8989547814 2023-11-14 1700000000 0 4 0 1 8 00 "
    b"DDCD82D34F16ECE121DF2BAE3D1CEA8989547814\n[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] GOODMDC\n[GNUPG:] END_DECRYPTION\n",
    b"[GNUPG:] NEED_PASSPHRASE_SYM 9 3 8\n[GNUPG:] BEGIN_DECRYPTION\n[GNUPG:] DECRYPTION_FAILED\n",
)
URL_SEEDS = (
    "file:///home/me/backup", "file://rel/path", "ftp://user:pass@host:21/dir?x=y", "par2+boto3+s3://bucket/prefix",
    "sftp://u%40h:p%3Aw@[::1]:22//abs", "ssh://-oProxyCommand=x/", "imap://user@host/%0d%0aX", "multi:///c.json?mode=a",
)  # fmt: skip
TIME_SEEDS = ("now", "1700000000", "2002-01-25T07:00:00+02:00", "20020125T070000Z", "1h78m3D", "3/5/2002", "2002-03-05")
DELTA_SEEDS = (b"rs\x026\x05hello\x00", b"rs\x026\x45\x00\x0f\x00", b"rs\x026\x46\x00\x0f\x00\x41\x02ab\x00")


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with: what the golden repositories hold, and the corpus of earlier findings."""
    found = sorted(path for path in GOLDEN.glob("*/repo/*") if path.stat().st_size < 200_000)
    stored = [path for path in found if "corrupt" not in str(path)]
    plain = [path for path in stored if path.name.endswith((".difftar", ".sigtar"))]
    packed = [path for path in stored if path.name.endswith((".gz", ".z")) and "jsonstat" not in path.name]
    kinds = {
        "tar": lambda: [expanded(path)[:60_000] for path in (*plain, *packed)],
        "gzip": lambda: [path.read_bytes()[:4000] for path in packed] + [gzip.compress(b"a") + gzip.compress(b"b")],
        "manifest": lambda: [path.read_bytes() for path in stored if path.name.endswith(".manifest")],
        "sigtar": lambda: [expanded(path)[:30_000] for path in (*plain, *packed) if ".sigtar" in path.name],
        "difftar": lambda: [expanded(path)[:60_000] for path in (*plain, *packed) if ".difftar" in path.name],
        "names": lambda: [os.fsencode(path.name) for path in stored],
        "urls": lambda: [text.encode() for text in URL_SEEDS],
        "times": lambda: [text.encode() for text in TIME_SEEDS],
        "status": lambda: list(STATUS_SEEDS),
        "delta": lambda: list(DELTA_SEEDS),
        "signature": lambda: [tarragon_librsync.signature(io.BytesIO(bytes(range(256)) * 9), 512)],
    }
    kept = Path(__file__).with_name("corpus") / target
    return kinds[target]() + [path.read_bytes() for path in sorted(kept.glob("*"))]


def expanded(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.name.endswith((".gz", ".z")) else data
