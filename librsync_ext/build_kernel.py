"""Describe the C kernel to cffi (API mode): declarations from one text file, sources beside it.

The declarations are shared with the C side, which includes the same file, so the two cannot disagree.
"""

import os
from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent
_PACKAGE = Path("src/tarragon_librsync")
_SOURCES = sorted(str(path.relative_to(_HERE)) for path in (_HERE / _PACKAGE / "kernel").glob("*.c"))

# No debug data, nothing exported but the module's entry: the wheel stays small. Extra flags are for sanitizer builds.
_EXTRA = os.environ.get("TARRAGON_LIBRSYNC_CFLAGS", "").split()
_COMPILE = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra", *_EXTRA]
_LINK = [flag for flag in _EXTRA if flag.startswith("-fsanitize")] or ["-Wl,-s"]

ffibuilder = FFI()
ffibuilder.cdef((_HERE / _PACKAGE / "_ffi.cdef.txt").read_text())
ffibuilder.set_source(
    "tarragon_librsync._kernel",
    '#include "kernel.h"',
    sources=_SOURCES,
    include_dirs=[str(_PACKAGE / "kernel"), str(_PACKAGE)],
    extra_compile_args=_COMPILE,
    extra_link_args=_LINK,
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
