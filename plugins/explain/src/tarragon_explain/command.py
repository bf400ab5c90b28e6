"""The command: each path judged as the walk of a backup would judge it, from the source down."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from tarragon.api import DIR, SOCK, SYM, BadOption, Verdict

from .look import entry_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.api import Context, Said, Selection

#: Output: shown at every verbosity.
_SHOW = 60
_DEFAULT = "no option says anything of it: what none excludes is taken"
_WORDS = {
    Verdict.INCLUDE: "is taken",
    Verdict.EXCLUDE: "is left out",
    Verdict.DESCEND: "is looked into, and taken once something in it is",
}


class Judged(NamedTuple):
    """What comes of one path. ``folder`` is the one above it that is left out, or not entered, and decides for it."""

    path: bytes
    exists: bool
    verdict: Verdict
    decided_by: str
    asked: Sequence[Said] = ()
    folder: bytes | None = None


class Explain:
    """``tarragon explain [selection options] [SOURCE] PATH...``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        source, paths = self._places([os.fsencode(word) for word in words])
        selection = self._context.selection(source)
        found = []
        for path in paths:
            judged = self._judged(selection, source, below(source, path), is_folder=path.endswith(b"/"))
            self._tell(source, judged)
            found.append(_facts(judged))
        self._context.facts["paths"] = found
        return 0

    def _places(self, words: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        """The source and the paths. A profile names the source; a path alone is one below ``/``, or below here."""
        given = self._context.source
        if not words:
            raise BadOption(
                "'explain' needs a path", hint="tarragon explain [options] SOURCE PATH, or @profile and PATH"
            )
        if given is not None:
            return given, words
        if len(words) == 1:
            return (b"/" if words[0].startswith(b"/") else b"."), words
        return words[0], words[1:]

    # -- one path -----------------------------------------------------------------------------------------------------

    def _judged(self, selection: Selection, source: bytes, path: bytes, *, is_folder: bool) -> Judged:
        parts = path.split(b"/") if path else []
        for count in range(1, len(parts)):
            folder = b"/".join(parts[:count])
            entry, exists = entry_at(source, folder, follow=self._follow, is_folder=True)
            verdict = selection.verdict(entry)
            if verdict is Verdict.EXCLUDE:
                asked = selection.asked(entry)
                whole, _ = entry_at(source, path, follow=self._follow, is_folder=is_folder)
                return Judged(path, _is_there(source, path), verdict, decided_by(asked, verdict), asked, folder)
            if exists and entry.kind != DIR:
                what = "a symbolic link: it is stored as one" if entry.kind == SYM else "no folder"
                return Judged(path, _is_there(source, path), Verdict.EXCLUDE, f"it is {what}", (), folder)
        entry, exists = entry_at(source, path, follow=self._follow, is_folder=is_folder)
        if not path:
            return Judged(path, exists, Verdict.INCLUDE, "it is the source itself, which is always taken")
        if entry.kind == SOCK:
            return Judged(path, exists, Verdict.EXCLUDE, "it is a socket: these are never stored")
        verdict, asked = selection.verdict(entry), selection.asked(entry)
        return Judged(path, exists, verdict, decided_by(asked, verdict), asked)

    @property
    def _follow(self) -> bool:
        return bool(self._context.options.copy_links)

    # -- what is said -------------------------------------------------------------------------------------------------

    def _tell(self, source: bytes, judged: Judged) -> None:
        lines = [f"{_shown(source, judged.path)} {_WORDS[judged.verdict]}"]
        if judged.folder is not None:
            lines.append(f"  because of {_shown(source, judged.folder)}, which is not entered")
        lines.append(f"  decided by: {judged.decided_by}")
        silent = [said.option for said in judged.asked if said.verdict is None]
        leading = [_with_why(said) for said in judged.asked if said.verdict is Verdict.DESCEND]
        lines += [f"  asked before, and only leads further inside: {option}" for option in leading]
        lines += [f"  asked before, and says nothing of it: {option}" for option in silent]
        if not judged.exists:
            lines.append("  it does not exist: judged as what its name says")
        self._context.log.log(_SHOW, "%s", "\n".join(lines))


def below(source: bytes, path: bytes) -> bytes:
    """``path`` relative to ``source``; also one that is written relative to it already. Raises BadOption."""
    base, whole = os.path.abspath(source), os.path.abspath(path)
    prefix = base if base.endswith(b"/") else base + b"/"
    if whole == base:
        return b""
    if whole.startswith(prefix):
        return whole[len(prefix) :]
    relative = os.path.normpath(path)
    if os.path.isabs(path) or relative.startswith(b"../") or relative == b"..":
        raise BadOption(
            f"'{os.fsdecode(path)}' is not below the source '{os.fsdecode(source)}'",
            hint="the source comes first, then the paths",
        )
    return relative


def decided_by(asked: Sequence[Said], verdict: Verdict) -> str:
    """The option that the verdict comes from, and which of its conditions."""
    spoken = [said for said in asked if said.verdict is not None]
    if not spoken:
        return _DEFAULT
    last = spoken[-1]
    if last.verdict in (Verdict.INCLUDE, Verdict.EXCLUDE) and last.verdict is verdict:
        return _with_why(last)
    first = next((said for said in spoken if said.verdict is not Verdict.INCLUDE), last)
    if verdict is Verdict.EXCLUDE:
        return f"{_with_why(first)}: it takes something further inside only, and this is no folder"
    return f"{_with_why(first)}: it may take something inside"


def _with_why(said: Said) -> str:
    return f"{said.option} ({said.why})" if said.why else said.option


def _is_there(source: bytes, path: bytes) -> bool:
    return os.path.lexists(os.path.join(source, path))


def _shown(source: bytes, path: bytes) -> str:
    whole = os.path.join(source, path) if path else source
    return whole.decode("utf-8", "surrogateescape")


def _facts(judged: Judged) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": judged.path or b".",
        "exists": judged.exists,
        "verdict": judged.verdict.value,
        "decided_by": judged.decided_by,
        "asked": [
            {"option": said.option, "verdict": said.verdict and said.verdict.value, "why": said.why}
            for said in judged.asked
        ],
    }
    if judged.folder is not None:
        found["folder"] = judged.folder
    return found
