"""What a plugin owes as a package: its module, its options, its README, its metadata. No pytest here.

This is the one place of the kit that looks at the core beyond its API: for the groups that there are, and the flags
that are taken.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pluggy
from tarragon.api import TARRAGON_API, FilterMode, Hooks, Option, parse_url

from .context import TestContext
from .harness import Contract, NotAsked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NOBODY = "nobody-has-this-name"
_FLAG = re.compile(r"--[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NEED = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)")
_IMPORTS = """
import json, sys, tarragon.api
had = set(sys.modules)
import {}
print(json.dumps(sorted(set(sys.modules) - had)))
"""


def _module(point: importlib.metadata.EntryPoint) -> str:
    return point.value.partition(":")[0]


class PluginHarness:
    """A plugin module by its name.

    ``extends``: modules whose hooks it implements. ``readme`` and ``needs`` stand for what metadata says.
    """

    def __init__(
        self, module: str, *, extends: Sequence[str] = (), readme: str = "", needs: Sequence[str] = ()
    ) -> None:
        self.name, self.extends, self._readme, self._needs = module, extends, readme, needs

    @cached_property
    def module(self) -> Any:
        return importlib.import_module(self.name)

    @cached_property
    def dist(self) -> importlib.metadata.Distribution | None:
        """The installed distribution whose entry points name the module."""
        for dist in importlib.metadata.distributions():
            if any(_module(point) == self.name for point in dist.entry_points):
                return dist
        return None

    @property
    def claims(self) -> list[tuple[str, str]]:
        """(group, name) of every entry point to the module."""
        points = self.dist.entry_points if self.dist else ()
        return sorted((point.group, point.name) for point in points if _module(point) == self.name)

    @property
    def readme(self) -> str:
        if not self._readme and self.dist is None:
            raise NotAsked("it is not installed, and no README was given")
        metadata: Any = self.dist and self.dist.metadata
        return self._readme or str(metadata.get_payload())

    @property
    def needs(self) -> list[str]:
        return list(self._needs) or list(self.dist and self.dist.requires or ())

    @property
    def options(self) -> list[Option]:
        return list(getattr(self.module, "options", tuple)())

    def hook(self) -> Any:
        """Its hooks, as the core would ask them. Raises when one does not fit."""
        manager = pluggy.PluginManager("tarragon")
        manager.add_hookspecs(Hooks)
        for name in (*self.extends, self.name):
            for extension in getattr(importlib.import_module(name), "more_hooks", tuple)():
                manager.add_hookspecs(extension.specs)
        manager.register(self.module)
        manager.check_pending()
        return manager.hook


PLUGIN = Contract()
check = PLUGIN.check


@check()
def it_says_which_api_it_was_written_against(h: PluginHarness) -> None:
    api = getattr(h.module, "TARRAGON_API", None)
    assert isinstance(api, tuple)
    assert [type(number) for number in api] == [int, int]
    assert api[0] == TARRAGON_API[0]
    assert api[1] <= TARRAGON_API[1]


@check()
def its_module_imports_the_api_and_the_standard_library_alone(h: PluginHarness) -> None:
    path = os.pathsep.join(sys.path)
    words = [sys.executable, "-c", _IMPORTS.format(h.name)]
    child = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert child.returncode == 0, child.stderr
    own = h.name.partition(".")[0]
    foreign = [
        name
        for name in json.loads(child.stdout)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, own} and not name.startswith("tarragon.api")
    ]
    assert foreign == [], "each --help pays for them; import what is dear inside the hook"


@check()
def its_hooks_are_hooks_of_this_api(h: PluginHarness) -> None:
    h.hook()


@check()
def its_entry_points_are_of_groups_that_there_are(h: PluginHarness) -> None:
    from tarragon.cli.in_use import KINDS

    if not h.dist:
        raise NotAsked("it is not installed")
    for group, name in h.claims:
        assert not group.startswith("tarragon.") or group.removeprefix("tarragon.") in KINDS, group
        assert re.fullmatch(r"[A-Za-z0-9_+-]+", name), name


@check()
def it_leaves_what_is_not_its_own_to_others(h: PluginHarness) -> None:
    hook, context = h.hook(), TestContext({each.name: each.default for each in h.options})
    url, mode = parse_url(f"{_NOBODY.replace('-', '_')}://host/box"), FilterMode()
    assert hook.open_backend(url=url, context=context) is None
    assert hook.wrap_backend(prefix=_NOBODY, inner=None, url=url, context=context) is None
    assert hook.make_compressor(name=_NOBODY, level=None, context=context) is None
    assert hook.make_cipher(name=_NOBODY, context=context) is None
    assert hook.make_filter(option=_NOBODY, argument=None, mode=mode, root=b"/", context=context) is None
    assert hook.make_executor(name=_NOBODY, width=1, context=context) is None
    assert hook.make_command(word=_NOBODY, context=context) is None
    assert [list(sinks) for sinks in hook.make_sinks(names=[_NOBODY], context=context) if list(sinks)] == []


@check()
def its_options_are_the_same_at_every_call(h: PluginHarness) -> None:
    assert h.options == h.options


@check()
def its_options_say_what_they_are(h: PluginHarness) -> None:
    for option in h.options:
        assert isinstance(option, Option)
        assert all(_FLAG.fullmatch(flag) for flag in (option.flag, *option.aliases)), option.flag
        assert option.hidden or option.help, option.flag
        assert option.choices is None or option.default is None or option.default in option.choices, option.flag


@check()
def its_flags_are_nobody_elses(h: PluginHarness) -> None:
    taken = dict(_taken(h))
    for option in h.options:
        for flag in (option.flag, *option.aliases):
            assert flag not in taken, f"{flag} is {taken[flag]}'s"


def _taken(h: PluginHarness) -> Iterator[tuple[str, str]]:
    """Flags of the core, of other installed plugins, and of packages that are known though not installed."""
    from tarragon.cli.parser import CORE
    from tarragon.plugin.known import OPTIONS

    own = h.dist.metadata["Name"] if h.dist else f"tarragon-{h.name.partition('.')[0].removeprefix('tarragon_')}"
    yield from ((flag, owner) for flag, owner in OPTIONS.items() if owner.replace("_", "-") != own.replace("_", "-"))
    yield from ((flag, owner) for flag, (_, owner) in CORE.items())
    others = {
        _module(point)
        for dist in importlib.metadata.distributions()
        for point in dist.entry_points
        if point.group.startswith("tarragon.") and point.value.partition(".")[0] != h.name.partition(".")[0]
    }
    for name in others:
        for option in getattr(importlib.import_module(name), "options", tuple)():
            yield from ((flag, name) for flag in (option.flag, *option.aliases))


@check()
def its_readme_names_every_option(h: PluginHarness) -> None:
    missing = [each.flag for each in h.options if not each.hidden and not re.search(rf"{each.flag}(?![\w-])", h.readme)]
    assert missing == []


@check()
def its_readme_names_everything_that_it_claims(h: PluginHarness) -> None:
    assert [name for _, name in h.claims if name not in h.readme] == []


@check()
def it_takes_any_later_core(h: PluginHarness) -> None:
    needs = [found.groups() for need in h.needs if (found := _NEED.match(need))]
    bounds = {name.lower(): bound.strip() for name, bound in needs if name.lower().startswith("tarragon")}
    assert "tarragon-core" in bounds, "the oldest core that it was tested with"
    for name, bound in bounds.items():
        assert not re.search(r"==|~=|<|!=", bound), f"{name}{bound}: lower bounds only"
