"""``tarragon plugins``: what is installed, and what is wrong with it, whatever that is (R65)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tarragon.api.hooks import TARRAGON_API

GOOD = f"from tarragon.api import hookimpl, Option\nTARRAGON_API = {TARRAGON_API!r}\n"
HOOK = "@hookimpl\ndef open_backend(url):\n    return None\n"
BROKEN = {
    "missing": ("import acme_sdk_that_is_not_here", "No module named 'acme_sdk_that_is_not_here'"),
    "exits": ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
    "ends": ("import os; os._exit(3)", "ends the process"),
    "prints": (f"print('hello')\n{GOOD}", ""),
    "old": ("TARRAGON_API = (0, 0)", "was written against API 0.0"),
    "mute": ("x = 1", "does not say TARRAGON_API"),
    "misspelt": (f"{GOOD}@hookimpl\ndef open_backends(url):\n    pass\n", "open_backends"),
    "options": (f"{GOOD}@hookimpl\ndef options():\n    return 1 / 0\n", "ZeroDivisionError"),
}


def install(place, dist, points, code):
    info = place / f"{dist}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (place / f"{dist}_plugin.py").write_text(code)


def run(place, *words, **env):
    """Our program with what is installed in ``place``."""
    home = place / "home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(place), "HOME": str(home), "XDG_CACHE_HOME": str(home / "c"),
           "XDG_STATE_HOME": str(home / "s"), **env}  # fmt: skip
    return subprocess.run([sys.executable, "-m", "tarragon", *words], env=env, capture_output=True, text=True)


def backend(name):
    return f"[tarragon.backend]\n{name} = {name}_plugin\n"


def test_what_is_installed_is_told_with_its_version_place_claims_and_api(tmp_path):
    install(tmp_path, "acme", "[tarragon.backend]\nacme = acme_plugin\nacme2 = acme_plugin\n", GOOD + HOOK)
    told = run(tmp_path, "plugins")
    lines = told.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("acme "))
    assert lines[at].split() == ["acme", "1.0", "API", ".".join(map(str, TARRAGON_API)), "ok"]
    assert "backend: acme, acme2" in told.stdout
    assert any(line.startswith("tarragon-file ") for line in lines)
    assert told.returncode == 0, told.stdout


@pytest.mark.requirement("R65")
def test_each_broken_plugin_is_shown_with_its_reason_and_none_hides_another(tmp_path):
    for name, (code, _) in BROKEN.items():
        install(tmp_path, name, backend(name), code)
    install(tmp_path, "good", backend("good"), GOOD + HOOK)
    told = run(tmp_path, "plugins")
    text = " ".join(told.stdout.split())
    for name, (_, reason) in BROKEN.items():
        assert reason in text, name
        line = next(line for line in told.stdout.splitlines() if line.startswith(f"{name} "))
        assert line.endswith("PROBLEM" if reason else " ok"), line
    assert next(line for line in told.stdout.splitlines() if line.startswith("good ")).endswith(" ok")
    assert "hello" not in told.stdout
    assert told.returncode == 1


def test_every_line_fits_in_80_columns(tmp_path):
    install(tmp_path, "a" * 70, backend("b" * 70), "1/0")
    told = run(tmp_path, "plugins").stdout
    assert max(len(line) for line in told.splitlines() if str(tmp_path) not in line) <= 80


@pytest.mark.requirement("R65")
def test_a_name_that_two_claim_is_told_of_both(tmp_path):
    for dist in ("one", "two"):
        install(tmp_path, dist, f"[tarragon.backend]\nacme = {dist}_plugin\n", GOOD + HOOK)
    text = " ".join(run(tmp_path, "plugins").stdout.split())
    assert "backend 'acme' is also claimed by two: neither is used" in text
    assert "backend 'acme' is also claimed by one: neither is used" in text


@pytest.mark.requirement("R65")
def test_it_works_when_the_defaults_themselves_are_broken(tmp_path):
    install(tmp_path, "bad", "[tarragon.compressor]\ngzip = bad_plugin\n", "1/0")
    told = run(tmp_path, "plugins")
    assert "compressor 'gzip' is also claimed by tarragon-gzip" in " ".join(told.stdout.split())


def test_metadata_that_cannot_be_read_is_told(tmp_path):
    install(tmp_path, "torn", "[tarragon.backend]\nno equals sign here\n", "")
    told = run(tmp_path, "plugins")
    assert "its entry points cannot be read" in told.stdout
    assert "tarragon-file" in told.stdout


def test_what_extends_another_plugin_may_have_hooks_that_the_core_does_not_know(tmp_path):
    code = f"{GOOD}@hookimpl\ndef crate_arguments(name):\n    return name\n"
    install(tmp_path, "red", "[tarragon_crate.extension]\nred = red_plugin\n", code)
    line = next(line for line in run(tmp_path, "plugins").stdout.splitlines() if line.startswith("red "))
    assert line.endswith(" ok")


def test_duplicity_has_no_such_word(tmp_path):
    code = "import sys; from tarragon.cli.main import main; sys.exit(main(['plugins'], prog='duplicity'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0


# -- what is broken and not used breaks nothing ----------------------------------------------------------------------

FULL = ("full", "--no-encryption", "--no-compression")


@pytest.fixture
def line(tmp_path):
    (tmp_path / "source").mkdir()
    return [*FULL, str(tmp_path / "source"), f"file://{tmp_path}/target"]


@pytest.mark.requirement("R65")
def test_a_backup_goes_on_beside_every_broken_plugin(tmp_path, line):
    for name, (code, _) in BROKEN.items():
        install(tmp_path, name, f"{backend(name)}[tarragon.observer]\n{name} = {name}_plugin\n", code)
    del_ends = tmp_path / "ends_plugin.py"  # an observer is imported by every run: nothing survives an os._exit
    del_ends.write_text("raise OSError('the disk')")
    install(tmp_path, "torn", "[tarragon.backend]\nno equals sign here\n", "")
    ended = run(tmp_path, *line)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for name, (_, reason) in BROKEN.items():
        if reason and name != "options":
            assert f"observer '{name}' is left out" in ended.stdout, name


@pytest.mark.requirement("R65")
def test_two_plugins_that_nobody_uses_may_claim_one_flag(tmp_path, line):
    for dist in ("one", "two", "three"):
        flag = "--volsize" if dist == "three" else "--acme-region"
        code = f"{GOOD}@hookimpl\ndef options():\n    return [Option(flag='{flag}', help='x')]\n"
        install(tmp_path, dist, backend(dist), code)
    shown = run(tmp_path, "--help")
    assert shown.returncode == 0, shown.stdout
    assert "both claim --acme-region" in shown.stdout
    assert "tarragon-core and three-plugin both claim --volsize" in shown.stdout
    assert run(tmp_path, *line, "--volsize", "3").returncode == 0


@pytest.mark.requirement("R65")
def test_a_plugin_in_use_cannot_take_a_flag_of_the_core(tmp_path, line):
    code = f"{GOOD}@hookimpl\ndef options():\n    return [Option(flag='--volsize', help='x')]\n"
    install(tmp_path, "thief", "[tarragon.stats]\nthief = thief_plugin\n", code)
    ended = run(tmp_path, *line, "--stats", "thief")
    assert ended.returncode == 1
    assert "tarragon-core and thief-plugin both claim --volsize" in ended.stderr


@pytest.mark.requirement("R65")
def test_a_plugin_that_takes_long_is_named(tmp_path, line):
    code = f"import time; time.sleep(2.2)\n{GOOD}"
    install(tmp_path, "slow", "[tarragon.observer]\nslow = slow_plugin\n", code)
    ended = run(tmp_path, *line)
    assert "plugin 'slow' of slow took 2 seconds to import" in ended.stdout
    assert ended.returncode == 0


@pytest.mark.requirement("R65")
def test_a_slow_plugin_that_is_not_used_is_not_imported(tmp_path, line):
    install(tmp_path, "slow", backend("slow"), "open(__file__ + '.was-here', 'w')\nimport time; time.sleep(5)")
    assert run(tmp_path, *line).returncode == 0
    assert not (tmp_path / "slow_plugin.py.was-here").exists()


# -- only what is allowed --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R65")
def test_with_a_list_of_what_is_allowed_nothing_else_is_imported(tmp_path, line):
    spy = f"open(__file__ + '.was-here', 'w')\n{GOOD}"
    install(tmp_path, "acme", "[tarragon.observer]\nspy = acme_plugin\n", spy)
    ended = run(tmp_path, *line, TARRAGON_PLUGINS="tarragon-*")
    assert ended.returncode == 0, ended.stderr
    assert "plugin 'spy' of acme is not allowed here" in ended.stdout
    assert not (tmp_path / "acme_plugin.py.was-here").exists()
    told = run(tmp_path, "plugins", TARRAGON_PLUGINS="tarragon-*").stdout
    assert "not allowed by TARRAGON_PLUGINS" in told
    assert not (tmp_path / "acme_plugin.py.was-here").exists()


@pytest.mark.requirement("R65")
@pytest.mark.parametrize(("words", "status"), [("Tarragon_File, tarragon-*", 0), ("tarragon-gzip", 1), ("", 1)])
def test_what_is_used_must_be_allowed(tmp_path, line, words, status):
    ended = run(tmp_path, *line, TARRAGON_PLUGINS=words)
    assert status == ended.returncode, ended.stdout + ended.stderr
    assert status == 0 or "is not allowed here" in ended.stderr


# -- every hook call can be seen -------------------------------------------------------------------------------------


def test_every_hook_call_is_traced_with_who_was_asked_and_what_came(tmp_path, line):
    ended = run(tmp_path, *line, TARRAGON_TRACE_HOOKS="1")
    hooks = [one for one in ended.stderr.splitlines() if one.startswith("hook: ")]
    assert any("open_backend(url=file://" in one and "tarragon_file.plugin" in one for one in hooks)
    assert any("open_backend gave <tarragon_file.backend.FileBackend> in " in one for one in hooks)
    assert any("plugin tarragon_file.plugin" in one for one in hooks)
    assert any("options() of tarragon_stats.plugin gave " in one for one in hooks)
    assert any("make_sinks(" in one for one in hooks)
    assert "hook:" not in ended.stdout


@pytest.mark.requirement("R31")
def test_the_trace_tells_no_secret(tmp_path, line):
    code = (
        f"{GOOD}@hookimpl\ndef run_started(command, context):\n    pass\n"
        "@hookimpl\ndef open_backend(url):\n    raise ValueError('cannot use ' + url.raw)\n"
    )
    install(tmp_path, "acme", f"{backend('acme')}[tarragon.observer]\nacme = acme_plugin\n", code)
    words = [*line[:-1], "acme://me:s3cret-canary@host/x", "--num-retries", "1"]
    ended = run(tmp_path, *words, TARRAGON_TRACE_HOOKS="1")
    assert "tells acme_plugin" in ended.stderr
    assert "raised ValueError" in ended.stderr
    assert "s3cret-canary" not in ended.stderr + ended.stdout
