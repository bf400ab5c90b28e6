"""A server that lies, or speaks nonsense, costs an error: never memory, never wrong bytes, never a wait without end."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from contextlib import closing, contextmanager, suppress

import pytest
from tarragon.api import BackendError, NotFound, OutOfSpace, PermissionDenied, Role, TarragonError, Transient
from tarragon.store.store import Store
from tarragon_sftp.backend import SftpBackend
from tarragon_testkit import BytesSource

VERSION = struct.pack(">IBI", 5, 2, 3)
INIT, OPEN, CLOSE, READ, WRITE, FSTAT, OPENDIR, READDIR, STAT = 1, 3, 4, 5, 6, 8, 11, 12, 17
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105


def string(data):
    return struct.pack(">I", len(data)) + data


def packet(kind, number, body=b""):
    return struct.pack(">IBI", 5 + len(body), kind, number) + body


def status(number, code, text=b"no"):
    return packet(STATUS, number, struct.pack(">I", code) + string(text) + string(b""))


def attributes(size, mode=0o100644):
    return struct.pack(">IQI", 5, size, mode)


class Server:
    """Answers each kind of request as ``answers`` say: number and body in, bytes out; all else is a success."""

    def __init__(self, answers):
        self.answers = {INIT: lambda number, body: VERSION, **answers}
        self.received = 0

    def subsystem(self, name):
        ours, its = socket.socketpair()
        ours.settimeout(5)
        self.socket = ours
        threading.Thread(target=self._serve, args=(its,), daemon=True).start()
        return ours.makefile("rb"), ours.makefile("wb", buffering=0)

    def _serve(self, sock):
        stream = sock.makefile("rb")
        with sock, suppress(ConnectionError):
            while head := stream.read(4):
                data = stream.read(int.from_bytes(head, "big"))
                number = int.from_bytes(data[1:5], "big")
                answer = self.answers.get(data[0], lambda number, body: status(number, 0))
                try:
                    sock.sendall(answer(number, data[5:]))
                except (OSError, StopIteration):
                    return

    def logged_in(self):
        pass

    def reason(self):
        return None

    def close(self):
        self.socket.close()


@contextmanager
def backend(**answers):
    server = Server({globals()[name]: answer for name, answer in answers.items()})
    made = SftpBackend("folder", lambda: server)
    with closing(made):
        yield made


def drained(stream):
    with closing(stream):
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


@pytest.mark.requirement("R35")
@pytest.mark.parametrize(
    "answer",
    [
        lambda number, body: b"\xff\xff\xff\xff" + bytes(1000),
        lambda number, body: struct.pack(">IB", 300 << 20, STATUS) + bytes(1 << 16),
        lambda number, body: bytes(4),
        lambda number, body: packet(STATUS, number + 1, bytes(12)),
        lambda number, body: packet(STATUS, number),
        lambda number, body: packet(HANDLE, number, string(b"h")),
        lambda number, body: packet(ATTRS, number, b"\xff\xff\xff\xff"),
        lambda number, body: packet(ATTRS, number, struct.pack(">II", 0x80000000, 0xFFFFFFFF)),
        lambda number, body: packet(99, number),
        lambda number, body: b"Last login: today\r\n" * 3,
        lambda number, body: b"",
    ],
)
def test_nonsense_is_an_error_of_the_backend(answer):
    def hang_up(number, body):
        raise StopIteration

    wrong = answer if answer(1, b"") else hang_up
    with backend(STAT=wrong) as sftp, pytest.raises(BackendError):
        sftp.stat("vol")


def test_what_is_no_sftp_server_is_told():
    with pytest.raises(BackendError, match="SFTP"), backend(INIT=lambda number, body: b"Welcome to this host!\r\n"):
        pass


@pytest.mark.requirement("R35")
def test_a_listing_without_end_is_given_up():
    numbers = itertools.count()

    def some(number, body):
        entries = (string(b"f%d" % next(numbers)) + string(b"") + attributes(1) for _ in range(100))
        return packet(NAME, number, struct.pack(">I", 100) + b"".join(entries))

    import logging

    handle = {"OPENDIR": lambda number, body: packet(HANDLE, number, string(b"h"))}
    server = Server({OPENDIR: handle["OPENDIR"], READDIR: some})
    store = Store(SftpBackend("", lambda: server), log=logging.getLogger("test"), max_listed=5000)
    with closing(store), pytest.raises(BackendError, match="more than 5000"):
        store.list()


def reading(answer, size=100_000):
    return {
        "OPEN": lambda number, body: packet(HANDLE, number, string(b"h")),
        "FSTAT": lambda number, body: packet(ATTRS, number, attributes(size)),
        "READ": answer,
    }


def asked(body):
    """Offset and size of a read request."""
    return struct.unpack(">QI", body[5:17])


def test_answers_in_another_order_are_put_in_order():
    data = bytes(range(256)) * 400
    held = []

    def late(number, body):
        """Answers two at a time, the later one first."""
        at, size = asked(body)
        held.append(packet(DATA, number, string(data[at : at + size])))
        if len(held) == 2 or at + size >= len(data):
            answer = b"".join(reversed(held))
            held.clear()
            return answer
        return b""

    with backend(**reading(late, len(data))) as sftp:
        assert drained(sftp.read("vol")) == data


@pytest.mark.parametrize(
    "answer",
    [
        lambda number, body: packet(DATA, number, string(bytes(asked(body)[1] + 1))),  # more than asked for
        lambda number, body: packet(DATA, number, string(b"")),
        lambda number, body: status(number, 1),  # the end, before the size that was told
        lambda number, body: status(number, 4),
    ],
)
def test_bytes_that_do_not_fit_what_was_told_are_no_object(answer):
    with backend(**reading(answer)) as sftp, pytest.raises(Transient):
        drained(sftp.read("vol"))


@pytest.mark.parametrize("late", [1, 2, 3, 4])
def test_a_write_that_fails_is_noticed_wherever_it_stands(late):
    """The last answers too, and that of the close: each of them is the only word that something was not stored."""
    counted = itertools.count(1)

    def writing(number, body):
        return status(number, 4 if next(counted) == late else 0)

    answers = {"OPEN": lambda number, body: packet(HANDLE, number, string(b"h")), "WRITE": writing}
    if late == 4:
        answers = {"OPEN": answers["OPEN"], "CLOSE": lambda number, body: status(number, 4)}
    with backend(**answers) as sftp, pytest.raises(Transient):
        sftp.put("vol", BytesSource(bytes(3 * 32768)), Role.VOLUME)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(2, NotFound), (3, PermissionDenied), (4, Transient), (7, Transient), (10, NotFound), (12, PermissionDenied)],
)
def test_every_answer_has_its_error(code, kind):
    with backend(STAT=lambda number, body: status(number, code)) as sftp, pytest.raises(kind):
        sftp.stat("vol")


@pytest.mark.parametrize("code", [14, 15])
def test_no_space_and_no_quota_are_told_by_servers_that_have_a_word_for_them(code):
    answers = {
        "OPEN": lambda number, body: packet(HANDLE, number, string(b"h")),
        "WRITE": lambda number, body: status(number, code),
    }
    with backend(**answers) as sftp, pytest.raises(OutOfSpace):
        sftp.put("vol", BytesSource(b"x"), Role.VOLUME)


def test_what_a_server_says_cannot_play_with_the_terminal():
    words = b"\x1b]0;owned\x07\r\nno\x00 more" + b"!" * 10_000
    with backend(STAT=lambda number, body: status(number, 3, words)) as sftp, pytest.raises(TarragonError) as caught:
        sftp.stat("vol")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000
