"""A proxy before an HTTP server that writes down what passes, and does harm when told to.

    with Proxy(upstream_port) as proxy:
        proxy.rules.append(Answer(503, {"Retry-After": "7"}, when=lambda seen: seen.method == "PUT", times=1))
        proxy.url, proxy.seen

Requests go on unchanged, Host and all, so that signatures stay good. With ``tls`` (a file of certificate and key) it
speaks TLS on its own side.
"""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request as it came in. Names of header fields are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What a request gets instead of going on. ``when`` says which, ``times`` how many of them."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    when: Callable[[Seen], bool] = lambda seen: True
    times: int = 10**9
    cut: bool = False  # close the connection half way through the body of what the server answers
    reset: bool = False  # close it before any answer
    bare: bool = False  # the status line alone, all header fields lost


class Proxy:
    """Listens on 127.0.0.1 while it is open."""

    def __init__(self, upstream: int, tls: str = "") -> None:
        self.seen: list[Seen] = []
        self.rules: list[Answer] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.upstream = upstream
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, method: str, word: str = "") -> list[Seen]:
        """The requests of a method whose path and query hold ``word``."""
        return [seen for seen in self.seen if seen.method == method and word in seen.path]

    def rule_for(self, seen: Seen) -> Answer | None:
        for rule in self.rules:
            if rule.times > 0 and rule.when(seen):
                rule.times -= 1
                return rule
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy

    def handle_any(self) -> None:
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body)
        self.owner.seen.append(seen)
        rule = self.owner.rule_for(seen)
        if rule is None:
            self._pass(seen)
        elif rule.reset:
            self._hang_up()
        elif rule.bare:
            self.send_response_only(rule.status)
            self.end_headers()
        elif rule.cut:
            self._pass(seen, cut=True)
        else:
            self._send(rule.status, dict(rule.headers), rule.body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = handle_any

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise AssertionError("the client sent chunks, which the servers here do not know")
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # answered already by the base class
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _pass(self, seen: Seen, *, cut: bool = False) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.upstream, timeout=60)
        try:
            connection.putrequest(seen.method, seen.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(seen.body)
            answer = connection.getresponse()
            data = answer.read()
            headers: dict[str, Any] = dict(answer.getheaders())
        finally:
            connection.close()
        if cut:
            self._send_head(answer.status, headers, len(data))
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        else:
            self._send(answer.status, headers, data)

    def _send(self, status: int, headers: dict[str, Any], data: bytes) -> None:
        length = int(headers.get("Content-Length") or headers.get("content-length") or 0)
        self._send_head(status, headers, length if self.command == "HEAD" and length else len(data))
        self.wfile.write(data)

    def _send_head(self, status: int, headers: dict[str, Any], length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing: what passes is in ``seen``."""
