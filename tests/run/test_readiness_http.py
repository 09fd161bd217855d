"""The HTTP probe against real sockets: the test is the server and answers between two checks."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket

import pytest

from devrun.config.httptarget import HttpTarget, parse_target
from devrun.errors import ConfigError
from devrun.model import Listener
from devrun.run.ready.httpprobe import LONGEST_STATUS, REQUEST_LIMIT, RETRY_INTERVAL, HttpProbe
from devrun.run.ready.readiness import FOREIGN_SETTLES, OK, PENDING, Failed, Ownership
from devrun.system.sockets import listeners_on
from tests.support.processes import DEADLINE

FAMILIES = {"IPv4": (socket.AF_INET, "127.0.0.1"), "IPv6": (socket.AF_INET6, "::1")}


class Server:
    """A listening socket whose answers the test writes by hand."""

    def __init__(self, family="IPv4"):
        kind, address = FAMILIES[family]
        self.socket = socket.socket(kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, 0))
        self.socket.settimeout(DEADLINE)
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.connections = []

    def accept(self):
        connection = self.socket.accept()[0]
        connection.settimeout(DEADLINE)
        self.connections.append(connection)
        return connection

    def request(self):
        """Accept, and read one whole request."""
        connection, data = self.accept(), b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(4096)
        return connection, data

    def close(self):
        for each in (*self.connections, self.socket):
            each.close()


@pytest.fixture(params=FAMILIES)
def server(request):
    made = Server(request.param)
    yield made
    made.close()


class Clock:
    """Checks at moments the test chooses; one that waited for a server that says nothing would never return."""

    def __init__(self, probe):
        self.probe = probe
        self.now = 0.0

    def check(self, later=0.0):
        self.now += later
        return self.probe.check(self.now)

    def until_connected(self, server):
        """Check until the server has a connection to accept: one family may be refused first."""
        for _ in range(3):
            self.check()
            if select.select([server.socket], [], [], 0)[0]:
                return
        raise AssertionError("the probe does not connect")


def owned(port, pid=None):
    """Ownership by the real socket table; the tree is the test's own process."""
    return Ownership(port, lambda one: listeners_on({one}), lambda: frozenset({pid or os.getpid()}))


@pytest.fixture
def clock(server):
    probe = HttpProbe(HttpTarget(server.port, "/healthz"), owned(server.port))
    yield Clock(probe)
    probe.close()


def answer(clock, server, data, *, close=True):
    """Have one request answered; return what the probe makes of it."""
    clock.until_connected(server)
    connection, _ = server.request()
    connection.sendall(data)
    if close:
        connection.close()
    return clock.check()


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"204", b"301 Moved Permanently", b"399 Whatever"])
def test_2xx_and_3xx_are_ready(clock, server, status):
    assert answer(clock, server, b"HTTP/1.1 " + status + b"\r\nServer: x\r\n\r\nhello") == OK


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oops", b"503 Starting", b"103 Early Hints", b"426 Upgrade"])
def test_other_answers_are_asked_again_and_said(clock, server, status):
    assert answer(clock, server, b"HTTP/1.1 " + status + b"\r\n\r\n") == PENDING
    assert clock.probe.describe() == (
        f"http://localhost:{server.port}/healthz to answer 2xx or 3xx (last: answered {status[:3].decode()})"
    )
    clock.check(RETRY_INTERVAL)
    assert answer(clock, server, b"HTTP/1.0 200 OK\r\n") == OK


def test_the_request_is_a_plain_http_1_0_get_for_localhost(clock, server):
    clock.until_connected(server)
    _, data = server.request()
    lines = data.decode().split("\r\n")
    assert lines[0] == "GET /healthz HTTP/1.0"
    assert f"Host: localhost:{server.port}" in lines


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 abc\r\n",
        b"\xff\x00" * 4096,
    ],
    ids=["nothing", "an empty line", "ssh", "no status", "a long status", "a word", "binary"],
)
def test_garbage_is_not_yet_and_is_asked_again(clock, server, garbage):
    assert answer(clock, server, garbage) == PENDING
    assert "last: " in clock.probe.describe()
    clock.check(RETRY_INTERVAL)
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == OK


def test_an_answer_in_pieces_is_put_together(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    for piece in (b"HT", b"TP/1.1 2", b"0"):
        connection.sendall(piece)
        assert clock.check() == PENDING
    connection.sendall(b"0 OK\r\n")
    assert clock.check() == OK


def test_a_server_that_never_answers_is_dropped_and_asked_again(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    assert clock.check(REQUEST_LIMIT * 0.9) == PENDING
    assert clock.check(REQUEST_LIMIT * 0.1) == PENDING
    assert connection.recv(1) == b""
    assert "last: no answer in 5 s" in clock.probe.describe()
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == OK


def test_a_server_that_drips_for_ever_is_dropped_too(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    with contextlib.suppress(ConnectionError):
        for _ in range(int(REQUEST_LIMIT) + 2):
            connection.sendall(b"x")
            assert clock.check(1.0) == PENDING
    assert "no answer" in clock.probe.describe()


def test_a_server_that_floods_without_a_line_costs_a_bounded_buffer(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(b"x" * 65536)
    assert clock.check() == PENDING
    assert len(clock.probe._answer) <= 2 * LONGEST_STATUS
    assert "last: the answer was not HTTP" in clock.probe.describe()


def test_a_server_that_never_accepts_does_not_block(clock, server):
    for _ in range(20):
        assert clock.check(1.0) == PENDING


def test_a_connection_that_is_reset_is_asked_again(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()
    assert clock.check() == PENDING
    assert "last: connection reset by peer" in clock.probe.describe()
    clock.check(RETRY_INTERVAL)
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == OK


def test_a_closed_port_is_not_yet_and_leaves_no_descriptor_behind():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets the number
        port = held.getsockname()[1]
        clock = Clock(HttpProbe(HttpTarget(port, "/"), owned(port)))
        before = len(os.listdir("/dev/fd"))
        assert [clock.check(0.1) for _ in range(10)] == [PENDING] * 10
        clock.probe.close()
        assert len(os.listdir("/dev/fd")) == before
        assert clock.probe.describe() == f"http://localhost:{port}/ to answer 2xx or 3xx"


def test_a_strangers_answer_is_never_ready_and_becomes_a_failure(server):
    clock = Clock(HttpProbe(HttpTarget(server.port, "/"), owned(server.port, pid=1)))
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == PENDING
    clock.check(max(RETRY_INTERVAL, FOREIGN_SETTLES))
    result = answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n")
    assert result == Failed(f"port {server.port} is held by pid {os.getpid()}, which is not of its own tree", 3)


def test_a_stranger_who_hangs_is_a_failure_as_well(server):
    clock = Clock(HttpProbe(HttpTarget(server.port, "/"), owned(server.port, pid=1)))
    results = [clock.check(REQUEST_LIMIT) for _ in range(6)]
    assert any(isinstance(each, Failed) and each.code == 3 for each in results)
    clock.probe.close()


def test_an_answer_counts_only_once_the_listener_is_seen_to_be_its_own(server):
    seen = []
    owner = Ownership(server.port, lambda _: tuple(seen), lambda: frozenset({7}))
    clock = Clock(HttpProbe(HttpTarget(server.port, "/"), owner))
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == PENDING
    seen.append(Listener(server.port, "127.0.0.1", 7))
    clock.check(RETRY_INTERVAL)
    assert answer(clock, server, b"HTTP/1.1 200 OK\r\n\r\n") == OK


def test_closing_closes_the_connection(clock, server):
    clock.until_connected(server)
    connection, _ = server.request()
    clock.probe.close()
    clock.probe.close()
    assert connection.recv(1) == b""


def test_a_bad_answer_is_not_asked_again_before_the_interval(clock, server):
    answer(clock, server, b"HTTP/1.1 503 Starting\r\n\r\n")
    for _ in range(4):
        clock.check(RETRY_INTERVAL / 5)
        assert not select.select([server.socket], [], [], 0)[0]


class Socket:
    """A socket whose calls fail with what the test says."""

    def __init__(self, connecting=0, receiving=None):
        self.connecting, self.receiving = connecting, receiving
        self.is_closed = False
        self.ours, self.theirs = socket.socketpair()
        self.theirs.send(b"HTTP")

    def connect_ex(self, _address):
        return self.connecting

    def fileno(self):
        return self.ours.fileno()

    def setblocking(self, _flag):
        pass

    def getsockopt(self, *_):
        return 0

    def send(self, data):
        return len(data)

    def recv(self, _size):
        raise self.receiving

    def close(self):
        self.is_closed = True
        self.ours.close()
        self.theirs.close()


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EMFILE, errno.ENOBUFS])
def test_a_socket_that_cannot_be_made_is_not_yet(monkeypatch, code):
    def make(*_):
        raise OSError(code, os.strerror(code))

    probe = HttpProbe(HttpTarget(3001, "/"), Ownership(3001, lambda _: (), frozenset))
    monkeypatch.setattr(socket, "socket", make)
    assert [probe.check(now) for now in range(3)] == [PENDING] * 3
    assert ("last: " in probe.describe()) == (code != errno.EAFNOSUPPORT)


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EACCES])
def test_an_address_that_cannot_be_connected_to_is_not_yet_and_its_socket_is_closed(monkeypatch, code):
    both = [Socket(connecting=code) for _ in range(2)]
    waiting = iter(both)
    monkeypatch.setattr("devrun.run.ready.httpprobe.socket.socket", lambda *_: next(waiting))
    probe = HttpProbe(HttpTarget(3001, "/"), Ownership(3001, lambda _: (), frozenset))
    assert probe.check(0) == PENDING
    assert all(each.is_closed for each in both)
    assert ("permission denied" in probe.describe()) == (code == errno.EACCES)


def test_a_readable_socket_with_nothing_to_read_is_not_yet(monkeypatch):
    pair = Socket(receiving=BlockingIOError())
    monkeypatch.setattr("devrun.run.ready.httpprobe.socket.socket", lambda *_: pair)
    probe = HttpProbe(HttpTarget(3001, "/"), Ownership(3001, lambda _: (), frozenset))
    assert [probe.check(0), probe.check(0)] == [PENDING, PENDING]
    assert not pair.is_closed
    probe.close()
    assert pair.is_closed


# What may be asked for.


@pytest.mark.parametrize(
    ("target", "port", "expected"),
    [
        ("/healthz", 3001, HttpTarget(3001, "/healthz")),
        ("healthz", 3001, HttpTarget(3001, "/healthz")),
        ("/", 3001, HttpTarget(3001, "/")),
        ("/a b?q=ü#top", 3001, HttpTarget(3001, "/a%20b?q=%C3%BC")),
        ("/x\r\nHost: evil", 3001, HttpTarget(3001, "/x%0D%0AHost:%20evil")),
        ("http://localhost:8080/x", 3001, HttpTarget(8080, "/x")),
        ("http://127.0.0.1:8080", None, HttpTarget(8080, "/")),
        ("http://[::1]:8080/x?y", None, HttpTarget(8080, "/x?y")),
        ("http://[::1]/x", None, HttpTarget(80, "/x")),
        ("HTTP://api.localhost?x", None, HttpTarget(80, "/?x")),
    ],
)
def test_a_target_is_a_path_or_a_url_of_this_machine(target, port, expected):
    assert parse_target(target, port) == expected


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/healthz", "needs a port"),
        ("https://localhost:3001/", "only http"),
        ("http://example.com/", "not on this machine"),
        ("http://localhost:0/", "valid port"),
        ("http://localhost:99999/", "valid port"),
        ("http://localhost:/", "valid port"),
        ("http://localhost:x/", "valid port"),
        ("http:///x", "not on this machine"),
    ],
)
def test_what_cannot_be_probed_is_a_configuration_error(target, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_target(target, None)
