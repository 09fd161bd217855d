"""Who looks like a server, serves nobody, and keeps a core busy: two readings of the process table compared."""

from __future__ import annotations

from collections.abc import Mapping

from devrun.decide import commandline, programs
from devrun.model import ProcessIdentity, ProcessSnapshot

BUSY = 50.0
"""Per cent of a core.  Lower calls out a server that compiles now and then; higher misses a loop that
shares its core with another of its kind."""


def idle_of_kind(
    patterns: Mapping[str, str], snapshot: ProcessSnapshot, uid: int | None, /
) -> dict[ProcessIdentity, str]:
    """Return who has a service's `match` and listens nowhere, nor does anybody of its tree; with the service.

    Where listeners or ancestors could not be read nobody is called out; nor is a protected program.
    """
    if snapshot.listeners is None:
        return {}
    serving = {each.pid for each in snapshot.listeners if each.pid is not None}
    found: dict[ProcessIdentity, str] = {}
    for record in snapshot:
        if record.uid != uid or record.is_zombie or programs.kind(record) is not None:
            continue
        service = next((name for name, match in patterns.items() if commandline.matches(match, record)), None)
        if service is None:
            continue
        session = snapshot.session(record.sid) if record.sid is not None else ()
        kin = (*snapshot.descendants(record.pid), *snapshot.lineage(record.pid), *session)
        if not any(each.pid in serving for each in kin):
            found[record.identity] = service
    return found


def spenders(before: ProcessSnapshot, after: ProcessSnapshot, seconds: float, /) -> dict[ProcessIdentity, float]:
    """Return who used at least `BUSY` per cent of a core between two readings, with how much."""
    found: dict[ProcessIdentity, float] = {}
    for record in after:
        earlier = before.find(record.identity)
        if earlier is None or earlier.cpu_seconds is None or record.cpu_seconds is None or seconds <= 0:
            continue
        cpu = 100 * (record.cpu_seconds - earlier.cpu_seconds) / seconds
        if cpu >= BUSY:
            found[record.identity] = cpu
    return found
