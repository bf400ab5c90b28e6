"""What is installed, where from, what it claims, and whether it works: ``tarragon plugins``.

Names come from metadata; each module is then imported in a child process, so that one that hangs, prints or ends the
process is a line in the answer and nothing worse.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tarragon.api.hooks import TARRAGON_API

from . import finder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from importlib.metadata import Distribution

WIDTH = 80
#: A module that is not imported by then is taken to hang.
PATIENCE_S = 10.0
_GROUPS = ("tarragon.", "tarragon_")


@dataclass
class Installed:
    """One distribution that has something to do with us. ``problems`` is empty when all is well."""

    name: str
    version: str
    place: str
    claims: list[tuple[str, str, str]] = field(default_factory=list)  # kind, name, module
    api: str = "-"
    problems: list[str] = field(default_factory=list)

    @property
    def modules(self) -> list[str]:
        return sorted({module for _, _, module in self.claims})


def survey() -> list[Installed]:
    """Every distribution that claims something of ours, and every one that cannot be read; by name."""
    found = [_installed(dist, points) for dist, points in finder.claims()]
    ours = [each for each in found if each.claims]
    _tell_contested(ours)
    wanted = {module for each in ours if finder.allowed(each.name) for module in each.modules}
    extending = {module for each in ours for kind, _, module in each.claims if kind.startswith("tarragon_")}
    answers = {answer["module"]: answer for answer in probed(sorted(wanted), extending)}
    for each in ours:
        _judge(each, answers)
    ours += [Installed(name, "?", "", problems=["its entry points cannot be read"]) for name in finder.unreadable()]
    return sorted(ours, key=lambda each: each.name)


def _installed(dist: Distribution, points: Iterable[Any]) -> Installed:
    claims = [
        (point.group.removeprefix("tarragon."), point.name, point.value.partition(":")[0])
        for point in points
        if point.group.startswith(_GROUPS)
    ]
    if not claims:
        return Installed("", "", "")
    return Installed(dist.metadata["Name"] or "?", dist.version or "?", _place(dist), sorted(claims))


def _place(dist: Distribution) -> str:
    """Where it is installed; of one that is worked on, where its sources are."""
    text = dist.read_text("direct_url.json")
    try:
        origin = json.loads(text) if text else {}
    except ValueError:
        origin = {}
    if isinstance(origin, dict) and origin.get("dir_info", {}).get("editable"):
        return str(origin.get("url", "")).removeprefix("file://")
    return str(dist.locate_file(""))


def _tell_contested(installed: list[Installed]) -> None:
    owners: dict[tuple[str, str], dict[str, list[Installed]]] = {}
    for each in installed:
        for kind, name, module in each.claims:
            owners.setdefault((kind, name), {}).setdefault(module, []).append(each)
    for (kind, name), modules in owners.items():
        for module, claimants in modules.items() if len(modules) > 1 else ():
            others = sorted({o.name for m, them in modules.items() if m != module for o in them})
            for each in claimants:
                each.problems.append(f"{kind} '{name}' is also claimed by {', '.join(others)}: neither is used")


def _judge(each: Installed, answers: dict[str, dict[str, Any]]) -> None:
    if not finder.allowed(each.name):
        each.problems.append(f"not allowed by {finder.ALLOWED}")
    for module in each.modules:
        answer = answers.get(module)
        if answer is None:
            continue
        if isinstance(answer["api"], list):
            each.api = ".".join(str(part) for part in answer["api"])
        if answer["error"]:
            each.problems.append(f"{module}: {answer['error']}")
        elif answer["seconds"] > finder.SLOW_S:
            each.problems.append(f"{module}: takes {answer['seconds']:.0f} seconds to import")


def probed(modules: list[str], extending: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """What the probe says of each module; one that kills or hangs it is said to, and the rest are probed afresh."""
    left = list(modules)
    while left:
        child = subprocess.Popen(
            [sys.executable, "-m", "tarragon.plugin.probe", *(f"+{m}" if m in extending else m for m in left)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        lines = _Lines(child.stdout.fileno())
        while left and (line := lines.next()) is not None:
            left.pop(0)
            yield json.loads(line)
        timed_out = lines.timed_out
        child.kill()
        child.wait()
        child.stdout.close()
        if left:
            how = f"hangs: not imported after {PATIENCE_S:.0f} seconds" if timed_out else "ends the process"
            yield {"module": left.pop(0), "api": None, "error": how, "seconds": 0.0}


class _Lines:
    """The lines of a descriptor, as long as each comes in time."""

    def __init__(self, fd: int) -> None:
        self._fd, self._rest, self.timed_out = fd, b"", False

    def next(self) -> bytes | None:
        until = time.monotonic() + PATIENCE_S
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._fd], [], [], max(0, until - time.monotonic()))
            self.timed_out = not ready
            piece = os.read(self._fd, 1 << 16) if ready else b""
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def table(installed: list[Installed]) -> str:
    """The survey for people, 80 columns wide; what is broken with its reason."""
    lines = [f"API of this core: {'.'.join(map(str, TARRAGON_API))}", ""]
    for each in installed:
        lines += _entry(each)
    broken = sum(1 for each in installed if each.problems)
    return "\n".join([*lines, "", f"{len(installed)} packages, {broken} with problems"])


def _entry(each: Installed) -> Iterator[str]:
    health = "PROBLEM" if each.problems else "ok"
    yield f"{each.name[:40]:<40} {each.version[:16]:<16} API {each.api[:6]:<6} {health}"
    yield from _wrapped(f"in {each.place or 'an unknown place'}")
    kinds: dict[str, list[str]] = {}
    for kind, name, _ in each.claims:
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        yield from _wrapped(f"{kind}: {', '.join(names)}")
    for problem in each.problems:
        yield from _wrapped(f"! {problem}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
