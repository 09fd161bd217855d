"""Listening TCP sockets through psutil, for systems without Linux's tables.

macOS tells the sockets of one process at a time, and only of this user's processes; the sockets of
others cannot be listed at all.  Asked for certain ports, a port that cannot be bound and whose
holder was not found is reported with pid None; in the list of all listeners it is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import psutil

from devrun.model import Listener


def read_listeners() -> tuple[Listener, ...] | None:
    """Return the listeners of this user's processes."""
    return tuple(_listeners_of(_own_pids()))


def listeners_on(ports: frozenset[int], pids: Iterable[int] | None = None) -> tuple[Listener, ...] | None:
    """Return the listeners on `ports`; a bind tells cheaply that there are none."""
    from devrun.system.sockets import can_bind

    taken = {port for port in ports if not can_bind(port)}
    rows: list[Listener] = []
    if taken and pids is not None:
        rows += [row for row in _listeners_of(pids) if row.port in taken]
        taken -= {row.port for row in rows}
    if taken:
        found = [row for row in _listeners_of(_own_pids()) if row.port in taken]
        rows += found
        rows += [Listener(port=port, address="") for port in sorted(taken - {row.port for row in found})]
    return tuple(rows)


def _own_pids() -> Iterator[int]:
    euid = os.geteuid()
    for process in psutil.process_iter():
        try:
            if euid in (0, process.uids().effective):
                yield process.pid
        except psutil.Error:
            continue


def _listeners_of(pids: Iterable[int]) -> Iterator[Listener]:
    for pid in pids:
        try:
            process = psutil.Process(pid)
            # psutil 6 gave `connections` its present name
            connections = getattr(process, "net_connections", None) or process.connections
            rows = connections(kind="tcp")
        except (psutil.Error, OSError):
            continue
        seen = set()
        for row in rows:
            if row.status == psutil.CONN_LISTEN and row.laddr not in seen:
                seen.add(row.laddr)
                yield Listener(port=row.laddr.port, address=row.laddr.ip, pid=pid)
