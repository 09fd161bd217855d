"""devrun's own stdout: written to without ever blocking, and without changing it for others.

O_NONBLOCK belongs to the open file description, which the shell and every sibling share, so it is
never set on the inherited descriptor.  A terminal or FIFO is opened again (a description of our
own; O_NOCTTY, because the supervisor leads a session without a terminal), a socket takes
MSG_DONTWAIT per call, and where nothing of that works, poll(2) is asked before each small write.
Regular files and devices such as /dev/null are written to as they are.

Back-pressure is for pipes and sockets (`is_congested`); a terminal that stops reading must not
stop a server: it is `is_full` at 8 MB, and whoever writes then skips.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import select
import stat
import sys
from collections.abc import Callable
from functools import partial

from devrun.run.output.pipes import STDOUT_PIPE, widen_pipe

# More is kept for a terminal before lines are skipped: less drops lines of a short burst, more is
# memory for output that nobody reads (and seconds of old text once the terminal reads again).
TERMINAL_LIMIT = 8 * 1024 * 1024
# Kept for a pipe before the services are no longer read.  Smaller switches between reading and
# writing more often; larger only moves the queue from the services' pipes into our memory.
HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
# What one write(2) is given.
_WRITE_SIZE = 1024 * 1024
# poll(2) promises room for PIPE_BUF in a pipe (pipe(7)); of a terminal it promises little.
_POLLED_TERMINAL = 128
# A file on a disk without room gets nothing more until there is; that ends no run.
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The reader went away (EPIPE, ECONNRESET); of a terminal that was closed (EIO) HUP tells.
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENXIO})

_Write = Callable[[memoryview], int]


class SinkKind(enum.Enum):
    """What stdout is.  FILE: regular files and devices, which are written to as they are."""

    TERMINAL = "terminal"
    PIPE = "pipe"
    SOCKET = "socket"
    FILE = "file"


class Sink:
    """A descriptor with a queue in front.

    `closed`: the reader of a pipe or socket went away.  `is_broken`: nothing can be written any
    more, for whatever reason.  `lossy` is set for terminals, and by whoever cannot wait any longer.
    """

    def __init__(self, fd: int, write: _Write, *, kind: SinkKind, release: Callable[[], None] | None = None) -> None:
        self._fd = fd
        self._write = write
        self._release = release
        self._queue = bytearray()
        self._congested = False
        self._full = False
        self.kind = kind
        self.lossy = kind is SinkKind.TERMINAL
        self.is_broken = False
        self.closed = False

    @property
    def is_terminal(self) -> bool:
        """Whether a person's terminal shows it: cursor movements must not get through."""
        return self.kind is SinkKind.TERMINAL

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, or None where there is nothing to wait for."""
        return None if self.kind is SinkKind.FILE else self._fd

    @property
    def wants_write(self) -> bool:
        """Whether the loop should wait for room."""
        return bool(self._queue) and not self.is_broken

    @property
    def watches_reader(self) -> bool:
        """Whether the loop may wait for the reader's end, by asking for *read* events.

        On Linux a FIFO of our own opening is open for writing only and never becomes readable; epoll
        and poll report its reader's end whatever was asked for.
        """
        return self.kind is SinkKind.PIPE and self._release is not None and not self.is_broken

    @property
    def is_congested(self) -> bool:
        """Whether nobody should be read until more is written: from HIGH_WATER down to LOW_WATER."""
        if self.lossy or self.is_broken:
            return False
        self._congested = len(self._queue) > (LOW_WATER if self._congested else HIGH_WATER)
        return self._congested

    @property
    def queued(self) -> int:
        """Bytes that were accepted and not written yet."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether lines have to be skipped: from TERMINAL_LIMIT down to half of it."""
        self._full = self.lossy and len(self._queue) >= (TERMINAL_LIMIT // 2 if self._full else TERMINAL_LIMIT)
        return self._full

    def write(self, block: bytes) -> None:
        """Write what fits now and queue the rest; after the reader has gone, nothing."""
        if self.is_broken:
            return
        if self._queue:
            self._queue += block
            return
        with memoryview(block) as view:
            sent = self._send(view)
            if sent < len(view) and not self.is_broken:
                self._queue += view[sent:]

    def drain(self) -> None:
        """Write what fits of the queue; with an empty one, see whether the reader is still there."""
        if not self._queue and self.watches_reader and _reader_gone(self._fd):
            self.is_broken = self.closed = True
        while self._queue and not self.is_broken:
            with memoryview(self._queue) as whole, whole[:_WRITE_SIZE] as part:
                sent = self._send(part)
                stuck = sent < len(part)
            del self._queue[:sent]
            if stuck:
                break
        if self.is_broken:
            self._queue.clear()

    def wait(self, seconds: float) -> bool:
        """Wait until there may be room; tell whether there is."""
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(max(seconds, 0) * 1000))

    def close(self) -> None:
        """Give back the description of our own; the inherited one is left as it was."""
        self.is_broken = True
        self._queue.clear()
        if self._release is not None:
            self._release()
            self._release = None

    def _send(self, view: memoryview) -> int:
        sent = 0
        try:
            while sent < len(view):
                with view[sent:] as rest:
                    sent += self._write(rest)
        except BlockingIOError:
            return sent
        except OSError as error:
            if self.kind is SinkKind.FILE and error.errno in _DISK_FULL:
                return len(view)
            self.is_broken = True
            self.closed = error.errno in _GONE
        return sent


def open_sink(fd: int) -> Sink:
    """Return the sink for a descriptor that was inherited, by the best way it allows."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _socket_sink(fd)
    if os.isatty(fd):
        kind, polled_size = SinkKind.TERMINAL, _POLLED_TERMINAL
    elif stat.S_ISFIFO(mode):
        kind, polled_size = SinkKind.PIPE, select.PIPE_BUF
    else:
        return Sink(fd, partial(os.write, fd), kind=SinkKind.FILE)
    own = _reopen(fd, is_terminal=kind is SinkKind.TERMINAL)
    if own is None:
        return Sink(fd, _polled_writer(fd, polled_size), kind=kind)
    widen_pipe(own, STDOUT_PIPE)
    return Sink(own, partial(os.write, own), kind=kind, release=partial(os.close, own))


def _reopen(fd: int, *, is_terminal: bool) -> int | None:
    """Open the same terminal or FIFO again, as a description of our own; None where that is refused."""
    paths = [f"/proc/self/fd/{fd}"] if sys.platform == "linux" else []
    if is_terminal:
        with contextlib.suppress(OSError):
            paths.append(os.ttyname(fd))
    for path in paths:
        try:
            return os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
    return None


def _polled_writer(fd: int, size: int) -> _Write:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)

    def write(view: memoryview) -> int:
        if not poller.poll(0):
            raise BlockingIOError
        return os.write(fd, view[:size])

    return write


def _socket_sink(fd: int) -> Sink:
    import socket

    # The duplicate shares the description, no flag of which is touched: its time-out stays None.
    own = socket.socket(fileno=os.dup(fd))
    flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
    return Sink(own.fileno(), lambda view: own.send(view, flags), kind=SinkKind.SOCKET, release=own.close)


def _reader_gone(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, events in poller.poll(0))
