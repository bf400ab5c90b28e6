"""Every test runs over each instruction path this machine has, and over Python alone where sizes allow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tarragon_librsync
from hypothesis import HealthCheck, settings
from tarragon_librsync import fallback, jobs

sys.path.insert(0, str(Path(__file__).parent))  # the oracle, whatever import mode pytest runs in

settings.register_profile("default", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("default")

if tarragon_librsync.KERNEL == "python":
    PATHS = ["python"]
else:
    from tarragon_librsync import native
    from tarragon_librsync._kernel import ffi, lib

    _best = lib.tl_kernel()
    PATHS = [name for name in ("scalar", "avx2", "avx512", "neon") if lib.tl_select(name.encode()) == 0] + ["python"]
    lib.tl_select(_best)


@pytest.fixture(params=PATHS, scope="module")
def rsync(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    """The package's names, bound to one path."""
    if request.param == "python":
        yield _bound(fallback, "python")
        return
    before = lib.tl_kernel()
    assert lib.tl_select(request.param.encode()) == 0
    yield _bound(native, ffi.string(lib.tl_kernel()).decode())
    lib.tl_select(before)


def _bound(module: object, name: str) -> SimpleNamespace:
    def signature(data: bytes, block_len: int, strong_len: int = 8, cut: int = 0) -> bytes:
        signer = module.Signer(block_len, strong_len)
        return b"".join([*(signer.update(piece) for piece in _cut(data, cut)), signer.finish()])

    def delta(sums: bytes, data: bytes, cut: int = 0, **options: object) -> bytes:
        job = module.Delta(module.Signature(sums), **options)
        return b"".join([*(job.update(piece) for piece in _cut(data, cut)), job.finish()])

    def patch(basis: object, commands: object, limit: int | None = None) -> bytes:
        return b"".join(jobs.patched(module.Commands(), basis, commands, limit))

    return SimpleNamespace(
        name=name,
        slow=name == "python",
        signature=signature,
        delta=delta,
        patch=patch,
        Signer=module.Signer,
        Signature=module.Signature,
        Delta=module.Delta,
        Commands=module.Commands,
        signatures=module.signatures,
    )


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
