"""Write what follows from the project files: the bundle ``tarragon``, and the table of all packages.

python contrib/generate.py
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from packages import ROOT, Package, capabilities, packages

BUNDLE = ROOT / "contrib" / "bundles" / "tarragon" / "pyproject.toml"
TABLE = ROOT / "docs" / "plugins" / "README.md"

_HEAD = """\
# Made by contrib/generate.py from the [tool.tarragon] tables of the packages; change those.
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "tarragon"
version = "{version}"
description = "Encrypted incremental backups: the core and the packages that every installation has"
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
"""
_TAIL = """
[tool.setuptools]
packages = []
"""


def bundle() -> str:
    """The project file of the bundle."""
    plugins = packages("plugins/*")
    core = packages("core", "librsync_ext")
    every = [each.lower_bound for each in [*core, *(each for each in plugins if each.tarragon.get("bundle"))]]
    lines = [_HEAD.format(version=core[0].version), _listed("dependencies", every), "\n"]
    lines += ["[project.optional-dependencies]\n"]
    lines += [_listed(name, needs) for name, needs in extras(plugins).items()]
    return "".join([*lines, _TAIL])


def extras(plugins: list[Package]) -> dict[str, list[str]]:
    """Extra → what it brings: a package by its name, groups, and everything."""
    further = [each for each in plugins if not each.tarragon.get("bundle")]
    found = {each.short: [each.lower_bound] for each in further}
    groups = sorted({group for each in further for group in each.tarragon.get("extras", ())})
    for group in groups:
        if group in found:
            raise ValueError(f"'{group}' is the name of a package and of a group of packages")
        found[group] = [each.lower_bound for each in further if group in each.tarragon.get("extras", ())]
    found["all"] = [each.lower_bound for each in further]
    return found


def _listed(name: str, needs: list[str]) -> str:
    if len(needs) == 1:
        return f'{name} = ["{needs[0]}"]\n'
    lines = "".join(f'  "{need}",\n' for need in needs)
    return f"{name} = [\n{lines}]\n"


_INTRODUCTION = """\
# Packages

Made by `contrib/generate.py` from the project files and sources; a test sees that it is current (line counts within a
tenth). Every installation has those of the bundle; each other one is an extra of its name, as in
`pip install tarragon[{some}]`. {groups}Tiers: 1 is kept working by all, 2 by its owner, 3 comes as it is. Lines are
lines of code, without blanks, comments and docstrings.
"""


def table() -> str:
    """The page of all packages."""
    plugins = packages("plugins/*")
    stores = [each for each in plugins if {"backend", "wrapper"} & each.entry_points().keys()]
    others = [each for each in plugins if each not in stores]
    further = extras(plugins)
    groups = [f"`{name}` ({', '.join(_short(need) for need in needs)})" for name, needs in further.items()]
    groups = [text for text, needs in zip(groups, further.values(), strict=True) if len(needs) > 1]
    some = ",".join([name for name, needs in further.items() if len(needs) == 1][:2])
    text = f"Groups: {'; '.join(groups[:-1])}; `all`. " if len(groups) > 1 else ""
    whole = [each for each in stores if "backend" in each.entry_points()]
    least, most = min(whole, key=lambda each: each.lines), max(whole, key=lambda each: each.lines)
    parts = [
        _INTRODUCTION.format(some=some, groups=text),
        "\n## Stores\n\n",
        f"The smallest whole backend is `{least.name}` with {least.lines} lines, the longest `{most.name}` with "
        f"{most.lines}.\n\n",
        "| package | URLs | options | can do | tested on | tier, owner | lines |\n",
        "| --- | --- | --- | --- | --- | --- | --- |\n",
        *(_store(each) for each in stores),
        "\n\\* depends on the server, the options, or what else is installed.\n",
        "\n## Everything else\n\n",
        "| package | what | options | in the bundle | tier, owner | lines |\n",
        "| --- | --- | --- | --- | --- | --- |\n",
        *(_other(each) for each in others),
    ]
    return "".join(parts)


def _short(need: str) -> str:
    return need.partition(">")[0].removeprefix("tarragon-")


def _store(each: Package) -> str:
    points = each.entry_points()
    urls = [f"`{name}://`" for name in points.get("backend", ())]
    urls += [f"`{name}+…`" for name in points.get("wrapper", ())]
    tested = ", ".join(each.tarragon.get("tested", ())) or "–"
    cells = [_link(each), " ".join(urls), _options(each), _claims(each), tested, _owner(each)]
    return _row([*cells, str(each.lines)])


def _other(each: Package) -> str:
    points = each.entry_points()
    what = "; ".join(f"{kind} {_some(sorted(names))}" for kind, names in sorted(points.items()))
    inside = "yes" if each.tarragon.get("bundle") else ""
    return _row([_link(each), what, _options(each), inside, _owner(each), str(each.lines)])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _link(each: Package) -> str:
    return f"[{each.name}](../../{each.folder.relative_to(ROOT)}/README.md)"


def _owner(each: Package) -> str:
    return f"{each.tarragon.get('tier', '?')}, {each.tarragon.get('owner', '?')}"


def _claims(each: Package) -> str:
    return each.tarragon.get("capabilities") or " ".join(f"`{name}`" for name in capabilities(each).split()) or "–"


def _some(names: list[str]) -> str:
    shown = [f"`{name}`" for name in names]
    return " ".join(shown) if len(shown) <= 8 else f"{' '.join(shown[:6])} and {len(shown) - 6} more"


def _options(each: Package) -> str:
    modules = {module for names in each.entry_points().values() for module in names.values()}
    flags = {option.flag for module in modules for option in getattr(import_module(module), "options", tuple)()}
    return " ".join(f"`{flag}`" for flag in sorted(flags)) or "–"


if __name__ == "__main__":
    for path, text in ((BUNDLE, bundle()), (TABLE, table())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
