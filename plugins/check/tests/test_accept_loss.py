"""accept-loss: the real program, with sets that vanish from the target."""

from __future__ import annotations

import pytest
from tarragon.cli.main import main

START = 1_700_000_000
OLD, NEW = "full-20231114T221320Z", "full-20231115T221320Z"


@pytest.fixture
def box(tmp_path, monkeypatch):
    """Three full sets, of which the two newest have vanished."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").write_text("content")
    for day in (0, 1, 2):
        options = ["--no-encryption", "--no-print-statistics", "--concurrency", "0", "-v1"]
        assert main(["full", *options, "--current-time", str(START + day * 86400), "src", "file://box"]) == 0
    for pattern in ("*20231115*", "*20231116*"):
        for path in (tmp_path / "box").glob(pattern):
            path.unlink()
    return tmp_path / "box"


@pytest.mark.requirement("R13")
def test_an_alarm_stands_until_it_is_accepted(box, capsys):
    assert main(["check", "file://box"]) == 102
    assert main(["check", "file://box"]) == 102
    assert main(["accept-loss", "file://box"]) == 102
    assert main(["accept-loss", "--force", "--dry-run", "file://box"]) == 102
    assert main(["check", "file://box"]) == 102
    capsys.readouterr()
    assert main(["accept-loss", "--force", "file://box"]) == 0
    assert capsys.readouterr().out.count("accepted: ") == 2
    assert main(["check", "file://box"]) == 0
    assert main(["accept-loss", "file://box"]) == 0
    assert "there is no alarm" in capsys.readouterr().out


def test_one_set_may_be_accepted_and_the_other_alarm_stays(box):
    assert main(["accept-loss", "--force", NEW, "file://box"]) == 102
    assert main(["accept-loss", "--force", NEW, "file://box"]) == 23
    assert main(["accept-loss", "--force", "file://box"]) == 0


def test_a_set_without_an_alarm_is_refused_and_nothing_accepted(box):
    assert main(["accept-loss", "--force", NEW, OLD, "file://box"]) == 23
    assert main(["check", "file://box"]) == 102


def test_nothing_at_the_target_is_changed(box):
    before = {path.name: path.read_bytes() for path in box.iterdir()}
    main(["accept-loss", "--force", "file://box"])
    assert {path.name: path.read_bytes() for path in box.iterdir() if "lease" not in path.name} == before
