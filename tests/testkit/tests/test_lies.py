"""The core checks what a driver tells, instead of trusting it: a backend that lies, behind the core's Store (R66)."""

from __future__ import annotations

import hashlib
import io
import logging

import pytest
from tarragon.api import BackendError, IntegrityError, Role
from tarragon.store.store import Store
from tarragon_testkit import BytesSource, LyingBackend, MemoryBackend

DATA = b"the bytes of a volume" * 100


def store(*lies):
    inner = MemoryBackend()
    backend = LyingBackend(inner, lies)
    return inner, Store(backend, log=logging.getLogger("tarragon.test"), num_retries=1, retry_delay_s=0)


@pytest.mark.requirement("R66")
@pytest.mark.parametrize("lie", ["size", "digest", "put", "short"])
def test_what_is_not_there_as_it_was_sent_does_not_count_as_stored(lie):
    with pytest.raises((IntegrityError, BackendError)):
        store(lie)[1].put("vol1", BytesSource(DATA), Role.VOLUME)


@pytest.mark.requirement("R66")
def test_other_bytes_than_those_stored_have_another_hash():
    inner, lying = store("data")
    inner.put("vol1", BytesSource(DATA), Role.VOLUME)
    fetched = lying.fetch("vol1", io.BytesIO(), size=len(DATA))
    assert fetched.sha1 != hashlib.sha1(DATA).hexdigest()


@pytest.mark.requirement("R66")
def test_more_bytes_than_a_volume_has_are_not_taken():
    inner, honest = store()
    inner.put("vol1", BytesSource(DATA + b"and more"), Role.VOLUME)
    with pytest.raises((IntegrityError, BackendError)):
        honest.fetch("vol1", io.BytesIO(), size=len(DATA))


def test_without_lies_all_of_it_is_as_it_was_sent():
    _, honest = store()
    honest.put("vol1", BytesSource(DATA), Role.VOLUME)
    into = io.BytesIO()
    assert honest.fetch("vol1", into).sha1 == hashlib.sha1(DATA).hexdigest()
