"""A run's context, as a plugin sees it, for tests of plugins."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tarragon.api import BackendURL, BadOption, BadURL, Secret, UserError, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tarragon.api import Backend, Option, Repository, Selection


def installed_schemes() -> tuple[frozenset[str], frozenset[str]]:
    """The URL schemes and the prefixes that are installed."""
    schemes, wrappers = (
        frozenset(point.name for point in entry_points(group=f"tarragon.{kind}")) for kind in ("backend", "wrapper")
    )
    return schemes, wrappers


class Options(SimpleNamespace):
    """Option values by attribute; one that was not given is an AttributeError that says so."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the test gave no option '{name}'")


#: Options of the core that every driver may read, as they are when nobody gives them.
CORE_OPTIONS = {"timeout": 30, "limit_upload": 0, "limit_download": 0}


class TestContext:
    """A run's context (api.Context) for tests of plugins.

    Of ``options`` those need to be given that are not to have their defaults; the action word, ``action``, is "full".
    ``passwords`` are the answers to ``ask_password``, in turn, for which no variable is set; ``prompts`` records what
    was asked. ``open`` answers ``open_backend``. ``url`` is the run's target. Time stands still at ``now``.
    """

    __test__ = False  # not a test class, for all its name

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        passwords: Sequence[str] = (),
        *,
        hook: Any = None,
        repository: Any = None,
        open: Callable[[str], Backend] | None = None,
        tempdir: str | os.PathLike[str] | None = None,
        url: str = "",
        now: int = 1_700_000_000,
    ) -> None:
        self.options = Options(**{"action": "full", **CORE_OPTIONS, **(options or {})})
        self.env: Mapping[str, str] = dict(env or {})
        self.hook = hook
        self.log = logging.getLogger("tarragon.test")
        self.prompts: list[str] = []
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.repository: Repository = repository
        self.facts: dict[str, Any] = {}
        self.source: bytes | None = None
        self.now = now
        self._url = url
        self._passwords = list(passwords)
        self._open = open
        self._tempdir = tempdir

    def add_defaults(self, options: Iterable[Option]) -> None:
        """Take the defaults of options that the test did not give, as a run does for the plugins that it uses."""
        for option in options:
            if option.action == "select" or hasattr(self.options, option.name):
                continue
            default = option.default
            if default is None and option.action == "append":
                default = ()
            if default is None and option.action == "flag" and option.const in (None, True, False):
                default = option.const is False
            setattr(self.options, option.name, default)

    @property
    def url(self) -> BackendURL:
        if not self._url:
            raise UserError("the test has no target")
        return parse_url(self._url, *installed_schemes())

    def selection(self, root: bytes) -> Selection:
        raise UserError(f"the test has no selection for '{os.fsdecode(root)}'")

    def parse_time(self, text: str) -> int:
        """Seconds since 1970, or a day (``2023-11-14``, UTC); the core's own knows many more forms."""
        if text.lstrip("-").isdecimal():
            return int(text)
        try:
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise BadOption(f"'{text}' is no time") from None

    def open_backend(self, url: str, env: Mapping[str, str] | None = None) -> Backend:
        self.opened.append((url, dict(env or {})))
        if self._open is None:
            raise BadURL(f"the test opens no '{url}'")
        return self._open(url)

    def ask_password(self, prompt: str, *, env: tuple[str, ...] = ()) -> Secret:
        for name in env:
            if name in self.env:
                return Secret(self.env[name])
        self.prompts.append(prompt)
        if not self._passwords:
            raise UserError(f"the test has no answer to '{prompt}'")
        return Secret(self._passwords.pop(0))

    @contextmanager
    def temp_file(self, suffix: str = "") -> Iterator[Path]:
        fd, name = tempfile.mkstemp(suffix, "testkit-", self._tempdir)
        os.close(fd)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
