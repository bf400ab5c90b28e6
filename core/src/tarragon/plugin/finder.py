"""Find plugins by entry point and load one by name: stevedore behind two functions.

Nothing is imported but the module that was asked for, and the entry-point scan itself costs 30 ms, so stevedore is
imported by the function that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tarragon.api.errors import PluginError, UnknownScheme, UserError
from tarragon.api.hooks import TARRAGON_API

from .known import package_for

if TYPE_CHECKING:
    from types import ModuleType


def group_of(kind: str) -> str:
    """The entry-point group for a kind of plugin: "backend" is found in ``tarragon.backend``."""
    return f"tarragon.{kind}"


def names(kind: str) -> frozenset[str]:
    """The names that installed plugins claim for a kind; nothing is imported."""
    return names_in(group_of(kind))


def names_in(group: str) -> frozenset[str]:
    """The entry-point names of any group."""
    from stevedore.named import NamedExtensionManager  # 30 ms: --version does without

    _no_cache_on_disk()
    return frozenset(NamedExtensionManager(group, names=[]).entry_points_names())


def load(kind: str, name: str) -> ModuleType:
    """Import the one module that claims ``name``.

    Raises UnknownScheme or UserError when nobody does (the hint names the package, where it is known), PluginError
    when two do, when it cannot be imported, or when it was made for another core.
    """
    module = load_from(group_of(kind), name)
    if module is None:
        package = package_for(kind, name)
        hint = f"pip install {package}" if package else ""
        if kind in ("backend", "wrapper"):
            raise UnknownScheme(f"nothing installed handles '{name}://'", hint=hint)
        raise UserError(f"no {kind} '{name}' is installed", hint=hint)
    return module


def load_from(group: str, name: str) -> ModuleType | None:
    """Import the module that claims ``name`` in ``group``; None when nobody does."""
    from stevedore.driver import DriverManager  # see names_in
    from stevedore.exception import NoMatches

    _no_cache_on_disk()

    def failed(_manager: Any, _entry_point: Any, err: BaseException) -> NoReturn:
        owner = _owner(group, name)
        raise PluginError(
            f"plugin '{name}' of {owner} cannot be imported: {type(err).__name__}: {err}",
            hint=f"pip install --upgrade {owner}",
        ) from err

    def contested(_group: str, _name: str, _claims: Any) -> Any:
        owners = " and ".join(dists_claiming(group, name))
        raise PluginError(f"{owners} both claim '{name}' ({group})", hint="uninstall one of them")

    try:
        manager: Any = DriverManager(
            group,
            name,
            on_load_failure_callback=failed,
            on_missing_entrypoints_callback=None,
            conflict_resolver=contested,
        )
        module: ModuleType = manager.driver
    except NoMatches:
        return None
    except AssertionError as err:  # the one error of an import that stevedore does not call back for
        failed(None, None, err)
    _check_api(module, group, name)
    return module


def _owner(group: str, name: str) -> str:
    return " and ".join(dists_claiming(group, name)) or "?"


def dists_claiming(group: str, name: str) -> list[str]:
    """The distributions that claim ``name`` with different modules."""
    from importlib.metadata import entry_points  # see names_in

    found = {ep.value: (ep.dist.name if ep.dist else ep.value) for ep in entry_points(group=group, name=name)}
    return sorted(found.values())


def _check_api(module: ModuleType, group: str, name: str) -> None:
    """While the major number is 0 a plugin must be written against this very API (docs/architecture.md, versions)."""
    theirs = getattr(module, "TARRAGON_API", None)
    if not (isinstance(theirs, tuple) and [type(number) for number in theirs] == [int, int]):
        raise PluginError(f"{_owner(group, name)}: module '{module.__name__}' does not say TARRAGON_API")
    ours = TARRAGON_API
    fits = theirs == ours if ours[0] == 0 else (theirs[0] == ours[0] and theirs[1] <= ours[1])
    if not fits:
        owner = _owner(group, name)
        raise PluginError(
            f"{owner} was written against API {theirs[0]}.{theirs[1]}, this core has {ours[0]}.{ours[1]}",
            hint=f"pip install --upgrade {owner} tarragon-core",
        )


def _no_cache_on_disk() -> None:
    """stevedore would write a cache of all entry points below ~/.cache; a backup program leaves no such traces."""
    from stevedore import _cache

    _cache._c._disable_caching = True
