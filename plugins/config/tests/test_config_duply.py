"""config from-duply: duply's conf is read as data, and what it says comes out as a profile that works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
from tarragon_config import duply, profiles

CONF = r"""
# gpg encryption settings
GPG_KEY='0123ABCD'
GPG_KEYS_ENC='0123ABCD, 4567EF01'
GPG_KEY_SIGN="89AB2345"
GPG_PW='open sesame'
GPG_OPTS="--compress-algo=bzip2 --personal-cipher-preferences AES256"
TARGET='sftp://user:topsecret@host:22//backup/$literal'
SOURCE="$HOME/docs"   # with a comment
MAX_AGE=6M
MAX_FULL_BACKUPS=2
MAX_FULLBKP_AGE=1M
DUPL_PARAMS="$DUPL_PARAMS --full-if-older-than $MAX_FULLBKP_AGE "
VOLSIZE=50
DUPL_PARAMS="$DUPL_PARAMS --volsize $VOLSIZE "
DUPL_PARAMS="$DUPL_PARAMS --exclude-if-present .nobackup --ssh-options='-oIdentityFile=/k'"
VERBOSITY=5
TEMP_DIR=/var/tmp
ARCH_DIR=/var/cache/arch
export AWS_PROFILE='mine'
WHEN=$(touch {canary})
NOW=`touch {canary}`
touch {canary}
if true; then touch {canary}; fi
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / ".duply" / "nas"
    folder.mkdir(parents=True)
    (folder / "conf").write_text(CONF.replace("{canary}", str(tmp_path / "canary")))
    (folder / "exclude").write_text("- **/cache\n")
    (folder / "pre").write_text("#!/bin/sh\n")
    return tmp_path


@pytest.fixture
def made(home):
    return duply.profile("nas", {"HOME": str(home)})


def test_what_the_conf_says_comes_over(made, home):
    found = tomllib.loads(made.toml)["profile"]["nas"]
    assert found["source"] == f"{home}/docs"
    assert found["target"] == "sftp://user@host:22//backup/$literal"
    assert found["options"] == {
        "name": "duply_nas",
        "volsize": 50,
        "verbosity": 5,
        "tempdir": "/var/tmp",
        "archive-dir": "/var/cache/arch",
        "gpg-options": "--compress-algo=bzip2 --personal-cipher-preferences AES256",
        "encrypt-key": ["0123ABCD", "4567EF01"],
        "sign-key": "89AB2345",
        "full-if-older-than": "1M",
        "exclude-if-present": ".nobackup",
        "ssh-options": "-oIdentityFile=/k",
        "exclude-filelist": f"{home}/.duply/nas/exclude",
    }
    assert list(found["secrets"]) == ["backend-password", "passphrase"]
    assert list(profiles.problems_of(found)) == []


@pytest.mark.requirement("R37")
def test_nothing_of_the_conf_is_executed(made, home):
    assert not (home / "canary").exists()
    for what in ("'WHEN' needs a shell", "'NOW' needs a shell", "'touch' needs a shell", "'if' needs a shell"):
        assert any(what in note for note in made.notes), made.notes


def test_what_cannot_be_carried_over_is_named(made):
    notes = "\n".join(made.notes)
    assert "remove-older-than 6M --force" in notes
    assert "remove-all-but-n-full 2 --force" in notes
    assert "'pre' is not run" in notes
    assert "AWS_PROFILE is exported" in notes
    assert all(f"# {note}" in made.toml for note in made.notes)


@pytest.mark.requirement("R31")
def test_no_password_is_copied(made):
    for secret in ("topsecret", "open sesame", "mine"):
        assert secret not in made.toml
    assert "passphrase stands in duply's conf" in made.toml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=plain", "plain"),
        ("A='sin gle'", "sin gle"),
        ('A="dou ble"', "dou ble"),
        ("A='a'\"b\"c", "abc"),
        (r'A="a\"b\$c"', 'a"b$c'),
        ("A=''", ""),
        ("A=", ""),
        ("A='#no comment' # comment", "#no comment"),
        ("A=a#b", "a#b"),
        ("A='a\nb'", "a\nb"),
        ("B=x\nA=${B}y$B", "xyx"),
        (r"A=a\ b", "a b"),
        ("A=$UNKNOWN", None),
        ("A=`id`", None),
        ("A=$(id)", None),
        ("A=${B:-x}", None),
        ("A=a; rm -rf x", None),
        ("A=a && b", None),
        ('A="$(id)"', None),
    ],
)
def test_a_value_is_what_a_shell_would_make_of_it_or_is_left_out(text, value):
    conf = duply.parsed(text, {})
    assert conf.values.get("A") == value
    if value is not None and "B=" not in text:
        ended = subprocess.run(["sh", "-c", f'{text}\nprintf %s "$A"'], capture_output=True, text=True)
        assert ended.stdout == value


def test_a_profile_without_encryption(tmp_path):
    (tmp_path / "conf").write_text("GPG_KEY='disabled'\nTARGET=file:///x\nSOURCE=/y\n")
    found = tomllib.loads(duply.profile(f"{tmp_path}/", {}).toml)["profile"][tmp_path.name]
    assert found == {"source": "/y", "target": "file:///x", "options": {"name": f"duply_{tmp_path.name}",
                     "encryption": False}}  # fmt: skip


def test_the_profile_works(tmp_path):
    """A backup with the profile that came of it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").write_text("x")
    (tmp_path / "src" / "cache").mkdir()
    folder = tmp_path / ".duply" / "p"
    folder.mkdir(parents=True)
    (folder / "conf").write_text(
        f"GPG_KEY='disabled'\nTARGET='file://{tmp_path}/t'\nSOURCE='{tmp_path}/src'\nVOLSIZE=5\n"
    )
    (folder / "exclude").write_text("- **/cache\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(*words):
        ended = subprocess.run(
            [sys.executable, "-m", "tarragon", *words], env=env, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    place = tmp_path / ".config" / "tarragon"
    place.mkdir(parents=True)
    (place / "config.toml").write_text(run("config", "from-duply", "p"))
    assert "1 profiles, 0 problems" in run("config", "check")
    assert "SourceFiles 2" in run("@p", "backup")
    assert (tmp_path / ".cache" / "duplicity" / "duply_p").is_dir()


def test_a_profile_that_is_not_there_is_told(tmp_path):
    with pytest.raises(duply.UserError, match="there is no profile 'gone'"):
        duply.profile("gone", {"HOME": str(tmp_path)})
