"""stdout that nobody reads, that goes away, that is shared: never blocked, never changed."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import selectors
import signal
import socket
import termios
import tty

import pytest

from devrun.run.output import sink as sink_module
from devrun.run.output.logs import LogFolder, Stream
from devrun.run.output.multiplexer import Multiplexer
from devrun.run.output.sink import TERMINAL_LIMIT, SinkKind, open_sink

LINES = b"x" * 99 + b"\n"
BLOCK = LINES * 600


def is_non_blocking(fd):
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def pty():
    master, slave = os.openpty()
    tty.setraw(slave, termios.TCSANOW)
    yield master, slave
    os.close(master)
    os.close(slave)


@pytest.fixture
def multiplexer():
    made = []

    def make(fd, **options):
        made.append(Multiplexer(["web"], fd=fd, **options))
        return made[-1], made[-1].add("web", Stream.STDOUT)

    yield make
    for each in made:
        each.close()


def read_all(fd, out):
    """Read until everything the multiplexer has is out, letting it write in turn."""
    seen = []
    while out.wants_write:
        seen.append(os.read(fd, 1 << 20))
        out.on_writable()
    while select.select([fd], [], [], 0)[0]:
        seen.append(os.read(fd, 1 << 20))
    return b"".join(seen)


def test_a_pipe_that_nobody_reads_pushes_back_and_loses_nothing(pipe, multiplexer):
    out, web = multiplexer(pipe[1])
    count = 0
    while not out.is_congested:
        out.feed(web, BLOCK)
        count += 600
    assert out.events & selectors.EVENT_WRITE
    seen = read_all(pipe[0], out)
    assert not out.is_congested
    assert seen == (b"web | " + LINES) * count


def test_stopping_ends_the_back_pressure_of_a_pipe(pipe, multiplexer):
    out, web = multiplexer(pipe[1])
    out.stop_waiting()
    for _ in range(300):
        out.feed(web, BLOCK)
    assert not out.is_congested
    assert out.flush(0.01) is False


def test_a_terminal_that_stops_reading_is_skipped_and_told(pty, multiplexer, tmp_path):
    master, slave = pty
    out, web = multiplexer(slave, logs=LogFolder(str(tmp_path / "logs"), rotate_at=1 << 30))
    total = 3 * TERMINAL_LIMIT // len(BLOCK)
    for _ in range(total):
        out.feed(web, BLOCK)
        assert not out.is_congested
    seen = read_all(master, out)
    lines = seen.split(b"\n")[:-1]
    assert len(seen) < 2 * TERMINAL_LIMIT
    told = [line for line in lines if line.startswith(b"devrun | ")]
    assert len(told) == 1
    skipped = int(told[0].split()[2])
    assert skipped + len(lines) - 1 == total * 600
    assert set(lines) == {b"web | " + LINES[:-1], told[0]}
    assert (tmp_path / "logs" / "web.log").read_bytes().count(b"\n") == total * 600


def test_a_partial_line_that_was_skipped_is_not_torn_into_another(pty, multiplexer):
    master, slave = pty
    out, web = multiplexer(slave)
    api = out.add("api", Stream.STDOUT)
    out.feed(web, b"half")
    out.tick(float("inf"))
    while not out._display.sink.is_full:
        out.feed(api, BLOCK)
    out.feed(web, b" and the rest\n")
    seen = read_all(master, out)
    out.feed(web, b"new\n")
    seen += read_all(master, out)
    assert seen.startswith(b"web | half\napi | x")
    assert seen.endswith(b"\nweb | new\n")


@pytest.mark.parametrize("kind", ["pipe", "pty", "socket", "file"])
def test_the_inherited_descriptor_stays_blocking_and_open(kind, pipe, pty, tmp_path):
    pair = socket.socketpair()
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    fd = {"pipe": pipe[1], "pty": pty[1], "socket": pair[0].fileno(), "file": file}[kind]
    sink = open_sink(fd)
    sink.write(b"hello\n")
    assert not is_non_blocking(fd)
    assert not sink.wants_write
    sink.close()
    assert not is_non_blocking(fd)
    os.write(fd, b"still open\n")
    for each in pair:
        each.close()
    os.close(file)


@pytest.mark.linux
@pytest.mark.parametrize("kind", ["pipe", "pty"])
def test_a_description_of_our_own_is_written_to_and_not_inherited(kind, pipe, pty):
    fd = {"pipe": pipe[1], "pty": pty[1]}[kind]
    sink = open_sink(fd)
    assert sink.fileno() != fd
    assert is_non_blocking(sink.fileno())
    assert not os.get_inheritable(sink.fileno())
    sink.close()


def test_a_socket_is_never_waited_for():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = open_sink(ours.fileno())
        assert sink.kind is SinkKind.SOCKET
        while not sink.is_congested:
            sink.write(BLOCK)
        theirs.close()
        sink.drain()
        assert sink.closed
        sink.close()


@pytest.mark.parametrize("kind", ["pipe", "pty"])
def test_where_nothing_can_be_opened_again_small_writes_after_poll_do(kind, pipe, pty, monkeypatch, multiplexer):
    monkeypatch.setattr(sink_module, "_reopen", lambda fd, **_: None)
    reader, writer = pipe if kind == "pipe" else pty
    out, web = multiplexer(writer)
    assert out.fileno() == writer
    out.feed(web, BLOCK * 20)
    assert out.wants_write
    assert not is_non_blocking(writer)
    assert read_all(reader, out) == (b"web | " + LINES) * 12000


def test_a_reader_that_goes_away_is_noticed_at_the_next_write(multiplexer):
    reader, writer = os.pipe()
    out, web = multiplexer(writer)
    os.close(reader)
    out.feed(web, b"anybody?\n")
    assert out.closed
    out.feed(web, b"nobody\n")
    out.notice("nobody")
    assert out.flush(0) is True
    os.close(writer)


@pytest.mark.linux
def test_a_reader_that_goes_away_is_noticed_while_nothing_is_said(multiplexer):
    reader, writer = os.pipe()
    out, _ = multiplexer(writer)
    with selectors.DefaultSelector() as selector:
        selector.register(out.fileno(), out.events)
        assert not selector.select(0)
        os.close(reader)
        assert selector.select(30)
    out.on_writable()
    assert out.closed
    assert out.events == 0
    os.close(writer)


def test_a_terminal_that_was_closed_is_no_reader_that_went_away(multiplexer):
    master, slave = os.openpty()
    out, web = multiplexer(slave)
    os.close(master)
    out.feed(web, b"anybody?\n")
    out.feed(web, b"nobody\n")
    assert not out.closed
    assert not out.wants_write
    os.close(slave)


def test_flush_gives_up_on_a_reader_that_stands_still_and_waits_for_one_that_reads(pipe, multiplexer, processes):
    out, web = multiplexer(pipe[1])
    out.feed(web, BLOCK * 40)
    assert out.flush(0.05) is False
    processes.python("ready()\nwhile os.read(0, 65536): pass\n", stdin=pipe[0])
    assert out.flush(10) is True


def test_flush_shows_partial_lines_and_leaves_the_cursor_at_the_start_of_a_line(pipe, multiplexer):
    out, web = multiplexer(pipe[1])
    out.feed(web, b"no end")
    assert out.flush(1)
    assert os.read(pipe[0], 100) == b"web | no end\n"


def test_a_disk_without_room_for_stdout_ends_nothing(multiplexer, tmp_path):
    fd = os.open("/dev/full", os.O_WRONLY) if os.path.exists("/dev/full") else None
    if fd is None:
        fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    out, web = multiplexer(fd)
    out.feed(web, BLOCK)
    assert not out.closed
    os.close(fd)


def test_a_disk_that_fills_up_is_said_once_and_ends_nothing(tmp_path, multiplexer):
    """RLIMIT_FSIZE stands in for a full disk: short write first, an error then."""
    screen = os.open("/dev/null", os.O_WRONLY)
    folder = str(tmp_path / "logs")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        out, web = multiplexer(screen, logs=LogFolder(folder))
        told = []
        notice = out.notice
        out._logs.on_trouble = lambda text: (told.append(text), notice(text))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        for _ in range(5):
            out.feed(web, LINES * 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(told) == 1
    assert "`web`" in told[0]
    out.feed(web, b"room again\n")
    with open(tmp_path / "logs" / "web.log", "rb") as file:
        kept = file.read()
    assert kept.endswith(b" stdout F room again\n")
    assert kept[1999:2000] != b"\n"
    assert kept[2000:2001] == b"\n"
    os.close(screen)
