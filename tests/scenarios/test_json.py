"""``--json``: for every action, whether it goes well or not, standard output is one document that fits the schema."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import CHECKOUT
from sites import Site
from tarragon.cli.words import ACTIONS
from tarragon.plugin import finder

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((CHECKOUT / "docs" / "report.schema.json").read_text())
#: What we write must be in the schema; what others may add within the version need not be.
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a name stands twice in one object: {names}"
    return dict(pairs)


SEEN: set[str] = set()


@pytest.fixture
def report(site: Site) -> Callable[..., dict[str, Any]]:
    """Run an action with ``--json``; its document, checked."""

    def run(*words: str | Path, status: int = 0) -> dict[str, Any]:
        site.now += 1
        answer = site.run(str(words[0]), *words[1:], "--json", "--current-time", str(site.now))
        assert answer.status == status, answer
        document = json.loads(answer.out.decode("utf-8"), object_pairs_hook=unique)
        CHECK.validate(document)
        SEEN.add(document["command"])
        assert document["exit_code"] == answer.status
        assert answer.out.endswith(b"}\n")
        return document

    return run


def test_the_schema_in_the_package_is_the_one_in_the_docs() -> None:
    package = CHECKOUT / "plugins" / "stats" / "src" / "tarragon_stats" / "report.schema.json"
    assert package.read_bytes() == (CHECKOUT / "docs" / "report.schema.json").read_bytes()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_refuses_what_is_not_documented(site: Site, report: Callable[..., Any]) -> None:
    document = report("full", site.source, site.url)
    document["result"]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate(document)


def test_the_way_of_a_repository(site: Site, report: Callable[..., Any]) -> None:
    """Every action of the core, when it goes well."""
    dry = report("full", "--dry-run", site.source, site.url)
    assert [each["path"] for each in dry["result"]["changes"]] == [".", "a", "folder", "folder/b", "z"]
    assert dry["result"]["set"] is None
    full = report("full", site.source, site.url)
    assert full["result"]["statistics"]["new_files"] == 5
    assert full["result"]["set"]["kind"] == "full"
    site.write("a", b"changed")
    inc = report("incremental", site.source, site.url)
    assert inc["result"]["statistics"]["changed_files"] == 1
    assert report("backup", site.source, site.url)["result"]["set"]["kind"] == "inc"
    assert report("verify", "--compare-data", site.url, site.source)["result"]["differences"] == []
    listed = report("list-current-files", site.url)["result"]["entries"]
    assert [each["path"] for each in listed] == [".", "a", "folder", "folder/b", "z"]
    assert report("collection-status", site.url)["result"]["chains"][0]["primary"]
    changed = report("collection-status", "--file-changed", "a", site.url)["result"]["file"]
    assert [each["change"] for each in changed["versions"]] == ["new", "changed"]
    of_set = report("collection-status", "--show-changes-in-set", "1", site.url)["result"]["changes"][0]
    assert of_set["files"] == [{"path": "a", "change": "changed"}]
    dry = report("restore", "--dry-run", "--path-to-restore", "folder", site.url, site.out)["result"]
    assert dry["volumes_needed"]
    assert [each["path"] for each in dry["entries"]] == ["folder", "folder/b"]
    assert not site.out.exists()
    assert report("verify", "--dry-run", site.url, site.source)["result"]["volumes_needed"]
    assert report("restore", site.url, site.out)["result"]["restored"] == 5
    (site.repo / "duplicity-full.20200101T000000Z.vol1.difftar.gz").write_bytes(b"")
    stray = report("cleanup", site.url)
    assert (stray["result"]["dry_run"], len(stray["result"]["objects"])) == (True, 1)
    assert report("cleanup", "--force", site.url)["result"]["dry_run"] is False
    report("full", site.source, site.url)
    assert len(report("remove-all-inc-of-but-n-full", "1", site.url)["result"]["sets"]) == 2
    assert len(report("remove-all-but-n-full", "1", site.url)["result"]["sets"]) == 3
    assert report("remove-older-than", "1s", "--force", site.url)["result"]["dry_run"] is False


def test_the_commands_of_packages(site: Site, report: Callable[..., Any]) -> None:
    report("full", site.source, site.url)
    assert report("check", site.url)["result"]["mode"] == "quick"
    assert report("check", "--full", site.url)["result"]["hash"]["volumes"] == 1
    assert report("check", "--sample", "50", site.url)["result"]["round"]["number"] >= 1
    assert report("check", "--full", "--dry-run", site.url)["result"]["dry_run"]
    assert report("rehearse", "--dry-run", site.url)["result"]["versions"] == []
    assert report("rehearse", site.url)["result"]["versions"][0]["problems"] == {}
    key = report("prune", "--keep-last", "1", site.url)["result"]["kept"][0]
    assert report("prune", "--pin", key, site.url)["result"]["pinned"] == [key]
    assert report("accept-loss", site.url)["result"]["accepted"] == []
    assert "tarragon-stats" in [each["name"] for each in report("plugins")["result"]["plugins"]]
    if "thaw" in finder.names("command"):
        assert report("thaw", site.url, site.out)["result"]["restored"] == 5
    (site.place / "box").mkdir()
    assert report("check-backend", f"file://{site.place}/box")["result"]["broken"] == []


def test_the_version_stands_in_the_document(site: Site) -> None:
    answer = site.run("--json", "--version", "--volsize", "x")  # which wins over every mistake, as without --json
    document = json.loads(answer.out)
    CHECK.validate(document)
    assert (answer.status, document["command"], document["result"]) == (0, None, {})
    assert answer.err == f"tarragon {document['version']}\n".encode()


def test_what_needs_no_target(site: Site, report: Callable[..., Any]) -> None:
    explained = report("explain", "--exclude", f"{site.source}/folder", site.source, site.source / "folder" / "b")
    assert [each["verdict"] for each in explained["result"]["paths"]] == ["exclude"]
    duply = site.place / "nas"
    duply.mkdir()
    (duply / "conf").write_text(f"GPG_KEY=disabled\nSOURCE={site.source}\nTARGET={site.url}\n")
    made = report("config", "from-duply", duply)
    folder = site.home.folder / "config" / "tarragon"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(made["result"]["toml"])
    assert report("config", "check")["result"]["profiles"] == ["nas"]
    assert report("config", "show")["result"]["profiles"] == ["nas"]
    (folder / "config.toml").write_text("[profile.x]\nsorce = 1\n")
    assert len(report("config", "check", status=23)["result"]["problems"]) == 1


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        (["restore"], 23, "BadOption"),
        (["nonsense"], 23, "BadOption"),
        (["collection-status", "--ver"], 2, "AmbiguousOption"),
        (["collection-status", "--no-such-thing"], 23, "BadOption"),
        (["collection-status", "-v", "loud"], 23, "BadOption"),
        (["full", "{src}", "foo://x"], 23, "UnknownScheme"),
        (["incremental", "{src}", "{url}"], 17, "IncrementalWithoutSignatures"),
        (["verify", "{url}", "{src}"], 30, "CollectionError"),
        (["restore", "{url}", "{out}"], 30, "CollectionError"),
        (["list-current-files", "{url}"], 30, "CollectionError"),
        (["remove-all-but-n-full", "0", "{url}"], 30, "CollectionError"),
        (["remove-older-than", "soon", "{url}"], 23, "BadOption"),
        (["remove-all-inc-of-but-n-full", "x", "{url}"], 23, "BadOption"),
        (["cleanup", "nowhere"], 23, "BadOption"),
        (["check", "{url}"], 30, "CollectionError"),
        (["prune", "{url}"], 23, "BadOption"),
        (["rehearse", "{url}"], 30, "CollectionError"),
        (["explain"], 23, "BadOption"),
        (["config"], 23, "BadOption"),
        (["config", "show"], 23, "UserError"),
        (["accept-loss", "full-1", "{url}"], 23, "BadOption"),
    ],
)  # fmt: skip
def test_a_failure_is_a_document_too(
    site: Site, report: Callable[..., Any], words: list[str], status: int, kind: str
) -> None:
    places = {"url": site.url, "src": str(site.source), "out": str(site.out)}
    document = report(*(word.format(**places) for word in words), status=status)
    assert ("failure", kind) == (document["outcome"], document["error"]["kind"])
    assert document["error"]["message"]
    assert document["error"]["hint"] or kind == "AmbiguousOption"


def test_a_loss_is_incomplete_and_named(site: Site, report: Callable[..., Any]) -> None:
    report("full", site.source, site.url)
    site.volume("*.difftar.gz").unlink()
    document = report("restore", site.url, site.out, status=101)
    assert document["outcome"] == "incomplete"
    assert {"a", "folder/b", "z"} <= {each["path"] for each in document["result"]["lost"]}
    assert report("check", site.url, status=101)["result"]["problems"]
    assert report("rehearse", site.url, status=101)["outcome"] == "incomplete"


def test_a_difference_is_told_as_it_comes(site: Site, report: Callable[..., Any]) -> None:
    report("full", site.source, site.url)
    site.write("a", b"now another")
    document = report("verify", "--compare-data", site.url, site.source, status=1)
    assert (
        document["outcome"],
        [each["path"] for each in document["result"]["differences"] if "content" in each["how"]],
    ) == ("different", ["a"])


def test_an_alarm_is_one(site: Site, report: Callable[..., Any]) -> None:
    report("full", site.source, site.url)
    site.write("a", b"changed")
    report("incremental", site.source, site.url)
    for name in site.names():
        if name.startswith(("duplicity-inc", "duplicity-new")):
            (site.repo / name).unlink()
    document = report("collection-status", site.url, status=102)
    assert document["outcome"] == "alarm"
    assert document["alarms"]
    assert report("accept-loss", "--force", site.url)["result"]["accepted"]


@pytest.mark.requirement("R52")
def test_a_file_that_cannot_be_read_is_a_problem_of_its_own(as_nobody: Site) -> None:
    site = as_nobody
    (site.source / "secret").write_bytes(b"x")
    (site.source / "secret").chmod(0)
    answer = site.run("full", "--json", site.source, site.url)
    document = json.loads(answer.out)
    CHECK.validate(document)
    assert (answer.status, document["outcome"]) == (100, "incomplete")
    assert [(each["path"], each["kind"]) for each in document["result"]["problems"]] == [("secret", "unreadable")]


def test_names_that_are_not_utf_8_are_whole(site: Site, report: Callable[..., Any]) -> None:
    name = b"caf\xe9 \xff"
    (Path(os.fsdecode(os.fsencode(site.source) + b"/" + name))).write_bytes(b"x")
    report("full", site.source, site.url)
    import base64

    entries = report("list-current-files", site.url)["result"]["entries"]
    found = [base64.b64decode(each["path_b64"]) for each in entries if "path_b64" in each]
    assert [name] == found


def test_no_secret_is_in_a_report(site: Site, report: Callable[..., Any]) -> None:
    document = report("collection-status", "foo://me:verysecretword@host/x", status=23)
    assert "verysecretword" not in json.dumps(document)


def test_text_goes_to_standard_error(site: Site) -> None:
    answer = site.run("full", "--json", site.source, site.url)
    assert b"Backup Statistics" in answer.err
    assert json.loads(answer.out)["command"] == "full"
    assert b"folder/b" not in site.run("ls", "--json", site.url).err, "what the document lists is not told twice"


def test_a_list_comes_line_by_line(site: Site) -> None:
    assert site.backup().status == 0
    lines = site.run("ls", "--json", site.url).out.decode().splitlines()
    assert json.loads(lines[1].rstrip(","))["path"] == "."


def test_a_reader_that_goes_away_is_no_error(site: Site) -> None:
    for number in range(3000):
        (site.source / f"file{number:04}{'x' * 60}").touch()
    assert site.backup().status == 0
    command = f"{site.program.command} ls --no-encryption --json {site.url} | head -1"
    env = site.home.environment()
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=env, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.count(b"\n")) == (0, 1), ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"Error" not in ended.stderr


def test_no_action_is_left_out(request: pytest.FixtureRequest) -> None:
    """What the tests above have run, all of it validated, is every action word that is installed."""
    here = {name for name in globals() if name.startswith("test_")}
    if here - {getattr(item, "originalname", "") for item in request.session.items}:
        pytest.skip("only some of the tests of this file are run")
    assert {*ACTIONS, *finder.names("command"), "plugins"} - SEEN == set()
    told = {word for rule in SCHEMA["allOf"] for word in rule["if"]["properties"]["command"]["enum"]}
    assert SEEN - {None} <= told, "of each action the schema says what its result holds"
