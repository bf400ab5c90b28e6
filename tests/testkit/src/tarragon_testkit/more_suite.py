"""The contracts of filters, sinks and plugin packages as pytest classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tarragon.api import FilterMode

from .filter_contract import FILTER, SINK, FilterHarness, SinkHarness
from .plugin_contract import PLUGIN, PluginHarness
from .suite import Suite, every, run
from .wiring import plugin_hook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tarragon.api import Filter, Sink, Verdict

    from .context import TestContext
    from .harness import Check


class FilterContract(Suite):
    """``option`` is the filter's name, without dashes, ``argument`` what stands behind it.

    ``expected``: path → the verdict on a regular file there. ``looks_at_disk``: it must, and says so in its README.
    """

    option: ClassVar[str] = ""
    argument: ClassVar[str | None] = None
    mode: ClassVar[FilterMode] = FilterMode()
    expected: ClassVar[Mapping[bytes, Verdict | None]] = {}
    looks_at_disk: ClassVar[bool] = False

    def filter(self, root: bytes, context: TestContext) -> Filter:
        hook = plugin_hook("tarragon.filter", self.option, context)
        made: Filter | None = hook.make_filter(
            option=self.option, argument=self.argument, mode=self.mode, root=root, context=context
        )
        assert made is not None, f"nothing answers to --{self.option}"
        return made

    @every(FILTER)
    def test_promise(self, check: Check, tmp_path: Path, context: TestContext) -> None:
        root = bytes(tmp_path)
        make = lambda: self.filter(root, context)
        run(check, FilterHarness(make, looks_at_disk=self.looks_at_disk, expected=self.expected))


class SinkContract(Suite):
    """``name`` is the sink's."""

    name: ClassVar[str] = ""

    def sinks(self, names: Sequence[str], context: TestContext) -> Sequence[Sink]:
        hook = plugin_hook("tarragon.stats", self.name, context)
        return [sink for made in hook.make_sinks(names=list(names), context=context) for sink in made]

    @every(SINK)
    def test_promise(self, check: Check, context: TestContext) -> None:
        run(check, SinkHarness(lambda names: self.sinks(names, context), self.name))


class PluginContract(Suite):
    """``module`` is the plugin module that the entry points name.

    ``extends``: modules of plugins whose hooks it implements. ``readme``: a file, unless it is the long description.
    """

    module: ClassVar[str] = ""
    extends: ClassVar[tuple[str, ...]] = ()
    readme: ClassVar[str | Path] = ""

    @every(PLUGIN)
    def test_promise(self, check: Check) -> None:
        readme = Path(self.readme).read_text(encoding="utf-8") if self.readme else ""
        run(check, PluginHarness(self.module, extends=self.extends, readme=readme))
