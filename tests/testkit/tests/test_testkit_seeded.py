"""Every fault of seeded-faults.toml is found by the check that is named for it (R69)."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest
from tarragon.api import TarragonError
from tarragon_testkit import MemoryBackend, TestContext
from tarragon_testkit.codec_contract import CIPHER, COMPRESSOR, CipherHarness, CompressorHarness
from tarragon_testkit.contract import BACKEND
from tarragon_testkit.executor_contract import EXECUTOR, ExecutorHarness
from tarragon_testkit.filter_contract import FILTER, SINK, FilterHarness, SinkHarness
from tarragon_testkit.harness import Harness, NotAsked
from tarragon_testkit.plugin_contract import PLUGIN, PluginHarness
from tarragon_testkit.wrapper_contract import WRAPPER, WrapperHarness

HERE = Path(__file__).parent
FAULTS = tomllib.loads((HERE.parent / "seeded-faults.toml").read_text(encoding="utf-8"))


def neighbour(name):
    """A module that stands beside this file."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stores = neighbour("seeded_stores")
others = neighbour("seeded_others")


def seeded(kind):
    return pytest.mark.parametrize("fault", FAULTS[kind], ids=lambda fault: fault["name"])


def found(contract, name, harness):
    """What the check of that name says of what the harness holds; None when it is satisfied."""
    check = {check.name: check for check in contract.checks}[name]
    backend = getattr(harness, "backend", None)
    assert backend is None or not check.skip_reason(backend.capabilities), "the check is not even asked"
    try:
        check.run(harness)
    except NotAsked as err:
        raise AssertionError(f"the check is not even asked: {err}") from err
    except Exception as err:  # noqa: BLE001 - an untranslated error is what some faults let through
        return err
    return None


def backend_harness(driver, **more):
    objects = {}
    return Harness(lambda: driver(objects), secrets=(stores.PASSWORD,), **more)


def test_there_are_more_than_twenty_seeded_backends():
    assert len({fault["name"] for fault in FAULTS["backend"]}) >= 20
    assert len({fault["check"] for fault in FAULTS["backend"]}) == len(FAULTS["backend"])


@pytest.mark.requirement("R69")
@seeded("backend")
def test_a_seeded_backend_is_found_by_the_check_named_for_its_fault(fault):
    assert found(BACKEND, fault["check"], backend_harness(MemoryBackend)) is None
    assert found(BACKEND, fault["check"], backend_harness(getattr(stores, fault["name"]))) is not None


@pytest.mark.requirement("R69")
@seeded("backend")
def test_most_checks_are_satisfied_with_a_backend_that_has_one_fault(fault):
    """A kit that fails everything would find all faults too."""
    driver = getattr(stores, fault["name"])
    broken = {
        check.name
        for check in BACKEND.checks
        if not check.skip_reason(MemoryBackend.everything)
        and found(BACKEND, check.name, backend_harness(driver, many=5, small=True, settle_s=0))
    }
    assert len(broken) <= 9, sorted(broken)


@pytest.mark.requirement("R69")
@seeded("wrapper")
def test_a_seeded_wrapper_is_found_by_the_check_named_for_its_fault(fault):
    contract = WRAPPER if fault["check"] in {check.name for check in WRAPPER.checks} else BACKEND
    assert found(contract, fault["check"], WrapperHarness(stores.Sums)) is None
    assert found(contract, fault["check"], WrapperHarness(getattr(stores, fault["name"]))) is not None


def test_the_wrapper_without_faults_keeps_every_promise():
    for contract in (WRAPPER, BACKEND):
        for check in contract.checks:
            harness = WrapperHarness(stores.Sums, many=30, small=True, secrets=(stores.PASSWORD,))
            if not check.skip_reason(harness.backend.capabilities):
                check.run(harness)


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        ("size", "sizes_are_told"),
        ("digest", "the_digest_is_that_of_the_bytes"),
        ("listing", "an_empty_object_comes_back_empty"),
        ("ghost", "a_prefix_that_nothing_has_lists_nothing"),
        ("put", "one_byte_comes_back"),
        ("short", "eight_mebibytes_come_back"),
        ("data", "every_byte_comes_back_as_it_was"),
        ("delete", "what_is_deleted_is_gone"),
    ],
)
def test_a_lie_is_found_out(lie, check):
    from tarragon_testkit import LyingBackend

    err = found(BACKEND, check, backend_harness(lambda objects: LyingBackend(MemoryBackend(objects), [lie])))
    assert isinstance(err, AssertionError | TarragonError)


@seeded("filter")
def test_a_seeded_filter_is_found_by_the_check_named_for_its_fault(fault):
    assert found(FILTER, fault["check"], FilterHarness(others.Filter)) is None
    assert found(FILTER, fault["check"], FilterHarness(getattr(others, fault["name"]))) is not None


def sinks(kind):
    log = TestContext().log
    return SinkHarness(lambda names: [kind(log)] if "acme" in names else [], "acme")


@seeded("sink")
def test_a_seeded_sink_is_found_by_the_check_named_for_its_fault(fault):
    assert found(SINK, fault["check"], sinks(others.Sink)) is None
    assert found(SINK, fault["check"], sinks(getattr(others, fault["name"]))) is not None


def test_filters_and_sinks_without_faults_keep_every_promise():
    for check in FILTER.checks:
        assert (
            check.name == "it_answers_as_its_author_says"
            or found(FILTER, check.name, FilterHarness(others.Filter)) is None
        )
    assert [check.name for check in SINK.checks if found(SINK, check.name, sinks(others.Sink))] == []


@pytest.mark.parametrize("kind", ["compressor", "cipher", "executor"])
def test_a_seeded_codec_or_executor_is_found_by_the_check_named_for_its_fault(kind):
    contract, make = {
        "compressor": (COMPRESSOR, lambda kind: CompressorHarness(kind())),
        "cipher": (CIPHER, lambda kind: CipherHarness(kind())),
        "executor": (EXECUTOR, lambda kind: ExecutorHarness(kind, is_parallel=True)),
    }[kind]
    for fault in FAULTS[kind]:
        harness = make(getattr(others, fault["name"]))
        assert found(contract, fault["check"], harness) is not None
        if kind == "executor":
            harness.close()


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Makes the harness of a plugin module that is otherwise without faults."""

    def make(members=None, source="", readme=others.README, needs=("tarragon-core>=0.1",)):
        (tmp_path / "acme_plugin.py").write_text(f"{source}TARRAGON_API = (0, 1)\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        good = {"open_backend": lambda url: None, "options": lambda: (others.OPTION,)}
        harness = PluginHarness("acme_plugin", readme=readme, needs=needs)
        harness.__dict__.update(module=others.module("acme_plugin", **(good | (members or {}))), dist=None)
        return harness

    return make


@seeded("plugin")
def test_a_seeded_plugin_is_found_by_the_check_named_for_its_fault(fault, plugin):
    assert found(PLUGIN, fault["check"], plugin()) is None
    assert found(PLUGIN, fault["check"], plugin(**others.MODULES[fault["name"]])) is not None
