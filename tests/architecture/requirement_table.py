"""Write into docs/requirements.md which tests carry the mark of which requirement."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"
_MARK = re.compile(r'mark\.requirement\("(R\d+)"\)')
_ROW = re.compile(r"(\| \*\*(R\d+)\*\* [MS] \| .* \|)[^|]*\|$")


def marks() -> dict[str, Counter[str]]:
    """Requirement → files of tests, with how many marks each has."""
    found: dict[str, Counter[str]] = {}
    for folder in ("core", "librsync_ext", "plugins", "tests"):
        for path in sorted((ROOT / folder).rglob("test_*.py")):
            for number in _MARK.findall(path.read_text(encoding="utf-8")):
                found.setdefault(number, Counter())[path.stem] += 1
    return found


def page(text: str) -> str:
    """The page with its last column made anew."""
    found = marks()
    lines = []
    for line in text.splitlines():
        row = _ROW.match(line)
        if row:
            files = found.get(row.group(2), Counter())
            tests = ", ".join(f"{name} ({count})" for name, count in sorted(files.items())) or "–"
            line = f"{row.group(1)} {tests} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
