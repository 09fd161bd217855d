"""The control socket serves crowds and survives everybody who misbehaves; real sockets, one thread."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import tempfile

import pytest

from devrun.run.loop import Loop
from devrun.run.talk import connection, control, litter, protocol
from devrun.run.talk.connection import Attachment
from devrun.run.talk.control import ControlServer
from devrun.run.talk.protocol import Answer, Ask, decode_answer, encode
from devrun.state.folder import LONGEST_SOCKET_PATH, socket_folder

DEADLINE = 30.0
PATIENCE = 0.2


class Served:
    """A run that answers when the test lets it."""

    def __init__(self):
        self.asked = []
        self.is_at_rest = True
        self.typed = b""
        self.listeners = []
        self.released = []
        self.is_over = False
        self.has_room = True
        self.paused = []

    def handle(self, ask):
        self.asked.append(ask)
        return lambda: Answer(outcomes={ask.verb: "done"}) if self.is_at_rest else None

    def attach(self, name, size):
        if name != "web":
            return None
        return Attachment(type_in=self._type, listen=self._listen, standing=b"? ", is_over=lambda: self.is_over)

    def _type(self, keys, go_on):
        self.typed += keys
        if self.has_room:
            return True
        self.paused.append(go_on)
        return False

    def _listen(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def hold(self, ask):
        def release():
            self.released.append(ask.names)
            return lambda: Answer(outcomes={"released": "done"}) if self.is_at_rest else None

        return release


class Desk:
    """A server in a loop, and clients."""

    def __init__(self, folder):
        self.loop = Loop()
        self.served = Served()
        self.path = os.path.join(folder, "run.sock")
        self.server = ControlServer(self.path, self.loop, self.served)
        self.clients = []

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.setblocking(False)
        self.clients.append(client)
        return client

    def until(self, condition):
        limit = self.loop.now() + DEADLINE
        while not condition():
            assert self.loop.now() < limit
            self.loop.turn(0.02)
            self.server.review()

    def read(self, client, enough=lambda text: text.endswith(b"\n")):
        """Read until there is enough, or the server hung up."""
        found = b""
        is_closed = False

        def more():
            nonlocal found, is_closed
            with contextlib.suppress(BlockingIOError):
                chunk = client.recv(65536)
                found += chunk
                is_closed = not chunk
            return is_closed or enough(found)

        self.until(more)
        return found

    def is_hung_up(self, client):
        try:
            return client.recv(65536) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def answers(self):
        """Say whether a well-behaved client is served."""
        client = self.connect()
        client.sendall(encode(Ask("status")))
        return decode_answer(self.read(client)).outcomes == {"status": "done"}

    def close(self):
        self.server.close()
        for client in self.clients:
            client.close()
        self.loop.close()


@pytest.fixture
def folder():
    made = tempfile.mkdtemp(prefix="dr-", dir="/tmp")
    yield made
    for name in os.listdir(made):
        os.unlink(os.path.join(made, name))
    os.rmdir(made)


@pytest.fixture
def desk(folder):
    made = Desk(folder)
    yield made
    made.close()


def test_the_socket_is_for_its_user_only(desk):
    assert stat.S_IMODE(os.stat(desk.path).st_mode) == 0o600


def test_a_question_gets_its_answer_and_the_connection_ends(desk):
    client = desk.connect()
    client.sendall(encode(Ask("status")))
    assert decode_answer(desk.read(client)).outcomes == {"status": "done"}
    desk.until(lambda: desk.is_hung_up(client))


def test_an_answer_comes_when_the_services_rest(desk):
    desk.served.is_at_rest = False
    client = desk.connect()
    client.sendall(encode(Ask("restart", names=("web",))))
    desk.until(lambda: desk.served.asked)
    assert not desk.is_hung_up(client)
    desk.served.is_at_rest = True
    assert decode_answer(desk.read(client)).outcomes == {"restart": "done"}


def test_fifty_clients_at_once_are_all_served(desk):
    clients = [desk.connect() for _ in range(50)]
    for client in clients:
        client.sendall(encode(Ask("status")))
    assert [decode_answer(desk.read(client)).outcomes for client in clients] == [{"status": "done"}] * 50


def test_a_request_may_come_in_pieces(desk):
    client = desk.connect()
    for byte in encode(Ask("status")):
        client.sendall(bytes([byte]))
        desk.loop.turn(0.01)
    assert decode_answer(desk.read(client)).outcomes == {"status": "done"}


@pytest.mark.parametrize("garbage", [b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff\n", b'{"devrun":7}\n'])
def test_garbage_is_answered_with_words_and_harms_nobody(desk, garbage):
    client = desk.connect()
    client.sendall(garbage)
    answer = decode_answer(desk.read(client).splitlines(keepends=True)[0])
    assert answer.error
    assert answer.code == 1
    assert desk.answers()


def test_a_client_that_says_nothing_or_half_a_request_is_hung_up_on(folder, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", PATIENCE)
    desk = Desk(folder)
    try:
        silent, half = desk.connect(), desk.connect()
        half.sendall(b'{"devrun": 1, "ver')
        assert desk.answers()
        desk.until(lambda: desk.is_hung_up(silent))
        desk.until(lambda: desk.is_hung_up(half))
        assert desk.answers()
    finally:
        desk.close()


def test_a_line_that_never_ends_is_hung_up_on(desk, monkeypatch):
    monkeypatch.setattr(protocol, "LONGEST_LINE", 100_000)
    client = desk.connect()

    def pushed():
        try:
            client.send(b"x" * 65536)
        except BlockingIOError:
            return False
        except OSError as error:
            return error.errno in {errno.EPIPE, errno.ECONNRESET}
        return False

    desk.until(pushed)
    assert desk.answers()


def test_a_client_that_left_before_its_answer_is_forgotten(desk):
    desk.served.is_at_rest = False
    client = desk.connect()
    client.sendall(encode(Ask("wait")))
    desk.until(lambda: desk.served.asked)
    client.close()
    desk.until(lambda: not desk.server._clients)
    desk.served.is_at_rest = True
    assert desk.answers()


def test_a_client_that_does_not_read_loses_its_connection_not_the_runs_time(desk, monkeypatch):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))))
    desk.read(client, enough=lambda text: text.endswith(b"? "))
    (listener,) = desk.served.listeners
    monkeypatch.setattr(protocol, "LONGEST_LINE", 100_000)
    for _ in range(64):
        if desk.served.listeners:
            listener(b"x" * 65536)
    assert desk.served.listeners == []
    assert desk.answers()


def test_another_user_is_hung_up_on(desk, monkeypatch):
    monkeypatch.setattr(control, "is_own_user", lambda connection: False)
    client = desk.connect()
    desk.until(lambda: desk.is_hung_up(client))


def test_a_crowd_beyond_the_limit_is_turned_away(desk, monkeypatch):
    monkeypatch.setattr(control, "MOST_CLIENTS", 2)
    waiting = [desk.connect(), desk.connect()]
    desk.until(lambda: len(desk.server._clients) == 2)
    third = desk.connect()
    desk.until(lambda: desk.is_hung_up(third))
    for client in waiting:
        client.close()
    desk.until(lambda: not desk.server._clients)
    assert desk.answers()


def test_without_descriptors_the_server_takes_a_breath(desk, monkeypatch):
    class Exhausted:
        def fileno(self):
            return desk.listening.fileno()

        def accept(self):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(control, "BREATH", PATIENCE)
    desk.listening = desk.server._socket
    desk.server._socket = Exhausted()
    client = desk.connect()
    client.sendall(encode(Ask("status")))
    desk.loop.turn(0.05)
    began = desk.loop.now()
    desk.loop.turn(5)
    assert desk.loop.now() - began >= PATIENCE / 2  # it waits, it does not spin
    desk.server._socket = desk.listening
    assert decode_answer(desk.read(client)).outcomes == {"status": "done"}


def test_a_socket_that_was_swept_away_is_made_again(desk):
    os.unlink(desk.path)
    assert desk.server.heal()
    assert desk.answers()


def test_a_folder_that_was_swept_away_is_made_again(tmp_path):
    folder = tempfile.mkdtemp(prefix="dr-", dir="/tmp")
    desk = Desk(folder)
    try:
        os.unlink(desk.path)
        os.rmdir(folder)
        desk.server.heal()
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert desk.answers()
    finally:
        desk.close()
        os.rmdir(folder)


def test_a_closed_server_does_not_come_back(desk):
    desk.server.close()
    assert not desk.server.heal()
    assert not os.path.exists(desk.path)


def test_an_attached_client_types_and_reads_raw_bytes(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))) + b"early ")
    text = desk.read(client, enough=lambda text: text.endswith(b"? "))
    assert decode_answer(text.split(b"\n")[0] + b"\n").error is None
    client.sendall(b"keys\x03\n")
    desk.until(lambda: desk.served.typed == b"early keys\x03\n")
    desk.served.listeners[0](b"\x1b[1mhi\r\n")
    assert desk.read(client) == b"\x1b[1mhi\r\n"
    client.close()
    desk.until(lambda: desk.served.listeners == [])


def test_who_types_more_than_the_service_reads_waits_and_loses_nothing(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))))
    desk.read(client, enough=lambda text: text.endswith(b"? "))
    desk.served.has_room = False
    client.sendall(b"one ")
    desk.until(lambda: desk.served.paused)
    client.sendall(b"two ")
    client.close()  # what was typed before is typed all the same
    desk.served.listeners[0](b"echo")
    assert desk.served.listeners == []
    assert desk.answers()
    assert desk.served.typed == b"one "
    desk.served.has_room = True
    desk.served.paused.pop()(True)
    desk.until(lambda: desk.served.typed == b"one two ")


def test_what_is_left_of_a_paste_is_never_typed_into_the_next_service(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))))
    desk.read(client, enough=lambda text: text.endswith(b"? "))
    desk.served.has_room = False
    client.sendall(b"one ")
    desk.until(lambda: desk.served.paused)
    client.sendall(b"two ")
    desk.served.paused.pop()(False)
    assert desk.is_hung_up(client)
    assert desk.answers()
    assert desk.served.typed == b"one "


def test_output_comes_to_who_has_to_wait_with_typing(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))))
    desk.read(client, enough=lambda text: text.endswith(b"? "))
    desk.served.has_room = False
    client.sendall(b"one ")
    desk.until(lambda: desk.served.paused)
    desk.served.listeners[0](b"out\n")
    assert desk.read(client) == b"out\n"
    desk.served.is_over = True
    desk.until(lambda: desk.is_hung_up(client))
    desk.served.paused.pop()(True)  # of one that is gone by now
    assert desk.answers()


def test_an_attachment_ends_with_its_service(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("web",))))
    desk.read(client, enough=lambda text: text.endswith(b"? "))
    desk.served.is_over = True
    desk.until(lambda: desk.is_hung_up(client))


def test_a_service_without_a_terminal_is_said(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.ATTACH, names=("nobody",))))
    assert decode_answer(desk.read(client)).error == "`nobody` has no terminal to attach to"


def test_a_holder_that_is_killed_gives_back(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.HOLD, names=("web",))))
    desk.read(client)
    assert desk.served.released == []
    client.close()
    desk.until(lambda: desk.served.released == [("web",)])
    desk.until(lambda: not desk.server._clients)


def test_a_holder_that_shuts_down_hears_when_it_is_done(desk):
    client = desk.connect()
    client.sendall(encode(Ask(protocol.HOLD, names=("web",))) + b"ignored\n")
    desk.read(client)
    desk.served.is_at_rest = False
    client.shutdown(socket.SHUT_WR)
    desk.until(lambda: desk.served.released)
    desk.served.is_at_rest = True
    assert decode_answer(desk.read(client)).outcomes == {"released": "done"}
    assert desk.served.released == [("web",)]


def test_closing_answers_whom_it_can(desk):
    desk.served.is_at_rest = False
    client = desk.connect()
    client.sendall(encode(Ask("down")))
    desk.until(lambda: desk.served.asked)
    desk.served.is_at_rest = True
    desk.server.close()
    assert decode_answer(desk.read(client)).outcomes == {"down": "done"}


def test_sockets_of_dead_runs_are_removed_and_others_stay(folder, monkeypatch):
    def bound(name, *, listens):
        made = socket.socket(socket.AF_UNIX)
        made.bind(os.path.join(folder, name))
        if listens:
            made.listen()
        return made

    with bound("dead.sock", listens=False), bound("live.sock", listens=True), bound("other", listens=False):
        fresh = os.path.join(folder, "fresh.sock")
        for name in ("dead.sock", "live.sock", "other"):
            os.utime(os.path.join(folder, name), (1, 1))
        with bound("fresh.sock", listens=False):
            litter.remove_stale_sockets(folder)
            assert sorted(os.listdir(folder)) == ["fresh.sock", "live.sock", "other"]
            os.utime(fresh, (1, 1))
    litter.remove_stale_sockets(os.path.join(folder, "missing"))


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_a_socket_path_is_short_enough_for_macos(variable, monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv(variable, str(deep))
    path = os.path.join(socket_folder(), "20261120-063642-c891b0b7.sock")
    assert len(os.fsencode(path)) < LONGEST_SOCKET_PATH
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
