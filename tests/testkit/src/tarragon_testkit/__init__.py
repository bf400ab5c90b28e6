"""The promises of the plugin API as tests, and fakes to test against."""

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
