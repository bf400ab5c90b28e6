"""librsync itself, through its shared library: what our bytes are compared with. Declared from its public manual."""

from __future__ import annotations

import ctypes
import ctypes.util
import io
from collections.abc import Callable, Iterator

MD4_MAGIC = 0x72730136
_DONE, _BLOCKED = 0, 1
_NAME = ctypes.util.find_library("rsync")
_lib = ctypes.CDLL(_NAME) if _NAME else None
AVAILABLE = _lib is not None


class _Buffers(ctypes.Structure):
    _fields_ = [
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("eof_in", ctypes.c_int),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
    ]


_COPY = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p)
)

if _lib is not None:
    _job, _size = ctypes.c_void_p, ctypes.c_size_t
    _lib.rs_sig_begin.restype = _lib.rs_delta_begin.restype = _job
    _lib.rs_loadsig_begin.restype = _lib.rs_patch_begin.restype = _job
    _lib.rs_sig_begin.argtypes = [_size, _size, ctypes.c_int]
    _lib.rs_delta_begin.argtypes = _lib.rs_build_hash_table.argtypes = [_job]
    _lib.rs_free_sumset.argtypes = _lib.rs_job_free.argtypes = [_job]
    _lib.rs_loadsig_begin.argtypes = [ctypes.POINTER(_job)]
    _lib.rs_patch_begin.argtypes = [_COPY, _job]
    _lib.rs_job_iter.argtypes = [_job, ctypes.POINTER(_Buffers)]


class OracleError(Exception):
    """librsync refused."""


def _run(job: int, data: bytes, room: int = 1 << 16, piece: int = 1 << 18) -> bytes:
    return b"".join(_pieces(job, data, room, piece))


def _pieces(job: int, data: bytes, room: int = 1 << 16, piece: int = 1 << 18) -> Iterator[bytes]:
    """Run a job to its end. Content is given in pieces: librsync is a third slower with all of it at once."""
    into = ctypes.create_string_buffer(room)
    source = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value  # no copy: measured against, it must be fair
    buffers = _Buffers(source, 0, 0, 0, 0)
    given = 0
    try:
        while True:
            if buffers.avail_in < piece // 2:
                more = min(piece, len(data) - given)
                buffers.avail_in += more
                given += more
                buffers.eof_in = given == len(data)
            buffers.next_out, buffers.avail_out = ctypes.addressof(into), room
            result = _lib.rs_job_iter(job, ctypes.byref(buffers))
            yield ctypes.string_at(into, room - buffers.avail_out)
            if result == _DONE:
                return
            if result != _BLOCKED:
                raise OracleError(result)
    finally:
        _lib.rs_job_free(job)


def signature(data: bytes, block_len: int, strong_len: int = 8) -> bytes:
    return _run(_lib.rs_sig_begin(block_len, strong_len, MD4_MAGIC), data)


def delta(sums: bytes, data: bytes) -> bytes:
    return b"".join(delta_pieces(sums, data))


def delta_pieces(sums: bytes, data: bytes) -> Iterator[bytes]:
    handle = ctypes.c_void_p()
    _run(_lib.rs_loadsig_begin(ctypes.byref(handle)), sums)
    try:
        _lib.rs_build_hash_table(handle)
        yield from _pieces(_lib.rs_delta_begin(handle), data)
    finally:
        _lib.rs_free_sumset(handle)


def patch(basis: bytes, commands: bytes, reader: Callable[[int, int], bytes] | None = None) -> bytes:
    stream = io.BytesIO(basis)

    def copy(_: int, offset: int, length: ctypes._Pointer[ctypes.c_size_t], into: object) -> int:
        stream.seek(offset)
        chunk = stream.read(length[0])
        length[0] = len(chunk)
        ctypes.memmove(into[0], chunk, len(chunk))  # type: ignore[index]
        return _DONE if chunk else 207  # its own code for "input ended"

    callback = _COPY(copy)
    return _run(_lib.rs_patch_begin(callback, None), commands, 1 << 20)
