"""BackendURL: one parser for every place a backup can be kept (docs/cli.md, URLs)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .errors import BadURL
from .options import Secret

if TYPE_CHECKING:
    from collections.abc import Collection

_SCHEME = re.compile(r"([A-Za-z0-9_+]+)://(.*)\Z", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BRACKETS = re.compile(r"\[([^\[\]]+)\](?::(.*))?\Z", re.DOTALL)


def is_url(word: str) -> bool:
    """Whether a word of the command line is a URL rather than a path (docs/cli.md § 1)."""
    return "\n" not in word and _SCHEME.match(word) is not None


@dataclass(frozen=True, kw_only=True)
class BackendURL:
    """A place that holds a backup.

    ``raw`` is the URL exactly as typed: the default name of the cache folder is its MD5. ``wrappers`` are the prefixes
    around the scheme, outermost first (``par2+ftp`` has ``("par2",)``). ``rest`` is everything behind ``//`` as typed,
    for schemes without a host. User, password, host and path are percent-decoded; ``query`` is not.
    """

    raw: str
    scheme: str
    wrappers: tuple[str, ...] = ()
    rest: str = ""
    user: str | None = None
    password: Secret | None = None
    host: str | None = None
    port: int | None = None
    path: str = ""
    query: str = ""

    def __str__(self) -> str:
        """The URL without its password."""
        head, sep, tail = self.raw.partition("://")
        at = tail.partition("?")[0].partition("/")[0].rfind("@")
        if self.password is not None and at >= 0:
            user = tail[:at].partition(":")[0]
            tail = f"{user}:***{tail[at:]}"
        return head + sep + tail

    __repr__ = __str__

    def unwrapped(self) -> BackendURL:
        """The same place without its outermost wrapper."""
        return replace(self, raw=self.raw.partition("+")[2], wrappers=self.wrappers[1:])


def scheme_of(word: str) -> str:
    """The scheme word of a URL with all its prefixes, as typed in lower case. Raises BadURL."""
    found = _SCHEME.match(word)
    if not found:
        raise BadURL(f"'{word}' is not a URL", hint="a URL reads scheme://…, a local folder file:///folder")
    return found.group(1).lower()


def split_scheme(word: str, schemes: Collection[str], wrappers: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Prefixes and scheme of a URL's scheme word: the longest known scheme wins, then prefixes are cut from the left.

    A scheme that nobody claims is returned whole behind the prefixes that were recognised.
    """
    found: list[str] = []
    while word not in schemes:
        prefix, plus, rest = word.partition("+")
        if not plus or prefix not in wrappers:
            break
        found.append(prefix)
        word = rest
    return tuple(found), word


def parse_url(raw: str, schemes: Collection[str] = (), wrappers: Collection[str] = ()) -> BackendURL:
    """Read a URL. ``schemes`` and ``wrappers`` are the installed names.

    Raises BadURL for control characters, a host that begins with a dash, or a bracket that is not closed; whether a
    scheme needs a host, and what a host may look like, is for its driver to say.
    """
    if _CONTROL.search(raw):
        raise BadURL("the URL holds a control character", hint="percent-encode it in the path")
    word = scheme_of(raw)
    prefixes, scheme = split_scheme(word, schemes, wrappers)
    rest = raw.partition("://")[2]
    location, _, query = rest.partition("?")
    netloc, slash, path = location.partition("/")
    userinfo, at, hostport = netloc.rpartition("@")
    user, colon, password = userinfo.partition(":")
    host, port = _host_and_port(hostport)
    host = _decoded(host)
    if host.startswith("-") or unquote(user).startswith("-"):
        raise BadURL("the host or the user of the URL begins with a dash")
    return BackendURL(
        raw=raw,
        scheme=scheme,
        wrappers=prefixes,
        rest=rest,
        user=_decoded(user) if at else None,
        password=Secret(_decoded(password)) if colon else None,
        host=host or None,
        port=port,
        path=_decoded(slash + path),
        query=query,
    )


def _host_and_port(hostport: str) -> tuple[str, int | None]:
    """Split off ``:port``; an IPv6 host stands in brackets. What follows ``::`` (rsync modules) is left alone."""
    if hostport.startswith("["):
        if not (found := _BRACKETS.match(hostport)):
            raise BadURL(
                "the URL's host begins with a bracket and is no address in brackets",
                hint="an IPv6 address reads sftp://[fe80::1]:22/folder; in other names '[' is written %5B",
            )
        host, port = found[1], found[2] or ""
    elif "::" in hostport:
        return hostport, None
    else:
        host, _, port = hostport.partition(":")
    if not port:
        return host, None
    return (host, int(port)) if port.isascii() and port.isdigit() and int(port) < 65536 else (hostport, None)


def _decoded(text: str) -> str:
    decoded = unquote(text, errors="surrogateescape")
    if _CONTROL.search(decoded):
        raise BadURL("the URL holds an encoded control character")
    return decoded
