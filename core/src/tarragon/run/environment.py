"""The environment as plugins see it, and secrets that come from a file, a descriptor or a command instead.

What the options name is read when it is first asked for, once. It answers to the variable that it stands for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tarragon.api.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tarragon.record import RunLog
    from tarragon.settings import Options

#: Variable → the name that its options begin with.
NAMES = {
    "PASSPHRASE": "passphrase",
    "SIGN_PASSPHRASE": "sign_passphrase",
    "BACKEND_PASSWORD": "backend_password",
}
#: For the core and its ciphers alone: no copy of the environment has them, so no child gets them (R24).
_NEVER_COPIED = frozenset({"PASSPHRASE", "SIGN_PASSPHRASE"})
#: Beyond it, nothing is a secret that somebody typed.
_LARGEST = 1 << 16
_LIMIT_S = 300


class Environment(Mapping[str, str]):
    """Variables by name. Passphrases, and what options give, answer when asked for by name and are not listed."""

    def __init__(self, variables: Mapping[str, str], options: Options, log: RunLog) -> None:
        self._variables = dict(variables)
        self._log = log
        self._given: dict[str, tuple[str, Any]] = {}
        for name, stem in NAMES.items():
            ways = [(way, getattr(options, f"{stem}_{way}", None)) for way in _READING]
            named = [(way, value) for way, value in ways if value is not None]
            if len(named) > 1:
                flags = " and ".join(f"--{stem}-{way}".replace("_", "-") for way, _ in named)
                raise UserError(f"{flags} cannot be given together")
            if named:
                self._given[name] = named[0]

    def __getitem__(self, name: str) -> str:
        if name in self._given:
            way, value = self._given[name]
            found = _first_line(_READING[way](self, value), name)
            self._log.hide(found)
            self._variables[name] = found
            del self._given[name]
        return self._variables[name]

    def __contains__(self, name: object) -> bool:
        return name in self._given or name in self._variables

    def __iter__(self) -> Iterator[str]:
        return iter(name for name in self._variables if name not in _NEVER_COPIED and name not in self._given)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _from_file(self, path: str) -> bytes:
        try:
            # A named pipe of a secret store is as good as a file: it is waited for.
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if stat.S_ISREG(mode) and mode & 0o077:
                    self._log.warning("'%s' can be read by others: chmod 600 would help", path)
                return file.read(_LARGEST)
        except (OSError, ValueError) as err:
            raise UserError(f"'{path}' cannot be read: {getattr(err, 'strerror', err)}") from err

    def _from_descriptor(self, number: int) -> bytes:
        try:
            with open(number, "rb", buffering=0) as file:
                found = b""
                while b"\n" not in found and len(found) < _LARGEST and (data := file.read(4096)):
                    found += data
                return found
        except (OSError, ValueError, TypeError) as err:
            raise UserError(f"descriptor {number} cannot be read: {getattr(err, 'strerror', err)}") from err

    def _from_command(self, words: Sequence[str]) -> bytes:
        import subprocess  # only for those who ask

        env = {name: value for name, value in self.items() if name not in ("BACKEND_PASSWORD", "FTP_PASSWORD")}
        try:
            ended = subprocess.run(words, env=env, stdout=subprocess.PIPE, timeout=_LIMIT_S, check=False)
        except (OSError, ValueError) as err:
            raise UserError(f"'{words[0]}' cannot be run: {getattr(err, 'strerror', err)}") from err
        except subprocess.TimeoutExpired:
            raise UserError(f"'{words[0]}' gave no secret within {_LIMIT_S} seconds") from None
        if ended.returncode:
            raise UserError(f"'{words[0]}' ended with status {ended.returncode}, so there is no secret")
        return ended.stdout[:_LARGEST]


_READING: dict[str, Callable[[Environment, Any], bytes]] = {
    "file": Environment._from_file,
    "fd": Environment._from_descriptor,
    "command": Environment._from_command,
}


def _first_line(data: bytes, name: str) -> str:
    """The secret: all up to the first line end, as gpg reads such files."""
    line = data.partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise UserError(f"what should hold {name} is empty")
    return os.fsdecode(line)
