"""The proxies do the harm they are asked for, count it, and let everything pass when they should."""

from __future__ import annotations

import http.client
import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is plain modules

from fault_proxy import HTTP_KINDS, Elsewhere, HttpFaults, TcpFaults

LISTING = b"<ListBucketResult><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></ListBucketResult>"
QUICK = [kind for kind in HTTP_KINDS if kind not in ("stall", "trickle")]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(LISTING)))
        self.end_headers()
        self.wfile.write(LISTING)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def asked(port: int) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/bucket?list-type=2&prefix=x", headers={"Authorization": "secret"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


EXPECTED = {
    "500": 500, "503 with Retry-After": 503, "429 with Retry-After": 429, "slow-down": 503,
    "reset": ConnectionResetError, "truncation": http.client.IncompleteRead,
    "endless headers": http.client.HTTPException,
    "endless listing": b"endless-1-999", "late listing": LISTING.replace(b"<Contents><Key>b</Key></Contents>", b""),
    "redirect to another host": "Location",
}  # fmt: skip


@pytest.mark.parametrize("kind", QUICK)
def test_a_request_meets_the_fault_that_is_planned_and_the_next_one_passes(kind: str, upstream: int) -> None:
    with HttpFaults(upstream, Random(1), elsewhere="http://127.0.0.2:1", rate=1, most=1, kinds=(kind,)) as proxy:
        expected = EXPECTED[kind]
        if isinstance(expected, type):
            with pytest.raises(expected):
                asked(proxy.port)
        else:
            status, headers, body = asked(proxy.port)
            assert (
                expected in (status, body) or (isinstance(expected, bytes) and expected in body) or expected in headers
            )
        assert proxy.done == {kind: 1}
        assert asked(proxy.port)[2] == LISTING


def test_the_refusals_say_when_to_come_again_and_redirects_lead_elsewhere(upstream: int) -> None:
    for kind, name, value in (
        ("503 with Retry-After", "Retry-After", "1"),
        ("redirect to another host", "Location", "http://127.0.0.2:1/bucket?list-type=2&prefix=x"),
    ):
        with HttpFaults(upstream, Random(1), elsewhere="http://127.0.0.2:1", rate=1, kinds=(kind,)) as proxy:
            assert asked(proxy.port)[1][name] == value


def test_nothing_is_harmed_while_the_proxies_are_off(upstream: int) -> None:
    with (
        HttpFaults(upstream, Random(1), elsewhere="", rate=1) as proxy,
        TcpFaults(proxy.port, Random(1), rate=1) as tcp,
    ):
        proxy.is_on = tcp.is_on = False
        assert [asked(tcp.port)[2] for _ in range(5)] == [LISTING] * 5
        assert proxy.done.total() == tcp.done.total() == 0


def test_connections_are_harmed_by_plan_and_never_more_than_asked(upstream: int) -> None:
    with TcpFaults(upstream, Random(5), rate=1, most=2) as tcp:
        failed = 0
        for _ in range(60):
            failed += not _is_answered(tcp.port)
            if tcp.done.total() == 2:
                break
        assert failed >= 1
        assert all(_is_answered(tcp.port, 20) for _ in range(5))
        assert tcp.done.total() == 2


def _is_answered(port: int, wait_s: float = 1) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n" + b"x" * 300)
            data = b""
            while piece := connection.recv(65536):
                data += piece
        return LISTING in data
    except OSError:
        return False


def test_the_other_host_keeps_what_it_is_sent() -> None:
    elsewhere = Elsewhere()
    host, _, port = elsewhere.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nAuthorization: secret\r\n\r\n")
        assert b"200 OK" in sock.recv(1000)
    assert b"Authorization: secret" in elsewhere.got[0]
    elsewhere.close()
