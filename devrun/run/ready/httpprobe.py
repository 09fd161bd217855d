"""Readiness over HTTP: one request at a time on a non-blocking socket, advanced by each check.

Loopback only, IPv4 and IPv6 in turn: a dev server listens on either, and `localhost` may mean both.
HTTP/1.0, so that the answer needs no decoding beyond its first line (RFC 9112 section 4).  2xx and 3xx
are ready, everything else is asked again.  An answer counts only from the service's own tree.
"""

from __future__ import annotations

import errno
import os
import select
import socket

from devrun.config.httptarget import HttpTarget
from devrun.errors import reason_of
from devrun.run.ready.readiness import OK, PENDING, Failed, Ok, Ownership, Result

# One request, seconds.  Shorter: a bundler that compiles on the first request is asked over and over.
# Longer: a connection that hung once eats the whole time-out.
REQUEST_LIMIT = 5.0
# Between two requests that were answered badly, seconds.  Shorter: the server's log fills with them.
RETRY_INTERVAL = 0.25
# Longest status line that is read.  Smaller: a chatty reason phrase is cut, harmless.  Larger: garbage is kept.
LONGEST_STATUS = 1024
# Nobody is there: the port is closed, or this machine has no such address family.
_NOBODY = frozenset({errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT})
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class HttpProbe:
    """Ready when the service's own tree answers 2xx or 3xx."""

    def __init__(self, target: HttpTarget, owner: Ownership, *, limit: float = REQUEST_LIMIT) -> None:
        self._target = target
        self._owner = owner
        self._limit = limit
        self._socket: socket.socket | None = None
        self._family = 0
        self._unsent = b""
        self._answer = b""
        self._started = 0.0
        self._next = float("-inf")
        self._last = ""

    def check(self, now: float, /) -> Result:
        """Advance the request under way, or begin one when it is due."""
        if self._socket is None and not self._begin(now):
            return PENDING
        try:
            status = self._advance()
        except BlockingIOError:
            status = None
        except OSError as error:
            if error.errno in _NOBODY:
                self._drop(None)
                return PENDING
            self._last = f"last: {reason_of(error)}"
            self._drop(now + RETRY_INTERVAL)
            return self._foreign(now)
        if status is not None:
            return self._judge(status, now)
        if now - self._started >= self._limit:
            self._last = f"last: no answer in {self._limit:g} s"
            self._drop(now)
            return self._foreign(now)
        return PENDING

    def describe(self) -> str:
        """Say what is asked for, and how that went last."""
        notes = "; ".join(note for note in (self._last, self._owner.describe()) if note)
        return f"{self._target} to answer 2xx or 3xx" + (f" ({notes})" if notes else "")

    def close(self) -> None:
        """Close the connection."""
        self._drop(None)

    def _begin(self, now: float) -> bool:
        """Connect to the first address that takes it, when a request is due."""
        if now < self._next:
            return False
        for _ in _LOOPBACK:
            if self._connect(now):
                return True
            self._family = (self._family + 1) % len(_LOOPBACK)
        return False

    def _connect(self, now: float) -> bool:
        family, address = _LOOPBACK[self._family]
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 in this kernel, or no descriptor left: the next check tries again
            if error.errno not in _NOBODY:
                self._last = f"last: {reason_of(error)}"
            return False
        connection.setblocking(False)
        code = connection.connect_ex((address, self._target.port))
        if code not in {0, errno.EINPROGRESS}:
            connection.close()
            if code not in _NOBODY:
                self._last = f"last: {os.strerror(code).lower()}"
            return False
        self._socket, self._started, self._answer = connection, now, b""
        host = f"localhost:{self._target.port}"
        self._unsent = (
            f"GET {self._target.path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: devrun\r\n\r\n".encode()
        )
        return True

    def _advance(self) -> int | None:
        """Send and receive what is possible now; return the status once known, 0 for garbage, None before."""
        connection = self._socket
        if connection is None or not _is_ready(connection, select.POLLOUT if self._unsent else select.POLLIN):
            return None
        if self._unsent:
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._unsent = self._unsent[connection.send(self._unsent) :]
        while _is_ready(connection, select.POLLIN):
            chunk = connection.recv(LONGEST_STATUS)
            self._answer += chunk
            line, newline, _ = self._answer.partition(b"\n")
            if newline or not chunk or len(self._answer) >= LONGEST_STATUS:
                return _status_of(line)
        return None

    def _judge(self, status: int, now: float) -> Result:
        self._drop(now + RETRY_INTERVAL)
        self._last = f"last: answered {status}" if status else "last: the answer was not HTTP"
        owner = self._owner.check(now)
        if isinstance(owner, Failed):
            return owner
        return OK if isinstance(owner, Ok) and 200 <= status < 400 else PENDING  # noqa: PLR2004

    def _foreign(self, now: float) -> Result:
        owner = self._owner.check(now)
        return owner if isinstance(owner, Failed) else PENDING

    def _drop(self, again: float | None) -> None:
        """Close the connection; the next request goes to the other address family, not before `again`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._family = (self._family + 1) % len(_LOOPBACK)
        if again is not None:
            self._next = again


def _is_ready(connection: socket.socket, event: int) -> bool:
    poller = select.poll()
    poller.register(connection, event)
    return bool(poller.poll(0))


def _status_of(line: bytes) -> int:
    """Return the status of `HTTP/1.1 200 OK`, 0 for anything else."""
    words = line.split(None, 2)
    is_http = len(words) > 1 and words[0].startswith(b"HTTP/") and len(words[1]) == 3 and words[1].isdigit()  # noqa: PLR2004
    return int(words[1]) if is_http else 0
