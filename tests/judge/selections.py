"""A tree, and selections over it that have something to do with it: corners of the rules, and generated ones.

For comparisons with the real duplicity: plugins/select/tests compares what is selected, tests/dropin whole runs.
"""

from __future__ import annotations

import os
import random
import re
import stat
from pathlib import Path
from typing import NamedTuple

FOLDERS = ["emp", "b/emp", "[a", "old/emp"]
FILES = [
    *("top", "Top", "TOP.TXT", "a", "b/c/d/e/f", "b/c/x", "b/c2/d/x", "b/x", "b/skip", "bb/c/d", "B/C/D/x", "cc/c/c/c"),
    *("old/1", "old/2", "old/keep/1", "é", "É.txt", "[a/b]x", "[a]b", "x[!]y", "*star", "qu?st", "a_b/c", "a-b/c"),
    *("ab/c", "ab/cc/c", "s", "S", "ſ", "i", "I", "K", "ignorecase:x", ".hidden/x", ".hidden/.x", "deep/x"),
    *("deep/deep/deep/deep/x", "a b/c d", " lead/x ", "new\nline/x", "'quoted'", "+ plus", "#hash", "-dash"),
]
SWITCHES = ["filter-globbing", "filter-strictcase", *["filter-literal", "filter-ignorecase"] * 2, "filter-regexp"]
BYTE_FILES = [b"\xff\xfe", b"b/\xe9t\xe9", b"b\xe9/x"]


class Case(NamedTuple):
    """A command line: selection options, the lists that they name (as ``@0``), and a source."""

    words: tuple[tuple[str, str | None], ...]
    lists: tuple[bytes, ...] = ()
    source: str = "src"
    null_separator: bool = False

    def line(self, place: Path, folder: Path) -> list[str]:
        """The words of the command line; the lists are written into ``folder``."""
        found = ["--null-separator"] if self.null_separator else []
        for option, argument in self.named(place, folder):
            found.append(f"--{option}" if argument is None else f"--{option}={argument}")
        return found

    def named(self, place: Path, folder: Path) -> list[tuple[str, str | None]]:
        """The selection options with the names of lists in place of ``@0``, and ``place`` in place of ``@/``."""
        for number, text in enumerate(self.lists):
            (folder / str(number)).write_bytes(text.replace(b"@/", b"%s/" % os.fsencode(place)))
        in_list = ("include-filelist", "exclude-filelist", "files-from")
        found: list[tuple[str, str | None]] = []
        for option, argument in self.words:
            if argument is not None:
                argument = str(folder / argument[1:]) if option in in_list else argument.replace("@/", f"{place}/")
            found.append((option, argument))
        return found


def grow(place: Path) -> None:
    """Make the tree as ``src`` in a folder."""
    root = os.fsencode(place) + b"/src/"
    for folder in FOLDERS:
        os.makedirs(root + folder.encode(), exist_ok=True)
    for number, name in enumerate([*map(os.fsencode, FILES), *BYTE_FILES]):
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        with open(root + name, "wb"):
            pass
        os.utime(root + name, (0, 1_000_000_000 + number * 10_000_000))
    os.symlink("b", root + b"link")
    os.symlink("nowhere", root + b"cc/skip")
    os.mkfifo(root + b"fifo")
    try:
        os.mknod(root + b"null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pass  # only root may


def case_of(*words: str, source: str = "src", lists: tuple[bytes, ...] = (), null_separator: bool = False) -> Case:
    """``"exclude=src/b"`` is ``("exclude", "src/b")``; ``"filter-literal"`` has no argument."""
    split = (word.partition("=") for word in words)
    named = tuple((option, value if sign else None) for option, sign, value in split)
    return Case(named, lists, source, null_separator)


CORNERS = [
    case_of("include=src/b/**/x", "include=src/emp/nothing", "exclude=src/b", "exclude=src/emp", "exclude=src/ab/"),
    case_of(
        "exclude=src/[]]",
        "exclude=src/[a",
        "exclude=src/[[]a[]]b",
        "exclude=src/[*]star",
        "exclude=src/?[!]y",
        "exclude=**[-_]b",
    ),
    case_of("include=src/b/c/**/", "include=src/deep**/x/", "exclude=src/deep", "exclude=src/b"),
    case_of("filter-ignorecase", "exclude=SRC/b/C", "exclude=src/[h-j]", "filter-literal", "exclude=SRC/S"),
    case_of("exclude-if-present=skip", "include=src/b/c", "exclude=src/old", "exclude-if-present=keep"),
    case_of("include=src/b", "exclude-if-present=skip"),
    case_of(
        "files-from=@0", "include=src/b/c", "exclude=src/b", lists=(b"b/c/d/e/f\nb/x\nemp/nothing\ndeep\n+ plus\n",)
    ),
    case_of(
        "exclude-filelist=@0", lists=(b"+ src/b/c\n'src/a b'\n#\n- src/b\n\nsrc/ ab\n\"src/ lead\"\r\nsrc/old/**\n",)
    ),
    case_of("exclude-filelist=@0", source="@/src", lists=(b"**/x\n/\n",)),
    case_of("include=src/b", "exclude-filelist=@0", lists=(b"#\n",)),
    case_of(
        "exclude-filelist=@0", "include=src/?*", "exclude=src", lists=(b"+ **/nothing\n- src/.hidden\n- src/emp\n",)
    ),
    case_of("exclude-device-files", "exclude-older-than=2010-01-01", "exclude-other-filesystems"),
]


class Generator:
    """Selections that have something to do with the tree."""

    SOURCES = ("src",) * 6 + ("@/src",) * 2 + ("src/", "./src", "src/b", "@/src/../src")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lists: list[bytes] = []
        self.source = self.random.choice(self.SOURCES)
        self.syntax = "globbing"

    def case(self) -> Case:
        count = self.random.choice((1, 1, 2, 2, 3, 3, 4, 5, 7))
        words: list[tuple[str, str | None]] = []
        for number in range(count):
            if self.random.random() < 0.12:
                words.append((self.switch(), None))
            words.append(self.condition("exclude" if number == count - 1 and self.random.random() < 0.9 else None))
        null_separator = bool(self.lists) and self.random.random() < 0.2
        lists = tuple(text.replace(b"\n", b"\0") if null_separator else text for text in self.lists)
        return Case(tuple(words), lists, self.source, null_separator)

    def switch(self) -> str:
        found = self.random.choice(SWITCHES)
        if found in ("filter-globbing", "filter-literal", "filter-regexp"):
            self.syntax = found.partition("-")[2]
        return found

    def condition(self, sense: str | None) -> tuple[str, str | None]:
        kind = self.random.random()
        sense = sense or self.random.choice(("include", "exclude"))
        if kind < 0.62:
            return sense, self.pattern()
        if kind < 0.72:
            return f"{sense}-regexp", self.regexp()
        if kind < 0.86:
            self.lists.append(b"\n".join(self.line(sense) for _ in range(self.random.randint(1, 5))))
            return f"{sense}-filelist", f"@{len(self.lists) - 1}"
        if kind < 0.90:
            return "exclude-if-present", self.random.choice(("x", "skip", "c", "d", "emp", "f", "nothing"))
        if kind < 0.93:
            return "exclude-older-than", self.random.choice(
                ("2005-01-01", "now", "20080101T000000Z", "1200000000", "1W")
            )
        if kind < 0.95:
            return "exclude-device-files", None
        if kind < 0.97 or "/" in self.source.strip("./"):
            # --files-from of duplicity finds nothing below a source of several components.
            return "exclude-other-filesystems", None
        self.lists.append("\n".join(self.random.sample(self.paths(utf8=True), 4)).encode())
        return "files-from", f"@{len(self.lists) - 1}"

    def line(self, sense: str) -> bytes:
        text = self.pattern(utf8=True).replace("\n", "?")
        mark = self.random.choice(("", "", "", "+ ", "- "))
        if self.random.random() < 0.15:
            text = f"{mark}'{text}'"
        elif text.strip() == text and text[0] not in "#+-\"'":
            text = mark + text
        else:
            text = mark + f'"{text}"'
        return (
            self.random.choice(("", "", " ", "\t")).encode()
            + text.encode()
            + self.random.choice((b"", b" ", b"\n#x", b"\n"))
        )

    def paths(self, *, utf8: bool) -> list[str]:
        """Everything in the tree, relative to the source."""
        names = FILES + FOLDERS if utf8 else FILES + FOLDERS + [os.fsdecode(name) for name in BYTE_FILES]
        every = {"/".join(name.split("/")[:count]) for name in names for count in range(1, 6)} | {
            "link",
            "null",
            "cc/skip",
        }
        inside = "b/" if self.source == "src/b" else ""
        return sorted(
            name[len(inside) :] for name in every if name.startswith(inside) and name != inside and "\n" not in name
        )

    def root(self) -> str:
        return {"src/": "src", "./src": "src"}.get(self.source, self.source)

    def pattern(self, *, utf8: bool = False) -> str:
        if self.syntax == "regexp":
            return self.regexp()
        path = f"{self.root()}/{self.random.choice(self.paths(utf8=utf8))}"
        if self.syntax == "literal":
            return path + self.random.choice(("", "", "/", "/nothing"))
        return self.glob(path)

    def glob(self, path: str) -> str:
        lead = ""
        if self.random.random() < 0.25:
            path, lead = path.partition("/")[2] if not path.startswith("@") else path[6:], "**"
            lead += self.random.choice(("/", "", "/"))
        parts = path.split("/")
        for at in range(len(parts)):
            if parts[at] != "@" and self.random.random() < (0.5 if at or lead else 0.1):
                parts[at] = self.worn(parts[at])
        if len(parts) > 2 and self.random.random() < 0.2:
            del parts[self.random.randrange(1, len(parts) - 1)]
        found = lead + "/".join(parts) + self.random.choice(("",) * 6 + ("/", "/", "/**", "/*", "**", "/nothing"))
        if self.random.random() < 0.1 and "@" not in found:
            return self.random.choice(("ignorecase:", "IgnoreCase:")) + found.swapcase()
        return found

    def worn(self, name: str) -> str:
        """A glob that has something to do with ``name``."""
        at = self.random.randrange(len(name)) if name else 0
        head, char, tail = name[:at], name[at : at + 1], name[at + 1 :]
        plain = ("*", "*", "**", "**", "?*", "*?", "***", f"{head}*", f"*{tail}", f"{head}[", f"{head}***{tail}")
        stars = (
            f"{head}*{tail}",
            f"{head}**{tail}",
            f"{head}?{tail}",
            f"{head}?{tail}",
            f"*{char}*",
            f"**{char}*{char}**",
        )
        classes = (f"[{char}]", f"[!{char}]", "[^z]", "[a-z]", f"[{char}", f"[]{char}]", f"[/{char}]", f"[!{char}]*")
        return self.random.choice((*plain, *stars, *(head + one + tail for one in classes)))

    def regexp(self) -> str:
        path = self.random.choice(self.paths(utf8=True))
        piece = re.escape(self.random.choice(path.split("/")))
        return self.random.choice(
            (
                f"/{piece}$",
                piece,
                f"^src/{piece}",
                f"{piece}/",
                f"/.{piece[1:] or 'x'}$",
                f"(?i){piece}",
                "/x$",
                "[0-9]",
                "/[A-Z]",
            )
        )
