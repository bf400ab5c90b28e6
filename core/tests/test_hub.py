"""The hub asks one, collects from all, and tells everybody, whoever fails (R65)."""

from __future__ import annotations

import logging
import sys
import types

import pytest
from stevedore.extension import ExtensionManager
from tarragon.api.errors import PluginError
from tarragon.api.hooks import TARRAGON_API, Extension, hookimpl, hookspec
from tarragon.api.options import Option
from tarragon.plugin.hub import Hub


def module(name, **members):
    """A plugin module made of functions."""
    made = types.ModuleType(name)
    made.TARRAGON_API = TARRAGON_API
    for key, value in members.items():
        setattr(made, key, hookimpl(value) if callable(value) else value)
    return made


def test_the_first_that_answers_makes_the_thing():
    hub = Hub()
    hub.register(module("one", open_backend=lambda url: "one" if url == "one" else None))
    hub.register(module("two", open_backend=lambda url, context: "two" if url == "two" else None))
    assert [hub.ask("open_backend", url=url, context=None) for url in ("one", "two", "three")] == ["one", "two", None]


def test_everybody_may_add():
    hub = Hub()
    hub.register(module("one", options=lambda: [Option(flag="--a", help="")]))
    hub.register(module("two", options=lambda: [Option(flag="--b", help=""), Option(flag="--c", help="")]))
    hub.register(module("three"))
    assert sorted(one.flag for one in hub.collect("options")) == ["--a", "--b", "--c"]


def test_a_plugin_is_registered_once_however_often_it_is_found():
    hub, plugin = Hub(), module("one", options=lambda: [1])
    hub.register(plugin)
    hub.register(plugin)
    assert hub.collect("options") == [1]


def test_any_object_can_be_a_plugin():
    class Plugin:
        @hookimpl
        def make_compressor(self, name):
            return f"{name} by {id(self)}"

    hub, plugin = Hub(), Plugin()
    hub.register(plugin)
    assert f"gzip by {id(plugin)}" == hub.ask("make_compressor", name="gzip", level=None, context=None)


@pytest.mark.requirement("R65")
@pytest.mark.parametrize(
    "members",
    [{"no_such_hook": lambda: None}, {"open_backend": lambda url, password: None}, {"options": lambda nonsense: []}],
)
def test_an_unknown_hook_or_argument_is_refused_and_leaves_the_hub_as_it_was(members):
    hub = Hub()
    hub.register(module("good", open_backend=lambda url: "good"))
    with pytest.raises(PluginError) as caught:
        hub.register(module("bad", **members))
    assert "bad" in caught.value.message
    assert hub.ask("open_backend", url="x", context=None) == "good"
    hub.register(module("later", options=lambda: [1]))
    assert hub.collect("options") == [1]


# -- news -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R65")
def test_all_hear_the_news_whoever_fails(caplog):
    heard, hub = [], Hub()

    def fails(command):
        raise ValueError("broken listener")

    hub.register(module("one", run_started=lambda command: heard.append(("one", command))))
    hub.register(module("two", run_started=fails))
    hub.register(module("three", run_started=lambda command, context: heard.append(("three", context))))
    with caplog.at_level(logging.WARNING, "tarragon.plugin"):
        hub.tell("run_started", command="full", context="here")
    assert sorted(heard) == [("one", "full"), ("three", "here")]
    assert "two" in caplog.text
    assert "broken listener" in caplog.text


def test_the_users_stop_is_no_news_to_be_forgotten():
    def stopped():
        raise KeyboardInterrupt

    hub = Hub()
    hub.register(module("one", run_finished=stopped))
    with pytest.raises(KeyboardInterrupt):
        hub.tell("run_finished", outcome=None, context=None)


# -- a plugin extended by plugins -------------------------------------------------------------------------------------


class CrateHooks:
    @hookspec
    def crate_arguments(self, name):
        """Arguments for one crate."""


@pytest.fixture
def crates(tmp_path, monkeypatch):
    """A plugin with hooks of its own, and two installed ones that implement them."""
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "acme_crates-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-crates\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[acme.crates]\nred = acme_red\nblue = acme_blue\n")
    for name in ("acme_red", "acme_blue"):
        (tmp_path / f"{name}.py").write_text(
            "from tarragon.api import hookimpl\n"
            f"TARRAGON_API = {TARRAGON_API!r}\n"
            f"@hookimpl\ndef crate_arguments(name):\n    return '{name} ' + name\n"
        )
    yield module("crate", more_hooks=lambda: [Extension(CrateHooks, "acme.crates")])
    for name in ("acme_red", "acme_blue"):
        sys.modules.pop(name, None)


def test_using_a_plugin_brings_its_extensions_and_nobody_elses(crates):
    hub = Hub()
    hub.register(module("other", open_backend=lambda url: None))
    assert "acme_red" not in sys.modules
    hub.register(crates)
    assert sorted(hub.hook.crate_arguments(name="x")) == ["acme_blue x", "acme_red x"]


def test_two_plugins_may_share_hooks(crates):
    hub = Hub()
    hub.register(crates)
    hub.register(module("second", more_hooks=lambda: [Extension(CrateHooks, "acme.crates")]))
    assert len(hub.hook.crate_arguments(name="x")) == 2


def test_an_extension_without_what_it_extends_is_refused():
    with pytest.raises(PluginError):
        Hub().register(module("orphan", crate_arguments=lambda name: None))


def test_a_plugin_is_used_by_what_the_user_types():
    hub = Hub()
    assert hub.use("backend", "file").__name__ == "tarragon_file.plugin"
