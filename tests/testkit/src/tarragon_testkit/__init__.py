"""The promises of the plugin API as tests, and fakes to test against.

Names are found when they are asked for: pytest imports this package at every start, and must not pay for what it does
not use, nor meet the contracts before their asserts are made readable.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fakes import BytesSource, FaultyBackend, MemoryBackend, TestContext
    from .suite import BackendContract, CipherContract, CompressorContract, ExecutorContract, open_url, plugin_hook

__all__ = [
    "BackendContract",
    "BytesSource",
    "CipherContract",
    "CompressorContract",
    "ExecutorContract",
    "FaultyBackend",
    "MemoryBackend",
    "open_url",
    "plugin_hook",
    "TestContext",
]

_FAKES = {"BytesSource", "FaultyBackend", "MemoryBackend", "TestContext"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(".fakes" if name in _FAKES else ".suite", __name__), name)
