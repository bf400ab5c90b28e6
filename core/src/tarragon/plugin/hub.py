"""Hub: pluggy behind one object per run. Ask one, collect from all, tell everybody."""

from __future__ import annotations

import logging
import os
import types
from typing import TYPE_CHECKING, Any

import pluggy

from tarragon.api.errors import PluginError
from tarragon.api.hooks import Hooks

from . import finder

if TYPE_CHECKING:
    from types import ModuleType

    from tarragon.api.hooks import Extension

    from .trace import Tracer

_log = logging.getLogger("tarragon.plugin")
#: Set to 1: every hook call and every answer is logged.
TRACE = "TARRAGON_TRACE_HOOKS"


class Hub:
    """The plugins in use by one run.

    Hooks *make* objects, once; hot paths call those objects, never a hook.
    """

    def __init__(self, log: logging.Logger | None = None) -> None:
        self._log = log or _log
        self._plugins = pluggy.PluginManager("tarragon")
        self._plugins.add_hookspecs(Hooks)
        self._tracer: Tracer | None = None
        if _is_traced():
            from .trace import Tracer  # only for those who look for a fault

            self._tracer = Tracer(self._log)
            self._plugins.add_hookcall_monitoring(self._tracer.asked, self._tracer.answered)

    @property
    def hook(self) -> Any:
        """pluggy's relay: for a plugin that calls the hooks it owns."""
        return self._plugins.hook

    def use(self, kind: str, name: str) -> ModuleType:
        """Load the plugin that claims ``name`` and register it, unless it is in use already."""
        module = finder.load(kind, name, self._log)
        self.register(module)
        return module

    def register(self, plugin: Any, *, alone: bool = False) -> None:
        """Take a plugin module, or any object with hookimpls, into use; ``alone`` without the plugins that extend it.

        Raises PluginError when it implements a hook, or asks for an argument, that does not exist.
        """
        name = getattr(plugin, "__name__", None) or f"{type(plugin).__name__}-{id(plugin)}"
        if self._plugins.has_plugin(name):
            return
        try:
            self._plugins.register(plugin, name=name)
            for extension in extensions_of(plugin):
                self._extend(extension, alone)
            self._plugins.check_pending()
        except (pluggy.PluginValidationError, PluginError) as err:
            self._plugins.unregister(name=name)
            if isinstance(err, PluginError):
                raise
            raise PluginError(f"plugin '{name}' does not fit this core: {err}") from err
        if self._tracer:
            self._tracer.took(name)

    def _extend(self, extension: Extension, alone: bool) -> None:
        """Take the hook specs of a plugin's own, and whoever implements them."""
        specs = f"{extension.specs.__module__}.{extension.specs.__qualname__}"
        if self._plugins.has_plugin(specs):
            return
        self._plugins.add_hookspecs(extension.specs)
        self._plugins.register(object(), name=specs)
        for name in sorted(finder.names_in(extension.group)) if not alone else ():
            try:
                module = finder.load_from(extension.group, name, self._log)
                if module is not None:
                    self.register(module)
            except PluginError as err:  # a broken one must not keep those who do not need it from what it extends
                self._log.warning("extension '%s' (%s) is left out: %s", name, extension.group, err)

    def plugins(self) -> list[ModuleType]:
        """The plugin modules in use, those that extend others too."""
        return [plugin for _, plugin in self._plugins.list_name_plugin() if isinstance(plugin, types.ModuleType)]

    def modules(self) -> list[str]:
        """The names of the plugin modules in use."""
        return [name for name, plugin in self._plugins.list_name_plugin() if getattr(plugin, "__name__", "") == name]

    def ask(self, hook: str, **arguments: Any) -> Any:
        """What the first plugin that answers has made; None when none does."""
        return getattr(self._plugins.hook, hook)(**arguments)

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """What all plugins give, in one list."""
        return [item for answer in getattr(self._plugins.hook, hook)(**arguments) for item in answer]

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell news; what a listener raises is logged and forgotten.

        pluggy stops at the first exception, so each listener is called by itself.
        """
        for listener in getattr(self._plugins.hook, hook).get_hookimpls():
            wanted = {name: arguments[name] for name in listener.argnames}
            if self._tracer:
                self._tracer.told(hook, listener.plugin_name, arguments)
            try:
                listener.function(**wanted)
            except Exception as err:  # noqa: BLE001 - a listener must never hurt a backup
                self._log.warning("plugin '%s' failed at %s: %s", listener.plugin_name, hook, err)


def extensions_of(plugin: Any) -> list[Extension]:
    """The hook specs of a plugin's own. Raises PluginError."""
    return data_of(plugin, "more_hooks")


def data_of(plugin: Any, hook: str) -> list[Any]:
    """What a plugin tells by a hook of pure data, in use or not: options, actions, hooks of its own.

    Raises PluginError for whatever is wrong with it: it is a plugin's code, run although maybe nobody uses the plugin.
    """
    name = getattr(plugin, "__name__", type(plugin).__name__)
    try:
        found = list(getattr(plugin, hook, tuple)())
    except Exception as err:
        what = hook.removeprefix("more_")
        raise PluginError(f"plugin '{name}' cannot tell its {what}: {type(err).__name__}: {err}") from err
    if _is_traced() and hasattr(plugin, hook):
        from .trace import Tracer  # as above

        Tracer(_log).asked_alone(hook, name, found)
    return found


def _is_traced() -> bool:
    return os.environ.get(TRACE, "0") not in ("", "0")
