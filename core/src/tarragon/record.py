"""Log records: the levels, the log of a run, and file names as fields (docs/cli.md § 8, § 11).

A leaf: everything that logs may import it. How records look on the terminal and in ``--log-fd`` is cli/log.py's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    About = tuple[str, Mapping[str, Any]] | None

    from tarragon.api.options import Secret

#: What the user should see unless he asked for less.
NOTICE = 25
#: The output itself (lists, statistics, status): shown at every verbosity. One that cannot be written ends the run
#: with an error, unless the record says ``extra={"beside": True}``: told beside what was asked for.
SHOW = 60


class RunLog(logging.Logger):
    """The log of one run: no other run's, and in no global table.

    ``extra={"number": 4, "fields": ("'path'",), "data": ()}`` makes a record that programs understand; number 1, the
    default, means none of its own.
    """

    def __init__(self, level: int) -> None:
        super().__init__("tarragon", level)
        self._hidden: tuple[str, ...] = ()
        #: Why output could not be written: what was asked for has not been shown whole.
        self.lost: OSError | None = None

    def hide(self, *secrets: Secret | str | None) -> None:
        """From now on show ``***`` wherever one of these would stand in a record."""
        from urllib.parse import quote  # only where there is a secret

        for secret in secrets:
            text = secret if isinstance(secret, str) or secret is None else secret.reveal()
            if text:
                found = {text, quote(text, safe=""), quote(text, errors="replace"), *self._hidden}
                self._hidden = tuple(sorted(found, key=len, reverse=True))

    def redacted(self, text: str, shortest: int = 4) -> str:
        """``text`` without the hidden secrets of at least ``shortest`` characters."""
        for secret in self._hidden:
            if len(secret) >= shortest:
                text = text.replace(secret, "***")
        return text

    def show(
        self, text: str, number: int = 1, fields: Iterable[str] = (), data: Iterable[str] = (), about: About = None
    ) -> None:
        """Output that is always shown. ``about`` is what a text tells of: the list it belongs to, and plain values."""
        extra = {"number": number, "fields": tuple(fields), "data": tuple(data), "about": about}
        self.log(SHOW, "%s", text, extra=extra)


def quoted_field(path: bytes) -> str:
    """A file name as a field of a record: in single quotes, with Python's escapes and ``\\x27`` for a quote.

    Bytes that are not UTF-8 stand as the escapes of what Python decodes them to (``\\udce9``).
    """
    text = path.decode("utf-8", "surrogateescape")
    escaped = text.encode("unicode_escape").decode("ascii").replace("'", "\\x27")
    return f"'{escaped}'"


def source_field(source: bytes, path: bytes) -> str:
    """A path below a source as the source was typed, which is how programs are told what could not be stored."""
    names = [name for name in (source + b"/" + path).split(b"/") if name not in (b"", b".")]
    return quoted_field((b"/" if source[:1] == b"/" else b"") + b"/".join(names) or b".")
