"""Context: what one run knows. Made once from the settings; everything in it is made when first asked for."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections import ChainMap
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tarragon import clock
from tarragon.api.entry import FilterMode
from tarragon.api.errors import PluginError, UnknownScheme, UserError
from tarragon.api.options import Secret
from tarragon.api.url import BackendURL, parse_url
from tarragon.owners import Owners
from tarragon.plugin import finder
from tarragon.settings import defaults
from tarragon.source.select import Selection, selection, switches
from tarragon.temp import TempFolder, parent_folder
from tarragon.volume.name import Names, Prefixes
from tarragon.volume.seal import Sealer
from tarragon.volume.unseal import Codecs

from .environment import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tarragon.api import Backend, Cipher, Compressor, Executor, Filter, Repository, Sink
    from tarragon.plugin.hub import Hub
    from tarragon.record import RunLog
    from tarragon.settings import Options, Settings
    from tarragon.store.attempt import Stop
    from tarragon.store.store import Store

#: Variables of a part of the target whose values must not be logged.
_SECRET = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)


class Context:
    """One run: its settings, plugins, far side, temporary folder and clock. Also what plugins see of it."""

    def __init__(self, settings: Settings, hub: Hub, log: RunLog, env: Mapping[str, str] | None = None) -> None:
        self.stop: Stop | None = None
        self.settings = settings
        self.hub = hub
        self.log = log
        self.env: Mapping[str, str] = Environment(os.environ if env is None else env, settings.options, log)
        self.facts: dict[str, Any] = {}
        self.waited_s = 0
        self._answers: dict[str, Secret] = {}
        self.is_met = False  # whether the listing of the target was told of
        self.is_command = False  # of a package: it says itself what its reader wants to know

    @cached_property
    def options(self) -> Options:
        """Option values; ``options.action`` is the action word, for plugins that make less when nothing is written."""
        return self.settings.options.replaced(action=self.settings.action)

    @property
    def action(self) -> str:
        """The action word, duplicity's full one or a plugin's."""
        return self.settings.action

    @property
    def now(self) -> int:
        """The clock at the start of the run, in seconds; after waiting for another run: when that was over."""
        return self.settings.now + self.waited_s

    @property
    def source(self) -> bytes | None:
        """The tree that the command line, or its profile, names."""
        return self.settings.source

    @property
    def hook(self) -> Any:
        return self.hub.hook

    def _use(self, kind: str, name: str) -> None:
        """Take a plugin into use. One that the command line did not call for has its options at their defaults."""
        self.hub.use(kind, name)
        given = self.options
        missing = {k: v for k, v in defaults(self.hub.collect("options")).items() if k not in given}
        if missing:
            self.__dict__["options"] = given.replaced(**missing)

    def parse_time(self, text: str) -> int:
        """A time of the command line in seconds. Raises BadOption."""
        if text.startswith("-") and text[1:].isdecimal():
            return int(text)  # a time before 1970 that was read already
        return clock.parse_time(text, self.now, self.options.time_separator)

    # -- places -------------------------------------------------------------------------------------------------------

    @cached_property
    def temp(self) -> TempFolder:
        return TempFolder(parent_folder(self.options.tempdir, self.env))

    def temp_file(self, suffix: str = "") -> AbstractContextManager[Path]:
        return self.temp.path(suffix)

    @cached_property
    def url(self) -> BackendURL:
        """The target's URL. Raises UserError when the command line had none."""
        if self.settings.url is None:
            raise UserError(f"'{self.action}' needs the URL of a target")
        url = self._parsed(self.settings.url)
        self.log.hide(url.password)
        return url

    def must_be_handled(self) -> None:
        """Raise UnknownScheme where nothing installed handles the target: before a passphrase is asked for."""
        self._use("backend", self.url.scheme)

    @staticmethod
    def _parsed(raw: str) -> BackendURL:
        return parse_url(raw, finder.names("backend"), finder.names("wrapper"))

    def open_backend(self, url: str, env: Mapping[str, str] | None = None) -> Backend:
        part = self
        if env:
            assert self.temp  # one folder for all, and this one's close() removes it
            part = copy.copy(self)
            part.env = ChainMap(dict(env), self.env)  # type: ignore[arg-type]  # it is only read
            self.log.hide(*(value for name, value in env.items() if _SECRET.search(name)))
        parsed = self._parsed(url)
        self.log.hide(parsed.password)
        return part.connect(parsed)

    def connect(self, url: BackendURL) -> Backend:
        """Open the store that a URL names, and put its wrappers around it, the innermost first."""
        self._use("backend", url.scheme)
        backend: Backend | None = self.hub.ask("open_backend", url=url, context=self)
        if backend is None:
            raise UnknownScheme(f"nothing installed handles '{url.scheme}://'")
        for prefix in reversed(url.wrappers):
            self._use("wrapper", prefix)
            wrapped: Backend | None = self.hub.ask("wrap_backend", prefix=prefix, inner=backend, url=url, context=self)
            if wrapped is None:
                raise PluginError(f"the plugin of '{prefix}+' does not wrap anything")
            backend = wrapped
        return backend

    @cached_property
    def store(self) -> Store:
        """The far side of this run."""
        from tarragon.store.store import Store

        url = self.url
        options = self.options
        return Store(
            lambda: self.connect(url),
            log=self.log,
            num_retries=options.num_retries,
            retry_delay_s=options.backend_retry_delay,
            timeout_s=options.timeout,
            limit_upload=options.limit_upload,
            limit_download=options.limit_download,
            stop=self.stop,
            on_stored=lambda volume: self.hub.tell("volume_stored", volume=volume, context=self),
            file_prefix=options.file_prefix or "",
        )

    @cached_property
    def names(self) -> Names:
        options = self.options
        prefixes = Prefixes(
            options.file_prefix or "",
            options.file_prefix_archive or "",
            options.file_prefix_manifest or "",
            options.file_prefix_signature or "",
            options.file_prefix_jsonstat or "",
        )
        return Names(prefixes, options.time_separator)

    @cached_property
    def repository(self) -> Repository:
        from .repository import Target

        return Target(self)

    # -- what plugins make ----------------------------------------------------------------------------

    @cached_property
    def sealer(self) -> Sealer:
        """The codecs that this run writes with. Made before anything is changed, so that a missing key is told now."""
        cipher: Cipher | None = None
        compressor: Compressor | None = None
        if self.options.encryption:
            cipher = self._cipher("gpg")
        if (cipher is None or not cipher.packs) and self.options.compression:
            self._use("compressor", "gzip")
            compressor = self.hub.ask("make_compressor", name="gzip", level=None, context=self)
        return Sealer(compressor, cipher, self.temp, verify=self.options.verify_volumes)

    def _cipher(self, name: str) -> Cipher:
        self._use("cipher", name)
        cipher: Cipher | None = self.hub.ask("make_cipher", name=name, context=self)
        if cipher is None:
            raise PluginError(f"the plugin of cipher '{name}' does not make it")
        return cipher

    @cached_property
    def codecs(self) -> Codecs:
        """What undoes the suffixes of stored names."""
        return Codecs(self._codec)

    def _codec(self, suffix: str) -> Cipher | Compressor | None:
        if suffix not in finder.names("suffix"):
            return None
        if "sealer" in self.__dict__ and self.sealer.cipher is not None and self.sealer.cipher.suffix == f".{suffix}":
            return self.sealer.cipher  # made and tried already; another one would ask for the passphrase again
        self._use("suffix", suffix)
        cipher: Cipher | None = self.hub.ask("make_cipher", name=suffix, context=self)
        if cipher is not None:
            return cipher
        compressor: Compressor | None = self.hub.ask("make_compressor", name=suffix, level=None, context=self)
        return compressor

    @cached_property
    def width(self) -> int:
        """How many jobs run beside what is on its way; 0: one thing at a time. Here alone parallelism is decided."""
        width: int | None = self.options.concurrency
        return len(os.sched_getaffinity(0)) if width is None else width

    @cached_property
    def executor(self) -> Executor:
        """Where jobs run."""
        width = self.width
        name = self.options.executor or ("processes" if width > (self.options.concurrency is None) else "inline")
        self._use("executor", name)
        executor: Executor | None = self.hub.ask("make_executor", name=name, width=max(1, width), context=self)
        if executor is None:
            raise PluginError(f"the plugin of executor '{name}' does not make it")
        return executor

    @cached_property
    def sinks(self) -> list[Sink]:
        """The statistics sinks of this run."""
        names = list(self.options.stats or ("text",))
        if self.options.jsonstat and "jsonstat" not in names:
            names.insert(0, "jsonstat")
        if self.options.progress and "progress" not in names:
            names.append("progress")
        for name in names:
            self._use("stats", name)
        return self.hub.collect("make_sinks", names=names, context=self)

    # -- people -----------------------------------------------------------------------------------------

    def ask_password(self, prompt: str, *, env: tuple[str, ...] = ()) -> Secret:
        """The first of ``env`` that is set, else what is typed at the terminal. Raises UserError without either.

        What was typed is known for the rest of the run: several connections need not ask for one password.
        """
        for name in env:
            if name in self.env:
                return Secret(self.env[name])
        if prompt in self._answers:
            return self._answers[prompt]
        if not sys.stdin or not sys.stdin.isatty():
            wanted = " or ".join(env) or "a password"
            error = UserError(
                f"no terminal to ask for '{prompt}'", hint=f"set {wanted} in the environment", fields=("EOFError",)
            )
            error.exit_code = 30  # docs/cli.md § 4: exit 30 and EOFError
            raise error
        from getpass import getpass  # with termios, for the terminal only

        from tarragon.store.attempt import at_home

        secret = Secret(at_home(lambda: getpass(f"{prompt}: ")))
        self.log.hide(secret)
        self._answers[prompt] = secret
        return secret

    def selection(self, root: bytes, mode: FilterMode | None = None) -> Selection:
        """The selection options of the command line, for a tree that is called ``root``. Raises SelectionError."""

        def make(option: str, argument: str | None, mode: FilterMode) -> Filter | None:
            self._use("filter", option)
            made: Filter | None = self.hub.ask(
                "make_filter", option=option, argument=argument, mode=mode, root=root, context=self
            )
            return made

        words = [*self._listed(), *self.settings.selection]
        if not words:
            return Selection()
        self._use("filter", words[0][0])
        if mode is None:
            mode = FilterMode(null_separator=self.options.null_separator)
        return selection(words, switches(self.hub.collect("options")), make, mode)

    def _listed(self) -> list[tuple[str, str | None]]:
        """Filters that are no conditions of the command line's order: stored options by the name of a filter."""
        filters = finder.names("filter")
        stored = [one for one in self.hub.collect("options") if one.action == "store" and one.flag[2:] in filters]
        given = [(one.flag[2:], getattr(self.options, one.name)) for one in stored]
        return [(name, value) for name, value in given if value is not None]

    @cached_property
    def owners(self) -> Owners:
        return Owners(numeric=bool(self.options.numeric_owner))

    def close(self) -> None:
        """Let go of everything that was made. What fails now is only logged: all that counts was checked before."""
        made = self.__dict__
        if "executor" in made:
            self.executor.close(cancel=True)
        if "store" in made:
            self.store.close()
        if "repository" in made:
            made["repository"].close()
        if "temp" in made:
            self.temp.close()
