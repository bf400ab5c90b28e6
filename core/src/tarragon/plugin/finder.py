"""Find plugins by entry point and load one by name: stevedore behind two functions.

Nothing is imported but the module that was asked for, and the entry-point scan itself costs 30 ms, so stevedore is
imported by the function that needs it.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any, NoReturn

from tarragon.api.errors import PluginError, UnknownScheme, UserError
from tarragon.api.hooks import TARRAGON_API

from .known import package_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution, EntryPoint
    from logging import Logger
    from types import ModuleType

#: Which distributions may be loaded, by name or pattern; unset: all that are installed (docs/plugin-authors).
ALLOWED = "TARRAGON_PLUGINS"
#: An import that takes longer is said to.
SLOW_S = 2.0


def group_of(kind: str) -> str:
    """The entry-point group for a kind of plugin: "backend" is found in ``tarragon.backend``."""
    return f"tarragon.{kind}"


def names(kind: str) -> frozenset[str]:
    """The names that installed plugins claim for a kind; nothing is imported."""
    return names_in(group_of(kind))


def names_in(group: str) -> frozenset[str]:
    """The entry-point names of any group."""
    from stevedore.named import NamedExtensionManager  # 30 ms: --version does without

    _scanned()
    return frozenset(NamedExtensionManager(group, names=[]).entry_points_names())


def load(kind: str, name: str, log: Logger | None = None) -> ModuleType:
    """Import the one module that claims ``name``.

    Raises UnknownScheme or UserError when nobody does (the hint names the package, where it is known), PluginError
    when two do, when it may not be loaded here, cannot be imported, or was made for another core. ``log`` is told of
    a module that takes long.
    """
    module = load_from(group_of(kind), name, log)
    if module is None:
        package = package_for(kind, name)
        if not package and kind == "backend":
            package = package_for("wrapper", name.partition("+")[0])  # the prefix is what is not installed
        hint = f"pip install {package}" if package else ""
        if kind in ("backend", "wrapper"):
            raise UnknownScheme(f"nothing installed handles '{name}://'", hint=hint)
        raise UserError(f"no {kind} '{name}' is installed", hint=hint)
    return module


def load_from(group: str, name: str, log: Logger | None = None) -> ModuleType | None:
    """Import the module that claims ``name`` in ``group``; None when nobody does."""
    from stevedore.driver import DriverManager  # see names_in
    from stevedore.exception import NoMatches

    _scanned()
    _must_be_allowed(group, name)

    def failed(_manager: Any, _entry_point: Any, err: BaseException) -> NoReturn:
        owner = _owner(group, name)
        raise PluginError(
            f"plugin '{name}' of {owner} cannot be imported: {type(err).__name__}: {err}",
            hint=f"pip install --upgrade {owner}",
        ) from err

    def contested(_group: str, _name: str, _claims: Any) -> Any:
        owners = " and ".join(dists_claiming(group, name))
        raise PluginError(f"{owners} both claim '{name}' ({group})", hint="uninstall one of them")

    started = time.perf_counter()
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
    except (AssertionError, SystemExit) as err:  # errors of an import that stevedore does not call back for
        failed(None, None, err)
    took = time.perf_counter() - started
    if log is not None and took > SLOW_S:
        log.warning("plugin '%s' of %s took %.0f seconds to import", name, _owner(group, name), took)
    check_api(module, lambda: _owner(group, name))
    return module


def _owner(group: str, name: str) -> str:
    return " and ".join(dists_claiming(group, name)) or "?"


def dists_claiming(group: str, name: str) -> list[str]:
    """The distributions that claim ``name`` with different modules."""
    found = {
        point.value: _name_of(dist) or point.value
        for dist, points in claims()
        for point in points
        if (point.group, point.name) == (group, name)
    }
    return sorted(found.values())


def claims() -> Iterator[tuple[Distribution, list[EntryPoint]]]:
    """Every distribution, the first of a name on the path of imports, with its entry points; none if unreadable."""
    from importlib.metadata import distributions  # see names_in

    seen = set()
    for dist in distributions():
        name = _name_of(dist)
        if name and name in seen:
            continue
        seen.add(name)
        try:
            yield dist, list(dist.entry_points)
        except Exception:  # noqa: BLE001 - another package's metadata: whatever is wrong with it is not our error
            yield dist, []


def unreadable() -> list[str]:
    """Distributions whose entry points cannot be read: nothing of theirs is found, and nobody else is hurt."""
    from importlib.metadata import distributions  # see names_in

    found = []
    for dist in distributions():
        try:
            list(dist.entry_points)
        except Exception:  # noqa: BLE001 - as above
            found.append(_name_of(dist) or str(getattr(dist, "_path", "?")))
    return found


def _name_of(dist: Distribution) -> str:
    try:
        return dist.metadata["Name"] or ""
    except Exception:  # noqa: BLE001 - as above
        return ""


def allowed(dist: str) -> bool:
    """Whether the environment lets a distribution's plugins be loaded."""
    words = os.environ.get(ALLOWED)
    if words is None:
        return True
    from fnmatch import fnmatchcase  # only where there is a list

    patterns = (_normal(word) for word in words.replace(",", " ").split())
    return any(fnmatchcase(_normal(dist), pattern) for pattern in patterns)


def _normal(dist: str) -> str:
    return re.sub("[-_.]+", "-", dist).lower()


def _must_be_allowed(group: str, name: str) -> None:
    if ALLOWED not in os.environ:
        return
    for dist in dists_claiming(group, name):
        if not allowed(dist):
            raise PluginError(f"plugin '{name}' of {dist} is not allowed here", hint=f"{ALLOWED} lists what is allowed")


def check_api(module: ModuleType, owner: Callable[[], str]) -> None:
    """Raise PluginError unless a module says that it was written against an API that this core has.

    While the major number is 0 it must be this very one (docs/architecture.md, versions). ``owner`` names its package;
    finding that out costs a scan.
    """
    theirs = getattr(module, "TARRAGON_API", None)
    if not (isinstance(theirs, tuple) and [type(number) for number in theirs] == [int, int]):
        raise PluginError(f"{owner()}: module '{module.__name__}' does not say TARRAGON_API")
    ours = TARRAGON_API
    fits = theirs == ours if ours[0] == 0 else (theirs[0] == ours[0] and theirs[1] <= ours[1])
    if not fits:
        raise PluginError(
            f"{owner()} was written against API {theirs[0]}.{theirs[1]}, this core has {ours[0]}.{ours[1]}",
            hint=f"pip install --upgrade {owner()} tarragon-core",
        )


def _scanned() -> None:
    """Have stevedore scan all entry points, once for each path of imports; one broken package must not end that.

    It would also write a cache of them below ~/.cache; a backup program leaves no such traces.
    """
    import sys

    from stevedore import _cache

    cache = _cache._c
    cache._disable_caching = True
    try:
        cache._get_data_for_path(None)
    except Exception:  # noqa: BLE001 - a package with broken metadata: the others are read one by one
        groups: dict[str, list[tuple[str, str, str]]] = {}
        for _, points in claims():
            for point in points:
                groups.setdefault(point.group, []).append((point.name, point.value, point.group))
        cache._internal[tuple(sys.path)] = {
            "groups": groups,
            "sys.executable": sys.executable,
            "sys.prefix": sys.prefix,
            "path_values": [],
        }
