"""Import plugin modules and say how that went, one line of JSON each: ``python -m tarragon.plugin.probe MODULE…``.

Run as a process of its own by the survey, because importing a plugin may print, hang, or end the process. ``+`` in
front of a module: it extends another plugin, and so may have hooks that the core does not know.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any


def looked_at(word: str) -> dict[str, Any]:
    """What one module turned out to be. Never raises but for what ends the process."""
    name = word.removeprefix("+")
    started = time.perf_counter()
    found: dict[str, Any] = {"module": name, "api": None, "error": "", "seconds": 0.0}
    try:
        module = importlib.import_module(name)
        found["seconds"] = round(time.perf_counter() - started, 3)
        found["file"] = getattr(module, "__file__", None) or ""
        api = getattr(module, "TARRAGON_API", None)
        found["api"] = list(api) if isinstance(api, tuple) else None
        _check(module, extends=word != name)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - whatever a plugin raises is the answer
        found["error"] = f"{type(err).__name__}: {err}" if not hasattr(err, "message") else str(err)
    return found


def _check(module: Any, *, extends: bool) -> None:
    """As a run would take it into use; its options asked for. Raises what is wrong."""
    from .finder import check_api
    from .hub import Hub, data_of

    check_api(module, lambda: module.__name__.partition(".")[0])
    if not extends:
        Hub().register(module, alone=True)
    for hook in ("options", "actions"):
        data_of(module, hook)


def main(names: list[str]) -> None:
    """Look at each module in turn; what they print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    for name in names:
        answers.write(json.dumps(looked_at(name)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
