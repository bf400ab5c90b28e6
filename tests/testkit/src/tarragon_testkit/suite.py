"""The contracts as pytest classes: subclass one, name the thing, and every promise is a test."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy
import pytest
from tarragon.api import Hooks, parse_url

from .codec_contract import CIPHER, COMPRESSOR, CipherHarness, CompressorHarness
from .contract import BACKEND
from .executor_contract import EXECUTOR, ExecutorHarness
from .fakes import TestContext
from .harness import Harness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tarragon.api import Backend, Cipher, Compressor, Executor

    from .harness import Check, Contract


def plugin_hook(group: str, name: str) -> Any:
    """The hooks of the one installed plugin that answers to ``name``."""
    found = {point.value: point for point in entry_points(group=group, name=name)}
    assert len(found) == 1, f"'{name}' of {group} must be one installed plugin's, not {sorted(found)}"
    manager = pluggy.PluginManager("tarragon")
    manager.add_hookspecs(Hooks)
    manager.register(next(iter(found.values())).load())
    return manager.hook


def open_url(raw: str, context: TestContext) -> Backend:
    """Connect as the core does: the driver of the scheme, then the wrappers from the inside to the outside."""
    schemes, wrappers = (
        {point.name for point in entry_points(group=f"tarragon.{kind}")} for kind in ("backend", "wrapper")
    )
    url = parse_url(raw, schemes, wrappers)
    backend: Backend = plugin_hook("tarragon.backend", url.scheme).open_backend(url=url, context=context)
    for prefix in reversed(url.wrappers):
        hook = plugin_hook("tarragon.wrapper", prefix)
        backend = hook.wrap_backend(prefix=prefix, inner=backend, url=url, context=context)
    return backend


def _every(contract: Contract) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("check", contract.checks, ids=lambda check: check.name)


class _Suite:
    """What all contracts share: options and environment of the run, and failures that are known."""

    options: ClassVar[dict[str, Any]] = {}
    env: ClassVar[dict[str, str]] = {}
    passwords: ClassVar[tuple[str, ...]] = ()
    #: Check name → why it fails. A check that is named here and holds is a failure too.
    known_failures: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def context(self, tmp_path: Path) -> TestContext:
        return TestContext(self.options, self.env, self.passwords, tempdir=tmp_path)

    @pytest.fixture(autouse=True)
    def _known(self, request: pytest.FixtureRequest, check: Check) -> None:
        if check.name in self.known_failures:
            request.applymarker(pytest.mark.xfail(reason=self.known_failures[check.name], strict=True))


class BackendContract(_Suite):
    """``url`` names a store that may be filled; ``{tmp}`` in it is a new folder. Or override ``connect``.

    ``settle_s``: how late a change may be seen. ``small``: bytes cost money. ``many``: more than a page of a listing.
    """

    url: ClassVar[str] = ""
    settle_s: ClassVar[float] = 0
    small: ClassVar[bool] = False
    many: ClassVar[int] = 1200

    def connect(self, tmp_path: Path, context: TestContext) -> Backend:
        """A new connection to the store of this test."""
        return open_url(self.url.replace("{tmp}", str(tmp_path)), context)

    @pytest.fixture
    def harness(self, tmp_path: Path, context: TestContext) -> Iterator[Harness]:
        harness = Harness(
            lambda: self.connect(tmp_path, context), settle_s=self.settle_s, small=self.small, many=self.many
        )
        yield harness
        harness.close()

    @_every(BACKEND)
    def test_promise(self, check: Check, harness: Harness) -> None:
        if reason := check.skip_reason(harness.backend.capabilities):
            pytest.skip(reason)
        check.run(harness)


class CompressorContract(_Suite):
    """``name`` is the compressor's."""

    name: ClassVar[str] = ""
    level: ClassVar[int | None] = None

    def compressor(self, context: TestContext) -> Compressor:
        hook = plugin_hook("tarragon.compressor", self.name)
        made: Compressor = hook.make_compressor(name=self.name, level=self.level, context=context)
        return made

    @_every(COMPRESSOR)
    def test_promise(self, check: Check, context: TestContext) -> None:
        check.run(CompressorHarness(self.compressor(context)))


class CipherContract(_Suite):
    """``name`` is the cipher's; keys and passphrases come in ``options``, ``env`` and ``passwords``."""

    name: ClassVar[str] = ""

    def cipher(self, context: TestContext) -> Cipher:
        made: Cipher = plugin_hook("tarragon.cipher", self.name).make_cipher(name=self.name, context=context)
        return made

    @_every(CIPHER)
    def test_promise(self, check: Check, context: TestContext) -> None:
        check.run(CipherHarness(self.cipher(context)))


class ExecutorContract(_Suite):
    """``name`` is the executor's; one that runs the work in submit() is not ``is_parallel``."""

    name: ClassVar[str] = ""
    is_parallel: ClassVar[bool] = True

    def executor(self, width: int, context: TestContext) -> Executor:
        hook = plugin_hook("tarragon.executor", self.name)
        made: Executor = hook.make_executor(name=self.name, width=width, context=context)
        return made

    @pytest.fixture
    def harness(self, context: TestContext) -> Iterator[ExecutorHarness]:
        harness = ExecutorHarness(lambda width: self.executor(width, context), is_parallel=self.is_parallel)
        yield harness
        harness.close()

    @_every(EXECUTOR)
    def test_promise(self, check: Check, harness: ExecutorHarness) -> None:
        check.run(harness)
