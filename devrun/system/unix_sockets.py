"""Which processes listen on a Unix socket of a certain name, and at which path they bound it.

The path is the one that was given to bind(2), kept by the kernel after the file and its folder are
gone.  Linux: /proc/net/unix names every bound socket of this network namespace by inode, the links
in /proc/PID/fd say who holds it; without such a socket nobody is looked at.  Elsewhere psutil is
asked, process by process, so only the likely ones are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from devrun.system.processes import is_portable

_LISTENS = 0x10000  # __SO_ACCEPTCON, include/linux/net.h: what proc(5) shows in the column Flags
_FIELDS = 8


def listening_at(name: str, pids: Iterable[int], likely: Iterable[int]) -> Mapping[int, tuple[str, ...]]:
    """Return, by pid, the paths whose last part is `name` that a process listens on.

    `pids` may be anybody of this user; `likely` are those of them that are worth a question each.
    What cannot be read is left out: no path, no evidence.
    """
    return _through_psutil(name, likely) if is_portable() else _from_proc(name, pids)


def _from_proc(name: str, pids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    paths = _bound_paths(os.fsencode(name))
    found: dict[int, tuple[str, ...]] = {}
    for pid in pids if paths else ():
        folder = b"/proc/%d/fd/" % pid
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        held: list[str] = []
        for descriptor in descriptors:
            try:
                link = os.readlink(folder + descriptor)
            except OSError:
                continue
            if link in paths and paths[link] not in held:
                held.append(paths[link])
        if held:
            found[pid] = tuple(held)
    return found


def _bound_paths(name: bytes) -> dict[bytes, str]:
    """Return the paths of listening sockets called `name`, by what /proc/PID/fd links to."""
    try:
        with open("/proc/net/unix", "rb") as table:
            lines = [line for line in table if name in line]
    except OSError:
        return {}
    paths: dict[bytes, str] = {}
    for line in lines:
        fields = line.rstrip(b"\n").split(None, _FIELDS - 1)
        if len(fields) == _FIELDS and int(fields[3], 16) & _LISTENS and os.path.basename(fields[7]) == name:
            paths[b"socket:[%s]" % fields[6]] = os.fsdecode(fields[7])
    return paths


def _through_psutil(name: str, pids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    import psutil

    found: dict[int, tuple[str, ...]] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            # psutil 6 gave `connections` its present name
            rows = (getattr(process, "net_connections", None) or process.connections)(kind="unix")
        except (psutil.Error, OSError):
            continue
        held = dict.fromkeys(str(row.laddr) for row in rows if os.path.basename(str(row.laddr)) == name)
        if held:
            found[pid] = tuple(held)
    return found
