"""What a part of the target gets of its own from the context of a run."""

from __future__ import annotations

import os

import pytest
from tarragon.api import hookimpl
from tarragon.cli.log import make_log
from tarragon.plugin.hub import Hub
from tarragon.run.context import Context
from tarragon.settings import Options, Settings
from tarragon_testkit import MemoryBackend


class Driver:
    """Answers to file://, and remembers in what context."""

    def __init__(self):
        self.contexts = []

    @hookimpl(tryfirst=True)
    def open_backend(self, url, context):
        self.contexts.append(context)
        return MemoryBackend()


@pytest.fixture
def run(tmp_path):
    hub, driver = Hub(), Driver()
    hub.register(driver)
    options = Options({"tempdir": str(tmp_path)})
    settings = Settings("restore", None, None, (), options, (), 1_700_000_000)
    context = Context(settings, hub, make_log(0), {"SHARED": "ours", "PASSPHRASE": "secret"})
    context._use = lambda kind, name: None
    yield context, driver
    context.close()


@pytest.mark.requirement("R24")
def test_a_part_of_the_target_has_an_environment_of_its_own(run):
    context, driver = run
    before = dict(os.environ)
    for env in (None, {"KEY": "one"}, {"SHARED": "theirs"}):
        context.open_backend("file:///x", env)
    assert [seen.env.get("KEY") for seen in driver.contexts] == [None, "one", None]
    assert [seen.env["SHARED"] for seen in driver.contexts] == ["ours", "ours", "theirs"]
    assert [seen.ask_password("?", env=("PASSPHRASE",)).reveal() for seen in driver.contexts] == ["secret"] * 3
    assert context.env.get("KEY") is None
    assert dict(os.environ) == before


def test_a_part_shares_the_temporary_folder_of_the_run(run, tmp_path):
    context, driver = run
    context.open_backend("file:///x", {"KEY": "one"})
    with driver.contexts[0].temp_file() as path:
        assert path.parent == context.temp.place
    context.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("R31")
def test_secrets_of_a_parts_environment_and_url_are_never_logged(run):
    context, _ = run
    context.open_backend("file://user:geheimnis@host/x", {"AWS_SECRET_ACCESS_KEY": "canary-value", "REGION": "north"})
    assert context.log.redacted("canary-value geheimnis north") == "*** *** north"
