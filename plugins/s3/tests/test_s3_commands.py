"""Whole command lines on real servers, alone and in turn with the real duplicity, which keeps the same keys."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random
from secrets import token_hex

import programs
import pytest
from http_proxy import Answer, Proxy
from s3_places import Lines, Place, files

pytestmark = pytest.mark.slow


@pytest.fixture
def home():
    with programs.Household() as household:
        yield household


@pytest.fixture(scope="module")
def real():
    """The real duplicity, with the library that it needs for S3."""
    found = programs.duplicity()
    if not found.exists():
        pytest.skip(f"the real duplicity is not here ({found.command}); tests/judge/duplicity_environment.py makes it")
    python = Path(found.command).with_name("python")
    if subprocess.run([str(python), "-c", "import boto3"], capture_output=True, check=False).returncode:
        pytest.skip("the real duplicity has no boto3; tests/judge/duplicity_environment.py makes it anew")
    return found


def filled(lines):
    for name in ("alpha", "beta"):
        (lines.source / name).write_bytes(Random(name).randbytes(700_000))
    (lines.source / "text").write_text("first\n")
    return lines


def place_at(server, prefix="host/documents"):
    return Place(server, server.make_bucket(f"lines-{token_hex(6)}"), prefix)


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_a_full_backup_an_increment_a_restore_and_a_verify(server, request, home):
    place = place_at(request.getfixturevalue(server))
    lines = filled(Lines(home, programs.program_under_test(), place))
    lines.done("full", "--volsize", "1", lines.source, place.url)
    first = files(lines.source)
    (lines.source / "text").write_text("second\n")
    (lines.source / "beta").unlink()
    lines.done("incremental", lines.source, place.url)
    assert all(key.startswith("host/documents/duplicity-") for key in place.stored() if "tarragon" not in key)
    lines.home.forget()
    assert lines.restored() == files(lines.source)
    stamp = next(key for key in place.stored() if "-full." in key and key.endswith(".manifest")).split(".")[1]
    assert lines.restored("--time", stamp) == first
    assert "0 difference(s) found" in lines.done("verify", "--compare-data", place.url, lines.source).text
    assert "no damage found" in lines.done("check", "--full", place.url).text
    lines.done("full", lines.source, place.url)
    lines.done("remove-all-but-n-full", "1", "--force", place.url)
    assert not [key for key in place.stored() if "-inc." in key]
    assert lines.restored() == files(lines.source)


@pytest.mark.requirement("R70")
def test_duplicity_reads_and_extends_what_we_stored_and_we_what_it_stored(rclone, home, real):
    place = place_at(rclone)
    ours = programs.program_under_test()
    lines = filled(Lines(home, ours, place))
    writers = (ours, real, ours)
    for number, writer in enumerate(writers):
        (lines.source / "text").write_text(f"state {number}\n")
        (lines.source / f"new-{number}").write_bytes(Random(number).randbytes(50_000))
        lines.done("full" if not number else "incremental", lines.source, place.url, program=writer)
        for reader in (ours, real):
            lines.home.forget()
            assert lines.restored(program=reader) == files(lines.source)
    assert "0 difference" in lines.done("verify", "--compare-data", place.url, lines.source, program=real).text
    assert "0 difference" in lines.done("verify", "--compare-data", place.url, lines.source).text


def test_a_repository_that_duplicity_began_is_found_and_extended(moto, home, real):
    place = place_at(moto)
    lines = filled(Lines(home, programs.program_under_test(), place))
    multipart = ("--s3-multipart-chunk-size", "5", "--volsize", "25")
    (lines.source / "large").write_bytes(Random(1).randbytes(12 << 20))
    lines.done("full", *multipart, lines.source, place.url, program=real)
    (lines.source / "large").write_bytes(Random(2).randbytes(12 << 20))
    lines.done("incremental", *multipart, lines.source, f"boto3+s3:///{place.bucket}//host/documents/")
    for reader in (lines.program, real):
        lines.home.forget()
        assert lines.restored(program=reader) == files(lines.source)
    sizes = [place.head(key)["ETag"].rpartition("-")[2] for key in place.stored() if "difftar" in key]
    assert all(size.startswith("3") for size in sizes), "both sent it in three parts"


def test_a_backup_goes_through_a_service_that_is_slow_down_resets_and_truncates(moto, home):
    place = place_at(moto)
    with Proxy(moto.port) as proxy:
        lines = filled(Lines(home, programs.program_under_test(), place, proxy.url))
        every = iter(range(10**9))
        faults = {
            3: Answer(503, {"Retry-After": "1"}, b"<Error><Code>SlowDown</Code></Error>"),
            8: Answer(0, reset=True),
            13: Answer(500, {}, b"<Error><Code>InternalError</Code></Error>"),
            18: Answer(0, cut=True),
        }
        met = []

        def rule_for(seen):
            fault = faults.get(next(every) % 20)
            met.extend([fault] if fault else [])
            return fault

        proxy.rule_for = rule_for
        lines.done("full", "--volsize", "1", lines.source, place.url)
        (lines.source / "text").write_text("second\n")
        lines.done("incremental", lines.source, place.url)
        lines.home.forget()
        assert lines.restored() == files(lines.source)
        assert len(met) >= 6
    assert "no damage found" in Lines(home, lines.program, place).done("check", "--full", place.url).text


def test_a_bucket_that_is_not_there_is_told_with_what_to_do(moto, home):
    lines = Lines(home, programs.program_under_test(), Place(moto, "never-made"))
    answer = lines.run("full", lines.source, "s3://never-made/x")
    assert answer.status == 52
    assert "make the bucket first" in answer.text
