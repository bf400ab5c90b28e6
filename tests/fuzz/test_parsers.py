"""The parsers are total functions: a second of what fuzz.py does for hours, and every earlier finding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the targets are plain modules

import targets

FUZZ = Path(__file__).with_name("fuzz.py")
FINDINGS = [(path.parent.name, path) for path in sorted((FUZZ.parent / "corpus").glob("*/*"))]


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("target", targets.TARGETS)
def test_a_parser_answers_any_input(target: str) -> None:
    """In a process of its own: a crash of C code must not end the tests."""
    words = [sys.executable, str(FUZZ), target, "--blind", "--seconds", "1"]
    ended = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-2000:]


@pytest.mark.requirement("R40")
@pytest.mark.parametrize(
    ("target", "path"), [pytest.param(*found, id=f"{found[0]}-{found[1].name}") for found in FINDINGS]
)
def test_an_earlier_finding_stays_mended(target: str, path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(FUZZ.parent)!r}); import targets; targets.TARGETS[{target!r}]"
    words = [sys.executable, "-c", f"{code}(open({str(path)!r}, 'rb').read())"]
    ended = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr[-2000:]
