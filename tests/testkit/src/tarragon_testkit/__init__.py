"""The promises of the plugin API as tests, and fakes to test against.

Names are found when they are asked for: pytest imports this package at every start, and must not pay for what it does
not use, nor meet the contracts before their asserts are made readable.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec_suite import CipherContract, CompressorContract, ExecutorContract
    from .context import TestContext
    from .fakes import (
        BytesSource,
        ColdBackend,
        FaultyBackend,
        LateBackend,
        LyingBackend,
        MemoryBackend,
        SlowBackend,
    )
    from .more_suite import FilterContract, PluginContract, SinkContract
    from .suite import BackendContract, WrapperContract
    from .wiring import open_url, plugin_hook

__all__ = [
    "BackendContract",
    "BytesSource",
    "CipherContract",
    "ColdBackend",
    "CompressorContract",
    "ExecutorContract",
    "FaultyBackend",
    "FilterContract",
    "LateBackend",
    "LyingBackend",
    "MemoryBackend",
    "open_url",
    "plugin_hook",
    "PluginContract",
    "SinkContract",
    "SlowBackend",
    "TestContext",
    "WrapperContract",
]

_HOMES = {
    "codec_suite": "CipherContract CompressorContract ExecutorContract",
    "context": "TestContext",
    "fakes": "BytesSource ColdBackend FaultyBackend LateBackend LyingBackend MemoryBackend SlowBackend",
    "more_suite": "FilterContract PluginContract SinkContract",
    "suite": "BackendContract WrapperContract",
    "wiring": "open_url plugin_hook",
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
