"""Who listens on which TCP port, and whether a port can be had.

`read_listeners` reads both address families at once.  A `Listener` has the pid of a holder, or None
when the holder is not visible to this user; a socket that was inherited over fork has a row for
each holder.  None instead of a tuple means that the table could not be read: unknown, not free.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import Protocol

from devrun.model import Listener
from devrun.system.processes import is_portable


class SocketTable(Protocol):
    """What a backend offers; a module is one."""

    def read_listeners(self) -> tuple[Listener, ...] | None:
        """Return every listener."""
        ...

    def listeners_on(self, ports: frozenset[int], pids: Iterable[int] | None, /) -> tuple[Listener, ...] | None:
        """Return the listeners on `ports`, looked for at `pids` first."""
        ...


def read_listeners() -> tuple[Listener, ...] | None:
    """Return every listening TCP socket of this machine (of this network namespace), with every holder."""
    return table().read_listeners()


def listeners_on(ports: Iterable[int], pids: Iterable[int] | None = None) -> tuple[Listener, ...] | None:
    """Return the listeners on `ports` only; the cheap way for a readiness probe and for the guard.

    With `pids`, sockets that some of these hold are theirs without a look at anybody else; the rest of
    the machine is searched for what is left.
    """
    wanted = frozenset(ports)
    if not wanted:
        return ()
    return table().listeners_on(wanted, pids)


def table() -> SocketTable:
    """Return the backend of this system, imported."""
    if is_portable():
        from devrun.system import portable_sockets

        return portable_sockets
    from devrun.system import linux_sockets

    return linux_sockets


def can_bind(port: int) -> bool:
    """Whether a server could listen on `port`: IPv4 loopback and wildcard, IPv6 loopback and wildcard.

    SO_REUSEADDR is set as servers do, so that connections in TIME_WAIT do not count; a listener on any
    of the four addresses does (socket(7)).  A family this machine lacks is no obstacle; a port this
    user may not have (below 1024) is.
    """
    return all(
        _can_bind_address(family, address, port)
        for family, address in (
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET, "0.0.0.0"),  # noqa: S104 - bound for a moment, never listening
            (socket.AF_INET6, "::1"),
            (socket.AF_INET6, "::"),
        )
    )


def _can_bind_address(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
    return True
