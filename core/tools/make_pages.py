"""Write the shell completions (contrib/completions) and the manual page (docs/man/tarragon.1).

Made from the tables that the program itself reads: the core's options, those of the packages that every installation
has, and for all other packages docs/cli.yaml. Run it as ``python core/tools/make_pages.py``; a test compares what it
makes with what is committed. Needs PyYAML and the packages of the bundle.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import yaml
from tarragon.cli.in_use import PLUGINS
from tarragon.cli.manual import manual
from tarragon.cli.options import GROUPS, JSON
from tarragon.cli.pages import text_of
from tarragon.cli.words import ACTIONS, ALIASES
from tarragon.plugin.known import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
COMPLETIONS = ROOT / "contrib" / "completions"
PAGE = ROOT / "docs" / "man" / "tarragon.1"
DATE = "2026-11-28"
NOTE = "Made by core/tools/make_pages.py from the tables of the program; change those."
#: What the words for a value say of it.
_FILES = {"path", "filename", "file", "folder"}


class Flag(NamedTuple):
    """One option: its flags, what its value is called (empty: none), what it does, whose it is."""

    flags: tuple[str, ...]
    value: str
    text: str
    owner: str
    choices: tuple[str, ...] = ()

    @property
    def takes_file(self) -> bool:
        return self.value in _FILES


class Word(NamedTuple):
    """One action."""

    word: str
    takes: str
    text: str
    aliases: tuple[str, ...] = ()


# -- the tables -------------------------------------------------------------------------------------------------------


def bundled():
    """The plugin modules of the packages that every installation has."""
    pyproject = tomllib.loads((ROOT / "contrib/bundles/tarragon/pyproject.toml").read_text())
    names = [re.match(r"[a-z-]+", each)[0].replace("-", "_") for each in pyproject["project"]["dependencies"]]
    modules = []
    for name in sorted(names):
        if name not in ("tarragon_core", "tarragon_librsync"):
            modules.append(importlib.import_module(f"{name}.plugin"))
    return modules


def words() -> list[Word]:
    aliases = {whole: tuple(short for short, each in ALIASES.items() if each == whole) for whole in ACTIONS}
    about = manual()
    found = [
        Word(action, " ".join(f"<{each}>" for each in takes), about[action].line, aliases[action])
        for action, takes in ACTIONS.items()
    ]
    for module in bundled():
        found += [Word(each.word, each.words, each.help) for each in getattr(module, "actions", tuple)()]
    found.append(Word(PLUGINS, "", "show what is installed, what it answers to, and what is wrong with it"))
    return found


def _of(option, owner: str) -> Flag:
    value = "" if option.action == "flag" or not option.nargs else option.metavar or "value"
    return Flag((option.flag, *option.aliases), value, text_of(option), owner, option.choices or ())


def flags() -> list[Flag]:
    """Every option that is not hidden, the core's first."""
    found: dict[str, Flag] = {}
    for title, group in [*GROUPS.items(), ("output and logging", JSON)]:
        for option in group if title else ():
            found[option.flag] = _of(option, "tarragon-core")
    for module in bundled():
        owner = module.__name__.partition(".")[0].replace("_", "-")
        for option in getattr(module, "options", tuple)():
            if not option.hidden:
                found.setdefault(option.flag, _of(option, owner))
    for each in yaml.safe_load((ROOT / "docs/cli.yaml").read_text())["options"]:
        name = each["name"]
        if name in found or each.get("help_321") == "hidden" or name in ("--gio", "--use-scp"):
            continue
        value = "" if each["type"] in ("flag", "const", "action") else each.get("unit") or each["type"]
        text = re.sub(r"\s+", " ", each["description"] if "description" in each else each["meaning"])
        found[name] = Flag((name, *each.get("aliases", ())), value, text, OPTIONS.get(name, "tarragon-core"))
    order = {"tarragon-core": 0}
    return sorted(found.values(), key=lambda flag: (order.get(flag.owner, 1), flag.owner))


# -- bash -------------------------------------------------------------------------------------------------------------

BASH = """\
# {note}
# bash completion of tarragon; source it, or put it where bash-completion looks.

_tarragon_profiles() {{
    sed -n 's/^\\[profile\\.\\([A-Za-z0-9_-]*\\)\\]$/@\\1/p' \\
        "${{XDG_CONFIG_HOME:-$HOME/.config}}/tarragon/config.toml" 2>/dev/null
}}

_tarragon() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev="" word
    ((COMP_CWORD > 0)) && prev=${{COMP_WORDS[COMP_CWORD - 1]}}
    if [[ $cur == "=" ]]; then cur=""; fi
    if [[ $prev == "=" ]]; then prev=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    COMPREPLY=()
    case $prev in
        {files})
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
{choices}\
        {values})
            return ;;
    esac
    case $cur in
        -*)
            mapfile -t COMPREPLY < <(compgen -W "{options}" -- "$cur")
            return ;;
        @*)
            mapfile -t COMPREPLY < <(compgen -W "$(_tarragon_profiles)" -- "$cur")
            return ;;
    esac
    local action=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
            {all_words}) action=$word; break ;;
        esac
    done
    if [[ -z $action ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{words}" -- "$cur")
    fi
    if [[ -n $action || ${{#COMPREPLY[@]}} -eq 0 ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}}

complete -F _tarragon tarragon
"""


def bash() -> str:
    table = flags()
    names = [name for flag in table for name in flag.flags]
    files = [name for flag in table if flag.takes_file for name in flag.flags]
    chosen = [flag for flag in table if flag.choices]
    values = [name for flag in table if flag.value and not flag.takes_file and not flag.choices for name in flag.flags]
    choices = "".join(
        f'        {"|".join(flag.flags)})\n            mapfile -t COMPREPLY < <(compgen -W "{" ".join(flag.choices)}" '
        f'-- "$cur")\n            return ;;\n'
        for flag in chosen
    )
    actions = [word.word for word in words()]
    return BASH.format(
        note=NOTE, files="|".join(files), choices=choices, values="|".join(values), options=" ".join(names),
        words=" ".join(actions), all_words="|".join([*actions, *ALIASES]),
    )  # fmt: skip


# -- zsh --------------------------------------------------------------------------------------------------------------

ZSH = """\
#compdef tarragon
# {note}

_tarragon_words() {{
    local -a actions profiles
    actions=(
{actions}\
    )
    local file="${{XDG_CONFIG_HOME:-$HOME/.config}}/tarragon/config.toml"
    [[ -r $file ]] && profiles=(${{(f)"$(sed -n 's/^\\[profile\\.\\([A-Za-z0-9_-]*\\)\\]$/@\\1/p' $file)"}})
    local seen=${{words[(r)({all_words})]}}
    if [[ -z $seen || $seen == $words[CURRENT] ]]; then
        _describe -t actions action actions
        (( $#profiles )) && _describe -t profiles profile profiles
    fi
    _files
}}

_tarragon() {{
    _arguments -s \\
{options}\
        '*:word:_tarragon_words'
}}

_tarragon "$@"
"""


def _zsh_text(text: str) -> str:
    return text.replace("'", "’").replace("[", "(").replace("]", ")").replace(":", "\\:")


def zsh() -> str:
    lines = []
    for flag in flags():
        for name in flag.flags:
            spec = f"*{name}" + ("=" if flag.value and name.startswith("--") else "+" if flag.value else "")
            text = f"[{_zsh_text(flag.text)}]"
            if flag.choices:
                value = f":{flag.value}:({' '.join(flag.choices)})"
            elif flag.value:
                value = f":{_zsh_text(flag.value)}:{'_files' if flag.takes_file else ' '}"
            else:
                value = ""
            lines.append(f"        '{spec}{text}{value}' \\\n")
    actions = "".join(f"        '{word.word}:{_zsh_text(word.text)}'\n" for word in words())
    all_words = "|".join([*(word.word for word in words()), *ALIASES])
    return ZSH.format(note=NOTE, actions=actions, options="".join(lines), all_words=all_words)


# -- fish -------------------------------------------------------------------------------------------------------------


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish() -> str:
    known = words()
    every = " ".join([*(word.word for word in known), *ALIASES])
    lines = [
        f"# {NOTE}",
        "function __tarragon_profiles",
        "    set -l base $XDG_CONFIG_HOME",
        '    test -n "$base"; or set base $HOME/.config',
        "    test -r $base/tarragon/config.toml; or return",
        "    string replace -rf '^\\[profile\\.([A-Za-z0-9_-]+)\\]$' '@$1' < $base/tarragon/config.toml",
        "end",
        f"set -l words {every}",
    ]
    first = 'complete -c tarragon -n "not __fish_seen_subcommand_from $words"'
    for word in known:
        lines.append(f"{first} -a {word.word} -d {_fish_text(word.text)}")
    lines.append(f'{first} -a "(__tarragon_profiles)" -d profile')
    for flag in flags():
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.flags)
        kind = f" -x -a {_fish_text(' '.join(flag.choices))}" if flag.choices else ""
        kind = kind or (" -r -F" if flag.takes_file else " -x" if flag.value else "")
        lines.append(f"complete -c tarragon {names}{kind} -d {_fish_text(flag.text)}")
    return "\n".join(lines) + "\n"


# -- the manual page --------------------------------------------------------------------------------------------------


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", "\\&.", text, flags=re.MULTILINE)


def _paragraphs() -> str:
    return (ROOT / "core" / "tools" / "manual_page.txt").read_text(encoding="utf-8")


def page() -> str:
    about = manual()
    head = f'.\\" {NOTE}\n.TH TARRAGON 1 {DATE} "tarragon 0.1.0" "User Commands"\n'
    actions = ""
    for word in words():
        takes = f" {_roff(word.takes)}" if word.takes else ""
        actions += f".TP\n.B {_roff(word.word)}\\fR{takes}\n"
        if word.aliases:
            actions += f"({_roff(', '.join(word.aliases))})\n"
        more = about.get(word.word)
        actions += _roff(more.text if more else f"{word.text[:1].upper()}{word.text[1:]}.") + "\n"
    options, owner = "", ""
    for flag in flags():
        if flag.owner != owner:
            owner = flag.owner
            title = "Of the core" if owner == "tarragon-core" else f"Of {owner}"
            options += f".SS {_roff(title)}\n"
        names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in flag.flags)
        value = f" \\fI{_roff(flag.value)}\\fR" if flag.value else ""
        text = f"{flag.text[:1].upper()}{flag.text[1:]}"
        options += f".TP\n{names}{value}\n{_roff(text)}.\n"
    examples = ".PP\n".join(
        f".EX\n{_roff(textwrap_less(about[action].examples))}\n.EE\n" for action in ACTIONS if about[action].examples
    )
    body = _paragraphs()
    for name, text in (("ACTIONS", actions), ("OPTIONS", options), ("EXAMPLES", examples)):
        body = body.replace(f"@{name}@\n", text)
    return head + body


def textwrap_less(text: str) -> str:
    """Examples without the indent they have on help pages."""
    return "\n".join(line[2:] for line in text.splitlines())


MADE = {
    COMPLETIONS / "tarragon.bash": bash,
    COMPLETIONS / "_tarragon": zsh,
    COMPLETIONS / "tarragon.fish": fish,
    PAGE: page,
}

if __name__ == "__main__":
    for path, make in MADE.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
