"""Which class each object gets, and what is cold, asked for and warm again, on servers that keep classes."""

from __future__ import annotations

import subprocess
import sys
import time
from secrets import token_hex

import pytest
from s3_places import Place
from tarragon.api import Capability, ColdObject, Role
from tarragon_s3_classes import plugin
from tarragon_testkit import BytesSource

CLASSES = {option.name: False if option.action == "flag" else option.default for option in plugin.OPTIONS}
LOADING = """
import sys
from tarragon.plugin.hub import Hub
hub = Hub()
hub.use("backend", "file")
print("tarragon_s3_classes.plugin" in sys.modules)
hub.use("backend", "s3")
print("tarragon_s3_classes.plugin" in sys.modules)
print("boto3" in sys.modules)
"""
NAMES = {role: f"duplicity-{role.value}" for role in Role}


@pytest.fixture
def place(ministack):
    return Place(ministack, ministack.make_bucket(f"c-{token_hex(6)}"))


def opened(place, **options):
    return place.open(**options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"s3_use_rrs": True}, "REDUCED_REDUNDANCY"),
        ({"s3_use_ia": True}, "STANDARD_IA"),
        ({"s3_use_onezone_ia": True}, "ONEZONE_IA"),
        ({"s3_use_glacier": True}, "GLACIER"),
        ({"s3_use_glacier_ir": True}, "GLACIER_IR"),
        ({"s3_use_deep_archive": True}, "DEEP_ARCHIVE"),
        ({"s3_use_glacier": True, "s3_use_ia": True, "s3_use_deep_archive": True}, "STANDARD_IA"),
    ],
)
def test_volumes_get_the_class_and_nothing_else_does(place, given, expected):
    backend = opened(place, **given)
    for role, name in NAMES.items():
        backend.put(name, BytesSource(b"x"), role)
    found = {role: place.head(name).get("StorageClass", "STANDARD") for role, name in NAMES.items()}
    assert {**dict.fromkeys(Role, "STANDARD"), Role.VOLUME: expected} == found


def test_a_large_volume_gets_its_class_too(place):
    backend = opened(place, s3_use_glacier=True, s3_multipart_chunk_size=5)
    backend.put("large", BytesSource(bytes(6 << 20)), Role.VOLUME)
    assert place.head("large")["StorageClass"] == "GLACIER"
    assert place.head("large")["ETag"].endswith('-2"')


def test_without_an_option_no_class_is_asked_for(place):
    opened(place).put("plain", BytesSource(b"x"), Role.VOLUME)
    assert place.head("plain").get("StorageClass", "STANDARD") == "STANDARD"


def test_archived_volumes_are_cold_until_they_were_asked_for_and_have_come(place):
    backend = opened(place, s3_use_glacier=True)
    for name in ("one", "two"):
        backend.put(name, BytesSource(b"frozen"), Role.VOLUME)
    backend.put("manifest", BytesSource(b"warm"), Role.MANIFEST)
    assert Capability.COLD in backend.capabilities
    assert backend.cold(["one", "two", "manifest", "none"]) == {"one", "two"}
    with pytest.raises(ColdObject) as caught:
        backend.read("one")
    assert "thaw" in caught.value.hint
    assert backend.cold(["one", "two"]) == {"one", "two"}, "asking what is cold must ask for nothing"
    assert backend.warm_up(["one", "manifest"]) == {"one"}
    assert backend.warm_up(["one"]) == {"one"}, "asking again is no error"
    until = time.monotonic() + 30
    while backend.cold(["one"]) and time.monotonic() < until:
        time.sleep(0.2)
    assert backend.cold(["one", "two"]) == {"two"}
    assert backend.read("one").read() == b"frozen"
    assert backend.warm_up(["one"]) == frozenset()


def test_a_class_that_a_service_only_keeps_the_name_of_is_not_cold(seaweedfs):
    place = Place(seaweedfs, seaweedfs.make_bucket("names-only"))
    backend = opened(place, s3_use_glacier=True)
    backend.put("one", BytesSource(b"readable"), Role.VOLUME)
    assert place.head("one")["StorageClass"] == "GLACIER"
    assert backend.cold(["one"]) == frozenset()


def test_moto_refuses_what_is_frozen_too_and_thaws_at_once(bucket):
    backend = opened(bucket, s3_use_deep_archive=True)
    backend.put("one", BytesSource(b"frozen"), Role.VOLUME)
    assert backend.warm_up(["one"]) == {"one"}
    assert backend.cold(["one"]) == frozenset()


def test_the_tier_and_the_days_are_those_of_the_options():
    options = {**CLASSES, "s3_thaw_tier": "bulk", "s3_thaw_days": 3}
    context = type("Context", (), {"options": type("Options", (), options)})
    expected = {"Days": 3, "GlacierJobParameters": {"Tier": "Bulk"}}
    assert plugin.s3_restore_request(context) == expected


def test_without_this_package_s3_never_claims_that_anything_is_cold(bucket):
    class NoExtensions:
        """A hub's relay in which nobody answers."""

    backend = bucket.open(hook=NoExtensions())
    assert Capability.COLD not in backend.capabilities
    assert backend.warm_up(["one"]) == frozenset()


def test_the_package_is_loaded_with_s3_and_only_then_and_boto3_with_neither():
    told = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "True", "False"]
