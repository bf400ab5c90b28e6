"""duply from Debian (2.4.1) drives ours: every command that people use, with encryption and signing.

Debian's duply brings duplicity 0.8.22 along; the folder of ours comes first on the path, and duply says which it took.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest

DUPLY = os.environ.get("TARRAGON_DUPLY") or shutil.which("duply")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DUPLY, reason="duply is not here (apt-get install duply, or TARRAGON_DUPLY)"),
]
OURS = Path(sys.executable).parent
PASSWORD = "canary, with 'quotes' & blanks"


def key(home: programs.Household) -> str:
    """A new key with a passphrase; its fingerprint."""
    gpg = ["gpg", "--homedir", str(home.gnupg), "--batch", "--pinentry-mode", "loopback", "--passphrase", PASSWORD]
    subprocess.run(
        [*gpg, "--quick-gen-key", "duply <d@example.org>", "future-default", "default", "never"],
        check=True,
        capture_output=True,
    )
    listed = subprocess.run(
        [*gpg, "--with-colons", "--list-secret-keys"], check=True, capture_output=True, text=True
    ).stdout
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))


class Profile:
    """A duply profile with a source and a target."""

    def __init__(self, home: programs.Household, mode: str) -> None:
        self.home = home
        self.mode = mode
        self.source = home.folder / "src"
        self.target = home.folder / "to"
        (self.source / "etc").mkdir(parents=True)
        (self.source / "etc" / "passwd").write_text("root\n")
        (self.source / "cache").mkdir()
        (self.source / "cache" / "x").write_text("not kept")
        folder = home.folder / ".duply" / "p"
        folder.mkdir(parents=True, mode=0o700)
        quoted = PASSWORD.replace("'", "'\\''")
        lines = [f"TARGET='file://{self.target}'", f"SOURCE='{self.source}'", "MAX_AGE=1M", "MAX_FULL_BACKUPS=1"]
        lines += [f"TEMP_DIR='{home.folder}/tmp'", "VERBOSITY=4", f"GPG_PW='{quoted}'"]
        if mode == "keys":
            name = key(home)
            lines += [f"GPG_KEY='{name}'", f"GPG_KEY_SIGN='{name}'", "GPG_OPTS='--pinentry-mode loopback'"]
        lines += ['DUPL_PARAMS="$DUPL_PARAMS --full-if-older-than 1M --volsize 50"']
        (folder / "conf").write_text("\n".join(lines) + "\n")
        (folder / "conf").chmod(0o600)
        (folder / "exclude").write_text(f"# what is not kept\n\n+ {self.source}/etc\n- {self.source}/cache\n")

    def run(self, *words: str) -> str:
        env = self.home.environment() | {"PATH": f"{OURS}:/usr/bin:/bin"}
        ended = subprocess.run(
            [DUPLY, "p", *words],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )
        text = ended.stdout + ended.stderr
        assert ended.returncode == 0, text
        return text


@pytest.fixture(params=["symmetric", "keys"])
def profile(request: pytest.FixtureRequest) -> Iterator[Profile]:
    with programs.Household() as home:
        yield Profile(home, request.param)


def test_duply_goes_through_the_life_of_a_backup(profile):
    said = profile.run("backup_verify_status_list")
    # It took ours, and not the one that Debian brings along: the version, and what stands beside the volumes.
    assert "Using installed duplicity version 3.2.1," in said
    assert "Warn" not in said.partition("Start running command")[0]
    assert list(profile.target.glob("tarragon.sums.*.gpg"))
    assert "0 difference(s) found" in said
    assert "Found primary backup chain" in said
    assert "etc/passwd" in said
    assert "cache/x" not in said
    assert PASSWORD not in said

    (profile.source / "etc" / "passwd").write_text("root\nnobody\n")
    profile.run("incr")
    assert list(profile.target.glob("duplicity-inc.*.manifest.gpg"))
    fetched, restored = profile.home.folder / "fetched", profile.home.folder / "restored"
    profile.run("fetch", "etc/passwd", str(fetched))
    assert fetched.read_text() == "root\nnobody\n"
    profile.run("restore", str(restored))
    assert (restored / "etc" / "passwd").read_text() == "root\nnobody\n"
    assert not (restored / "cache").exists()

    if profile.mode == "symmetric":
        return  # what follows asks nothing of a passphrase that it does not ask of a key
    said = profile.run("full_purge_purgeFull", "--force")
    assert said.count("Finished state OK") == 3
    assert len(list(profile.target.glob("duplicity-full.*.manifest.gpg"))) == 1
    (profile.target / "duplicity-full.20200101T000000Z.vol1.difftar.gpg").write_bytes(b"left over")
    said = profile.run("cleanup")
    assert "20200101T000000Z.vol1" in said
    profile.run("cleanup", "--force")
    assert not list(profile.target.glob("*20200101*"))
