"""What is special about S3: addresses, regions, signatures, uploads in parts, checksums, deletions and its errors."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from http_proxy import Answer, Proxy
from s3_places import Place, Server
from tarragon.api import (
    BackendError,
    BadOption,
    BadURL,
    Capability,
    ColdObject,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    Role,
    Transient,
    Unsupported,
    ValidationFailed,
    parse_url,
)
from tarragon_s3 import plugin
from tarragon_s3.backend import S3Backend
from tarragon_testkit import BytesSource

LARGE = Random(7).randbytes(11 << 20)


@pytest.fixture
def proxy(bucket):
    """Stands before moto and writes down what passes."""
    with Proxy(bucket.server.port) as proxy:
        yield proxy


@pytest.fixture
def backend(bucket, proxy):
    opened = bucket.open(s3_endpoint_url=proxy.url)
    proxy.seen.clear()
    yield opened
    opened.close()


def put(backend, name="name", data=b"data"):
    backend.put(name, BytesSource(data), Role.VOLUME)


def read(backend, name="name"):
    with backend.read(name) as stream:
        return stream.read()


# -- the place --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bkt", ("bkt", "")),
        ("s3://bkt/", ("bkt", "")),
        ("s3://bkt/x", ("bkt", "x/")),
        ("s3:///bkt/x", ("bkt", "x/")),
        ("s3:///bkt//x/./y z%41//", ("bkt", "x/./y zA/")),
        ("boto3+s3://bkt/a%2Fb", ("bkt", "a/b/")),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix_as_duplicity_reads_it(url, expected):
    assert plugin.place(parse_url(url, {"s3", "boto3+s3"})) == expected


@pytest.mark.parametrize("url", ["s3://", "s3:///", "s3://user:key@bkt/x", "s3://host:9000/bkt"])
def test_a_url_that_names_no_bucket_or_more_than_one_is_refused(url):
    with pytest.raises(BadURL) as caught:
        plugin.place(parse_url(url, {"s3"}))
    assert "key" not in str(caught.value)


def test_objects_stand_below_the_prefix_with_one_slash(bucket):
    put(bucket.open(f"s3://{bucket.bucket}//a//b/"), "duplicity-full.manifest")
    assert bucket.stored() == ["a/b/duplicity-full.manifest"]
    assert [info.name for info in bucket.open(f"s3:///{bucket.bucket}/a/b").list()] == ["duplicity-full.manifest"]


def test_keys_of_deeper_folders_and_of_folders_themselves_are_not_shown(bucket):
    for key in ("p/", "p/name", "p/deeper/name", "other/name", "p"):
        bucket.server.client().put_object(Bucket=bucket.bucket, Key=key, Body=b"x")
    assert [info.name for info in bucket.open(f"s3://{bucket.bucket}/p").list()] == ["name"]


def test_a_bucket_that_is_not_there_is_never_made(bucket):
    with pytest.raises(NotFound) as caught:
        bucket.open("s3://no-such-bucket-here")
    assert "make the bucket first" in caught.value.hint
    assert "no-such-bucket-here" not in [each["Name"] for each in bucket.server.client().list_buckets()["Buckets"]]


# -- address, region, signature ---------------------------------------------------------------------------------------


def test_every_signature_is_of_version_4_and_the_region_is_the_buckets_own(ministack):
    place = Place(ministack, ministack.make_bucket("in-frankfurt", "eu-central-1"))
    with Proxy(ministack.port) as proxy:
        backend = place.open(s3_endpoint_url=proxy.url, env={"AWS_DEFAULT_REGION": ""})
        put(backend, data=LARGE)
        assert read(backend) == LARGE
        list(backend.list())
        backend.stat("name")
        backend.delete_many(["name"])
    signatures = [seen.headers["authorization"] for seen in proxy.seen]
    assert {text.split()[0] for text in signatures} == {"AWS4-HMAC-SHA256"}
    regions = [re.search(r"Credential=[^/]+/\d+/([^/]+)/s3/", text).group(1) for text in signatures]
    assert regions[0] == "us-east-1"
    assert set(regions[1:]) == {"eu-central-1"}
    assert not any("Signature=" in seen.path or "AWSAccessKeyId" in seen.path for seen in proxy.seen)


def test_a_region_that_was_named_is_the_one_that_signs(ministack):
    place = Place(ministack, ministack.make_bucket("in-ireland", "eu-west-1"))
    with Proxy(ministack.port) as proxy:
        put(place.open(s3_endpoint_url=proxy.url, s3_region_name="eu-west-1"))
    assert all("/eu-west-1/s3/" in seen.headers["authorization"] for seen in proxy.seen)


def test_a_refusal_that_names_the_region_is_understood(bucket, proxy):
    """What a region answers that takes no signature for another one; HEAD has no body to say why."""
    wrong = lambda seen: "/eu-central-1/" not in seen.headers["authorization"]
    proxy.rules.append(Answer(400, when=lambda seen: seen.method == "HEAD" and wrong(seen)))
    body = (
        b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting "
        b"'eu-central-1'</Message><Region>eu-central-1</Region></Error>"
    )
    proxy.rules.append(Answer(400, {"Content-Type": "application/xml"}, body, when=wrong))
    put(bucket.open(s3_endpoint_url=proxy.url))
    assert bucket.stored() == ["name"]
    with pytest.raises(BackendError) as caught:
        bucket.open(s3_endpoint_url=proxy.url, s3_region_name="us-west-2")
    assert "--s3-region-name" in caught.value.hint


@pytest.mark.requirement("R33")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_no_credentials_go_elsewhere(bucket, proxy, status):
    with Proxy(bucket.server.port) as elsewhere:
        backend = bucket.open(s3_endpoint_url=proxy.url)
        where = elsewhere.url.replace("127.0.0.1", "localhost")
        headers = {"Location": f"{where}/{bucket.bucket}/name", "x-amz-bucket-region": "eu-west-3"}
        proxy.rules.append(Answer(status, headers, b"<Error><Code>PermanentRedirect</Code></Error>"))
        for attempt in (lambda: put(backend), lambda: read(backend), lambda: list(backend.list())):
            with pytest.raises(BackendError) as caught:
                attempt()
            assert not isinstance(caught.value, Transient)
        with pytest.raises(BackendError):
            bucket.open(s3_endpoint_url=proxy.url)
        assert elsewhere.seen == []


@pytest.mark.requirement("R33")
def test_https_is_checked_and_never_becomes_http(bucket, tls):
    certificate, authority = tls
    with Proxy(bucket.server.port, certificate) as proxy, Proxy(bucket.server.port) as plain:
        with pytest.raises(BackendError) as caught:
            bucket.open(s3_endpoint_url=proxy.url)
        assert not isinstance(caught.value, Transient)
        assert proxy.seen == [], "nothing is said to a server that has not proven who it is"
        backend = bucket.open(s3_endpoint_url=proxy.url, env={"AWS_CA_BUNDLE": authority})
        put(backend, data=LARGE)
        assert read(backend) == LARGE
        proxy.rules.append(Answer(301, {"Location": f"{plain.url}/{bucket.bucket}/name"}))
        with pytest.raises(BackendError):
            read(backend)
        assert plain.seen == []


def test_a_certificate_of_another_host_is_refused(bucket, tls, monkeypatch):
    certificate, authority = tls
    hosts_are_here(monkeypatch, ".example")
    with Proxy(bucket.server.port, certificate) as proxy:
        with pytest.raises(BackendError) as caught:
            bucket.open(s3_endpoint_url=f"https://s3.example:{proxy.port}", env={"AWS_CA_BUNDLE": authority})
        assert "s3.example" in str(caught.value.__cause__)
        assert not isinstance(caught.value, Transient)
        assert proxy.seen == []


def hosts_are_here(monkeypatch, ending):
    """Let the names of hosts that end so mean this machine."""
    real = socket.getaddrinfo

    def local(host, *rest, **more):
        return real("127.0.0.1" if str(host).endswith(ending) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """A certificate with its key for localhost, and the authority that signed it."""
    place = tmp_path_factory.mktemp("tls")
    lib = Path(__file__).parents[3] / "tests" / "servers" / "lib.sh"
    words = ["bash", "-c", f'set start "{place}" 1; . "{lib}"; self_cert; trap - EXIT']
    made = subprocess.run(words, capture_output=True, text=True)
    if made.returncode == 2:
        pytest.skip(made.stderr)
    assert made.returncode == 0, made.stderr
    return str(place / "both.pem"), str(place / "ca.pem")


@pytest.mark.parametrize(
    ("given", "unencrypted", "expected"),
    [
        ("https://h:1", True, "https://h:1"),
        ("http://h:1/x", False, "http://h:1/x"),
        ("h:1", False, "https://h:1"),
        ("h:1", True, "http://h:1"),
    ],
)
def test_an_endpoint_keeps_its_scheme_and_gets_one_where_it_has_none(given, unencrypted, expected):
    from tarragon_s3.connect import endpoint

    options = _options(s3_endpoint_url=given, s3_unencrypted_connection=unencrypted)
    assert endpoint(options, {}) == expected


@pytest.mark.parametrize("given", ["ftp://h", "https://", "https://user:secret@h", "https://h?x=1", "https://h:port"])
def test_an_endpoint_that_is_none_is_refused(given):
    from tarragon_s3.connect import endpoint

    with pytest.raises(BadOption) as caught:
        endpoint(_options(s3_endpoint_url=given), {})
    assert "secret" not in str(caught.value)


def _options(**given):
    return Server.context(type("Nowhere", (), {"env": {}})(), {}, object(), **given).options


@pytest.mark.parametrize(
    ("options", "bucket_name", "expected"),
    [
        ({}, "bkt", "https://bkt.s3.amazonaws.com/name"),
        ({"s3_region_name": "eu-central-1"}, "bkt", "https://bkt.s3.eu-central-1.amazonaws.com/name"),
        ({"s3_region_name": "eu-central-1"}, "b.k.t", "https://s3.eu-central-1.amazonaws.com/b.k.t/name"),
        ({"s3_unencrypted_connection": True}, "bkt", "http://bkt.s3.amazonaws.com/name"),
        ({"s3_endpoint_url": "https://s3.example"}, "bkt", "https://s3.example/bkt/name"),
    ],
)
def test_the_bucket_stands_in_the_host_at_amazon_and_in_the_path_elsewhere(options, bucket_name, expected):
    assert _url_asked_for(options, bucket_name) == expected


def test_the_style_of_addresses_can_be_set_where_the_service_wants_the_other(tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    options = {"s3_endpoint_url": "https://s3.example"}
    assert _url_asked_for(options, "bkt", AWS_CONFIG_FILE=str(config)) == "https://bkt.s3.example/name"


def _url_asked_for(options, bucket, **env):
    """The URL that a client would send its request to."""
    from tarragon_s3.connect import _Clients

    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    server = type("Nowhere", (), {"env": keys})()
    client = _Clients(Server.context(server, env, object(), **options)).make(options.get("s3_region_name"))
    seen = []

    def stop(request, **_):
        seen.append(request.url)
        raise InterruptedError

    client.meta.events.register("before-send.s3", stop)
    with pytest.raises(InterruptedError):
        client.head_object(Bucket=bucket, Key="name")
    return seen[0]


def test_virtual_hosts_work_at_a_server_that_has_them(seaweedfs, tmp_path, monkeypatch):
    hosts_are_here(monkeypatch, ".localhost")
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    place = Place(seaweedfs, seaweedfs.make_bucket("in-the-host"))
    backend = place.open(s3_endpoint_url=f"http://localhost:{seaweedfs.port}", env={"AWS_CONFIG_FILE": str(config)})
    put(backend)
    assert read(backend) == b"data"
    assert place.stored() == ["name"]


# -- credentials ------------------------------------------------------------------------------------------------------


def test_without_credentials_it_says_where_they_are_looked_for(moto, bucket):
    with pytest.raises(PermissionDenied) as caught:
        bucket.open(env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_a_wrong_key_is_denied_at_once_and_does_not_show(rclone):
    place = Place(rclone, rclone.make_bucket("denied"))
    for wrong in ({"AWS_SECRET_ACCESS_KEY": "not-the-secret"}, {"AWS_ACCESS_KEY_ID": "not-the-id"}):
        with pytest.raises(PermissionDenied) as caught:
            place.open(env=wrong)
        assert "not-the-secret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"


def test_credentials_come_from_a_profile_too(bucket, tmp_path, proxy):
    keys = tmp_path / "credentials"
    keys.write_text("[backup]\naws_access_key_id = OTHERID\naws_secret_access_key = other-secret\n")
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "backup", "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    put(bucket.open(s3_endpoint_url=proxy.url, env=env))
    assert all("Credential=OTHERID/" in seen.headers["authorization"] for seen in proxy.seen)
    with pytest.raises(BadOption):
        bucket.open(env={**env, "AWS_PROFILE": "nobody"})


def test_only_the_environment_of_the_run_counts(bucket, proxy, monkeypatch):
    """multi:// gives each of its stores keys of its own, in one process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-process")
    put(bucket.open(s3_endpoint_url=proxy.url, env={"AWS_ACCESS_KEY_ID": "of-the-run"}))
    assert {seen.headers["authorization"].partition("/")[0] for seen in proxy.seen} == {
        "AWS4-HMAC-SHA256 Credential=of-the-run"
    }


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_an_object_of_one_part_goes_in_one_request_with_its_md5(backend, proxy, bucket):
    put(backend, data=b"small")
    sent = proxy.of("PUT")
    assert len(sent) == 1
    assert sent[0].headers["content-md5"] == base64.b64encode(hashlib.md5(b"small").digest()).decode()
    assert backend.stat("name").digest == "md5:" + hashlib.md5(b"small").hexdigest()


def test_a_large_one_goes_in_parts_side_by_side(bucket, proxy):
    backend = bucket.open(s3_endpoint_url=proxy.url, s3_multipart_chunk_size=5, s3_multipart_max_procs=3)
    put(backend, data=LARGE)
    parts = proxy.of("PUT", "partNumber")
    assert sorted(len(seen.body) for seen in parts) == [1 << 20, 5 << 20, 5 << 20]
    assert all(base64.b64decode(seen.headers["content-md5"]) == hashlib.md5(seen.body).digest() for seen in parts)
    assert read(backend) == LARGE
    assert bucket.head("name")["ETag"].endswith('-3"')
    assert backend.stat("name").digest is None, "the ETag of parts is no MD5 of the object"
    assert backend.stat("name").size == len(LARGE)


@pytest.mark.parametrize("data", [b"small" * 1000, LARGE], ids=["whole", "parts"])
def test_the_core_sees_every_byte_move_once(bucket, data):
    """Sums and signatures are made of the same bytes, but do not count against --limit-upload."""
    passed = []

    class Counted(BytesSource):
        def open(self):
            stream = super().open()
            read = stream.read
            counting = type("Counting", (), {"seek": stream.seek, "tell": stream.tell, "close": stream.close})()
            counting.read = lambda size=-1: passed.append(data := read(size)) or data
            return counting

    backend = bucket.open(s3_multipart_chunk_size=5)
    backend.put("name", Counted(data), Role.VOLUME)
    assert sum(map(len, passed)) == len(data)
    assert read(backend) == data


def test_no_part_but_the_last_is_below_what_the_protocol_allows(bucket, proxy):
    put(bucket.open(s3_endpoint_url=proxy.url, s3_multipart_chunk_size=1), data=LARGE)
    assert max(len(seen.body) for seen in proxy.of("PUT", "partNumber")) == 5 << 20


def test_parts_grow_where_there_would_be_too_many_of_them():
    from tarragon_s3.upload import Uploader

    uploader = Uploader(None, "bkt", 20 << 20, 4)
    assert uploader.size_of_parts(1) == 20 << 20
    assert -(-(5 << 40) // uploader.size_of_parts(5 << 40)) <= 10_000


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
def test_a_size_of_parts_that_cannot_be_is_refused(text):
    option = next(each for each in plugin.OPTIONS if each.flag == "--s3-multipart-chunk-size")
    with pytest.raises(BadOption):
        option.type(text)


def test_a_failed_part_takes_the_whole_upload_back(bucket, proxy):
    backend = bucket.open(s3_endpoint_url=proxy.url, s3_multipart_chunk_size=5)
    proxy.rules.append(Answer(500, when=lambda seen: "partNumber=2" in seen.path))
    with pytest.raises(Transient):
        put(backend, data=LARGE)
    assert bucket.stored() == []
    assert "Uploads" not in bucket.server.client().list_multipart_uploads(Bucket=bucket.bucket)
    assert len(proxy.of("PUT", "partNumber=2")) == 1, "only the core tries again"


@pytest.mark.requirement("R49")
def test_a_part_that_arrived_otherwise_is_noticed(bucket, proxy):
    backend = bucket.open(s3_endpoint_url=proxy.url, s3_multipart_chunk_size=5)
    proxy.rules.append(Answer(200, {"ETag": f'"{"0" * 32}"'}, when=lambda seen: "partNumber=1" in seen.path))
    with pytest.raises(ValidationFailed):
        put(backend, data=LARGE)
    assert bucket.stored() == []


def test_checksums_are_those_that_every_service_knows(bucket, tls):
    certificate, authority = tls
    with Proxy(bucket.server.port, certificate) as proxy:
        backend = bucket.open(s3_endpoint_url=proxy.url, env={"AWS_CA_BUNDLE": authority}, s3_multipart_chunk_size=5)
        put(backend)
        put(backend, "large", LARGE)
        read(backend)
        backend.delete_many(["name", "large"])
    named = {name for seen in proxy.seen for name in seen.headers if "checksum" in name or name == "x-amz-trailer"}
    hashes = {seen.headers.get("x-amz-content-sha256", "") for seen in proxy.seen}
    assert not any(word in text for text in hashes for word in ("STREAMING", "TRAILER"))
    assert not any("aws-chunked" in seen.headers.get("content-encoding", "") for seen in proxy.seen)
    assert named <= {"x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"}
    assert all("delete" in seen.path for seen in proxy.seen if "x-amz-checksum-crc32" in seen.headers)
    assert all("content-md5" in seen.headers for seen in proxy.of("POST", "?delete"))


@pytest.mark.parametrize("server", ["rclone", "seaweedfs", "ministack"])
def test_uploads_over_tls_come_back_from_servers_old_and_new(server, request, tls):
    server = request.getfixturevalue(server)
    certificate, authority = tls
    place = Place(server, server.make_bucket("over-tls"))
    with Proxy(server.port, certificate) as proxy:
        backend = place.open(s3_endpoint_url=proxy.url, env={"AWS_CA_BUNDLE": authority}, s3_multipart_chunk_size=5)
        for data in (b"", b"x" * 100_000, LARGE):
            put(backend, data=data)
            assert read(backend) == data


def test_what_the_service_damaged_on_the_way_is_worth_another_try(bucket, proxy, backend):
    body = b"<Error><Code>BadDigest</Code><Message>The Content-MD5 you specified did not match</Message></Error>"
    proxy.rules.append(Answer(400, {}, body, times=1))
    with pytest.raises(Transient):
        put(backend)
    put(backend)


# -- encryption by the service, grants --------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["whole", "parts"])
def test_what_is_asked_of_the_service_goes_with_each_upload(bucket, proxy, data):
    def asked(**options):
        proxy.seen.clear()
        put(bucket.open(s3_endpoint_url=proxy.url, s3_multipart_chunk_size=5, **options), data=data)
        first = (proxy.of("POST", "?uploads") or proxy.of("PUT"))[0]
        names = ("server-side-encryption", "server-side-encryption-aws-kms-key-id", "grant-full-control")
        return [first.headers.get(f"x-amz-{name}") for name in names]

    kms = {"s3_use_server_side_kms_encryption": True, "s3_kms_key_id": "key", "s3_kms_grant": "id=0123456789abcdef"}
    assert asked() == [None, None, None]
    assert asked(s3_use_server_side_encryption=True) == ["AES256", None, None]
    assert asked(**kms) == ["aws:kms", "key", "id=0123456789abcdef"]
    assert asked(**{**kms, "s3_kms_grant": None}) == ["aws:kms", "key", None]
    assert asked(**kms, s3_use_server_side_encryption=True) == ["AES256", None, None]
    assert asked(s3_kms_grant="id=0123456789abcdef") == [None, None, None]


def test_a_key_manager_without_a_key_is_told_before_anything_is_stored(bucket):
    with pytest.raises(BackendError) as caught:
        bucket.open(s3_use_server_side_kms_encryption=True)
    assert caught.value.exit_code == 50
    assert "--s3-kms-key-id" in caught.value.hint


def test_an_object_under_a_key_managers_key_has_no_md5_to_compare(seaweedfs):
    place = Place(seaweedfs, seaweedfs.make_bucket("kms"))
    kms = {"s3_use_server_side_kms_encryption": True, "s3_kms_key_id": seaweedfs.more["TB_KMS_KEY"]}
    backend = place.open(s3_multipart_chunk_size=5, **kms)
    for data in (b"secret", LARGE):
        put(backend, data=data)
        assert read(backend) == data
        assert place.head("name")["ServerSideEncryption"] == "aws:kms"
        assert backend.stat("name").digest is None
        assert backend.stat("name").size == len(data)


def test_an_object_under_the_services_own_key_has_one(seaweedfs):
    place = Place(seaweedfs, seaweedfs.make_bucket("sse"))
    backend = place.open(s3_use_server_side_encryption=True)
    put(backend, data=b"secret")
    assert place.head("name")["ServerSideEncryption"] == "AES256"
    assert read(backend) == b"secret"
    assert backend.stat("name").digest in (None, "md5:" + hashlib.md5(b"secret").hexdigest())


# -- put_new ----------------------------------------------------------------------------------------------------------


def exclusive(place):
    """A backend that is told that the service heeds If-None-Match, as Amazon's says that it does."""
    plain = place.open()
    return S3Backend(plain._uploader, "", lambda role, name: {}, exclusive=True)


def test_an_exclusive_put_is_claimed_for_amazon_alone(bucket):
    assert Capability.EXCLUSIVE_PUT not in bucket.open().capabilities


@pytest.mark.parametrize("server", ["seaweedfs", "ministack", "moto"])
def test_where_the_service_heeds_the_condition_one_put_wins(server, request):
    server = request.getfixturevalue(server)
    backend = exclusive(Place(server, server.make_bucket("exclusive")))
    assert backend.put_new("lease", BytesSource(b"first"), Role.OWN) is True
    assert backend.put_new("lease", BytesSource(b"second"), Role.OWN) is False
    assert read(backend, "lease") == b"first"


def test_a_service_that_does_not_heed_it_is_found_out(rclone):
    backend = exclusive(Place(rclone, rclone.make_bucket("not-exclusive")))
    with pytest.raises(Unsupported):
        backend.put_new("lease", BytesSource(b"first"), Role.OWN)


# -- deleting ---------------------------------------------------------------------------------------------------------


def test_many_names_go_a_thousand_at_a_time(backend, proxy, bucket):
    for number in range(3):
        put(backend, f"kept-{number}")
    put(backend, "last")
    backend.delete_many([f"absent-{number}" for number in range(1200)] + ["last"])
    requests = proxy.of("POST", "?delete")
    assert [seen.body.count(b"<Key>") for seen in requests] == [1000, 201]
    assert bucket.stored() == ["kept-0", "kept-1", "kept-2"]


def test_an_answer_that_lost_its_header_is_worth_another_try(backend, proxy):
    put(backend, "a")
    proxy.rules.append(Answer(200, bare=True, when=lambda seen: seen.method == "HEAD", times=1))
    with pytest.raises(Transient, match="ContentLength"):
        backend.stat("a")
    assert backend.stat("a").size


def test_what_cannot_be_deleted_is_told(backend, proxy):
    body = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    proxy.rules.append(Answer(200, {"Content-Type": "application/xml"}, body, when=lambda seen: seen.method == "POST"))
    with pytest.raises(PermissionDenied) as caught:
        backend.delete_many(["a", "b"])
    assert "'b'" in caught.value.message


def test_the_interoperable_endpoint_of_google_works_without_what_it_lacks(rclone):
    """Stands in for it: V4 only, no deletion of many at once, refuses the newer checksums and chunked bodies."""
    place = Place(rclone, rclone.make_bucket("google"))
    with Proxy(rclone.port) as proxy:
        newer = lambda seen: (
            any(name.startswith("x-amz-checksum") for name in seen.headers)
            or ("aws-chunked" in seen.headers.get("content-encoding", ""))
        )
        lacking = b"<Error><Code>NotImplemented</Code><Message>A header or query is not implemented</Message></Error>"
        proxy.rules.append(Answer(501, {}, lacking, when=lambda seen: seen.method == "POST" and "delete" in seen.path))
        proxy.rules.append(Answer(403, {}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", when=newer))
        backend = place.open(s3_endpoint_url=proxy.url, s3_region_name="auto", s3_multipart_chunk_size=5)
        for name in ("a", "b", "c"):
            put(backend, name)
        put(backend, "large", LARGE)
        assert read(backend, "large") == LARGE
        backend.delete_many(["a", "absent", "b"])
        backend.delete_many(["c"])
        assert [info.name for info in backend.list()] == ["large"]
        assert len(proxy.of("POST", "?delete")) == 1, "what it lacks is asked for once"


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "headers", "expected"),
    [
        (503, "SlowDown", {"Retry-After": "7"}, Transient),
        (429, "TooManyRequests", {"Retry-After": "7"}, Transient),
        (503, "", {}, Transient),
        (500, "InternalError", {}, Transient),
        (502, "", {}, Transient),
        (400, "RequestTimeout", {}, Transient),
        (409, "OperationAborted", {}, Transient),
        (403, "AccessDenied", {}, PermissionDenied),
        (403, "InvalidAccessKeyId", {}, PermissionDenied),
        (400, "ExpiredToken", {}, PermissionDenied),
        (403, "RequestTimeTooSkewed", {}, PermissionDenied),
        (401, "", {}, PermissionDenied),
        (404, "NoSuchKey", {}, NotFound),
        (404, "NoSuchBucket", {}, NotFound),
        (403, "InvalidObjectState", {}, ColdObject),
        (403, "QuotaExceeded", {}, OutOfSpace),
        (507, "XMinioStorageFull", {}, OutOfSpace),
        (501, "NotImplemented", {}, Unsupported),
        (301, "PermanentRedirect", {}, BackendError),
        (400, "InvalidStorageClass", {}, BackendError),
        (400, "Odd\x1b[31m", {}, BackendError),
    ],
)
@pytest.mark.parametrize("operation", ["put", "read", "list"])
def test_errors_are_told_apart(backend, proxy, status, code, headers, expected, operation):
    body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode() if code else b""
    proxy.rules.append(Answer(status, {"Content-Type": "application/xml", **headers}, body))
    work = {"put": lambda: put(backend), "read": lambda: read(backend), "list": lambda: list(backend.list())}
    proxy.seen.clear()
    with pytest.raises(BackendError) as caught:
        work[operation]()
    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None
    assert str(caught.value).isprintable()
    assert len(proxy.seen) == 1, "only the core tries again"
    if headers:
        assert (caught.value.retry_after, caught.value.overloaded) == (7, True)
    if "Skewed" in code:
        assert "clock" in caught.value.hint


@pytest.mark.requirement("R64")
def test_connections_that_break_and_servers_that_are_gone_may_come_back(bucket, proxy):
    backend = bucket.open(s3_endpoint_url=proxy.url)
    put(backend, data=b"x" * 300_000)
    proxy.rules.append(Answer(0, reset=True, times=1))
    with pytest.raises(Transient):
        list(backend.list())
    proxy.rules.append(Answer(0, cut=True, when=lambda seen: seen.method == "GET", times=1))
    with pytest.raises(Transient):
        read(backend)
    assert read(backend) == b"x" * 300_000
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(Transient) as caught:
            bucket.open(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
        assert "timeout" in str(caught.value).lower()
    with pytest.raises(Transient):
        bucket.open(s3_endpoint_url="http://127.0.0.1:9")


def test_a_listing_that_goes_in_a_circle_ends(backend, proxy):
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
        b"<Contents><Key>name</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    proxy.rules.append(Answer(200, {"Content-Type": "application/xml"}, page))
    with pytest.raises(BackendError):
        list(backend.list())


def test_a_service_without_ranges_costs_more_and_gives_the_same(backend, proxy):
    put(backend, data=b"0123456789")
    proxy.rules.append(Answer(200, {}, b"0123456789", when=lambda seen: "range" in seen.headers))
    assert backend.read("name", 4, 7).read() == b"456"
    assert backend.read("name", 4).read() == b"456789"


@pytest.mark.parametrize("name", ["x", "Not_A_Bucket!", "a" * 300])
def test_a_name_that_no_bucket_has_is_a_typed_error_in_one_line(bucket, name):
    with pytest.raises(BackendError) as caught:
        bucket.open(f"s3://{name}")
    assert "\n" not in str(caught.value)


def test_boto3_is_not_loaded_before_a_bucket_is_opened():
    code = "import sys, tarragon_s3.plugin as p; p.options(); p.more_hooks(); print('botocore' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_no_secret_is_in_the_log_however_loud(bucket, caplog):
    secret = bucket.server.env["AWS_SECRET_ACCESS_KEY"]
    with caplog.at_level("DEBUG", "tarragon"):
        backend = bucket.open()
        put(backend)
    assert secret not in caplog.text
    assert secret not in repr(backend) + str(vars(backend))
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") is None
