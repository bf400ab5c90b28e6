"""Fixtures of the tests that cross packages: the program under test, the real duplicity, and a home to run them in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "judge"))  # the judges are plain modules, not a package

import programs


@pytest.fixture(scope="session")
def program() -> programs.Program:
    """The command under test."""
    found = programs.program_under_test()
    if not found.exists():
        pytest.fail(f"{found.command} is not installed")
    return found


@pytest.fixture(scope="session")
def ours(program: programs.Program) -> programs.Program:
    """The command under test, for tests of promises that only Tarragon makes."""
    if not program.is_ours:
        pytest.skip("a promise that the real duplicity does not make")
    return program


@pytest.fixture(scope="session")
def real() -> programs.Program:
    """The real duplicity 3.2.1."""
    found = programs.duplicity()
    if not found.exists():
        pytest.skip(f"the real duplicity is not here ({found.command}); tests/judge/duplicity_environment.py makes it")
    return found


@pytest.fixture
def home() -> Iterator[programs.Household]:
    """An empty home."""
    with programs.Household() as house:
        yield house


@pytest.fixture(scope="session")
def keyed_home() -> Iterator[programs.Household]:
    """A home whose key ring holds the throwaway keys of the golden set; shared, so use ``--archive-dir``."""
    with programs.Household() as house:
        house.import_golden_keys()
        yield house
