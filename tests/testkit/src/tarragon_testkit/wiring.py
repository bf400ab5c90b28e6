"""Installed plugins, found and asked as the core does it. No pytest here."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy
from tarragon.api import Hooks, parse_url

from .context import TestContext, installed_schemes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tarragon.api import Backend, Context


def plugin_hook(group: str, name: str, context: Any = None) -> Any:
    """The hooks of the one installed plugin that answers to ``name``, and of those that extend it.

    A TestContext as ``context`` takes the defaults of their options.
    """
    found = {point.value: point for point in entry_points(group=group, name=name)}
    assert len(found) == 1, f"'{name}' of {group} must be one installed plugin's, not {sorted(found)}"
    manager = pluggy.PluginManager("tarragon")
    manager.add_hookspecs(Hooks)
    module = next(iter(found.values())).load()
    for plugin in (module, *_extensions(manager, module)):
        if not manager.is_registered(plugin):
            manager.register(plugin)
    if isinstance(context, TestContext):
        context.add_defaults(option for options in manager.hook.options() for option in options)
    return manager.hook


def _extensions(manager: pluggy.PluginManager, module: Any) -> Iterator[Any]:
    for extension in getattr(module, "more_hooks", tuple)():
        manager.add_hookspecs(extension.specs)
        for point in entry_points(group=extension.group):
            yield point.load()


def open_url(raw: str, context: Context) -> Backend:
    """Connect as the core does: the driver of the scheme, then the wrappers from the inside to the outside."""
    url = parse_url(raw, *installed_schemes())
    backend: Backend = plugin_hook("tarragon.backend", url.scheme, context).open_backend(url=url, context=context)
    for prefix in reversed(url.wrappers):
        hook = plugin_hook("tarragon.wrapper", prefix, context)
        backend = hook.wrap_backend(prefix=prefix, inner=backend, url=url, context=context)
    return backend
