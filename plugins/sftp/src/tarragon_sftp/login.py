"""Login: where to connect and who to be, from the URL, --ssh-options and ssh_config, in this order."""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tarragon.api import BadOption, BadURL, Secret

from .sshconfig import expanded, home_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from logging import Logger

    from tarragon.api import BackendURL, Context

    from .sshconfig import Found

_HOST = re.compile(r"[\w.%:-]+")
#: Names of variables that may hold a secret: no program that we start gets them (R24).
_SECRET = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|ACCOUNT_KEY|CONNECTION_STRING|CREDENTIAL", re.IGNORECASE)
_PASSWORDS = ("BACKEND_PASSWORD", "FTP_PASSWORD")
#: Files that ssh tries when no other key is named.
_USUAL_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
#: What is understood; the rest of ssh_config is left to OpenSSH.
_UNDERSTOOD = frozenset(
    {
        "addressfamily",
        "bindaddress",
        "certificatefile",
        "ciphers",
        "compression",
        "hostkeyalgorithms",
        "hostkeyalias",
        "hostname",
        "globalknownhostsfile",
        "identitiesonly",
        "identityagent",
        "identityfile",
        "kexalgorithms",
        "macs",
        "passwordauthentication",
        "port",
        "proxycommand",
        "proxyjump",
        "pubkeyauthentication",
        "user",
        "userknownhostsfile",
    }
)


@dataclass(frozen=True, kw_only=True)
class Login:
    """Everything that a connection needs to know. ``password`` asks at most once a run, if it may ask at all."""

    typed: str  #: the host as the URL names it
    host: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[str, ...]
    is_known_hosts_given: bool
    identities: tuple[str, ...]
    usual_keys: tuple[str, ...]
    certificates: tuple[str, ...]
    only_identities: bool
    agent: str
    proxy: tuple[str, ...]
    child_env: Mapping[str, str]
    algorithms: Mapping[str, str]
    family: str
    bind: str
    compresses: bool
    may_use_keys: bool
    may_use_password: bool
    timeout_s: float
    password: Callable[[str], Secret | None]
    log: Logger


def login_of(url: BackendURL, context: Context) -> Login:
    """The login that a URL and the options of the run ask for. Raises BadURL, BadOption and BackendError."""
    typed = checked_host(url.host)
    local_user = _local_user(context.env)
    text = joined(context.options.ssh_options)
    found, left_out = settings_of(text, typed, url.user, context.env, local_user)
    for what in left_out:
        context.log.info("ssh_config: %s needs a shell or is not known, and is left out", what)
    if ignored := sorted(set(found) - _UNDERSTOOD):
        context.log.info("of the ssh settings these are not used: %s", " ".join(ignored))
    return _login(url, context, found, typed, local_user)


def _login(url: BackendURL, context: Context, found: Found, typed: str, local_user: str) -> Login:
    def value(word: str, default: str = "") -> str:
        return found.get(word, [default])[0]

    def path(text: str) -> str:
        return expanded(text, context.env, tokens)

    host = value("hostname").replace("%h", typed).replace("%%", "%") or typed
    other_port = _port(value("port", "22"))
    port = url.port or other_port
    user = url.user or value("user") or local_user
    tokens = {"h": host, "n": typed, "p": str(port), "r": user, "u": local_user}
    folder = os.path.join(home_of(context.env), ".ssh")
    known_hosts = value("userknownhostsfile") or shlex.join([f"{folder}/known_hosts", f"{folder}/known_hosts2"])
    everywhere = value("globalknownhostsfile") or "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
    known_as = value("hostkeyalias") or host
    return Login(
        typed=typed,
        host=checked_host(host),
        port=port,
        user=user,
        known_as=known_as if port == 22 or value("hostkeyalias") else f"[{known_as}]:{port}",
        known_hosts=tuple(path(one) for text in (known_hosts, everywhere) for one in _split(text)),
        is_known_hosts_given="userknownhostsfile" in found,
        identities=tuple(path(one) for one in found.get("identityfile", ()) if one.lower() != "none"),
        usual_keys=tuple(f"{folder}/{one}" for one in _USUAL_KEYS),
        certificates=tuple(path(one) for one in found.get("certificatefile", ())),
        only_identities=value("identitiesonly").lower() == "yes",
        agent=_agent(path(value("identityagent")), context.env),
        proxy=_proxy(value("proxycommand"), value("proxyjump"), tokens),
        child_env=child_env(context.env),
        algorithms={word: value(word) for word in ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")},
        family=value("addressfamily", "any").lower(),
        bind=value("bindaddress"),
        compresses=value("compression").lower() == "yes",
        may_use_keys=value("pubkeyauthentication").lower() != "no",
        may_use_password=value("passwordauthentication").lower() != "no",
        timeout_s=float(context.options.timeout or 30),
        password=password_of(url, context),
        log=context.log,
    )


def joined(values: object) -> str:
    """The values of a repeatable option as one text."""
    if isinstance(values, str):
        return values
    return " ".join(values) if isinstance(values, list | tuple) else ""


def checked_host(host: str | None) -> str:
    """The host, if it is one: a name or an address, and nothing that a program could take for an option."""
    if not host:
        raise BadURL("the URL names no host", hint="sftp://user@host/folder")
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise BadURL(f"'{host}' is not the name of a host")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError as err:
            raise BadURL(f"'{host}' is not a host, or its port is no port", hint="sftp://user@host:22/folder") from err
    return host


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise BadOption(f"'{text}' is not a port")
    return int(text)


def _local_user(env: Mapping[str, str]) -> str:
    for word in ("LOGNAME", "USER"):
        if env.get(word):
            return env[word]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _split(text: str) -> list[str]:
    try:
        return [one for one in shlex.split(text) if one.lower() != "none"]
    except ValueError:
        return [text]


def _agent(named: str, env: Mapping[str, str]) -> str:
    """The socket of the agent; "" for none."""
    if named.lower() == "none":
        return ""
    if named.startswith("$"):
        return env.get(named[1:].strip("{}"), "")
    return env.get("SSH_AUTH_SOCK", "") if named in ("", "SSH_AUTH_SOCK") else named


def _proxy(command: str, jump: str, tokens: Mapping[str, str]) -> tuple[str, ...]:
    """The program whose standard streams lead to the host, as words; none for a connection of our own.

    A jump is made by ssh itself, as ssh does it. No shell is asked: tokens are filled in after the words are split.
    """
    if command and command.lower() != "none":
        try:
            words = shlex.split(command)
        except ValueError as err:
            raise BadOption(f"ProxyCommand cannot be split into words: {err}") from err
        if words[:1] == ["exec"]:
            words = words[1:]
        known = {"%": "%", **tokens}
        return tuple(re.sub("%(.)", lambda one: known.get(one.group(1), one.group(0)), word) for word in words)
    if jump and jump.lower() != "none":
        *before, last = (hop.strip().removeprefix("ssh://") for hop in jump.split(","))
        if any(hop.startswith("-") or not hop for hop in (*before, last)):
            raise BadOption(f"'{jump}' is not a host to jump over")
        through = ["-J", ",".join(before)] if before else []
        target = f"[{tokens['h']}]:{tokens['p']}"
        return ("ssh", *through, "-oBatchMode=yes", "-W", target, "--", f"ssh://{last}")
    return ()


def child_env(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that we start."""
    return {name: text for name, text in env.items() if not _SECRET.search(name)}


def has_password(url: BackendURL, context: Context) -> bool:
    """Whether there is a password, or somebody to ask for it."""
    return bool(url.password or context.options.ssh_askpass or any(context.env.get(name) for name in _PASSWORDS))


def password_of(url: BackendURL, context: Context) -> Callable[[str], Secret | None]:
    """What gives the password: URL, environment, or a question where --ssh-askpass was given.

    It is the passphrase of keys too. An empty one counts as none.
    """

    def password(prompt: str) -> Secret | None:
        if url.password:
            return url.password
        for name in _PASSWORDS:
            if context.env.get(name):
                if name == "FTP_PASSWORD":
                    context.log.info("the password is taken from FTP_PASSWORD; BACKEND_PASSWORD is its newer name")
                return Secret(context.env[name])
        return context.ask_password(prompt) or None if context.options.ssh_askpass else None

    return password
