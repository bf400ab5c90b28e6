"""Secrets from the environment, a file, a descriptor or a command (docs/cli.md § 4, docs/secrets.md)."""

from __future__ import annotations

import os
import sys

import pytest
from tarragon.api import UserError
from tarragon.cli.log import make_log
from tarragon.cli.parser import CORE, parse
from tarragon.run.context import Context
from tarragon.run.environment import NAMES, Environment
from tarragon.settings import Options, Settings


class Nothing:
    def options(self):
        return {}

    def ask_all(self):
        pass


def given(*words, variables=None):
    parsed = parse(words, Nothing(), {})
    return Environment(variables or {}, Options(parsed.values), make_log(0))


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(b"open sesame\nnot this\n")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_comes_from_the_first_line_of_a_file(name, secret_file):
    env = given(f"--{NAMES[name].replace('_', '-')}-file={secret_file}", variables={name: "other"})
    assert name in env
    assert env[name] == "open sesame"


def test_a_secret_comes_from_a_descriptor_which_is_closed_then():
    reading, writing = os.pipe()
    os.write(writing, b"open ")
    os.write(writing, b"sesame\n")
    env = given(f"--passphrase-fd={reading}")
    assert (env["PASSPHRASE"], env["PASSPHRASE"]) == ("open sesame", "open sesame")
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reading)
    os.close(writing)


def test_a_secret_comes_from_a_command_that_is_run_without_a_shell_and_without_secrets():
    code = "import os; print(os.environ.get('SIGN_PASSPHRASE'), os.environ.get('FTP_PASSWORD'), '$HOME;')"
    env = given(
        f'--passphrase-command={sys.executable} -c "{code}"', variables={"SIGN_PASSPHRASE": "x", "FTP_PASSWORD": "y"}
    )
    assert env["PASSPHRASE"] == "None None $HOME;"


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    mark = tmp_path / "ran"
    env = given(f"--passphrase-command=touch {mark}")
    assert "PASSPHRASE" in env
    assert (dict(env), mark.exists()) == ({}, False)
    with pytest.raises(UserError, match="is empty"):
        env["PASSPHRASE"]
    assert mark.exists()


@pytest.mark.requirement("R24")
def test_passphrases_answer_by_name_and_are_in_no_copy(secret_file):
    variables = {"PASSPHRASE": "a", "SIGN_PASSPHRASE": "b", "PATH": "/bin"}
    env = given(f"--backend-password-file={secret_file}", variables=variables)
    assert dict(env) == {"PATH": "/bin"}
    assert len(env) == 1
    assert [env.get(name) for name in NAMES] == ["a", "b", "open sesame"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--passphrase-file=/no/where"], "cannot be read: No such file"),
        (["--passphrase-file=/"], "cannot be read: Is a directory"),
        (["--passphrase-fd=987"], "cannot be read: Bad file"),
        (["--passphrase-fd=-1"], "cannot be read"),
        (["--passphrase-fd=99999999999999999999"], "cannot be read"),
        (["--passphrase-command=/no/where x"], "'/no/where' cannot be run"),
        (["--passphrase-command=false"], "'false' ended with status 1"),
        (["--passphrase-command=true"], "is empty"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_user_error(words, what):
    env = given(*words)
    with pytest.raises(UserError, match=what):
        env["PASSPHRASE"]


def test_two_places_for_one_secret_are_one_too_many(secret_file):
    with pytest.raises(UserError, match="--passphrase-file and --passphrase-fd cannot be given together"):
        given(f"--passphrase-file={secret_file}", "--passphrase-fd=3")


@pytest.mark.parametrize("words", [["--passphrase-command="], ["--passphrase-command='"], ["--passphrase-fd=x"]])
def test_a_value_that_means_nothing_is_a_bad_option(words):
    with pytest.raises(UserError, match="needs"):
        given(*words)


@pytest.mark.requirement("R39")
def test_a_file_that_others_can_read_is_told(secret_file, capsys):
    secret_file.chmod(0o644)
    parsed = parse([f"--passphrase-file={secret_file}"], Nothing(), {})
    env = Environment({}, Options(parsed.values), make_log(3))
    assert env["PASSPHRASE"] == "open sesame"
    assert "can be read by others" in capsys.readouterr().out


def test_what_was_read_never_shows(secret_file, capsys):
    log = make_log(3)
    parsed = parse([f"--passphrase-file={secret_file}"], Nothing(), {})
    env = Environment({}, Options(parsed.values), log)
    log.warning("it is %s", env["PASSPHRASE"])
    assert capsys.readouterr().out == "it is ***\n"


def test_every_way_has_its_option():
    ways = {f"--{stem.replace('_', '-')}-{way}" for stem in NAMES.values() for way in ("file", "fd", "command")}
    assert ways <= set(CORE)


def context(*words, **variables):
    parsed = parse(words, Nothing(), {})
    settings = Settings("full", b"src", None, (), Options(parsed.values), (), 0)
    return Context(settings, None, make_log(0), variables)


@pytest.mark.parametrize(
    ("words", "variables", "wanted"),
    [
        ([], {"BACKEND_PASSWORD": "b", "FTP_PASSWORD": "f"}, "b"),
        ([], {"FTP_PASSWORD": "f"}, "f"),
        (["--backend-password-command=echo o"], {"BACKEND_PASSWORD": "b", "FTP_PASSWORD": "f"}, "o"),
        (["--backend-password-command=echo o"], {"FTP_PASSWORD": "f"}, "o"),
    ],
)
def test_the_targets_password_is_looked_for_in_duplicitys_order(words, variables, wanted):
    asked = context(*words, **variables).ask_password("password", env=("BACKEND_PASSWORD", "FTP_PASSWORD"))
    assert asked.reveal() == wanted
