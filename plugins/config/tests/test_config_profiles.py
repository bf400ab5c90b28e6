"""Profiles: what they stand for, what is refused, and where their words and places go on a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tarragon.api import Profile, UserError
from tarragon_config import profiles

HOME = """
[profile.home]
source = "{place}/source"
target = "file://{place}/target"
select = ["+ {place}/source/keep", "- {place}/source/k*"]
[profile.home.options]
encryption = false
volsize = 7
progress-rate = 4
[profile.other.options]
volsize = 9
"""


@pytest.fixture
def env(tmp_path):
    """An environment whose configuration holds the profile home, and a source."""
    for name in ("keep", "kill", "other"):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
    write(tmp_path, HOME.format(place=tmp_path))
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state"), "LANG": "C.UTF-8",
    }  # fmt: skip


def write(place: Path, text: str) -> Path:
    folder = place / "config" / "tarragon"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def run(env, *words, status=0):
    ended = subprocess.run(
        [sys.executable, "-m", "tarragon", *words], env=env, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended


def made(text: str, name: str = "x", *, place: Path) -> Profile:
    path = write(place, text)
    return profiles.read(name, {"XDG_CONFIG_HOME": str(path.parents[1])})


# -- on the line ------------------------------------------------------------------------------------------------------


def test_a_profile_gives_a_backup_its_places_and_its_selection(env, tmp_path):
    run(env, "@home", "backup")
    listed = run(env, "@home", "list-current-files").stdout
    assert "keep" in listed
    assert "other" in listed
    assert "kill" not in listed


def test_every_action_finds_its_places(env, tmp_path):
    run(env, "@home", "full")
    run(env, "@home", "verify", "--compare-data")
    run(env, "@home", "collection-status")
    run(env, "@home", "cleanup")
    run(env, "@home", "remove-all-but-n-full", "2")
    run(env, "@home", "check")
    run(env, "@home", "restore", str(tmp_path / "out"))
    assert (tmp_path / "out" / "keep").read_text() == "keep"


def test_a_restore_never_goes_to_the_source_by_itself(env):
    run(env, "@home", "full")
    ended = run(env, "@home", "restore", status=23)
    assert "'restore' takes" in ended.stderr


def test_what_is_typed_wins(env):
    settings = json.loads(run(env, "@home", "--json", "full", "--dry-run", "--exclude", "**/other").stdout)
    assert [each["path"] for each in settings["result"]["changes"]] == [".", "keep"]


def test_several_profiles_are_put_together(env, tmp_path):
    run(env, "@other", "@home", "full")
    assert (tmp_path / "target").is_dir()


def test_an_unknown_profile_is_told_with_those_that_there_are(env):
    ended = run(env, "@nobody", "backup", status=23)
    assert "there is no profile 'nobody'" in ended.stderr
    assert "@home, @other" in ended.stderr


def test_a_profile_stands_in_front_and_nowhere_else(env, tmp_path):
    (tmp_path / "@home").mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "tarragon", "full", "--no-encryption", "@home", f"file://{tmp_path}/other"],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "SourceFiles 1" in ended.stdout


def test_a_passphrase_comes_from_a_command(env, tmp_path):
    text = HOME.format(place=tmp_path).replace("encryption = false", "")
    text += '[profile.home.secrets]\npassphrase = { command = ["printf", "a secret of mine"] }\n'
    write(tmp_path, text)
    run(env, "@home", "full")
    assert list((tmp_path / "target").glob("*.gpg"))
    env["PASSPHRASE"] = "a secret of mine"
    run(env, "restore", f"file://{tmp_path}/target", str(tmp_path / "out"))


def test_a_passphrase_comes_from_a_variable_of_another_name(env, tmp_path):
    text = HOME.format(place=tmp_path).replace("encryption = false", "")
    text += '[profile.home.secrets]\npassphrase = { environment = "OTHER_NAME" }\n'
    write(tmp_path, text)
    run(env | {"OTHER_NAME": "a secret of mine"}, "@home", "full")
    run(env | {"PASSPHRASE": "a secret of mine"}, "restore", f"file://{tmp_path}/target", str(tmp_path / "out"))


# -- what a profile stands for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("volsize = 50", ("--volsize=50",)),
        ("force = true", ("--force",)),
        ("force = false", ()),
        ("compression = false", ("--no-compression",)),
        ("compression = true", ("--compression",)),
        ('encrypt-key = ["A", "B"]', ("--encrypt-key=A", "--encrypt-key=B")),
        ('rename = [["a", "b"], ["c", "d"]]', ("--rename", "a", "b", "--rename", "c", "d")),
        ('ssh-options = "-oPort=9"', ("--ssh-options=-oPort=9",)),
    ],
)
def test_options(toml, words, tmp_path):
    assert made(f"[profile.x.options]\n{toml}\n", place=tmp_path).options == words


def test_what_selects_is_kept_apart(tmp_path):
    found = made(
        '[profile.x]\nselect = ["- *.o"]\n[profile.x.options]\nexclude-if-present = ".no"\nvolsize = 1', place=tmp_path
    )
    assert found.selection == ("--exclude-if-present=.no", "--exclude=*.o")
    assert found.options == ("--volsize=1",)


def test_secrets_are_places(tmp_path):
    toml = """[profile.x.secrets]
passphrase = { file = "/p" }
sign-passphrase = { command = ["pass", "show", "a b"] }
backend-password = { environment = "NAS" }
"""
    assert made(toml, place=tmp_path).options == (
        "--passphrase-file=/p", "--sign-passphrase-command=pass show 'a b'",
        "--backend-password-command=printenv -- NAS",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[profile.x]\nsorce = '/'", "there is no 'sorce'"),
        ("[profile.x]\ntarget = 'sftp://me:secret@nas/x'", "holds a password"),
        ("[profile.x]\ntarget = '/mnt/disk'", "is no URL"),
        ("[profile.x]\nsource = 3", "must be a text"),
        ("[profile.x]\nselect = ['*.o']", "begins with '+ '"),
        ("[profile.x]\nselect = '- *.o'", "must be a list"),
        ("[profile.x.options]\n'--volsize' = 1", "without dashes"),
        ("[profile.x.options]\nvolsize = {a = 1}", "must be a text"),
        ("[profile.x.options]\npassphrase-file = 'x'", "belongs under 'secrets'"),
        ("[profile.x.secrets]\npassphrase = 'open sesame'", "must name one place"),
        ("[profile.x.secrets]\npassphrase = {file = 'a', command = ['b']}", "must name one place"),
        ("[profile.x.secrets]\npassphrase = {command = 'pass show'}", "list of words"),
        ("[profile.x.secrets]\nword = {file = 'a'}", "there is no secret 'word'"),
        ("[profil.x]\n", "there is no 'profil'"),
        ("[profile.x\n", "is not TOML"),
        ("profile = 3", "is no table"),
    ],
)
def test_what_is_wrong_is_told_with_a_hint(toml, told, tmp_path):
    with pytest.raises(UserError) as caught:
        made(toml, place=tmp_path)
    assert told in caught.value.message
    assert caught.value.hint


@pytest.mark.requirement("R31")
@pytest.mark.parametrize("toml", ["passphrase = 'open sesame'", "passphrase = { words = 'open sesame' }"])
def test_a_secret_that_stands_in_the_file_is_not_repeated(toml, tmp_path, env):
    write(tmp_path, f"[profile.x.secrets]\n{toml}\n")
    for words in (["@x", "backup"], ["config", "check"], ["config", "show", "-v9"]):
        ended = subprocess.run(
            [sys.executable, "-m", "tarragon", *words], env=env, capture_output=True, text=True, timeout=60
        )
        assert "open sesame" not in ended.stdout + ended.stderr


def test_a_file_that_others_can_change_is_refused(tmp_path):
    path = write(tmp_path, "[profile.x]\n")
    path.chmod(0o666)
    with pytest.raises(UserError, match="could be changed by others"):
        profiles.read("x", {"XDG_CONFIG_HOME": str(path.parents[1])})


def test_no_file_is_told(tmp_path, env):
    (tmp_path / "config" / "tarragon" / "config.toml").unlink()
    assert "there is no file of profiles" in run(env, "@home", "backup", status=23).stderr


# -- config check, config show ----------------------------------------------------------------------------------------


def test_a_good_file_is_good(env):
    assert "2 profiles, 0 problems" in run(env, "config", "check").stdout


def test_everything_that_is_wrong_is_shown(env, tmp_path):
    write(
        tmp_path,
        f"""
[profile.a.options]
volsiz = 3
volsise = 3
[profile.b.options]
volsize = "much"
[profile.c]
source = "{tmp_path}/source"
select = ["- /elsewhere"]
[profile.d]
sorce = "x"
tarket = "y"
[profile."e f"]
""",
    )
    ended = run(env, "config", "check", status=23)
    for part in ("@a: there is no option --volsi", "@b: --volsize needs a whole number", "@c: '/elsewhere' cannot",
                 "@d: there is no 'sorce'", "@d: there is no 'tarket'", "@e f: its name"):  # fmt: skip
        assert part in ended.stderr
    assert "5 profiles, 6 problems" in ended.stdout


def test_what_a_profile_stands_for_is_shown(env, tmp_path):
    shown = run(env, "config", "show").stdout
    assert f"target: file://{tmp_path}/target" in shown
    assert "--volsize=7" in shown
    assert f"--exclude={tmp_path}/source/k*" in shown


def test_config_without_a_word_says_what_it_takes(env):
    assert "hint: tarragon config check" in run(env, "config", status=23).stderr
