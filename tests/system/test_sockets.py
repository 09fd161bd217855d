"""The contract of the socket table: who listens on a port, and whether it can be had."""

from __future__ import annotations

import os
import socket

import pytest

from devrun.system import linux_sockets, sockets
from devrun.system.sockets import can_bind, listeners_on, read_listeners

LISTEN = (
    "server = socket.create_server(('127.0.0.1', 0)); PORT = server.getsockname()[1]\n"
    "other = socket.create_server(('::1', PORT), family=socket.AF_INET6) if '6' in sys.argv else None\n"
)


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_listener_is_found_with_its_holder(backend, processes):
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    port = child.facts["port"]
    (found,) = listeners_on([port])
    assert (found.port, found.address, found.pid) == (port, "127.0.0.1", child.pid)
    assert found in read_listeners()


def test_both_address_families_are_read(backend, processes):
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()", "6")
    found = listeners_on([child.facts["port"]])
    assert {(row.address, row.pid) for row in found} == {("127.0.0.1", child.pid), ("::1", child.pid)}


def test_an_inherited_socket_has_every_holder(backend, processes):
    fork = "pid = os.fork()\nif pid == 0: rest()\n"
    child = processes.python(f"{LISTEN}{fork}ready(port=PORT, child=pid); rest()")
    assert {row.pid for row in listeners_on([child.facts["port"]])} == {child.pid, child.facts["child"]}


def test_nobody_listens_on_a_free_port(backend, free_port):
    assert listeners_on([free_port]) == ()
    assert listeners_on([]) == ()


def test_a_bound_socket_that_does_not_listen_is_no_listener(backend):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        rows = listeners_on([bound.getsockname()[1]])
    if backend == "linux":
        assert rows == ()
    else:
        assert {row.pid for row in rows} <= {None}  # it cannot be bound, and nobody is seen


def test_a_connection_is_no_listener(backend, processes):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert {row.pid for row in listeners_on([server.getsockname()[1]])} == {os.getpid()}
        assert all(row.pid is None for row in listeners_on([client.getsockname()[1]]))


def test_the_likely_holder_is_looked_at_alone(processes, monkeypatch):
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    monkeypatch.setattr(linux_sockets, "_own_pids", lambda _euid: pytest.fail("the whole machine was searched"))
    (found,) = listeners_on([child.facts["port"]], [child.pid])
    assert found.pid == child.pid


def test_a_foreign_holder_is_found_beside_the_likely_one(backend, processes):
    likely = processes.python("ready(); rest()")
    foreign = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    (found,) = listeners_on([foreign.facts["port"]], [likely.pid])
    assert found.pid == foreign.pid


def test_a_likely_holder_that_is_gone_is_no_obstacle(backend, processes):
    gone = processes.python("ready(); rest()")
    gone.process.kill()
    gone.popen.wait()
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    assert [row.pid for row in listeners_on([child.facts["port"]], [gone.pid])] == [child.pid]


def test_a_holder_that_is_not_visible_is_unknown_and_the_port_not_free(backend, as_nobody, processes):
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    port = child.facts["port"]
    listeners_on([port])
    expected = "{None}" if os.geteuid() == 0 else f"{{{child.pid}}}"
    assert as_nobody(lambda: {row.pid for row in listeners_on([port])}) == expected


@pytest.mark.linux
def test_the_kernels_two_ways_agree(processes):
    child = processes.python(f"{LISTEN}ready(port=PORT); rest()", "6")
    families = {"/proc/net/tcp": socket.AF_INET, "/proc/net/tcp6": socket.AF_INET6}
    parsed = [row for path, family in families.items() for row in linux_sockets._from_proc(path, family)]
    port = child.facts["port"]
    assert {row for row in parsed if row.port == port} == {
        row for row in linux_sockets._from_netlink() if row.port == port
    }


@pytest.mark.linux
def test_a_refused_netlink_socket_falls_back_to_proc(processes, monkeypatch):
    def refused():
        raise PermissionError

    child = processes.python(f"{LISTEN}ready(port=PORT); rest()")
    monkeypatch.setattr(linux_sockets, "_from_netlink", refused)
    assert [row.pid for row in listeners_on([child.facts["port"]])] == [child.pid]


@pytest.mark.linux
def test_a_table_that_cannot_be_read_is_unknown_and_not_empty(monkeypatch):
    def refused(*_words):
        raise PermissionError

    monkeypatch.setattr(linux_sockets, "_from_netlink", refused)
    monkeypatch.setattr(linux_sockets, "_from_proc", refused)
    assert read_listeners() is None
    assert listeners_on([3000]) is None


def test_a_free_port_can_be_bound(free_port):
    assert can_bind(free_port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_listener_on_any_address_of_the_port_is_in_the_way(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        assert not can_bind(server.getsockname()[1])


def test_a_connection_that_waits_for_its_last_packets_is_not_in_the_way():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert can_bind(port)


def test_a_machine_without_ipv6_can_bind(monkeypatch, free_port):
    real = socket.socket

    def without(family=socket.AF_INET, *words, **options):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *words, **options)

    monkeypatch.setattr(sockets.socket, "socket", without)
    assert can_bind(free_port)
