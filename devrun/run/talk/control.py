"""The supervisor's end of the control socket: many clients, none of whom is trusted to behave.

Everything is non-blocking and bounded: a client that sends nothing, half a request or garbage is hung
up on after a while; one that does not read its answer loses it.  Only the user's own processes are
served (0600 socket in a 0700 folder, and the peer's uid is checked).  A request becomes an event of
the state machine; its answer is sent when the services it names have come to rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from devrun import __version__
from devrun.run.loop import READ, WRITE, Loop, Timer
from devrun.run.talk import protocol
from devrun.run.talk.litter import remove_stale_sockets
from devrun.run.talk.peers import is_own_user
from devrun.run.talk.protocol import Answer, Ask, VersionError, encode

PATIENCE = 10.0
"""Seconds a client may take to send its request, and to read its answer.  Shorter hangs up on a
client under a debugger; longer keeps descriptors for nothing."""
MOST_CLIENTS = 256
"""Connections at once.  Fewer refuses a crowd of agents; more lets one script take all descriptors."""
BREATH = 1.0
"""Seconds without accepting when there are no descriptors left: asking again at once would spin."""
_CHUNK = 65536
_BACKLOG = 128


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
    """`type_in` takes keys; `listen` is told who wants the output, and returns how to stop that.

    `standing` is the unfinished line that is there already; `is_over` says that the service has ended.
    """

    type_in: Callable[[bytes], None]
    listen: Callable[[Callable[[bytes], None]], Callable[[], None]]
    standing: bytes
    is_over: Callable[[], bool]


class ControlServer:
    """The listening socket of a run."""

    def __init__(self, path: str, loop: Loop, served: Served) -> None:
        """Listen at `path`.  A run without its socket goes on: `down` can still signal its keeper."""
        self.path = path
        self._loop = loop
        self._served = served
        self._clients: set[_Client] = set()
        self._socket: socket.socket | None = None
        self._is_closed = False
        remove_stale_sockets(os.path.dirname(path))
        self.heal()

    def heal(self) -> bool:
        """Listen, again when the socket was swept away (a cleaner of the temp folder); False once closed."""
        if self._is_closed:
            return False
        if self._socket is None or not os.path.exists(self.path):
            self._stop_listening()
            folder = os.path.dirname(self.path)
            with contextlib.suppress(OSError):
                os.makedirs(folder, mode=0o700, exist_ok=True)
                if os.lstat(folder).st_uid == os.geteuid():  # somebody else may have been quicker
                    self._listen()
        return True

    def _listen(self) -> None:
        """Bind, listen, and only then show the path: whoever sees it can connect."""
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        hidden = self.path + "~"
        mask = os.umask(0o177)
        try:
            fresh.bind(hidden)
            fresh.listen(_BACKLOG)
            os.rename(hidden, self.path)
        except OSError:
            fresh.close()
            with contextlib.suppress(OSError):
                os.unlink(hidden)
            raise
        finally:
            os.umask(mask)
        fresh.setblocking(False)
        self._socket = fresh
        self._loop.watch(fresh.fileno(), self._accept)

    def _stop_listening(self) -> None:
        if self._socket is not None:
            self._loop.ignore(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def review(self) -> None:
        """Answer every client whose services have come to rest.  Call after each event."""
        for client in tuple(self._clients):
            client.review()

    def close(self) -> None:
        """Answer what can be answered, hang up on everybody, remove the socket."""
        self._is_closed = True
        self.review()
        for client in tuple(self._clients):
            client.close()
        if self._socket is not None:
            self._stop_listening()
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _accept(self) -> None:
        if self._socket is None:
            return
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._loop.ignore(self._socket.fileno())
                self._loop.call_later(BREATH, self._go_on)
            return
        if len(self._clients) >= MOST_CLIENTS or not is_own_user(connection):
            connection.close()
            return
        connection.setblocking(False)
        self._clients.add(_Client(connection, self._loop, self._served, self._clients.discard))

    def _go_on(self) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), self._accept)


class _Client:
    """One connection: a request in, an answer out, then it is over, unless it attached or holds services."""

    def __init__(
        self, connection: socket.socket, loop: Loop, served: Served, on_close: Callable[[_Client], None]
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
        self._timer: Timer = loop.call_later(PATIENCE, self.close)
        loop.watch(connection.fileno(), self._readable)

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
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        if self._connection.fileno() >= 0:
            self._loop.ignore(self._connection.fileno())
            self._connection.close()
        self._on_close(self)

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
            self._attachment.type_in(chunk)
        elif self._pending is None and self._release is None and not self._is_over:
            self._received += chunk
            self._read_request()

    def _on_end_of_file(self) -> None:
        """Hang up, too; but who held services may still listen for their end."""
        if self._release is None:
            self.close()
            return
        self._loop.ignore(self._connection.fileno())
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
        self._attachment = attachment
        self._stop_listening = attachment.listen(self._send)
        if self._received:
            attachment.type_in(self._received)

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
            self.close()
            return
        if self._unsent:
            self._loop.watch(self._connection.fileno(), self._ready, READ | WRITE)
            if self._is_over:
                self._timer.cancel()
                self._timer = self._loop.call_later(PATIENCE, self.close)
        elif self._is_over:
            self.close()
        else:
            self._loop.watch(self._connection.fileno(), self._readable)

    def _ready(self) -> None:
        self._writable()
        if self._connection.fileno() >= 0 and self._unsent:
            self._readable()
