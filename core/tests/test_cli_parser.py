"""Option values: the passes, the values' types, and options of packages that are not in use or not there."""

from __future__ import annotations

import pickle
import sys

import pytest
from stevedore import ExtensionManager
from stevedore import _cache as stevedore_cache
from tarragon.api import AmbiguousOption, BadOption, Option, PluginError
from tarragon.cli.in_use import InUse, wanted
from tarragon.cli.log import make_log
from tarragon.cli.parser import CORE, grammar_of, parse, times_read
from tarragon.plugin.hub import Hub
from tarragon.settings import Options, defaults

NOW = 1_700_000_000

PLUGIN = """
from tarragon.api import Option, hookimpl
TARRAGON_API = (0, 1)

@hookimpl
def options():
    return (
        Option(flag="--azure-blob-tier", help="storage tier"),
        Option(flag="--cloud-speed", type=int, default=7, env="CLOUD_SPEED", help="speed", aliases=("--cs",)),
        Option(flag="--cloud-key", secret=True, help="key"),
        Option(flag="--skip-rain", action="select", nargs=0, help="leave out what is wet"),
        Option(flag="--ssh-options", action="append", help="words for ssh"),
    )
"""
ENTRY_POINTS = """
[tarragon.backend]
cloud = cloud_store.plugin
[tarragon.filter]
skip-rain = cloud_store.plugin
"""


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """An installed package with a backend, a filter and options."""
    _install(tmp_path, "cloud_store", PLUGIN, ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    # stevedore scans once per process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.setattr(stevedore_cache._c, "_internal", {})
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_store")]:
        del sys.modules[name]


def _install(folder, name, source, entry_points):
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "plugin.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


EXTENDED = """
from tarragon.api import Extension, hookspec
TARRAGON_API = (0, 1)

class BoxHooks:
    @hookspec
    def box_size(self):
        "How big."

def more_hooks():
    return [Extension(BoxHooks, "box_store.extension")]
"""
EXTENSION = """
from tarragon.api import Option, hookimpl
TARRAGON_API = (0, 1)

@hookimpl
def options():
    return (Option(flag="--box-size", type=int, default=3, help="how big"),)

@hookimpl
def box_size():
    return 3
"""


@pytest.fixture
def boxes(cloud):
    """An installed package with a backend that is extended by another package."""
    _install(cloud, "box_store", EXTENDED, "[tarragon.backend]\nbox = box_store.plugin\n")
    _install(cloud, "size_store", EXTENSION, "[box_store.extension]\nsize = size_store.plugin\n")


def test_a_url_brings_the_options_of_what_extends_its_backend(boxes):
    assert _parsed("box://x").values["box_size"] == 3
    assert "box_size" not in _parsed("file://x").values
    assert _parsed("box://x --box-size 4").values["box_size"] == 4


def test_an_option_of_an_extension_is_known_without_its_url(boxes):
    assert _parsed("file://x --box-size 4").values["box_size"] == 4


@pytest.mark.requirement("R65")
def test_a_broken_extension_is_left_out_and_what_it_extends_works(boxes, cloud, caplog):
    (cloud / "size_store" / "plugin.py").write_text("import no_such_library\n")
    assert "box_size" not in _parsed("box://x").values
    assert "extension 'size'" in caplog.text


def _parsed(line, env=None, words=()):
    words = [*line.split(), *words]
    in_use = InUse(Hub(), make_log())
    in_use.choose(words, grammar_of(CORE))
    return parse(words, in_use, env or {})


def test_options_of_the_core_have_their_types():
    values = _parsed("--volsize 25 --rename a b --rename c d -r x/y --no-compression --full-if-n-inc 3").values
    assert values["volsize"] == 25
    assert values["rename"] == ((b"a", b"b"), (b"c", b"d"))
    assert values["path_to_restore"] == b"x/y"
    assert values["compression"] is False
    assert values["encryption"] is True
    assert values["concurrency"] is None
    assert values["full_if_n_inc"] == 3


@pytest.mark.parametrize(
    ("line", "on"),
    [("", True), ("--no-encryption", False), ("--no-enc --encryption", True), ("--encryption --no-enc", False)],
)
def test_of_a_positive_and_a_negative_flag_the_last_counts(line, on):
    assert _parsed(line).values["encryption"] is on


@pytest.mark.parametrize(
    "line",
    [
        "--volsize 1.5",
        "--volsize 1k",
        "--volsize=",
        "--metadata-sync-mode some",
        "--time-separator xx",
        "--time-separator=",
        "--concurrency two",
        "--current-time now",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_the_option_and_the_value(line):
    with pytest.raises(BadOption) as caught:
        _parsed(line)
    assert caught.value.exit_code == 23
    assert line.split()[0].split("=")[0] in caught.value.message


def test_paths_are_expanded_and_names_are_not(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DISK", "/mnt")
    values = _parsed("--archive-dir ~/cache --tempdir $DISK/t --name ~x").values
    assert (values["archive_dir"], values["tempdir"], values["name"]) == ("/home/me/cache", "/mnt/t", "~x")


def test_times_become_seconds_whatever_stands_where():
    parsed = times_read(_parsed("-t 2002-01-25T07_00_00Z --time-separator _ --full-if-older-than 3D"), NOW)
    assert parsed.values["restore_time"] == 1011942000
    assert parsed.values["full_if_older_than"] == NOW - 3 * 86400
    with pytest.raises(BadOption, match="'soon'"):
        times_read(_parsed("--time soon"), NOW)


@pytest.mark.parametrize(
    "old", ["--file-to-restore x --do-not-restore-ownership", "--file-to-restore=x --do-not-restore-ownership"]
)
def test_old_names_are_accepted_with_a_warning(old):
    parsed = _parsed(old)
    assert parsed.values["path_to_restore"] == b"x"
    assert parsed.values["restore_ownership"] is False
    assert len(parsed.remarks) == 2


def test_old_names_must_be_written_out():
    assert _parsed("--file-to x").rest == ["--file-to", "x"]


@pytest.mark.parametrize("flag", ["--gio", "--use-scp", "--asynchronous-upload"])
def test_words_without_a_use_are_accepted_with_a_remark(flag):
    assert [remark for remark in _parsed(flag).remarks if flag in remark]


def test_an_option_of_a_package_that_is_not_installed_names_the_package():
    with pytest.raises(BadOption, match="--azure-blob-tier belongs to tarragon-azure") as caught:
        _parsed("--azure-blob Cool full a b")
    assert caught.value.hint == "pip install tarragon-azure"


def test_an_option_of_an_installed_package_is_read_though_its_scheme_is_not_on_the_line(cloud):
    parsed = _parsed("--azure-blob-tier Cool full a file:///b")
    assert parsed.values["azure_blob_tier"] == "Cool"
    assert parsed.rest == ["full", "a", "file:///b"]


def test_options_of_a_plugin_in_use_are_read_with_their_types_and_aliases(cloud):
    values = _parsed("--cs 9 full a cloud://b --cloud-key x").values
    assert (values["cloud_speed"], values["cloud_key"]) == (9, "x")


def test_a_secret_value_is_told_so_that_the_log_can_hide_it(cloud):
    assert _parsed("cloud://b --cloud-key x").secrets == ["x"]


def test_the_environment_gives_a_value_and_the_line_wins(cloud):
    assert _parsed("cloud://b", {"CLOUD_SPEED": "3"}).values["cloud_speed"] == 3
    assert _parsed("cloud://b --cs 4", {"CLOUD_SPEED": "3"}).values["cloud_speed"] == 4
    assert _parsed("cloud://b").values["cloud_speed"] == 7


def test_selection_options_keep_their_order(cloud):
    assert _parsed("--skip-rain a --skip-rain cloud://b").selection == (("skip-rain", None), ("skip-rain", None))


def test_what_is_installed_never_changes_what_a_short_form_means(cloud):
    """--c could be --cloud-speed now, and --skip-r --skip-rain; duplicity's own come first."""
    with pytest.raises(AmbiguousOption) as caught:
        _parsed("--c 3 cloud://b")
    assert "--cloud-speed" not in caught.value.message
    assert _parsed("--skip-i cloud://b").values["skip_if_no_change"] is True
    assert _parsed("--cloud-s 3 cloud://b").values["cloud_speed"] == 3


def test_values_for_another_program_lose_their_quotes_and_may_begin_with_a_dash(cloud):
    words = [
        "cloud://b",
        "--ssh-options",
        "-oIdentityFile=/k",
        "--ssh-options",
        "'-i x'",
        "--ssh-options",
        "\"'-p 2'\"",
    ]
    assert _parsed("", words=words).values["ssh_options"] == ("-oIdentityFile=/k", "-i x", "-p 2")


def test_two_packages_with_one_flag_are_both_named(cloud):
    _install(cloud, "other_store", PLUGIN, "[tarragon.backend]\nother = other_store.plugin\n")
    with pytest.raises(PluginError, match="cloud-store and other-store both claim --azure-blob-tier"):
        _parsed("cloud://a other://b")


def test_a_broken_package_is_left_out_with_a_warning_and_hurts_no_other(cloud, capsys):
    _install(cloud, "broken_store", "import nothing_like_this", "[tarragon.backend]\nbroken = broken_store.plugin\n")
    assert _parsed("--azure-blob-tier Cool").values["azure_blob_tier"] == "Cool"
    assert "broken_store" in capsys.readouterr().out


def test_a_scheme_that_is_not_installed_is_no_error_yet():
    assert _parsed("nowhere://b --name nothing://x").values["name"] == "nothing://x"


@pytest.mark.parametrize(
    ("line", "plugins"),
    [
        ("", {("compressor", "gzip"), ("cipher", "gpg"), ("stats", "text")}),
        ("--no-enc --no-compr", {("compressor", "none"), ("cipher", "none"), ("stats", "text")}),
        (
            "--use-gpgsm --jsonstat",
            {("compressor", "gzip"), ("cipher", "gpgsm"), ("stats", "text"), ("stats", "jsonstat")},
        ),
        ("--exclude-if x --executor=threads", {("filter", "exclude-if-present"), ("executor", "threads")}),
        ("--stats prometheus", {("stats", "prometheus")}),
    ],
)
def test_the_words_alone_choose_the_plugins(line, plugins):
    assert plugins <= set(wanted(line.split(), grammar_of(CORE)))


def test_help_asks_for_a_page_and_wins_over_bad_values():
    assert _parsed("--volsize x --help").page == "--help"
    assert _parsed("full -h --name").page == "-h"
    assert _parsed("--help-inc").page == "--help-inc"


def test_options_name_the_package_of_what_is_not_in_use():
    options = Options({"volsize": 200}, {"azure_blob_tier": "tarragon-azure"})
    assert options.volsize == 200
    with pytest.raises(AttributeError, match="tarragon-azure, which is not in use"):
        _ = options.azure_blob_tier
    with pytest.raises(AttributeError, match="no option 'nothing'"):
        _ = options.nothing
    with pytest.raises(AttributeError, match="read-only"):
        options.volsize = 3


def test_options_can_be_sent_to_a_worker():
    options = Options(_parsed("--volsize 3").values, {"x": "tarragon-x"})
    again = pickle.loads(pickle.dumps(options))
    assert {name: getattr(again, name) for name in again} == {name: getattr(options, name) for name in options}


def test_the_default_of_a_flag_that_says_nothing_is_what_the_flag_changes():
    flags = [
        Option(flag="--fast", help="", action="flag"),
        Option(flag="--no-slow", help="", action="flag", const=False, dest="slow"),
        Option(flag="--mode", help="", action="flag", const="x", dest="mode"),
        Option(flag="--word", help="", action="append"),
        Option(flag="--pick", help="", action="select"),
    ]
    assert defaults(flags) == {"fast": False, "slow": True, "mode": None, "word": ()}


def test_no_default_is_missing():
    assert set(defaults(option for option, _ in CORE.values())) == set(
        _parsed("--no-encryption --no-compression").values
    ) & {option.name for option, _ in CORE.values()}
