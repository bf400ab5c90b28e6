"""The pages for plugin authors say all that there is, and what they show runs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from tarragon import api
from tarragon.cli.in_use import KINDS

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "docs" / "plugin-authors"
TEMPLATE = CHECKOUT / "contrib" / "plugin-template"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
HOOKS = {name: hook for name, hook in vars(api.Hooks).items() if not name.startswith("_")}
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.M | re.S)


def blocks(page):
    return _BLOCK.findall(PAGES[page])


def everything():
    return "\n".join(PAGES.values())


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_heading_with_its_arguments_and_an_example(hook):
    arguments = list(inspect.signature(HOOKS[hook]).parameters)[1:]
    assert f"## Hook: {hook}({', '.join(arguments)})" in everything(), "tell it in docs/plugin-authors, with an example"
    examples = [block for page in PAGES for block in blocks(page) if f"def {hook}(" in block and "@hookimpl" in block]
    assert examples != [], f"no example in docs/plugin-authors implements {hook}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_point_group_is_in_the_table(kind):
    assert f"| `tarragon.{kind}` |" in PAGES["README.md"], "tell it in docs/plugin-authors/README.md"


@pytest.mark.parametrize("field", [field.name for field in fields(api.Option)])
def test_every_field_of_an_option_is_in_the_table(field):
    assert re.search(rf"^\| `{field}` \|", PAGES["options.md"], re.M), "tell it in docs/plugin-authors/options.md"


@pytest.mark.parametrize("member", [each.name for each in api.Capability] + ["NONE"])
def test_every_capability_is_in_the_table(member):
    assert re.search(rf"^\| `{member}` \|", PAGES["backends.md"], re.M)


@pytest.mark.parametrize("name", [name for name in vars(api.Backend) if not name.startswith("_")])
def test_every_member_of_a_backend_is_told(name):
    assert re.search(rf"`{name}[(`]", PAGES["backends.md"]), "tell it in docs/plugin-authors/backends.md"


@pytest.mark.parametrize("name", [name for name in vars(api.Context) if not name.startswith("_")])
def test_everything_in_a_context_is_told(name):
    assert re.search(rf"`{name}[(`]", PAGES["backends.md"]), "tell it in docs/plugin-authors/backends.md"


@pytest.mark.parametrize("name", [name for name in vars(api.Repository) if not name.startswith("_")])
def test_everything_that_a_repository_can_do_is_told(name):
    assert f"`{name}`" in PAGES["commands.md"], "tell it in docs/plugin-authors/commands.md"


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_name_is_told(name):
    assert re.search(rf"\b{name}\b", everything()), "tell it in docs/plugin-authors"


def test_what_is_not_told_would_be_noticed():
    assert not re.search(r"\bno_such_hook\b", everything())


@pytest.mark.parametrize("page", [page for page in PAGES if page != "tutorial.md" and blocks(page)])
def test_the_examples_of_a_page_run(page, tmp_path):
    """All of a page in one process, as a reader would try them one after the other."""
    (tmp_path / "page.py").write_text("\n\n".join(blocks(page)), encoding="utf-8")
    ended = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


def test_the_first_backend_of_the_pages_keeps_every_promise(tmp_path):
    page = "\n\n".join([*blocks("backends.md")[:2], "print(broken)"])
    (tmp_path / "page.py").write_text(page, encoding="utf-8")
    ended = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_the_tutorial_shows_the_files_of_the_template():
    shown = dict(_FILE.findall(PAGES["tutorial.md"]))
    files = {
        str(path.relative_to(TEMPLATE)): path.read_text(encoding="utf-8")
        for path in TEMPLATE.rglob("*")
        if path.is_file() and path.suffix in (".py", ".toml", ".md") and "egg-info" not in str(path)
    }
    del files["new_plugin.py"], files["src/tarragon_shelf/__init__.py"]
    assert sorted(shown) == sorted(files)
    for name, text in files.items():
        assert shown[name] == text, name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]*)(?:#[\w-]*)?\)", PAGES[page]):
        assert not target or (FOLDER / target).exists(), target


def code_lines(path):
    """Lines that are neither blank nor comment nor docstring."""
    text = path.read_text(encoding="utf-8")
    spoken = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            spoken.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = (line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in spoken)
    return sum(1 for line in lines if line and not line.startswith("#"))


def sizes():
    """The table of backends and wrappers by length: all code of a package that brings a scheme or a prefix."""
    rows = []
    for folder in [*CHECKOUT.glob("plugins/*"), TEMPLATE]:
        project = folder / "pyproject.toml"
        if not project.exists() or not re.search(r'"tarragon\.(backend|wrapper)"', project.read_text(encoding="utf-8")):
            continue
        whole = sum(code_lines(path) for path in folder.glob("src/*/*.py"))
        rows.append((whole, "shelf" if folder == TEMPLATE else folder.name))
    lines = ["| Package | Lines of code, without docstrings, comments and blank lines |", "| --- | --- |"]
    for whole, name in sorted(rows):
        lines.append(f"| `{name}`{' (the template)' if name == 'shelf' else ''} | {whole} |")
    return "\n".join(lines) + "\n"


_SIZES = re.compile(r"(<!-- sizes: .*? -->\n\n)(.*)\Z", re.S)


def test_the_table_of_lengths_is_about_that_of_the_tree():
    """Within a quarter: nobody must run a script for each line."""
    row = re.compile(r"^\| `(\w+)`.*? \| (\d+) \|$", re.M)
    told = {name: int(whole) for name, whole in row.findall(PAGES["backends.md"])}
    counted = {name: int(whole) for name, whole in row.findall(sizes())}
    assert {"shelf", "file"} <= set(told) <= set(counted)
    for name, said in told.items():
        real = counted[name]
        assert abs(said - real) <= real / 4, f"{name}: run python tests/architecture/test_plugin_author_docs.py"


if __name__ == "__main__":
    page = PAGES["backends.md"].rstrip() + "\n\n"
    (FOLDER / "backends.md").write_text(_SIZES.sub(lambda found: found.group(1) + sizes(), page), encoding="utf-8")
