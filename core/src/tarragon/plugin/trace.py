"""Every hook call, as lines of the log: who is asked what, and who answers (``TARRAGON_TRACE_HOOKS=1``).

Lines go to standard error, apart from the output and the records that programs read. There is no line for a hot path,
because hooks only make objects. Secrets print as ``***`` by their type, and the log takes out those that it hides.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from logging import Logger

_LONGEST = 60


class Tracer:
    """Writes the lines. A hook may call others: their lines are indented."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._began: list[float] = []

    def took(self, plugin: str) -> None:
        """A plugin was taken into use."""
        self._say(f"plugin {plugin}")

    def asked(self, hook: str, plugins: Sequence[Any], arguments: Mapping[str, Any]) -> None:
        """A hook is called. ``plugins`` stand in the order of their registration; the last is asked first."""
        names = ", ".join(plugin.plugin_name for plugin in reversed(plugins)) or "nobody"
        self._say(f"{hook}({_shown(arguments)}) asks {names}")
        self._began.append(time.perf_counter())

    def answered(self, outcome: Any, hook: str, plugins: Sequence[Any], arguments: Mapping[str, Any]) -> None:
        """A hook has answered, or failed."""
        took_ms = (time.perf_counter() - self._began.pop()) * 1000
        failed = outcome.exception
        answer = f"raised {type(failed).__name__}: {failed}" if failed else f"gave {_short(outcome.get_result())}"
        self._say(f"{hook} {answer} in {took_ms:.1f} ms")

    def asked_alone(self, hook: str, plugin: str, found: Sequence[Any]) -> None:
        """A plugin was asked for data by itself, in use or not."""
        self._say(f"{hook}() of {plugin} gave {len(found)}")

    def told(self, hook: str, plugin: str, arguments: Mapping[str, Any]) -> None:
        """A plugin is told news."""
        self._say(f"{hook}({_shown(arguments)}) tells {plugin}")

    def _say(self, text: str) -> None:
        redacted = getattr(self._log, "redacted", str)
        if sys.stderr is not None:
            sys.stderr.write(f"hook: {'  ' * len(self._began)}{redacted(text)}\n")


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())


def _short(value: Any) -> str:
    """Plain values as they are, objects by their class: what stands in an object's repr is not for a log."""
    if isinstance(value, list | tuple):
        text = f"[{', '.join(_short(each) for each in value)}]"
    elif value is None or isinstance(value, str | bytes | int | float):
        text = repr(value)
    elif type(value).__name__ in ("BackendURL", "FilterMode", "Secret"):
        text = str(value)
    else:
        text = f"<{type(value).__module__}.{type(value).__qualname__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
