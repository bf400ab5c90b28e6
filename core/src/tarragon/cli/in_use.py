"""The plugins that a command line needs, found by its words alone, and the options they bring (docs: two passes)."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from tarragon.api.errors import AmbiguousOption, BadURL, PluginError, TarragonError
from tarragon.api.hooks import Action
from tarragon.api.options import Option
from tarragon.api.url import is_url, scheme_of, split_scheme
from tarragon.plugin import finder
from tarragon.plugin.hub import data_of, extensions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from logging import Logger
    from types import ModuleType

    from tarragon.plugin.hub import Hub

    from .scan import Grammar

KINDS = (
    "backend",
    "wrapper",
    "compressor",
    "cipher",
    "suffix",
    "filter",
    "stats",
    "executor",
    "command",
    "observer",
    "profile",
    "report",
)
#: Flag → the plugin it chooses. A later one of the same kind replaces an earlier one.
CHOICES = {
    "--no-encryption": ("cipher", "none"),
    "--encryption": ("cipher", ""),
    "--use-gpgsm": ("cipher", "gpgsm"),
    "--no-compression": ("compressor", "none"),
    "--compression": ("compressor", ""),
}
#: Flags that add a plugin to those of its kind.
ADDITIONS = {"--jsonstat": ("stats", "jsonstat"), "--progress": ("stats", "progress"), "--gio": ("wrapper", "gio")}
#: Flags whose value is a plugin's name.
NAMING = {"--stats": "stats", "--executor": "executor"}
#: The core's own word beside the eleven: it must work however broken what is installed is.
PLUGINS = "plugins"
DEFAULTS = {"compressor": "gzip", "cipher": "gpg", "stats": "text"}


class InUse:
    """Plugins taken into use, and their options. ``core`` holds the flags that are the core's own."""

    def __init__(self, hub: Hub, log: Logger, core: Mapping[str, tuple[Option, str]] | None = None) -> None:
        self.hub = hub
        self._log = log
        self._core = core or {}
        self._modules: dict[str, ModuleType] = {}
        self._not_needed: dict[str, ModuleType] = {}
        self._asked_all = False

    def choose(self, words: Sequence[str], grammar: Grammar, *, commands: bool = True) -> None:
        """Take into use what the words name, and the defaults that they leave open.

        A scheme or name that is not installed is no error here: it may be the value of an option.
        """
        if commands and list(words[:1]) == [PLUGINS]:
            return
        for kind, name in wanted(words, grammar):
            self._use(kind, name)
        for word in words:
            if is_url(word):
                self._use_url(word)
            elif commands and not word.startswith("-") and word in finder.names("command"):
                self._use("command", word)
        for name in sorted(finder.names("observer")):
            try:
                module = finder.load("observer", name, self._log)
                _options_of(module)
                self.hub.register(module)
            except PluginError as err:  # nobody asked for it: a backup is more than its news
                self._log.warning("observer '%s' is left out: %s", name, err)
            else:
                self._not_needed[module.__name__] = module

    def _use(self, kind: str, name: str) -> None:
        if name in finder.names(kind):
            before = self.hub.plugins()
            used = self.hub.use(kind, name)
            new = [used, *(module for module in self.hub.plugins() if module not in before)]  # with what extends it
            self._modules.update({module.__name__: module for module in new})

    def _use_url(self, word: str) -> None:
        try:
            prefixes, scheme = split_scheme(scheme_of(word), finder.names("backend"), finder.names("wrapper"))
        except BadURL:
            return
        for prefix in prefixes:
            self._use("wrapper", prefix)
        self._use("backend", scheme)

    def ask_all(self) -> None:
        """Ask all installed plugins for options, though not in use; a broken one is left out, with a warning."""
        if self._asked_all:
            return
        self._asked_all = True
        for kind in KINDS:
            for name in sorted(finder.names(kind)):
                if kind == "filter" and f"--{name}" in self.options():
                    continue  # its module has been asked: a package of filters has one name for each option
                self._ask(f"{kind} '{name}'", partial(finder.load, kind, name, self._log))

    def _ask(self, what: str, load: Callable[[], ModuleType | None]) -> None:
        """Load one for its options only, and those that extend it."""
        try:
            module = load()
            if module is None or module.__name__ in self._not_needed:
                return
            _options_of(module)
            groups = [extension.group for extension in extensions_of(module)]
        except TarragonError as err:
            self._log.warning("%s is left out: %s", what, err)
            return
        self._not_needed[module.__name__] = module
        for group in groups:
            for name in sorted(finder.names_in(group)):
                self._ask(f"extension '{name}'", partial(finder.load_from, group, name, self._log))

    def options(self) -> Mapping[str, tuple[Option, str]]:
        """Every flag and alias with its option and its package.

        Raises PluginError when two plugins in use claim one flag, or one of the core's. Of those that nobody needs
        (observers, and those that were only asked) the second is left out instead, and named.
        """
        table: dict[str, tuple[Option, str]] = {}
        for module in self._modules.values():
            _add(table, module, self._core)
        for name, module in list(self._not_needed.items()):
            if name in self._modules:
                continue
            try:
                table = _add(dict(table), module, self._core)
            except PluginError as err:
                self._log.warning("options of %s are left out: %s", name.partition(".")[0], err)
                del self._not_needed[name]
        return table

    def actions(self) -> dict[str, tuple[Action, str]]:
        """The action words of the plugins in use, or asked, each with its package; a broken one tells none."""
        words = Action(PLUGINS, "", "show what is installed, what it answers to, and what is wrong with it")
        found = {PLUGINS: (words, "tarragon-core")}
        found |= {word: (Action(word, "...", "not described"), "?") for word in finder.names("command")}
        for name, module in (self._modules | self._not_needed).items():
            owner = name.partition(".")[0].replace("_", "-")
            with contextlib.suppress(PluginError):  # a help page can do without
                told = data_of(module, "actions")
                found |= {action.word: (action, owner) for action in told if isinstance(action, Action)}
        return found


Table = dict[str, tuple[Option, str]]


def _add(table: Table, module: ModuleType, core: Mapping[str, tuple[Option, str]]) -> Table:
    owner = module.__name__.partition(".")[0].replace("_", "-")
    for option in _options_of(module):
        for flag in (option.flag, *option.aliases):
            other = core[flag][1] if flag in core else table[flag][1] if flag in table else owner
            if other != owner:
                raise PluginError(f"{other} and {owner} both claim {flag}", hint="uninstall one of them")
            table[flag] = option, owner
    return table


def _options_of(module: ModuleType) -> list[Option]:
    """The options that a module adds. Raises PluginError for whatever is wrong with them."""
    found = data_of(module, "options")
    for option in found:
        if not isinstance(option, Option) or not option.flag.startswith("--"):
            raise PluginError(f"plugin '{module.__name__}' has an option that is none: {option!r:.60}")
    return found


def wanted(words: Sequence[str], grammar: Grammar) -> Iterator[tuple[str, str]]:
    """(kind, name) of the plugins that options choose, and of the defaults that they leave open."""
    chosen = dict(DEFAULTS)
    for at, word in enumerate(words):
        if not word.startswith("--"):
            continue
        flag, value = _flag_and_value(word, grammar)
        value = value if value is not None else "".join(words[at + 1 : at + 2])
        if flag in CHOICES:
            kind, name = CHOICES[flag]
            chosen[kind] = name or DEFAULTS[kind]
        elif flag in ADDITIONS:
            yield ADDITIONS[flag]
        elif flag in NAMING:
            yield NAMING[flag], value
        else:
            yield "filter", flag[2:]
    yield from chosen.items()


def _flag_and_value(word: str, grammar: Grammar) -> tuple[str, str | None]:
    """The flag that a word is, shortened or not; what nobody knows is taken as written."""
    try:
        found = grammar.option(word)
    except AmbiguousOption:
        found = None
    if found is not None and found.flag is not None:
        return found.flag, found.explicit
    name, equals, value = word.partition("=")
    return name, value if equals else None
