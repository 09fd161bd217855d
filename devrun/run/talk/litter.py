"""Control sockets that nobody listens on any more: runs that were killed leave them in the sockets' folder."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time

SETTLED = 60.0
"""Seconds after which a socket that refuses is litter: one that was just bound refuses until it listens."""
_PATIENCE = 0.05


def remove_stale_sockets(folder: str) -> None:
    """Remove the sockets of dead runs; whatever cannot be told stays."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith((".sock", ".sock~")) and _is_old_socket(path) and _refuses(path):
            try:
                os.unlink(path)
            except OSError:
                continue


def _is_old_socket(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and time.time() - found.st_mtime > SETTLED


def _refuses(path: str) -> bool:
    """Whether nobody listens: connect(2) says ECONNREFUSED then, and only then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE)
        try:
            client.connect(path)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False
