"""The action thaw on a server whose archive behaves: refused, asked for, on its way, readable."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from random import Random
from secrets import token_hex

import programs
import pytest
from http_proxy import Proxy
from s3_places import Lines, Place, files
from server import running
from servers_environment import path

pytestmark = pytest.mark.slow
NAMES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def archive():
    """MiniStack whose archive takes five seconds."""
    from s3_places import Server

    with running("s3-ministack.sh", PATH=path(), TB_THAW_SECONDS="5") as env:
        yield Server("ministack", env)


@pytest.fixture(scope="module")
def origin(archive):
    """A full backup of three files of a volume each, and an increment, all in Glacier."""
    place = Place(archive, archive.make_bucket("origin"), "host")
    with programs.Household() as home:
        lines = Lines(home, programs.program_under_test(), place)
        for name in NAMES:
            (lines.source / name).write_bytes(Random(name).randbytes(1_100_000))
        lines.done("full", "--volsize", "1", "--s3-use-glacier", lines.source, place.url)
        (lines.source / "beta").write_bytes(b"changed")
        lines.done("incremental", "--s3-use-glacier", lines.source, place.url)
        yield lines


@pytest.fixture
def lines(archive, origin, home):
    """A copy of it, for a client that never met it; requests are written down."""
    place = Place(archive, archive.make_bucket(f"t-{token_hex(6)}"), "host")
    client = archive.client()
    for key in origin.place.stored():
        volume = "difftar" in key
        client.copy_object(
            Bucket=place.bucket,
            Key=key,
            CopySource={"Bucket": origin.place.bucket, "Key": key},
            StorageClass="GLACIER" if volume else "STANDARD",
        )
    with Proxy(archive.port) as proxy:
        lines = Lines(home, origin.program, place, proxy.url)
        lines.proxy = proxy
        shutil.copytree(origin.source, lines.source, dirs_exist_ok=True)
        yield lines


@pytest.fixture
def home():
    with programs.Household() as household:
        yield household


def asked(lines):
    """Names of the objects that were asked back, in the order of the requests."""
    return [seen.path.partition("?")[0].rpartition("/")[2] for seen in lines.proxy.of("POST", "?restore")]


def volumes(lines):
    found = [key.rpartition("/")[2] for key in lines.place.stored() if "difftar" in key]
    assert len(found) >= 4
    return found


def test_restore_and_verify_name_thaw_before_they_write_anything(lines):
    for action, where in (("restore", lines.out), ("verify", lines.source)):
        answer = lines.run(action, lines.place.url, where)
        assert answer.status == 50, str(answer)
        assert "lie in an archive" in answer.text
        assert "tarragon thaw" in answer.text
    assert not lines.out.exists()
    assert asked(lines) == []


def test_what_needs_no_volume_works_as_ever(lines):
    lines.home.forget()
    assert "gamma" in lines.done("list-current-files", lines.place.url).text
    lines.done("collection-status", lines.place.url)
    lines.done("cleanup", lines.place.url)
    (lines.source / "delta").write_bytes(b"one more")
    lines.done("incremental", "--s3-use-glacier", "--allow-source-mismatch", lines.source, lines.place.url)
    answer = lines.run("check", "--full", lines.place.url)
    assert "lie in an archive and were not read" in answer.text
    assert asked(lines) == []


def test_a_dry_run_tells_the_cost_and_asks_for_nothing(lines):
    answer = lines.done("thaw", "--dry-run", "--path", "alpha", lines.place.url, lines.out)
    needed = [line for line in answer.text.splitlines() if "in the archive" in line]
    assert 1 <= len(needed) < len(volumes(lines))
    assert "to be asked back from the archive" in answer.text
    assert asked(lines) == []


def test_an_older_time_needs_no_newer_volumes(lines):
    of_full = {name for name in volumes(lines) if "-full." in name}
    stamp = re.search(r"full\.(\d{8}T\d{6}Z)", min(of_full)).group(1)
    answer = lines.done("thaw", "--dry-run", "--time", stamp, lines.place.url)
    assert set(re.findall(r"needed: (\S+),", answer.text)) == of_full


def test_thaw_restores_one_file_from_the_fewest_volumes(lines):
    lines.done("thaw", "--path", "alpha", "--thaw-poll", "1", lines.place.url, lines.out)
    assert lines.out.read_bytes() == (lines.source / "alpha").read_bytes()
    assert 0 < len(asked(lines)) < len(volumes(lines))
    assert len(asked(lines)) == len(set(asked(lines)))
    read = {seen.path.rpartition("/")[2] for seen in lines.proxy.of("GET", "difftar") if "range" not in seen.headers}
    assert read == set(asked(lines)), "asked back is what the restore reads"


def test_thaw_restores_everything(lines):
    lines.done("thaw", "--thaw-poll", "1", lines.place.url, lines.out)
    assert files(lines.out) == files(lines.source)
    assert set(asked(lines)) == set(volumes(lines))


def test_a_killed_thaw_goes_on_where_it_stood(lines):
    command = [
        lines.program.command,
        "thaw",
        "--no-encryption",
        "--s3-endpoint-url",
        lines.endpoint,
        "--thaw-poll",
        "1",
    ]
    env = {**lines.home.environment(), **lines.place.server.env}
    first = subprocess.Popen([*command, lines.place.url, str(lines.out)], env=env, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(asked(lines)) < len(volumes(lines)) and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not lines.out.exists()
    lines.done("thaw", "--thaw-poll", "1", lines.place.url, lines.out)
    assert files(lines.out) == files(lines.source)
    assert sorted(asked(lines)) == sorted(volumes(lines)), "nothing was asked for twice"


def test_asking_without_waiting_and_not_waiting_for_ever(lines):
    answer = lines.done("thaw", "--thaw-wait", "0", lines.place.url)
    assert "asked for" in answer.text
    answer = lines.run("thaw", "--thaw-wait", "0.0001", lines.place.url)
    assert answer.status == 50
    assert "still in the archive" in answer.text
    assert sorted(asked(lines)) == sorted(volumes(lines))


@pytest.mark.parametrize(
    ("words", "status"), [(("--path", "nowhere"), 19), (("--path", "/alpha"), 23), ((), 11)], ids=str
)
def test_what_would_fail_in_the_end_is_refused_before_anything_is_paid(lines, words, status):
    lines.out.mkdir()
    (lines.out / "something").touch()
    answer = lines.run("thaw", *words, lines.place.url, lines.out if not words else lines.home.folder / "new")
    assert answer.status == status, str(answer)
    assert asked(lines) == []


def test_the_tier_is_asked_for(lines):
    lines.done("thaw", "--thaw-wait", "0", "--s3-thaw-tier", "bulk", "--s3-thaw-days", "2", lines.place.url)
    bodies = {seen.body for seen in lines.proxy.of("POST", "?restore")}
    assert all(b"<Tier>Bulk</Tier>" in body and b"<Days>2</Days>" in body for body in bodies)
    assert bodies


@pytest.mark.parametrize("mode", ["stripe", "mirror"])
def test_it_thaws_through_multi_what_lies_in_two_buckets(archive, home, mode):
    """Each half where it lies; of two copies one."""
    places = [Place(archive, archive.make_bucket(f"m-{token_hex(6)}"), "host") for _ in range(2)]
    config = home.folder / "multi.json"
    config.write_text(json.dumps([{"url": place.url} for place in places]))
    url = f"multi://{config}?mode={mode}"
    with Proxy(archive.port) as proxy:
        lines = Lines(home, programs.program_under_test(), places[0], proxy.url)
        lines.proxy = proxy
        for name in NAMES:
            (lines.source / name).write_bytes(Random(name).randbytes(1_100_000))
        lines.done("full", "--volsize", "1", "--s3-use-glacier", lines.source, url)
        frozen = [{key.rpartition("/")[2] for key in place.stored() if "difftar" in key} for place in places]
        answer = lines.run("restore", url, lines.out)
        assert answer.status == 50, str(answer)
        assert "tarragon thaw" in answer.text
        assert asked(lines) == []
        lines.done("thaw", "--thaw-poll", "1", url, lines.out)
    assert files(lines.out) == files(lines.source)
    assert sorted(asked(lines)) == sorted(frozen[0] | frozen[1])
    assert frozen[0]
    assert frozen[1]
