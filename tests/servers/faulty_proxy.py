"""A TCP proxy that breaks connections on purpose, for tests of what clients do then.

with FaultyProxy(port) as proxy:
    proxy.break_after(1_000_000)          # the next million bytes to the server pass, then both sides are reset
    connect_to(proxy.port)
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import Literal

Fault = Literal["reset", "close", "stall"]


class FaultyProxy:
    """Passes bytes between clients and 127.0.0.1:``upstream``. ``faults`` counts what was broken."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._left: int | None = None
        self._fault: Fault = "reset"
        self._direction = ""
        self.faults = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for sock in sockets:
            sock.close()

    def break_after(self, size: int, fault: Fault = "reset", direction: Literal["up", "down"] = "up") -> None:
        """Once ``size`` more bytes have passed to the server ("up") or from it ("down"), break that connection."""
        with self._lock:
            self._left, self._fault, self._direction = size, fault, direction

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                with self._lock:
                    self._sockets += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, "up"))
            selector.register(server, selectors.EVENT_READ, (client, "down"))
            while True:
                for key, _ in selector.select():
                    other, direction = key.data
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        client.close()
                        server.close()
                        return
                    if self._is_due(direction, len(data)):
                        self._break(client, server)
                        return
                    other.sendall(data)

    def _is_due(self, direction: str, size: int) -> bool:
        with self._lock:
            if self._left is None or direction != self._direction:
                return False
            self._left -= size
            if self._left > 0:
                return False
            self._left = None
            self.faults += 1
            return True

    def _break(self, client: socket.socket, server: socket.socket) -> None:
        if self._fault == "stall":
            return  # the sockets stay open, and nobody reads them
        for sock in (client, server):
            if self._fault == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
