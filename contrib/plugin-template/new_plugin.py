"""Make a plugin of your own from this template: ``python new_plugin.py NAME FOLDER``.

Every file is copied with ``shelf`` replaced by NAME, in its text and in its path. What is left for you: backend.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
LEFT_OUT = {"new_plugin.py", "__pycache__", "build", ".pytest_cache", ".hypothesis"}


def instantiate(name: str, folder: Path) -> list[Path]:
    """Copy the template to a new folder under another name; the files made. Raises ValueError for what is no name."""
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise ValueError(
            f"'{name}' must be lower case letters and digits: it is a URL scheme, and part of a module's name"
        )
    folder.mkdir(parents=True)
    made = []
    for path in sorted(HERE.rglob("*")):
        parts = path.relative_to(HERE).parts
        if path.is_dir() or LEFT_OUT & set(parts) or any(part.endswith(".egg-info") for part in parts):
            continue
        target = folder / Path(*(part.replace("shelf", name) for part in parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        target.write_text(text.replace("Shelf", name.capitalize()).replace("shelf", name), encoding="utf-8")
        made.append(target)
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} NAME FOLDER")
    for made in instantiate(sys.argv[1], Path(sys.argv[2])):
        print(made)
