"""One HTTP answer within one deadline, from a host that may be asked.

Only loopback may, unless a host is allowed by name.  No proxy, no redirect, no more than 4 MB, and a
server that sends a byte a second is cut off like one that sends none: every read has only what is
left of the whole time.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import sys
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from devrun.system.bounded import TooLongError, run_bounded

_LARGEST = 4 << 20
_LOOPBACK = ("127.0.0.1", "::1")
_RESOLVE = (
    "import socket, sys; print(*dict.fromkeys(each[4][0] for each in "
    "socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM)), sep=chr(10))"
)


class UnavailableError(Exception):
    """No answer that could be used; the text says why."""


class _Hurried:
    """A socket whose reads and writes end with the deadline of the whole exchange."""

    until: float

    def recv_into(self, *words: Any, **options: Any) -> int:
        self.settimeout(remaining(self.until))  # type: ignore[attr-defined]
        count: int = super().recv_into(*words, **options)  # type: ignore[misc]
        return count

    def sendall(self, *words: Any, **options: Any) -> None:
        self.settimeout(remaining(self.until))  # type: ignore[attr-defined]
        super().sendall(*words, **options)  # type: ignore[misc]


class _Socket(_Hurried, socket.socket):
    """Over TCP."""


class _SecureSocket(_Hurried, ssl.SSLSocket):
    """Over TLS."""


def fetch(url: str, *, until: float, allowed: Collection[str] = ()) -> bytes:
    """Return the body that GET `url` gives, before `until` (monotonic); raise UnavailableError otherwise."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UnavailableError(f"`{url}` is no URL") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UnavailableError(f"`{url}` is no http URL")
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = _connect(_addresses(host, allowed, until), port, until)
        if parts.scheme == "https":
            connection.sock = _secured(connection.sock, host, until)
        connection.putrequest("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        connection.putheader("Accept", "application/json")
        connection.putheader("Connection", "close")
        connection.endheaders()
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise UnavailableError(f"it answered with status {answer.status}")
        body = answer.read(_LARGEST + 1)
        if answer.length and len(body) <= _LARGEST:
            raise UnavailableError("its answer was cut off")
    except TimeoutError as error:
        raise UnavailableError("it did not answer in time") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(_words(error)) from error
    finally:
        connection.close()
    if len(body) > _LARGEST:
        raise UnavailableError(f"its answer is longer than {_LARGEST >> 20} MB")
    return body


def remaining(until: float) -> float:
    """Return the seconds left; raise TimeoutError when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _addresses(host: str, allowed: Collection[str], until: float) -> tuple[str, ...]:
    """Return where to connect.  `localhost` needs no resolver, which may be slow; another name must be allowed."""
    if host == "localhost":
        return _LOOPBACK
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if literal is not None and (literal.is_loopback or host in allowed):
        return (host,)
    if host not in {each.lower() for each in allowed}:
        raise UnavailableError(f"`{host}` is not this machine; `allow_hosts: [{host}]` allows it")
    return _resolve(host, until)


def _resolve(host: str, until: float) -> tuple[str, ...]:
    """Ask the resolver in a process of its own: getaddrinfo(3) knows no deadline."""
    words = [sys.executable, "-I", "-S", "-c", _RESOLVE, host]
    try:
        done = run_bounded(words, cwd="/", environment=os.environ, until=until, largest=_LARGEST)
    except TooLongError as error:
        raise UnavailableError(f"`{host}` has no address") from error
    found = tuple(done.stdout.decode(errors="replace").split())
    if done.code or not found:
        raise UnavailableError(f"`{host}` has no address")
    return found


def _connect(addresses: tuple[str, ...], port: int, until: float) -> _Socket:
    problem: OSError = ConnectionRefusedError()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = _Socket(family, socket.SOCK_STREAM)
        made.until = until
        try:
            made.settimeout(remaining(until))
            made.connect((address, port))
        except OSError as error:
            made.close()
            problem = error
            continue
        return made
    raise problem


def _secured(plain: socket.socket, host: str, until: float) -> socket.socket:
    context = ssl.create_default_context()
    context.sslsocket_class = _SecureSocket
    plain.settimeout(remaining(until))
    made = context.wrap_socket(plain, server_hostname=host)
    assert isinstance(made, _SecureSocket)  # noqa: S101 - for the type checker: the class was set above
    made.until = until
    return made


def _words(error: Exception) -> str:
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
        return "it does not speak http"
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or type(error).__name__).lower()
