"""The plugins that a command line needs, found by its words alone, and the options they bring (docs: two passes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarragon.api.errors import AmbiguousOption, BadURL, PluginError, TarragonError
from tarragon.api.url import is_url, scheme_of, split_scheme
from tarragon.plugin import finder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from logging import Logger
    from types import ModuleType

    from tarragon.api.options import Option
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
DEFAULTS = {"compressor": "gzip", "cipher": "gpg", "stats": "text"}


class InUse:
    """Plugins taken into use, and their options."""

    def __init__(self, hub: Hub, log: Logger) -> None:
        self.hub = hub
        self._log = log
        self._modules: dict[str, ModuleType] = {}
        self._asked_all = False

    def choose(self, words: Sequence[str], grammar: Grammar, *, commands: bool = True) -> None:
        """Take into use what the words name, and the defaults that they leave open.

        A scheme or name that is not installed is no error here: it may be the value of an option.
        """
        for kind, name in wanted(words, grammar):
            self._use(kind, name)
        for word in words:
            if is_url(word):
                self._use_url(word)
            elif commands and not word.startswith("-") and word in finder.names("command"):
                self._use("command", word)
        for name in sorted(finder.names("observer")):
            self._use("observer", name)

    def _use(self, kind: str, name: str) -> None:
        if name in finder.names(kind):
            module = self.hub.use(kind, name)
            self._modules[module.__name__] = module

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
                try:
                    module = finder.load(kind, name)
                except TarragonError as err:
                    self._log.warning("%s '%s' is left out: %s", kind, name, err)
                else:
                    self._modules.setdefault(module.__name__, module)

    def options(self) -> Mapping[str, tuple[Option, str]]:
        """Every flag and alias with its option and its package. Raises PluginError when two claim one flag."""
        table: dict[str, tuple[Option, str]] = {}
        for option, owner in self._contributed():
            for flag in (option.flag, *option.aliases):
                if flag in table and table[flag][1] != owner:
                    raise PluginError(f"{table[flag][1]} and {owner} both claim {flag}", hint="uninstall one of them")
                table[flag] = option, owner
        return table

    def _contributed(self) -> Iterator[tuple[Option, str]]:
        for name, module in self._modules.items():
            owner = name.partition(".")[0].replace("_", "-")
            for option in getattr(module, "options", tuple)():
                yield option, owner


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
