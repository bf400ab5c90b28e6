"""Proxies that do harm on purpose, by a random plan: one for any TCP protocol, one that knows HTTP and S3's listings.

    with TcpFaults(port, Random(7), rate=0.3) as proxy:
        connect_to(proxy.port)
        proxy.done          # Counter of the faults that were injected, by kind

Each connection (TCP) or request (HTTP) is harmed with probability ``rate``, but never more than ``most`` of them: who
tries again comes through in the end. While ``is_on`` is false everything passes. They know nothing of Tarragon.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))  # the servers' tools are plain modules

import http_proxy
from http_proxy import Seen

#: What can happen to a connection, each after some bytes in one direction.
TCP_KINDS = ("reset", "truncation", "stall", "trickle")
#: What can happen to a request. Most stand for what overloaded, half-broken or hostile services really do.
HTTP_KINDS = (
    "500", "503 with Retry-After", "429 with Retry-After", "slow-down", "redirect to another host", "reset",
    "truncation", "stall", "trickle", "endless headers", "endless listing", "late listing",
)  # fmt: skip


class TcpFaults:
    """Passes bytes between clients and 127.0.0.1:``upstream``."""

    def __init__(self, upstream: int, random: Random, *, rate: float = 0.6, most: int = 3) -> None:
        self._upstream, self._random, self._rate = upstream, random, rate
        self.most, self.is_on = most, True
        self.done: Counter[str] = Counter()
        self.sent = 0  # bytes that have gone up, to tell how far a client has come
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port: int = self._listening.getsockname()[1]
        self._sockets: set[socket.socket] = set()

    def __enter__(self) -> TcpFaults:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection: those that stall would stall for ever."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._upstream))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._sockets |= {client, server}
                    plan = self._plan()
                for one, other, way in ((client, server, "up"), (server, client, "down")):
                    mine = plan if plan is not None and plan.way == way else None
                    threading.Thread(target=self._pass, args=(one, other, way, mine), daemon=True).start()

    def _plan(self) -> _Plan | None:
        random = self._random
        draw = (
            random.random(),
            random.choice(TCP_KINDS),
            random.choice(("up", "down")),
            random.randrange(2 ** random.randint(7, 21)),
        )
        return _Plan(*draw[1:]) if draw[0] < self._rate else None

    def _pass(self, one: socket.socket, other: socket.socket, way: str, plan: _Plan | None) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if way == "up":
                    self.sent += len(data)
                if plan is not None:
                    plan.after -= len(data)
                    if plan.after < 0 and self._takes(plan.kind):
                        self._harm(plan.kind, one, other, data)
                        return
                other.sendall(data)
        for sock in (one, other):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _takes(self, kind: str) -> bool:
        with self._lock:
            if not self.is_on or self.done.total() >= self.most:
                return False
            self.done[kind] += 1
            return True

    def _harm(self, kind: str, one: socket.socket, other: socket.socket, data: bytes) -> None:
        other.sendall(data[: len(data) // 2])
        if kind == "trickle":
            for byte in data[len(data) // 2 :]:
                other.sendall(bytes((byte,)))
                time.sleep(1)
        if kind in ("stall", "trickle"):
            return  # both stay open, and nobody reads on
        for sock in (one, other):
            if kind == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class _Plan:
    def __init__(self, kind: str, way: str, after: int) -> None:
        self.kind, self.way, self.after = kind, way, after


class HttpFaults(http_proxy.Proxy):
    """A proxy before an S3 service on 127.0.0.1:``upstream``. ``elsewhere`` is the host that it redirects to."""

    def __init__(
        self, upstream: int, random: Random, *, elsewhere: str, rate: float = 0.25, most: int = 4,
        kinds: tuple[str, ...] = HTTP_KINDS,
    ) -> None:  # fmt: skip
        super().__init__(upstream)
        self._random, self._rate, self._kinds, self.elsewhere = random, rate, kinds, elsewhere
        self.most, self.is_on, self.stall_s = most, True, 20.0
        self.done: Counter[str] = Counter()
        self.sent = 0
        self._plan_lock = threading.Lock()
        self._server.RequestHandlerClass = type("Handler", (_Handler,), {"owner": self})
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]

    def kind_for(self, seen: Seen) -> str:
        """What is to happen to a request; "" for nothing."""
        with self._plan_lock:
            self.sent += len(seen.body)
            self.seen.clear()  # a long run would keep every byte
            is_hit, kind = self._random.random() < self._rate, self._random.choice(self._kinds)
            if not is_hit or not self.is_on or self.done.total() >= self.most:
                return ""
            is_listing = seen.method == "GET" and ("list-type" in seen.path or "prefix=" in seen.path)
            if "listing" in kind and not is_listing:
                return ""
            self.done[kind] += 1
            return kind


class _Handler(http_proxy._Handler):
    owner: HttpFaults  # type: ignore[assignment]

    def handle_any(self) -> None:
        with contextlib.suppress(OSError):
            body = self._body()
            seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            kind = self.owner.kind_for(seen)
            word = re.sub(r"\W+", "_", kind) or "nothing"
            getattr(self, f"_{word}")(seen)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = handle_any

    def _nothing(self, seen: Seen) -> None:
        self._pass(seen)

    def _refuse(self, status: int, code: str, headers: dict[str, Any] | None = None) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self._send(
            status, {"Content-Type": "application/xml", **(headers or {})}, b"" if self.command == "HEAD" else body
        )

    def _500(self, seen: Seen) -> None:
        self._refuse(500, "InternalError")

    def _503_with_Retry_After(self, seen: Seen) -> None:
        self._refuse(503, "ServiceUnavailable", {"Retry-After": "1"})

    def _429_with_Retry_After(self, seen: Seen) -> None:
        self._refuse(429, "TooManyRequests", {"Retry-After": "1"})

    def _slow_down(self, seen: Seen) -> None:
        self._refuse(503, "SlowDown")

    def _redirect_to_another_host(self, seen: Seen) -> None:
        self._refuse(self.owner._random.choice((301, 302, 307, 308)), "TemporaryRedirect",
                     {"Location": self.owner.elsewhere + seen.path})  # fmt: skip

    def _reset(self, seen: Seen) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _truncation(self, seen: Seen) -> None:
        self._pass(seen, cut=True)

    def _stall(self, seen: Seen) -> None:
        time.sleep(self.owner.stall_s)
        self._hang_up()

    def _trickle(self, seen: Seen) -> None:
        self._send_head(200, {"Content-Type": "application/octet-stream"}, 1_000_000)
        for _ in range(20):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(1)
        self._hang_up()

    def _endless_headers(self, seen: Seen) -> None:
        self.send_response_only(200)
        self.flush_headers()
        with contextlib.suppress(OSError):
            for number in range(10**7):
                self.wfile.write(b"X-More-%d: %s\r\n" % (number, b"y" * 1000))
        self.close_connection = True

    def _endless_listing(self, seen: Seen) -> None:
        """A page that says it has a successor; each of them does, for as long as it is asked."""
        number = int((re.search(r"page(\d+)", seen.path) or [0, 0])[1]) + 1
        entries = "".join(
            f"<Contents><Key>endless-{number}-{each}</Key><Size>1</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for each in range(1000)
        )
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>page{number}</NextContinuationToken>{entries}"
            "</ListBucketResult>"
        )
        self._send(200, {"Content-Type": "application/xml"}, body.encode())

    def _late_listing(self, seen: Seen) -> None:
        """The listing lacks its last object, as one does that has not heard of it yet."""
        connection = http_proxy.http.client.HTTPConnection("127.0.0.1", self.owner.upstream, timeout=60)
        try:
            connection.putrequest(seen.method, seen.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            data, headers = answer.read(), dict(answer.getheaders())
        finally:
            connection.close()
        begin = data.rfind(b"<Contents>")
        if begin >= 0:
            data = data[:begin] + data[data.index(b"</Contents>", begin) + len(b"</Contents>") :]
        self._send(answer.status, headers, data)


class Elsewhere:
    """Another host, to which nothing may be sent that is worth stealing; keeps what arrives."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.2", 0))
        self.url = f"http://127.0.0.2:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                with contextlib.suppress(OSError), sock:
                    sock.settimeout(1)
                    self.got.append(sock.recv(65536))
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listening.close()
