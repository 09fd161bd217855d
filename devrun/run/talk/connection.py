"""One connection to the control socket, and what the supervisor does for it.

A request in, an answer out, then it is over, unless it attached or holds services.  Everything is
non-blocking and bounded: who does not read what is sent loses the connection, never the run's time;
who types faster than the service reads waits.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from devrun import __version__
from devrun.run.loop import READ, WRITE, Loop, Timer
from devrun.run.talk import protocol
from devrun.run.talk.protocol import Answer, Ask, VersionError, encode

PATIENCE = 10.0
"""Seconds a client may take to send its request, and to read its answer.  Shorter hangs up on a
client under a debugger; longer keeps descriptors for nothing."""
_CHUNK = 65536


class Served(Protocol):
    """What the supervisor does for clients."""

    def handle(self, ask: Ask, /) -> Callable[[], Answer | None]:
        """Take a request; return what gives its answer, None for as long as it has to wait."""
        ...

    def attach(self, name: str, size: tuple[int, int] | None, /) -> Attachment | None:
        """Return the two ways of a service's terminal, None when it has none."""
        ...

    def hold(self, ask: Ask, /) -> Callable[[], Callable[[], Answer | None]]:
        """Take a claim; return what gives it back, and then tells when that is done."""
        ...


class Attachment(Struct, frozen=True):
    """`type_in` takes keys, and what to call with True when it has room again where it returns False.

    That is called with False when what the keys were for is over.

    `listen` is told who wants the output, and returns how to stop that.
    `standing` is the unfinished line that is there already; `is_over` says that the service has ended.
    """

    type_in: Callable[[bytes, Callable[[bool], None]], bool]
    listen: Callable[[Callable[[bytes], None]], Callable[[], None]]
    standing: bytes
    is_over: Callable[[], bool]


class Connection:
    """One client."""

    def __init__(
        self, connection: socket.socket, loop: Loop, served: Served, on_close: Callable[[Connection], None]
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._served = served
        self._on_close = on_close
        self._received = b""
        self._unsent = bytearray()
        self._pending: Callable[[], Answer | None] | None = None
        self._attachment: Attachment | None = None
        self._release: Callable[[], Callable[[], Answer | None]] | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._is_over = False
        self._is_paused = False
        self._timer: Timer = loop.call_later(PATIENCE, self.close)
        self._watch()

    def review(self) -> None:
        """Send the answer if there is one by now; end what was attached to a service that has ended."""
        answer = None if self._pending is None else self._pending()
        if answer is not None:
            self._pending = None
            self._finish_with(answer)
        elif self._attachment is not None and not self._is_over and self._attachment.is_over():
            self._is_over = True
            self._writable()

    def close(self) -> None:
        """Hang up, and give back what was held."""
        self._timer.cancel()
        release, self._release = self._release, None
        if release is not None:
            release()
        self._stop_output()
        if self._connection.fileno() >= 0:
            self._loop.ignore(self._connection.fileno())
            self._connection.close()
        self._on_close(self)

    def _stop_output(self) -> None:
        self._unsent.clear()
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def _readable(self) -> None:
        try:
            chunk = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._on_end_of_file()
        elif self._attachment is not None:
            self._type(chunk)
        elif self._pending is None and self._release is None and not self._is_over:
            self._received += chunk
            self._read_request()

    def _on_end_of_file(self) -> None:
        """Hang up, too; but who held services may still listen for their end."""
        if self._release is None:
            self.close()
            return
        self._is_paused = True
        self._watch()
        release, self._release = self._release, None
        self._pending = release()

    def _read_request(self) -> None:
        line, end, rest = self._received.partition(b"\n")
        if not end:
            if len(line) > protocol.LONGEST_LINE:
                self.close()
            return
        self._received = rest
        self._timer.cancel()
        try:
            ask = protocol.decode_ask(line)
        except VersionError as error:
            self._finish_with(Answer(version=__version__, error=error.message, hint=error.hint, code=1))
            return
        if ask.verb == protocol.ATTACH:
            self._attach(ask)
        elif ask.verb == protocol.HOLD:
            self._release = self._served.hold(ask)
            self._send(encode(Answer(version=__version__)))
        else:  # answered after the event that it makes: `review`
            self._pending = self._served.handle(ask)

    def _attach(self, ask: Ask) -> None:
        name = ask.names[0] if ask.names else ""
        attachment = self._served.attach(name, ask.size)
        if attachment is None:
            self._finish_with(Answer(version=__version__, error=f"`{name}` has no terminal to attach to", code=1))
            return
        self._send(encode(Answer(version=__version__)) + attachment.standing)
        if self._connection.fileno() < 0:
            return
        self._attachment = attachment
        self._stop_listening = attachment.listen(self._send)
        if self._received:
            self._type(self._received)

    def _type(self, keys: bytes) -> None:
        """Type, and read on once the service's terminal has room for more."""
        if self._attachment is not None and not self._attachment.type_in(keys, self._go_on):
            self._is_paused = True
            self._watch()

    def _go_on(self, has_room: bool, /) -> None:  # noqa: FBT001 - a callback
        if not has_room:
            self.close()
            return
        self._is_paused = False
        self._watch()

    def _finish_with(self, answer: Answer) -> None:
        self._is_over = True
        self._send(encode(answer))

    def _send(self, data: bytes) -> None:
        """Queue bytes; a reader that is too far behind loses its connection, never the run's time."""
        self._unsent += data
        if len(self._unsent) > protocol.LONGEST_LINE:
            self.close()
            return
        self._writable()

    def _writable(self) -> None:
        if self._connection.fileno() < 0:
            return
        try:
            sent = self._connection.send(self._unsent)
            del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            if self._attachment is None or self._is_over:
                self.close()
                return
            self._stop_output()  # who left may have typed more than was read of it
        if self._is_over and not self._unsent:
            self.close()
            return
        self._watch()
        if self._is_over:
            self._timer.cancel()
            self._timer = self._loop.call_later(PATIENCE, self.close)

    def _watch(self) -> None:
        """Hear of what has to be read and what can be written."""
        descriptor = self._connection.fileno()
        events = (0 if self._is_paused else READ) | (WRITE if self._unsent else 0)
        if descriptor >= 0 and events:
            self._loop.watch(descriptor, self._ready, events)
        elif descriptor >= 0:
            self._loop.ignore(descriptor)

    def _ready(self) -> None:
        if self._unsent:
            self._writable()
        if self._connection.fileno() >= 0 and not self._is_paused:
            self._readable()
