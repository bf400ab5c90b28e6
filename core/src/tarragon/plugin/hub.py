"""Hub: pluggy behind one object per run. Ask one, collect from all, tell everybody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pluggy

from tarragon.api.errors import PluginError
from tarragon.api.hooks import Hooks

from . import finder

if TYPE_CHECKING:
    from types import ModuleType

    from tarragon.api.hooks import Extension

_log = logging.getLogger("tarragon.plugin")


class Hub:
    """The plugins in use by one run.

    Hooks *make* objects, once; hot paths call those objects, never a hook.
    """

    def __init__(self) -> None:
        self._plugins = pluggy.PluginManager("tarragon")
        self._plugins.add_hookspecs(Hooks)

    @property
    def hook(self) -> Any:
        """pluggy's relay: for a plugin that calls the hooks it owns."""
        return self._plugins.hook

    def use(self, kind: str, name: str) -> ModuleType:
        """Load the plugin that claims ``name`` and register it, unless it is in use already."""
        module = finder.load(kind, name)
        self.register(module)
        return module

    def register(self, plugin: Any) -> None:
        """Take a plugin module, or any object with hookimpls, into use.

        Raises PluginError when it implements a hook, or asks for an argument, that does not exist.
        """
        name = getattr(plugin, "__name__", None) or f"{type(plugin).__name__}-{id(plugin)}"
        if self._plugins.has_plugin(name):
            return
        try:
            self._plugins.register(plugin, name=name)
            for extension in getattr(plugin, "more_hooks", tuple)():
                self._extend(extension)
            self._plugins.check_pending()
        except pluggy.PluginValidationError as err:
            self._plugins.unregister(name=name)
            raise PluginError(f"plugin '{name}' does not fit this core: {err}") from err

    def _extend(self, extension: Extension) -> None:
        """Take the hook specs of a plugin's own, and whoever implements them."""
        specs = f"{extension.specs.__module__}.{extension.specs.__qualname__}"
        if self._plugins.has_plugin(specs):
            return
        self._plugins.add_hookspecs(extension.specs)
        self._plugins.register(object(), name=specs)
        for name in sorted(finder.names_in(extension.group)):
            module = finder.load_from(extension.group, name)
            if module is not None:
                self.register(module)

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
            try:
                listener.function(**wanted)
            except Exception as err:  # noqa: BLE001 - a listener must never hurt a backup
                _log.warning("plugin '%s' failed at %s: %s", listener.plugin_name, hook, err)
