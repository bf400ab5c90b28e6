"""Awkward surroundings: no terminal, no home, no room, few open files, a wrong locale, streams that are closed.

Only what truly cannot work fails, and then it says what happened and what can be done.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from programs import IS_ROOT, Answer
from sites import Site

#: The only variables that a program may need: where other programs are.
BARE = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
NAME = b"caf\xe9"  # not UTF-8


def plain(site: Site, *words: str | Path, env: dict[str, str], prefix: tuple[str, ...] = (), shell: str = "") -> Answer:
    """Run in an environment that holds only ``env``; ``shell`` is what a shell puts behind the line."""
    command = [*prefix, site.program.command, *map(str, words)]
    if shell:
        command = ["bash", "-o", "pipefail", "-c", f'"$@" {shell}', "bash", *command]
    ended = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return Answer(tuple(command), ended.returncode, ended.stdout, ended.stderr)


def told(answer: Answer) -> bool:
    """It says what can be done, and shows nothing of our insides."""
    return "hint: " in answer.text and "Traceback" not in answer.text


@pytest.fixture
def small() -> Iterator[Callable[[Path, str], Path]]:
    """Mounts small file systems."""
    made: list[Path] = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tarragon-test", str(place)]
        if not IS_ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("cannot mount a small file system here")
        made.append(place)
        return place

    yield mount
    for place in made:
        subprocess.run(["umount", "-l", str(place)], check=True)


# no terminal, no home


def test_without_a_terminal_a_passphrase_is_an_error_that_says_how_to_give_it(site: Site) -> None:
    site.options = ()
    answer = site.backup()
    assert answer.status == 30, answer
    assert told(answer), answer
    assert "PASSPHRASE" in answer.text


def test_without_a_home_the_users_folder_is_asked_of_the_system(site: Site, tmp_path: Path) -> None:
    """HOME unset is what cron and systemd may give."""
    env = BARE | {"XDG_CACHE_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    answer = plain(site, "full", "--no-encryption", site.source, site.url, env=env)
    assert answer.status == 0, answer


@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/none"])
def test_with_a_home_that_cannot_be_used_a_backup_says_what_can_be_set(site: Site, place: str) -> None:
    answer = plain(site, "full", "--no-encryption", site.source, site.url, env=BARE | {"HOME": place})
    assert answer.status == 30, answer
    assert told(answer), answer
    assert "XDG_" in answer.text


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/none"])
def test_with_a_home_that_cannot_be_used_everything_can_still_be_read(site: Site, place: str) -> None:
    """A rescue system: the disk has died, and nothing can be written but the place to restore to."""
    site.write("folder/c", b"x")
    assert site.backup().status == 0
    env = BARE | {"HOME": place}
    for words in (["collection-status", site.url], ["list-current-files", site.url], ["verify", site.url, site.source]):
        answer = plain(site, "--no-encryption", *words, env=env)
        assert answer.status == 0, answer
    answer = plain(site, "restore", "--no-encryption", site.url, site.out, env=env)
    assert answer.status == 0, answer
    assert (site.out / "a").read_bytes() == b"first"
    assert "temporary folder" in answer.text


def test_a_cache_that_became_read_only_is_no_obstacle_to_a_restore(
    site: Site, small: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    cache = small(tmp_path / "cache", "size=4m")
    site.environment = {"XDG_CACHE_HOME": str(cache)}
    assert site.backup().status == 0
    subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True)
    assert site.is_restored()
    site.write("a", b"changed")
    answer = site.backup("incremental")
    assert answer.status == 30, answer
    assert "read-only" in answer.text.lower()


def test_a_state_that_cannot_be_written_says_what_can_be_set(site: Site) -> None:
    site.environment = {"XDG_STATE_HOME": "/proc/none"}
    answer = site.backup()
    assert answer.status == 30, answer
    assert told(answer), answer
    assert "XDG_STATE_HOME" in answer.text


# the temporary folder


def test_a_temporary_folder_that_is_missing_is_named(site: Site) -> None:
    site.environment = {"TMPDIR": "/no/where"}
    answer = site.backup()
    assert answer.status == 30, answer
    assert told(answer), answer
    assert "/no/where" in answer.text
    assert "--tempdir" in answer.text


def test_a_full_temporary_folder_ends_a_backup_before_it_begins(
    site: Site, small: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    site.environment = {"TMPDIR": str(small(tmp_path / "tmp", "size=256k"))}
    answer = site.backup()
    assert answer.status == 35, answer
    assert told(answer), answer
    assert site.names() == []


def test_a_small_temporary_folder_is_enough_for_one_volume_after_the_other(
    site: Site, small: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    site.write("big", os.urandom(5_000_000))
    site.environment = {"TMPDIR": str(small(tmp_path / "tmp", "size=4m"))}
    answer = site.backup("full", "--volsize", "1")
    assert answer.status == 0, answer
    assert "one volume at a time" in answer.text
    assert site.is_restored()
    answer = site.backup("full", "--volsize", "1", "--concurrency", "2")
    assert answer.status == 35, "what was asked for is not changed behind the user's back"


# open files


@pytest.mark.parametrize("limit", [32, 64])
def test_few_open_files_are_enough(site: Site, limit: int) -> None:
    """duplicity asks for 1024."""
    for number in range(60):
        site.write(f"many/{number}", b"x" * number)
    site.prefix = ("prlimit", f"--nofile={limit}")
    assert site.backup().status == 0
    for number in range(3):
        site.write("a", b"%d" % number)
        assert site.backup("incremental").status == 0
    assert site.restore().status == 0


def test_fewer_than_can_work_are_an_error_of_its_own(site: Site) -> None:
    """The interpreter alone needs about ten."""
    statuses = []
    for limit in range(10, 24):
        site.prefix = ("prlimit", f"--nofile={limit}")
        answer = site.backup()
        statuses.append(answer.status)
        if answer.status == 37:
            assert told(answer), answer
            assert "ulimit -n" in answer.text
    assert 37 in statuses, statuses
    assert set(statuses) <= {0, 37, 100}, "100: a file that could not be opened was named"


# locales


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.UTF-8", "de_DE.ISO-8859-1", "C.UTF-8"])
def test_any_locale_stores_and_lists_names_as_they_are(site: Site, locale: str) -> None:
    odd = os.fsencode(site.source) + b"/" + NAME
    with open(odd, "wb") as file:
        file.write(b"x")
    site.write("ünï", b"y")
    site.environment = {"LC_ALL": locale, "LANG": locale}
    answer = site.backup("full", "-v5")
    assert answer.status == 0, answer
    listed = site.run("list-current-files", site.url).out
    assert NAME + b"\n" in listed
    assert "ünï\n".encode() in listed
    words = [site.program.command, "restore", "--no-encryption", "-r", NAME, site.url, str(site.out)]
    env = site.home.environment() | site.environment
    assert subprocess.run(words, env=env, capture_output=True, timeout=60, check=False).returncode == 0
    assert site.out.read_bytes() == b"x"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_name_that_is_not_utf_8_can_stand_in_an_error(site: Site, locale: str) -> None:
    site.environment = {"LC_ALL": locale}
    assert site.backup().status == 0
    env = site.home.environment() | site.environment
    words = [site.program.command, "restore", "--no-encryption", "-r", NAME, site.url, str(site.out)]
    ended = subprocess.run(words, env=env, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 19
    assert b"is not in the backup" in ended.stderr
    words = [site.program.command, "full", "--no-encryption", b"/no/" + NAME, site.url]
    ended = subprocess.run(words, env=env, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, b"Traceback" in ended.stderr) == (23, False)
    assert b"/no/caf" in ended.stderr


# streams


def test_a_reader_that_has_read_enough_is_no_error(site: Site) -> None:
    for number in range(2000):
        (site.source / f"file{number:04}{'x' * 60}").touch()
    env = site.home.environment()
    answer = plain(site, "full", "--no-encryption", "-v5", site.source, site.url, env=env, shell="| head -1")
    assert (answer.status, answer.err) == (0, b""), answer
    assert site.is_restored()
    answer = plain(site, "ls", "--no-encryption", site.url, env=env, shell="| head -1")
    assert (answer.status, answer.out.count(b"\n"), answer.err) == (0, 1, b""), answer


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_backup_with_closed_streams_is_whole(site: Site, closed: str) -> None:
    """No file of ours may come to stand in the place of a closed stream, and be written into."""
    env = site.home.environment() | {"PASSPHRASE": "a secret"}
    answer = plain(site, "full", "--concurrency", "2", site.source, site.url, env=env, shell=closed)
    assert answer.status == 0, answer
    site.options, site.environment = (), {"PASSPHRASE": "a secret"}
    assert site.is_restored()


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_an_error_that_nobody_can_read_still_has_its_status(site: Site, closed: str) -> None:
    assert plain(site, "restore", env=site.home.environment(), shell=closed).status == 23


def test_a_terminal_that_cannot_be_written_to_ends_no_backup(site: Site) -> None:
    env = site.home.environment()
    answer = plain(site, "full", "--no-encryption", "-v9", site.source, site.url, env=env, shell="> /dev/full")
    assert answer.status == 0, answer
    assert site.is_restored()


def test_what_cannot_be_shown_whole_is_not_called_well(site: Site) -> None:
    env = site.home.environment()
    assert plain(site, "full", "--no-encryption", site.source, site.url, env=env).status == 0
    full, whole = "> /dev/full", ["--no-encryption", site.url]
    for line, shell in (
        (["ls", *whole], full),
        (["ls", "--json", *whole], full),
        (["ls", "--compat-exit", *whole], full),
        (["ls", "--log-file=/dev/full", *whole], ""),
        (["collection-status", *whole], full),
        (["full", "--dry-run", "--no-encryption", site.source, "file://other"], full),
    ):
        answer = plain(site, *line, env=env, shell=shell)
        assert answer.status == 30, answer
        assert b"could not be written whole: No space left on device\nhint: " in answer.err
        assert b"Traceback" not in answer.err


# the configuration


def test_a_configuration_with_errors_says_where(site: Site) -> None:
    folder = site.home.folder / "config" / "tarragon"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[profile.x]\nsource = /home\n")
    answer = site.run("@x", "backup")
    assert answer.status != 0
    (folder / "config.toml").chmod(0o600)
    answer = site.home.run(site.program, "@x", "backup")
    assert answer.status == 23, answer
    assert told(answer), answer
    assert "line 2" in answer.text
    assert site.backup().status == 0, "it is nothing to who does not use it"


# everything that ends a run


def test_every_kind_of_error_has_something_that_can_be_done() -> None:
    """By class, where the place that raises it says nothing better: nobody is left with a bare message."""
    from tarragon.api import TarragonError, errors
    from tarragon.cli.failure import hint_of

    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, TarragonError)]
    assert len(classes) > 30
    for kind in classes:
        err = kind("x", number=14) if kind is errors.SelectionError else kind("x")
        assert hint_of(err), kind
        assert not re.search(r"[.]$", hint_of(err)), "as all hints: no dot at its end"


def test_errors_go_to_standard_error_and_nothing_else_does(site: Site) -> None:
    assert site.backup().err == b""
    answer = site.run("restore", site.url, site.source)
    assert answer.status == 11
    assert b"not an empty folder" in answer.err
    assert b"not an empty folder" not in answer.out


def test_the_interpreter_of_the_tests_is_the_programs(site: Site) -> None:
    """What the tests of this page say of few open files is about this very interpreter."""
    assert Path(site.program.command).parent == Path(sys.executable).parent


@pytest.mark.requirement("R63")
@pytest.mark.parametrize("room_kib", [1800, 2800, 3600, 5000, 9000])
def test_a_restore_with_little_temporary_room_opens_one_volume_at_a_time_or_says_what_is_full(
    room_kib: int, site: Site, small: Callable[[Path, str], Path]
) -> None:
    """The folder to restore to has room: the two are never taken for each other."""
    site.options, site.environment = (), {"PASSPHRASE": "pass phrase"}
    for name in "efghijkl":
        site.write(name, Random(name).randbytes(600_000) + bytes(400_000))
    assert site.backup("full", "--volsize", "1").status == 0
    site.options = ("--tempdir", str(small(site.place / "tight", f"size={room_kib}k")))
    if room_kib > 2000:
        assert site.is_restored()
        return
    answer = site.restore()
    assert answer.status == 35, answer
    assert "--tempdir" in answer.text
    assert f"no room in '{site.place / 'tight'}" in answer.text
    assert "folder to restore to" not in answer.text


@pytest.mark.requirement("R39")
def test_a_cache_that_others_can_look_into_is_told(site: Site) -> None:
    """duplicity makes its own so; a run goes on all the same."""
    assert "others can look" not in site.backup("full").text
    (folder,) = (site.home.folder / "cache" / "duplicity").iterdir()
    folder.chmod(0o755)
    answer = site.backup("incremental")
    assert answer.status == 0, answer
    assert f"chmod 700 '{folder}'" in answer.text
