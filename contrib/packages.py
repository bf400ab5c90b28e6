"""What stands in this tree as a package of its own, read from its project file: for bundles, tables and lone tests."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("core", "librsync_ext", "tests/testkit", "plugins/*", "contrib/bundles/*")
#: What ``[tool.tarragon]`` may hold, and of which type.
KEYS: dict[str, type] = {
    "tier": int,  # 1: kept working by all; 2: by its owner; 3: as it comes
    "owner": str,
    "bundle": bool,  # part of every installation
    "extras": list,  # groups of packages that it comes with, beside its own name and "all"
    "tested": list,  # servers or programs, with versions, that its tests were run against
    "capabilities": str,  # where they are not written down in the source: those of the stores inside
}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*(.*)")


@dataclass(frozen=True)
class Package:
    """One folder with a project file."""

    folder: Path
    project: dict[str, Any] = field(repr=False)
    tarragon: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The distribution's."""
        return str(self.project["name"])

    @property
    def short(self) -> str:
        """Its name as an extra: ``s3-classes``."""
        return self.name.removeprefix("tarragon-")

    @property
    def version(self) -> str:
        return str(self.project["version"])

    @property
    def lower_bound(self) -> str:
        """``tarragon-s3>=0.1``: the release that this tree makes, without its patch number."""
        return f"{self.name}>={'.'.join(self.version.split('.')[:2])}"

    @property
    def needs(self) -> dict[str, str]:
        """Distributions that it depends on, and which versions."""
        found = (_REQUIREMENT.fullmatch(need) for need in self.project.get("dependencies", ()))
        return {match.group(1): match.group(3) for match in found if match}

    @property
    def test_needs(self) -> list[str]:
        """What its tests need beside it: the extra ``test``."""
        extras = self.project.get("optional-dependencies", {})
        return list(extras.get("test", ()))

    def entry_points(self) -> dict[str, dict[str, str]]:
        """Kind of plugin → name → module."""
        groups = self.project.get("entry-points", {})
        return {group.removeprefix("tarragon."): names for group, names in groups.items() if "." in group}

    @cached_property
    def sources(self) -> list[Path]:
        return sorted((self.folder / "src").rglob("*.py"))

    @property
    def lines(self) -> int:
        """Lines of code, without blanks, comments and docstrings."""
        return sum(lines_of_code(path.read_text(encoding="utf-8")) for path in self.sources)


def packages(*folders: str) -> list[Package]:
    """The packages below ``folders``, all unless given, by folder."""
    found = []
    for pattern in folders or FOLDERS:
        for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml")):
            text = tomllib.loads(path.read_text(encoding="utf-8"))
            found.append(Package(path.parent, text["project"], text.get("tool", {}).get("tarragon", {})))
    return found


def lines_of_code(source: str) -> int:
    """Lines that are neither blank nor comment nor part of a docstring."""
    spoken: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        is_speaker = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if is_speaker and ast.get_docstring(node):
            first = node.body[0]
            spoken.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code = (line.strip() for number, line in enumerate(source.splitlines(), 1) if number not in spoken)
    return sum(1 for line in code if line and not line.startswith("#"))


def capabilities(package: Package) -> str:
    """What its backends claim, as its source says; a star where that depends."""
    if "capabilities" in package.tarragon:
        return str(package.tarragon["capabilities"])
    always: set[str] = set()
    sometimes: set[str] = set()
    for path in package.sources:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
                _collect(node.value, always, sometimes)
    names = sorted(always | sometimes)
    return " ".join(name if name in always - sometimes else f"{name}*" for name in names if name != "NONE")


def _collect(node: ast.AST, always: set[str], sometimes: set[str]) -> None:
    if isinstance(node, ast.Compare | ast.UnaryOp | ast.Call | ast.Lambda | ast.ListComp | ast.GeneratorExp):
        return  # asked for or taken away, not claimed
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Capability":
        always.add(node.attr)
    elif isinstance(node, ast.IfExp):
        for branch in (node.body, node.orelse):
            _collect(branch, sometimes, sometimes)
    else:
        for below in ast.iter_child_nodes(node):
            _collect(below, always, sometimes)
