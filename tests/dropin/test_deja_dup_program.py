"""Deja Dup itself (44.0 of Debian), on a screen that nobody sees, backs up with ours and restores a file.

Its window is driven by the places of its buttons, so this runs only where it is asked for: TARRAGON_DEJA_DUP=1, with
the packages deja-dup, xvfb, xauth, xdotool and dbus. ``gio+`` has no package yet: a command in front takes it off.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import programs
import pytest
from pair import DROP_IN

NEEDED = ("deja-dup", "xvfb-run", "xdotool", "dbus-run-session", "gsettings")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("TARRAGON_DEJA_DUP") != "1", reason="TARRAGON_DEJA_DUP=1 asks for it"),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}"),
]

IN_FRONT = """#!/usr/bin/python3
import json, subprocess, sys
words = [word.removeprefix("gio+") for word in sys.argv[1:]]
ended = subprocess.run(["{ours}", *words], close_fds=False)
with open("{calls}", "a") as file:
    file.write(json.dumps([sys.argv[1:], ended.returncode]) + "\\n")
sys.exit(ended.returncode)
"""
# Forward through the folders and the place, a password twice, Forward; then it works until its window closes.
# To restore what was lost: Forward through date and place, Restore, the password, Forward; a last page stays.
SESSION = """
gsettings set org.gnome.DejaDup backend local
gsettings set org.gnome.DejaDup.Local folder {backup}
gsettings set org.gnome.DejaDup include-list "['{files}']"
gsettings set org.gnome.DejaDup exclude-list "[]"
gsettings set org.gnome.DejaDup prompt-check disabled
calls() {{ for i in $(seq 120); do [ "$(wc -l < {calls})" -ge "$1" ] && break; sleep 0.5; done; sleep 4; }}
click() {{ xdotool mousemove "$1" "$2" click 1; sleep 4; }}
deja-dup --backup &
calls 1; sleep 6
click 390 28; click 390 28
calls 2
xdotool type secret; sleep 1; click 120 208; xdotool type secret; sleep 1
click 390 28
for i in $(seq 240); do kill -0 $! 2>/dev/null || break; sleep 0.5; done
kill $! && exit 1
rm {files}/letter
deja-dup --restore {files}/letter &
calls 9
click 390 28; click 390 28; click 390 28
calls 10
xdotool type secret; sleep 1; click 390 28
for i in $(seq 120); do [ "$(wc -l < {calls})" -ge 12 ] && break; sleep 0.5; done
kill $!; exit 0
"""


def test_deja_dup_makes_its_first_backup_and_restores_a_file(tmp_path: Path, real: programs.Program) -> None:
    with programs.Household() as home:
        files, backup, calls = home.folder / "files", tmp_path / "backup", tmp_path / "calls"
        files.mkdir()
        backup.mkdir()
        calls.touch()
        (files / "letter").write_text("dear all\n")
        (tmp_path / "bin").mkdir()
        front = tmp_path / "bin" / "duplicity"
        front.write_text(IN_FRONT.format(ours=DROP_IN.command, calls=calls))
        front.chmod(0o755)
        runtime = home.folder / "run"
        runtime.mkdir(mode=0o700)
        env = home.environment() | {
            "PATH": f"{front.parent}:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(runtime),
            "GSETTINGS_BACKEND": "keyfile",
            "NO_AT_BRIDGE": "1",
        }
        session = SESSION.format(backup=backup, files=files, calls=calls)
        command = ["xvfb-run", "-a", "-s", "-screen 0 1000x800x24", "dbus-run-session", "--", "bash", "-c", session]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=400, check=False)
        made = [json.loads(line) for line in calls.read_text().splitlines()]
        assert ended.returncode == 0, (ended.stdout, ended.stderr, made)
        actions = [next(word for word in words if not word.startswith("--log-fd")) for words, _ in made]
        backed_up = ["--version", "collection-status", "full", "full", "collection-status", "restore"]
        looked = ["--version", "collection-status", "list-current-files", "collection-status", "collection-status"]
        assert actions == [*backed_up, *looked, "restore"]
        assert [status for _, status in made] == [0] * 12
        assert f"--file-to-restore={str(files)[1:]}/letter" in made[-1][0]
        assert (files / "letter").read_text() == "dear all\n"
        # What it made is a backup that the original reads.
        out = tmp_path / "out"
        words = ["restore", f"--path-to-restore={str(files)[1:]}", f"file://{backup}", out]
        assert home.run(real, *words, env={"PASSPHRASE": "secret"}).status == 0
        assert (out / "letter").read_text() == "dear all\n"
