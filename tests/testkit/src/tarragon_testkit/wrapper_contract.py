"""What a wrapper owes to the backend inside, beside being a backend itself. No pytest here: anything may run them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tarragon.api import (
    Backend,
    BackendError,
    Capability,
    NotFound,
    ObjectInfo,
    OutOfSpace,
    PermissionDenied,
    Role,
    Transient,
)

from .fakes import BytesSource, FaultyBackend, MemoryBackend
from .harness import Contract, Harness, raises

if TYPE_CHECKING:
    from collections.abc import Callable

WRAPPER = Contract()
check = WRAPPER.check

_METHODS = ("stat", "delete_many", "rename", "put_new", "cold", "warm_up", "reconnect", "close")


class WrapperHarness(Harness):
    """A wrapper around the reference store of this test; ``around`` wraps any other."""

    def __init__(self, wrap: Callable[[Backend], Backend], **more: object) -> None:
        self.around = wrap
        self.objects: dict[str, bytes] = {}
        super().__init__(lambda: wrap(MemoryBackend(self.objects)), **more)  # type: ignore[arg-type]


@check()
def every_method_is_forwarded_or_overridden(h: WrapperHarness) -> None:
    for method in _METHODS:
        assert getattr(type(h.backend), method) is not getattr(Backend, method), f"{method}() is the base class's"


@check()
def a_listing_shows_what_was_put_and_nothing_else(h: WrapperHarness) -> None:
    names = {h.put(bytes(size)) for size in (0, 5000, 200_000)}
    listed = [info.name for info in h.backend.list()]
    assert sorted(listed) == sorted(names)


@check()
def deleting_leaves_nothing_behind(h: WrapperHarness) -> None:
    names = [h.put(bytes(5000)) for _ in range(3)]
    h.backend.delete(names[0])
    h.backend.delete_many(names[1:])
    assert sorted(h.objects) == []


@check()
def the_inner_backend_is_told_the_role(h: WrapperHarness) -> None:
    for role in Role:
        inner = MemoryBackend()
        h.around(inner).put(h.name(), BytesSource(bytes(5000)), role)
        told = set(inner.roles.values())
        assert role in told
        assert told <= {role, Role.RECOVERY, Role.OWN}


@check()
def closing_closes_the_inner_backend(h: WrapperHarness) -> None:
    inner = FaultyBackend(MemoryBackend())
    h.around(inner).close()
    assert inner.count("close") >= 1


@check()
def reconnecting_reconnects_the_inner_backend(h: WrapperHarness) -> None:
    inner = FaultyBackend(MemoryBackend())
    h.around(inner).reconnect()
    assert inner.count("reconnect") == 1


@check()
def an_error_of_the_inner_backend_stays_what_it_is(h: WrapperHarness) -> None:
    name = h.name()
    errors: list[BackendError] = [
        Transient("busy", retry_after=7, overloaded=True), PermissionDenied("no"), OutOfSpace("full")
    ]  # fmt: skip
    for error in errors:
        for method in ("list", "put", "read", "delete"):
            store = MemoryBackend()
            h.around(store).put(name, BytesSource(bytes(5000)), Role.VOLUME)
            wrapped = h.around(FaultyBackend(store, {each: [error] * 99 for each in (method, f"{method}_many")}))
            calls: dict[str, Callable[[], object]] = {
                "list": partial(_listed, wrapped),
                "put": partial(wrapped.put, name, BytesSource(bytes(9)), Role.VOLUME),
                "read": partial(h.read, name, backend=wrapped),
                "delete": partial(wrapped.delete, name),
            }
            found = raises(type(error), calls[method])
            assert getattr(found, "retry_after", None) == getattr(error, "retry_after", None)


def _listed(backend: Backend) -> list[ObjectInfo]:
    return list(backend.list())


@check()
def around_a_poor_store_it_claims_nothing_that_it_cannot_do(h: WrapperHarness) -> None:
    wrapped = h.around(MemoryBackend({}, Capability.NONE))
    assert not wrapped.capabilities & (Capability.RANGES | Capability.RENAME | Capability.EXCLUSIVE_PUT)
    name = h.put(b"0123456789", backend=wrapped)
    assert {info.name for info in wrapped.list()} == {name}
    assert h.read(name, backend=wrapped) == b"0123456789"
    wrapped.delete(name)
    raises(NotFound, lambda: wrapped.delete(name))
