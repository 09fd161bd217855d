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

from devrun.run.loop import Loop
from devrun.run.talk.connection import Connection, Served
from devrun.run.talk.litter import remove_stale_sockets
from devrun.run.talk.peers import is_own_user

MOST_CLIENTS = 256
"""Connections at once.  Fewer refuses a crowd of agents; more lets one script take all descriptors."""
BREATH = 1.0
"""Seconds without accepting when there are no descriptors left: asking again at once would spin."""
_BACKLOG = 128


class ControlServer:
    """The listening socket of a run."""

    def __init__(self, path: str, loop: Loop, served: Served) -> None:
        """Listen at `path`.  A run without its socket goes on: `down` can still signal its keeper."""
        self.path = path
        self._loop = loop
        self._served = served
        self._clients: set[Connection] = set()
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
        self._clients.add(Connection(connection, self._loop, self._served, self._clients.discard))

    def _go_on(self) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), self._accept)
