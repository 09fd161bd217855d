"""Probes by port, log line and command: what is ready, what is not yet, what never will be."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.errors import ConfigError
from devrun.model import Listener
from devrun.run.ready.readiness import (
    COMMAND_INTERVAL,
    COMMAND_LIMIT,
    FOREIGN_SETTLES,
    LONGEST_LINE,
    OK,
    PENDING,
    CommandProbe,
    Failed,
    LogProbe,
    Ownership,
    PortProbe,
)
from devrun.system.sockets import listeners_on

OURS, THEIRS = 10, 4711


def port_probe(*listeners, tree=frozenset({OURS}), port=3001):
    """A probe over a table that the test may change: `listeners` are (address, pid)."""
    table = [Listener(port, address, pid) for address, pid in listeners]
    name = "pid {} `node server.js`".format
    owner = Ownership(
        port,
        lambda one: tuple(each for each in table if each.port == one),
        lambda: tree,
        name=name,
        everybody=lambda: tuple(table),
    )
    return PortProbe(owner), table


# Port.


def test_a_process_table_that_cannot_be_read_is_not_yet_and_the_time_out_can_say_so():
    def tree():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    listening = (Listener(3001, "127.0.0.1", OURS),)
    probe = PortProbe(Ownership(3001, lambda _: listening, tree, everybody=lambda: listening))
    assert "port 3001" in probe.describe()
    assert probe.check(0) == PENDING
    assert probe.describe() == "a listener on port 3001 (who listens there cannot be told: too many open files)"


def test_a_listener_of_the_own_tree_is_ready():
    probe, _ = port_probe(("127.0.0.1", OURS))
    assert probe.check(0) == OK


def test_nobody_listening_is_not_yet():
    probe, _ = port_probe()
    assert probe.check(0) == PENDING
    assert probe.describe() == "a listener on port 3001"


def test_a_server_that_does_not_read_its_port_is_told_where_it_listens():
    probe, table = port_probe()
    table += [Listener(5173, "::1", OURS), Listener(8080, "::", THEIRS), Listener(24678, "::", OURS)]
    assert probe.check(0) == PENDING
    assert probe.describe() == "a listener on port 3001 (it listens on 5173, 24678)"


def test_an_unreadable_socket_table_is_not_yet_and_said():
    probe = PortProbe(Ownership(3001, lambda _: None, frozenset))
    assert probe.check(0) == PENDING
    assert probe.describe() == "a listener on port 3001 (the socket table cannot be read)"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_a_stranger_who_stays_is_a_failure_that_names_him(address):
    probe, _ = port_probe((address, THEIRS))
    assert probe.check(0) == PENDING
    assert probe.check(FOREIGN_SETTLES / 2) == PENDING
    assert "pid 4711" in probe.describe()
    message = "port 3001 is held by pid 4711 `node server.js`, which is not of its own tree"
    assert probe.check(FOREIGN_SETTLES) == Failed(message, 3)


def test_a_stranger_beside_the_own_listener_is_a_failure_too():
    probe, _ = port_probe(("127.0.0.1", OURS), ("::1", THEIRS))
    assert probe.check(0) == PENDING
    assert isinstance(probe.check(FOREIGN_SETTLES), Failed)


def test_a_listener_without_a_visible_owner_is_a_stranger():
    probe, _ = port_probe(("0.0.0.0", None))
    probe.check(0)
    failure = probe.check(1)
    assert failure == Failed(
        "port 3001 is held by a process whose owner is not visible, which is not of its own tree", 3
    )


def test_a_stranger_on_an_address_that_localhost_does_not_reach_is_nobody():
    probe, table = port_probe(("100.64.0.7", None))
    assert [probe.check(now) for now in (0, 1, 2)] == [PENDING] * 3
    table.append(Listener(3001, "127.0.0.1", OURS))
    assert probe.check(3) == OK


def test_a_stranger_who_leaves_in_time_is_forgotten():
    probe, table = port_probe(("::", THEIRS))
    probe.check(0)
    table[:] = []
    assert probe.check(FOREIGN_SETTLES) == PENDING
    assert probe.describe() == "a listener on port 3001"
    table[:] = [Listener(3001, "::", THEIRS)]
    assert probe.check(FOREIGN_SETTLES + 0.1) == PENDING


def test_a_child_forked_after_the_sockets_were_read_is_of_the_tree():
    order = []

    def listening(_):
        order.append("sockets")
        return (Listener(3001, "::", 99),)

    def tree():
        order.append("tree")
        return frozenset({OURS, 99})

    assert PortProbe(Ownership(3001, listening, tree)).check(0) == OK
    assert order == ["sockets", "tree"]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_listener_is_found_in_both_families(family, address):
    with socket.socket(family) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        probe = PortProbe(Ownership(port, lambda one: listeners_on({one}), lambda: frozenset({os.getpid()})))
        assert probe.check(0) == PENDING
        server.listen()
        assert probe.check(1) == OK


# Log.


@pytest.mark.parametrize(
    "chunks",
    [
        [b"listening on 3001\n"],
        [b"listening on 3001"],
        [b"listen", b"ing on 30", b"01"],
        [b"\x1b[32mlisten\x1b[1ming\x1b[0m on \x1b[36m3001\x1b[39m\n"],
        [b"\x1b]8;;http://localhost:3001\x1b\\listening on 3001\x1b]8;;\x1b\\\n"],
        [b"\x1b]0;title\x07listening on 3001\r\n"],
        [b"50 %\rlistening on 3001\r"],
        [b"\xff\xfe\x00\nlistening on 3001\n"],
        [b"x\n" * 100_000 + b"listening on 3001\n" + b"x\n" * 100_000],
        [b"\x1b[3", b"2mlistening on 3001"],
    ],
)
def test_a_matching_line_is_ready_however_it_is_cut_and_coloured(chunks):
    probe = LogProbe(r"^listening on \d{4}$")
    assert probe.check(0) == PENDING
    for chunk in chunks:
        probe.feed(chunk)
    assert probe.check(1) == OK
    assert probe.check(2) == OK


@given(st.text(alphabet="aé→🎉 ", min_size=1), st.lists(st.integers(0, 200)))
def test_cutting_a_character_in_two_changes_nothing(text, cuts):
    data = f"{text}ready→{text}".encode()
    probe = LogProbe("ready→")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        probe.feed(data[start:end])
    assert probe.check(0) == OK


def test_other_lines_are_not_yet():
    probe = LogProbe("^ready$")
    probe.feed(b"not ready\nready to go\n\nrea\ndy\n")
    assert probe.check(0) == PENDING
    assert probe.describe() == "a line of output that matches `^ready$`"


def test_two_streams_are_lines_of_their_own():
    probe = LogProbe("^ready$")
    probe.feed(b"rea", "stdout")
    probe.feed(b"warning: ", "stderr")
    probe.feed(b"dy\n", "stdout")
    assert probe.check(0) == OK


def test_an_endless_line_is_searched_to_its_end_with_bounded_memory():
    probe = LogProbe("needle")
    for _ in range(40):
        probe.feed(b"." * 10_000)
        assert probe.check(0) == PENDING
        assert sum(map(len, probe._partial.values())) <= LONGEST_LINE
    probe.feed(b"need")
    probe.feed(b"le")
    assert probe.check(0) == OK


def test_nothing_is_kept_once_it_is_found_or_closed():
    probe = LogProbe("ready")
    probe.feed(b"ready\n" + b"x" * 1000)
    probe.feed(b"x" * 1000)
    assert not probe._partial
    other = LogProbe("ready")
    other.feed(b"x" * 1000)
    other.close()
    assert not other._partial


def test_a_pattern_that_is_none_is_a_configuration_error():
    with pytest.raises(ConfigError, match="not a regular expression"):
        LogProbe("(")


def test_a_pattern_is_not_asked_again_for_each_chunk_of_an_unfinished_line():
    probe = LogProbe("needle")
    asked = []
    probe._pattern = SimpleNamespace(search=asked.append)
    for _ in range(20_000):
        probe.feed(b"ab")
    assert len(asked) < 20


# Command.


class Child:
    """A readiness command that ends when the test says so."""

    def __init__(self):
        self.code = None
        self.kills = 0

    def poll(self):
        return self.code

    def kill(self):
        self.kills += 1


def command_probe():
    children = []

    def launch():
        children.append(Child())
        return children[-1]

    return CommandProbe(launch, "pg_isready"), children


def test_a_command_that_exits_with_0_is_ready():
    probe, children = command_probe()
    assert probe.check(0) == PENDING
    children[0].code = 0
    assert probe.check(0.1) == OK


def test_a_command_that_fails_is_run_again_after_the_interval_and_not_before():
    probe, children = command_probe()
    probe.check(0)
    children[0].code = 2
    assert probe.check(0.1) == PENDING
    assert probe.describe() == "`pg_isready` to exit with 0 (last: exit code 2)"
    probe.check(COMMAND_INTERVAL / 2)
    assert len(children) == 1
    probe.check(COMMAND_INTERVAL)
    assert len(children) == 2


def test_a_command_that_hangs_is_killed_once_and_followed_only_when_it_is_gone():
    probe, children = command_probe()
    for now in (0, COMMAND_LIMIT, COMMAND_LIMIT + 1, COMMAND_LIMIT + 2):
        assert probe.check(now) == PENDING
    assert (len(children), children[0].kills) == (1, 1)
    assert probe.describe() == "`pg_isready` to exit with 0 (last: no answer after 10 s)"
    children[0].code = 0  # it caught the signal and called that a success
    assert probe.check(COMMAND_LIMIT + 3) == PENDING
    probe.check(COMMAND_LIMIT + 4)
    assert len(children) == 2


def test_a_command_that_cannot_be_started_is_tried_again_and_said():
    def launch():
        raise FileNotFoundError(2, "No such file or directory")

    probe = CommandProbe(launch, "pg_isready")
    assert probe.check(0) == PENDING
    assert probe.describe() == "`pg_isready` to exit with 0 (last: no such file or directory)"


def test_closing_kills_a_command_that_runs_and_only_that():
    probe, children = command_probe()
    probe.check(0)
    probe.close()
    probe.close()
    assert children[0].kills == 1
    probe, children = command_probe()
    probe.check(0)
    children[0].code = 1
    probe.close()
    assert children[0].kills == 0
