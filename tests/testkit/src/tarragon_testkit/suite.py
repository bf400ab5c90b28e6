"""The contracts of stores as pytest classes: subclass one, name the thing, and every promise is a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from tarragon.api import Secret, is_url, parse_url

from .context import TestContext, installed_schemes
from .contract import BACKEND
from .harness import Harness, NotAsked
from .wiring import open_url, plugin_hook
from .wrapper_contract import WRAPPER, WrapperHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tarragon.api import Backend

    from .harness import Check, Contract

_TELLING = ("PASS", "SECRET", "TOKEN", "KEY")
DICT = "it_behaves_like_a_dict"


def every(*contracts: Contract) -> pytest.MarkDecorator:
    """Every check of these contracts, as a test of its name."""
    checks = [check for contract in contracts for check in contract.checks]
    return pytest.mark.parametrize("check", checks, ids=lambda check: check.name)


def run(check: Check, harness: Any) -> None:
    """Run a check; what it does not ask of this one is skipped, with the reason."""
    try:
        check.run(harness)
    except NotAsked as err:
        pytest.skip(str(err))


class Suite:
    """What all contracts share: options and environment of the run, and failures that are known."""

    options: ClassVar[dict[str, Any]] = {}
    env: ClassVar[dict[str, str]] = {}
    passwords: ClassVar[tuple[str, ...]] = ()
    #: Check name → why it fails. A check that is named here and holds is a failure too.
    known_failures: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def context(self, tmp_path: Path) -> TestContext:
        def open(url: str) -> Backend:
            return open_url(url, context)

        context = TestContext(self.options, self.env, self.passwords, tempdir=tmp_path, open=open)
        return context

    @pytest.fixture(autouse=True)
    def _known(self, request: pytest.FixtureRequest) -> None:
        check = request.node.callspec.params.get("check") if hasattr(request.node, "callspec") else None
        name = check.name if check else getattr(request.function, "promise", "")
        if name in self.known_failures:
            request.applymarker(pytest.mark.xfail(reason=self.known_failures[name], strict=True))


class BackendContract(Suite):
    """``url`` names a store that may be filled; ``{tmp}`` in it is a new folder. Or override ``connect``.

    ``settle_s``: how late a change may be seen. ``small``: bytes cost money. ``many``: more than a page of a listing.
    ``large``: more bytes than one part of an upload. ``secrets``: what no message may hold, beside what stands as a
    password in ``url``, ``env``, ``options`` and ``passwords``. ``examples``: how many sequences of calls are played
    against a dict, 0 for none.
    """

    url: ClassVar[str] = ""
    settle_s: ClassVar[float] = 0
    small: ClassVar[bool] = False
    many: ClassVar[int] = 1200
    large: ClassVar[int] = 9 << 20
    secrets: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[int] = 10

    def connect(self, tmp_path: Path, context: TestContext) -> Backend:
        """A new connection to the store of this test."""
        return open_url(self.url.replace("{tmp}", str(tmp_path)), context)

    def known_secrets(self) -> list[str]:
        """Every secret that this class was given."""
        found = [*self.secrets, *self.passwords]
        found += [value for name, value in self.env.items() if any(word in name.upper() for word in _TELLING)]
        found += [value.reveal() for value in self.options.values() if isinstance(value, Secret)]
        if is_url(self.url) and (password := parse_url(self.url, *installed_schemes()).password):
            found.append(password.reveal())
        return [secret for secret in found if secret]

    @pytest.fixture
    def harness(self, tmp_path: Path, context: TestContext) -> Iterator[Harness]:
        harness = Harness(
            lambda: self.connect(tmp_path, context),
            settle_s=self.settle_s,
            small=self.small,
            many=self.many,
            large=self.large,
            secrets=self.known_secrets(),
        )
        yield harness
        harness.close()

    @every(BACKEND)
    def test_promise(self, check: Check, harness: Harness) -> None:
        if reason := check.skip_reason(harness.backend.capabilities):
            pytest.skip(reason)
        run(check, harness)

    def test_it_behaves_like_a_dict(self, harness: Harness) -> None:
        if not self.examples:
            pytest.skip("examples = 0")
        from .stateful import behaves_like_a_dict  # hypothesis costs 300 ms

        behaves_like_a_dict(harness, examples=self.examples)

    test_it_behaves_like_a_dict.promise = DICT  # type: ignore[attr-defined]


class WrapperContract(BackendContract):
    """``prefix`` is the wrapper's; it is put around the reference store. Or override ``wrap``.

    The promises of a backend hold around the reference store, and those of a wrapper beside them.
    """

    prefix: ClassVar[str] = ""
    small = True
    many = 30

    def wrap(self, inner: Backend, context: TestContext) -> Backend:
        """The wrapper around ``inner``."""
        raw = f"{self.prefix}+file:///nowhere"
        url = parse_url(raw, {"file"}, {self.prefix})
        hook = plugin_hook("tarragon.wrapper", self.prefix, context)
        wrapped: Backend = hook.wrap_backend(prefix=self.prefix, inner=inner, url=url, context=context)
        return wrapped

    @pytest.fixture
    def harness(self, tmp_path: Path, context: TestContext) -> Iterator[WrapperHarness]:
        harness = WrapperHarness(
            lambda inner: self.wrap(inner, context),
            settle_s=self.settle_s,
            small=self.small,
            many=self.many,
            large=self.large,
            secrets=self.known_secrets(),
        )
        yield harness
        harness.close()

    @every(WRAPPER)
    def test_wrapping(self, check: Check, harness: WrapperHarness) -> None:
        run(check, harness)
