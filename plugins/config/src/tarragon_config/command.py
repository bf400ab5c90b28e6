"""The command: check the file, show what a profile stands for, make one from duply's."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tarragon.api import BadOption, UserError

from . import duply, profiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tarragon.api import Context

#: Output: shown at every verbosity.
_SHOW = 60
#: Exit status when something in the file is wrong: that of a mistake on the command line.
_WRONG = 23
_LIMIT_S = 60


class Config:
    """``tarragon config check``, ``tarragon @name config show``, ``tarragon config from-duply PROFILE``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, words: Sequence[str]) -> int:
        word, rest = (words[0], list(words[1:])) if words else ("", [])
        if word == "from-duply" and len(rest) == 1:
            return self._from_duply(rest[0])
        if word in ("check", "show") and not rest:
            return self._check() if word == "check" else self._show()
        raise BadOption(
            "'config' takes 'check', 'show', or 'from-duply' and a profile of duply",
            hint="tarragon config check; tarragon @name config show; tarragon config from-duply name",
        )

    def _say(self, text: str, *values: object) -> None:
        self._context.log.log(_SHOW, text, *values)

    # -- check --------------------------------------------------------------------------------------------------------

    def _check(self) -> int:
        path = profiles.place(self._context.env)
        found = profiles.load(path)
        wrong: list[str] = []
        for name, given in found.items():
            problems = list(profiles.problems_of(given))
            if not profiles.is_name(name):
                problems.append("its name must be made of letters, digits, '.', '_' and '-'")
            wrong += [f"@{name}: {problem}" for problem in problems or self._tried(name)]
        for each in wrong:
            self._context.log.error("%s", each)
        self._say("'%s': %d profiles, %d problems", path, len(found), len(wrong))
        self._context.facts.update(file=path, profiles=sorted(found), problems=wrong)
        return _WRONG if wrong else 0

    def _tried(self, name: str) -> list[str]:
        """What the program itself says of a line with the profile in front: whether it knows and can read its options.

        ``show`` changes nothing and connects to nothing; the passphrases are not needed for it.
        """
        command = [sys.executable, "-m", "tarragon", "--json", f"@{name}", "config", "show"]
        try:
            ended = subprocess.run(
                command, env=dict(self._context.env), capture_output=True, timeout=_LIMIT_S, check=False
            )
            error = json.loads(ended.stdout)["error"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as err:
            return [f"it cannot be tried: {err}"]
        if error is None:
            return []
        return [f"{error['message']} ({error['hint']})" if error["hint"] else error["message"]]

    # -- show ---------------------------------------------------------------------------------------------------------

    def _show(self) -> int:
        """The line that the profile came to has been read; what is left to try is the selection."""
        context = self._context
        if context.source is not None:
            context.selection(context.source)
        path = profiles.place(context.env)
        found = profiles.load(path)
        for name, given in sorted(found.items()):
            if not any(profiles.problems_of(given)):
                self._tell(name, profiles.profile(given))
        context.facts.update(file=path, profiles=sorted(found))
        return 0

    def _tell(self, name: str, profile: Any) -> None:
        lines = [f"@{name}", f"  source: {profile.source or '-'}", f"  target: {profile.target or '-'}"]
        lines += [f"  {word}" for word in (*profile.options, *profile.selection)]
        self._say("%s", "\n".join(lines))

    # -- from-duply ---------------------------------------------------------------------------------------------------

    def _from_duply(self, name: str) -> int:
        made = duply.profile(name, self._context.env)
        if not profiles.is_name(made.name):
            raise UserError(f"'{made.name}' cannot be the name of a profile")
        self._say("%s", made.toml)
        self._context.facts.update(profiles=[made.name], notes=list(made.notes), toml=made.toml)
        return 0
