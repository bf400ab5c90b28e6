"""The contracts of compressors, ciphers and executors as pytest classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from .codec_contract import CIPHER, COMPRESSOR, CipherHarness, CompressorHarness
from .executor_contract import EXECUTOR, ExecutorHarness
from .suite import Suite, every, run
from .wiring import plugin_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api import Cipher, Compressor, Executor

    from .context import TestContext
    from .harness import Check


class CompressorContract(Suite):
    """``name`` is the compressor's."""

    name: ClassVar[str] = ""
    level: ClassVar[int | None] = None

    def compressor(self, context: TestContext) -> Compressor:
        hook = plugin_hook("tarragon.compressor", self.name, context)
        made: Compressor = hook.make_compressor(name=self.name, level=self.level, context=context)
        return made

    @every(COMPRESSOR)
    def test_promise(self, check: Check, context: TestContext) -> None:
        run(check, CompressorHarness(self.compressor(context)))


class CipherContract(Suite):
    """``name`` is the cipher's; keys and passphrases come in ``options``, ``env`` and ``passwords``."""

    name: ClassVar[str] = ""

    def cipher(self, context: TestContext) -> Cipher:
        made: Cipher = plugin_hook("tarragon.cipher", self.name, context).make_cipher(name=self.name, context=context)
        return made

    @every(CIPHER)
    def test_promise(self, check: Check, context: TestContext) -> None:
        run(check, CipherHarness(self.cipher(context)))


class ExecutorContract(Suite):
    """``name`` is the executor's; one that runs the work in submit() is not ``is_parallel``."""

    name: ClassVar[str] = ""
    is_parallel: ClassVar[bool] = True

    def executor(self, width: int, context: TestContext) -> Executor:
        hook = plugin_hook("tarragon.executor", self.name, context)
        made: Executor = hook.make_executor(name=self.name, width=width, context=context)
        return made

    @pytest.fixture
    def harness(self, context: TestContext) -> Iterator[ExecutorHarness]:
        harness = ExecutorHarness(lambda width: self.executor(width, context), is_parallel=self.is_parallel)
        yield harness
        harness.close()

    @every(EXECUTOR)
    def test_promise(self, check: Check, harness: ExecutorHarness) -> None:
        run(check, harness)
