"""The questions the core asks its plugins, and the news it tells them."""

# A spec has no body: mypy need not miss one.
# mypy: disable-error-code=empty-body

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from logging import Logger
    from pathlib import Path

    from .backend import Backend
    from .codec import Cipher, Compressor
    from .entry import Filter, FilterMode
    from .events import Outcome, SetInfo, Sink, StoredVolume
    from .executor import Executor
    from .options import Option, Secret
    from .repository import Repository
    from .selection import Selection
    from .url import BackendURL

#: (major, minor): minor grows when something is added, major when something goes.
TARRAGON_API = (0, 1)

hookspec = pluggy.HookspecMarker("tarragon")
hookimpl = pluggy.HookimplMarker("tarragon")


class Context(Protocol):
    """The little of a run that a plugin may see."""

    @property
    def options(self) -> Any:
        """Option values by attribute; AttributeError names the package that owns an option not in use."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """The only environment a plugin reads. Passphrases answer by name and are not listed: a child gets a copy."""
        ...

    @property
    def repository(self) -> Repository:
        """The target of this run."""
        ...

    @property
    def url(self) -> BackendURL:
        """The target of this run, as it was typed. Raises UserError when the command line has none."""
        ...

    @property
    def hook(self) -> Any:
        """pluggy's relay, by keyword: a plugin calls the hooks it owns."""
        ...

    @property
    def log(self) -> Logger: ...

    @property
    def facts(self) -> dict[str, Any]:
        """What the command found out, as plain values: it becomes ``Outcome.facts``."""
        ...

    @property
    def now(self) -> int:
        """The second in which the run began: the only clock of a run."""
        ...

    @property
    def source(self) -> bytes | None:
        """The tree that the command line, or its profile, names; None when it names none."""
        ...

    def selection(self, root: bytes) -> Selection:
        """The selection options of the command line, for a tree that is called ``root``. Raises SelectionError."""
        ...

    def parse_time(self, text: str) -> int:
        """The second that ``text`` means, in any form of docs/cli.md § 6. Raises BadOption."""
        ...

    def open_backend(self, url: str, env: Mapping[str, str] | None = None) -> Backend:
        """Connect to another place: for combinations of stores. Its driver sees ``env`` on top of our environment."""
        ...

    def ask_password(self, prompt: str, *, env: tuple[str, ...] = ()) -> Secret:
        """A secret from the first of ``env`` that is set, else from the terminal: once a run for each ``prompt``.

        Raises UserError without either.
        """
        ...

    def temp_file(self, suffix: str = "") -> AbstractContextManager[Path]:
        """A new empty file of this run, gone afterwards."""
        ...


class Command(Protocol):
    """An action word of a plugin."""

    def __call__(self, words: Sequence[str]) -> int:
        """Run with the words behind the action word; the exit status."""
        ...


class Action(NamedTuple):
    """An action word of a plugin, for help, completion and the manual: ``words`` are what stands behind it."""

    word: str
    words: str
    help: str


class Profile(NamedTuple):
    """What stands behind ``@name``.

    ``options`` are words as they would be typed; ``selection`` those that only mean something where a source is read.
    The places are put in where the command line leaves them out; a restore never writes to ``source`` by itself.
    """

    options: tuple[str, ...] = ()
    selection: tuple[str, ...] = ()
    source: str | None = None
    target: str | None = None


class Extension(NamedTuple):
    """Hook specs of a plugin's own, and the entry-point group in which their implementations are found."""

    specs: type
    group: str


class Hooks:
    """Every hook.

    Makers: the first plugin that answers makes the thing. Collectors: all may add. News: told, not asked.
    """

    @hookspec(firstresult=True)
    def open_backend(self, url: BackendURL, context: Context) -> Backend | None:
        """Connect to the store that ``url`` names, or return None if it is not yours.

        Must not create or change anything beyond what connecting needs.
        Raises UserError for a URL or an option that cannot work, PermissionDenied for refused credentials.
        """

    @hookspec(firstresult=True)
    def wrap_backend(self, prefix: str, inner: Backend, url: BackendURL, context: Context) -> Backend | None:
        """Put ``prefix`` around ``inner``; ``par2+ftp://…`` asks this with prefix ``par2``."""

    @hookspec(firstresult=True)
    def make_compressor(self, name: str, level: int | None, context: Context) -> Compressor | None:
        """Make the compressor called ``name``, which may also be one of its suffixes without the dot."""

    @hookspec(firstresult=True)
    def make_cipher(self, name: str, context: Context) -> Cipher | None:
        """Make the cipher called ``name``, which may also be one of its suffixes without the dot.

        Must fail here, not at the first volume, when a key or a program is missing (what a run needs is in
        ``context.options.action``: only the backup actions write).
        """

    @hookspec(firstresult=True)
    def make_filter(
        self, option: str, argument: str | None, mode: FilterMode, root: bytes, context: Context
    ) -> Filter | None:
        """Make the condition for one selection option.

        Asked once per selection option, in command line order; ``option`` is its name without dashes, ``mode`` what
        the switches before it have set, ``root`` the source as typed. Raises SelectionError.
        """

    @hookspec(firstresult=True)
    def make_executor(self, name: str, width: int, context: Context) -> Executor | None:
        """Make the executor called ``name`` with ``width`` workers."""

    @hookspec(firstresult=True)
    def make_command(self, word: str, context: Context) -> Command | None:
        """Make an action that the core does not have: the core's own are duplicity's eleven."""

    @hookspec(firstresult=True)
    def read_profile(self, name: str, env: Mapping[str, str]) -> Profile | None:
        """What ``@name`` stands for; None when there is no such profile. Raises UserError for one that is wrong.

        Asked before anything of the line is understood.
        """

    @hookspec(firstresult=True)
    def make_report(self, name: str, log: Logger) -> object | None:
        """Make what reports the run in one document on standard output: ``--json`` asks for the one called ``json``.

        It is an object with hooks of its own, taken into use before the line is understood: ``ended`` is told also of
        a line that could not be. A record of ``log`` may carry ``about``, the thing that its text tells of. A document
        that cannot be written whole, while a reader waits for it, puts the ``OSError`` into ``log.lost``: the run ends
        with an error then.
        """

    @hookspec
    def options(self) -> Iterable[Option]:
        """Flags to add to the command line: pure data, the same at every call."""

    @hookspec
    def actions(self) -> Iterable[Action]:
        """The action words that ``make_command`` answers to: pure data, the same at every call."""

    @hookspec
    def make_sinks(self, names: Sequence[str], context: Context) -> Iterable[Sink]:
        """Make the sinks among ``names`` that are yours."""

    @hookspec
    def more_hooks(self) -> Iterable[Extension]:
        """Hook specs of your own that other packages may implement, and the group they are found in."""

    @hookspec
    def run_started(self, command: str, context: Context) -> None:
        """A run begins; nothing has been changed yet."""

    @hookspec
    def volume_stored(self, volume: StoredVolume, context: Context) -> None:
        """A volume is at the far side, and was checked there."""

    @hookspec
    def set_committed(self, backup_set: SetInfo, context: Context) -> None:
        """A set is whole: its manifest is at the far side and was read back."""

    @hookspec
    def run_finished(self, outcome: Outcome, context: Context) -> None:
        """Always told, also after a failure; ``outcome`` says which."""

    @hookspec
    def ended(self, exit_code: int, error: BaseException | None) -> None:
        """The last news of all: the status that the process ends with. No ``run_started`` came before it when the line
        was not understood."""
