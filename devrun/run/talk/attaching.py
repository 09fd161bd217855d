"""The person's end of `attach`: keys go to the service's terminal, its output comes here, the window size follows.

The terminal is put into raw mode, so that Ctrl-C and the like are typed instead of acting here, and
is put back whatever ends the connection: the detach key, the service, a signal, an error.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from devrun.model import RunRecord
from devrun.report.console import explained
from devrun.run.talk import protocol
from devrun.run.talk.client import UnreachableError, ask, connect, read_first_line, send
from devrun.run.talk.keys import DetachKey, split_at_key
from devrun.run.talk.protocol import Ask, decode_answer
from devrun.run.tether import terminal_size

_CHUNK = 65536
_MOST_KEYS = 4 * 1024 * 1024  # typed ahead of a service that does not read
LEFT, ENDED = "left", "ended"


class Attached:
    """A connection to a service's terminal.  A context manager."""

    def __init__(self, run: RunRecord, service: str, *, key: DetachKey, stdin: int = 0, stdout: int = 1) -> None:
        """Connect.  Raises UnreachableError with the run's words when the service has no terminal."""
        self._run = run
        self._service = service
        self._key = key
        self._stdin = stdin
        self._stdout = stdout
        self._is_terminal = os.isatty(stdin)
        self._is_over = False
        self._unsent = bytearray()
        self._connection = connect(run)
        try:
            send(self._connection, Ask(protocol.ATTACH, names=(service,), size=self._size()))
            line, self._early = read_first_line(run, self._connection)
        except BaseException:
            self._connection.close()
            raise
        answer = decode_answer(line)
        if answer.error is not None:
            self._connection.close()
            raise UnreachableError(answer.error, hint=answer.hint or "`devrun ps`")
        self._connection.settimeout(None)

    def converse(self, *, greet: Callable[[], None]) -> str:
        """Carry bytes both ways; return LEFT when the person left, ENDED when the service did.

        `greet` is called once keys go to the service: before, a Ctrl-C would still be for `attach`.
        """
        with self._connection, _raw(self._stdin), _window_changes() as changes:
            greet()
            self._show(self._early)
            peer = self._connection.fileno()
            while not self._has_left:
                heard = [peer, changes, *([self._stdin] if self._wants_keys else [])]
                readable, writable = _look_at(heard, [peer] if self._unsent else [])
                if peer in readable and not self._show(self._receive()):
                    return ENDED
                if changes in readable:
                    os.read(changes, _CHUNK)
                    self._follow_window()
                if writable:
                    self._send()
                if self._stdin in readable:
                    self._type()
            return LEFT

    @property
    def _wants_keys(self) -> bool:
        """Whether more is read: at a terminal always, the detach key must be heard whatever waits before it."""
        return not self._is_over and len(self._unsent) < (_MOST_KEYS if self._is_terminal else _CHUNK)

    @property
    def _has_left(self) -> bool:
        """Whether the detach key was typed, or all the input is with the service."""
        return self._is_over and (self._is_terminal or not self._unsent)

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(_CHUNK)
        except OSError:
            return b""

    def _show(self, output: bytes) -> bool:
        view = memoryview(output)
        while view:
            with explained():
                view = view[os.write(self._stdout, view) :]
        return bool(output)

    def _type(self) -> None:
        """Take what was typed; the detach key, or the end of the input, is the last of it."""
        try:
            typed = os.read(self._stdin, _CHUNK)
        except OSError:  # EIO: the terminal is gone
            typed = b""
        keys, leaves = split_at_key(typed, self._key) if self._is_terminal else (typed, False)
        self._is_over = leaves or not typed
        self._unsent += keys
        self._send()

    def _send(self) -> None:
        """Send what the run takes now: it takes no more than the service reads."""
        try:
            del self._unsent[: self._connection.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError:  # the service is ending: its end is read next
            self._unsent.clear()
            self._is_over = False

    def _follow_window(self) -> None:
        with contextlib.suppress(UnreachableError):
            ask(self._run, Ask(protocol.RESIZE, names=(self._service,), size=self._size()))

    def _size(self) -> tuple[int, int] | None:
        return terminal_size(self._stdout) if os.isatty(self._stdout) else None


def _look_at(heard: list[int], written: list[int]) -> tuple[set[int], bool]:
    """Wait; return what can be read, and whether one of `written` takes more.

    By select(2) where poll(2) cannot look at terminals (macOS); the other way round it is select(2) that
    cannot look at descriptors beyond 1024, and a caller may have left as many open.
    """
    if sys.platform == "darwin":
        readable, writable, _ = select.select(heard, written, [])
        return set(readable), bool(writable)
    poll = select.poll()
    for descriptor in {*heard, *written}:
        wanted = select.POLLIN if descriptor in heard else 0
        poll.register(descriptor, wanted | (select.POLLOUT if descriptor in written else 0))
    events = poll.poll()
    ready = {descriptor for descriptor, event in events if event & ~select.POLLOUT}
    return ready & {*heard}, any(event & select.POLLOUT for _, event in events)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Have a terminal pass every key on; after a stop (SIGSTOP from elsewhere, `fg`) again.

    What was set before is set again at the end.  Anything but a terminal stays as it is, and so does one that
    others have in the foreground: who is told to end there (`timeout 5 devrun attach`) would be stopped instead.
    """
    if not os.isatty(descriptor):
        yield
        return

    def again(_signum: int, _frame: object) -> None:
        with contextlib.suppress(termios.error):  # a closed window sends SIGCONT, too
            if _is_in_front(descriptor):
                tty.setraw(descriptor, termios.TCSANOW)

    before = termios.tcgetattr(descriptor)
    continued = signal.signal(signal.SIGCONT, again)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        signal.signal(signal.SIGCONT, continued)
        with contextlib.suppress(termios.error):  # the window was closed
            if _is_in_front(descriptor):
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_in_front(descriptor: int) -> bool:
    """Whether this terminal is ours to set: no other group of processes has it in the foreground (tcsetattr(3))."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not our controlling terminal: whoever has it open may
        return True


@contextlib.contextmanager
def _window_changes() -> Iterator[int]:
    """Give a descriptor that turns readable when the size of the window changed."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def changed(_signum: int, _frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            writer.send(b"\0")

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        yield reader.fileno()
    finally:
        signal.signal(signal.SIGWINCH, before)
        reader.close()
        writer.close()
