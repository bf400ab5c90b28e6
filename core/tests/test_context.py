"""What one run knows, as plugins see it."""

from __future__ import annotations

import getpass
import sys
from types import SimpleNamespace

import pytest
from tarragon.api import UserError
from tarragon.cli.log import make_log
from tarragon.run.context import Context
from tarragon.settings import Options


@pytest.fixture
def context():
    return Context(SimpleNamespace(options=Options({}), action="backup"), None, make_log(0), {"SET": "known"})


@pytest.fixture
def asked(monkeypatch):
    """What was asked at a terminal, which answers with a number."""
    prompts = []

    def typed(prompt):
        prompts.append(prompt)
        return f"answer {len(prompts)}"

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(getpass, "getpass", typed)
    return prompts


def test_a_password_is_asked_for_once_a_run(context, asked):
    answers = [context.ask_password(prompt).reveal() for prompt in ("Password", "Another", "Password")]
    assert answers == ["answer 1", "answer 2", "answer 1"]
    assert asked == ["Password: ", "Another: "]


def test_a_password_that_is_in_the_environment_is_not_asked_for(context, asked):
    assert context.ask_password("Password", env=("MISSING", "SET")).reveal() == "known"
    assert asked == []


@pytest.mark.requirement("R26")
def test_nobody_is_asked_without_a_terminal(context, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(UserError) as caught:
        context.ask_password("Password", env=("MISSING",))
    assert caught.value.exit_code == 30
    assert "MISSING" in caught.value.hint
