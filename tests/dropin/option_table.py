"""docs/options.md from docs/cli.yaml and the tables of the core: every option of duplicity, and how we take it.

Run it as ``python tests/dropin/option_table.py``; test_options.py compares what it makes with what is committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tarragon.plugin.known import OPTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "options.md"
#: Where ours is not duplicity's, and why. The test holds these against the parser.
DIFFERENT = {
    "--concurrency": "not given: the program chooses; 0 is duplicity's default",
    "--config-dir": "accepted; nothing reads it, as in duplicity",
    "--pydevd": "accepted; no debugger is started",
    "--gio": "accepted: the target goes through GIO, with a warning",
    "--use-scp": "accepted: sftp becomes scp, with a warning",
}
AGAIN = {"last": "last", "append": "adds", "ordered": "order"}
HEAD = """# The options of duplicity, and who takes them

Made by `tests/dropin/option_table.py` from `docs/cli.yaml`: every option of duplicity 3.0.2 (manual) and 3.2.1 (help
and parser). A test parses each with all installed packages and compares aliases, value, default, and what a second use
does; one whose package is not installed is answered with the package's name. Defaults are in the unit given. *Again*: a
second use replaces (last), adds (adds), or counts in sequence with other selection options (order).

"""
COLUMNS = ("option", "value", "default", "again", "package", "here")


def described() -> list[dict[str, Any]]:
    """The options of docs/cli.yaml."""
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs/cli.yaml").read_text(encoding="utf-8"))["options"]
    return found


def package(name: str) -> str:
    """Who takes an option, without "tarragon-"."""
    return OPTIONS.get(name, "tarragon-core").removeprefix("tarragon-")


def page() -> str:
    """The whole page: the core's options first, then package by package."""
    rows = sorted((_row(option) for option in described()), key=lambda row: (row[4] != "core", row[4], row[0]))
    table = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    lines = [f"{len(rows)} options.", "", *(f"| {' | '.join(row)} |".replace("  ", " ") for row in table)]
    return HEAD + "\n".join(lines) + "\n"


def _row(option: dict[str, Any]) -> tuple[str, ...]:
    name = option["name"]
    value = ", ".join(option.get("choices") or [option["type"] if option["nargs"] else "–"])
    if option["unit"]:
        value += f" ({option['unit']})"
    names = ", ".join(f"`{each}`" for each in (name, *option["aliases"]))
    return names, value, _default(option), AGAIN[option["repeatable"]], package(name), DIFFERENT.get(name, "")


def _default(option: dict[str, Any]) -> str:
    default = option["default"]
    if option["type"] == "action" or default in (None, "", {}):
        return "–"
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
