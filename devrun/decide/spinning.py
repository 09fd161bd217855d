"""Who looks like a server, serves nobody, and keeps a core busy: two readings of the process table compared."""

from __future__ import annotations

from collections.abc import Mapping

from devrun.decide import commandline, programs
from devrun.model import ProcessIdentity, ProcessSnapshot

BUSY = 0.5
"""Of the share of a core that a process can get.  Lower calls out a server that compiles now and then;
higher misses a loop that shares its core with another of its kind."""
_RUNNING = "R"


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
        above = (each for each in snapshot.lineage(record.pid) if commandline.matches(patterns[service], each))
        session = snapshot.session(record.sid) if record.sid is not None else ()
        kin = (*snapshot.descendants(record.pid), *above, *session)
        if not any(each.pid in serving for each in kin):
            found[record.identity] = service
    return found


def spenders(
    before: ProcessSnapshot, after: ProcessSnapshot, seconds: float, cores: int, /
) -> dict[ProcessIdentity, float]:
    """Return who was busy between two readings, with the per cent of a core it used.

    Where more want to run than there are cores (sixty losers of one port), each gets less of one.
    """
    running = sum(record.state == _RUNNING for record in after)
    share = 100 * min(1.0, cores / max(1, running))
    found: dict[ProcessIdentity, float] = {}
    for record in after:
        earlier = before.find(record.identity)
        if earlier is None or earlier.cpu_seconds is None or record.cpu_seconds is None or seconds <= 0:
            continue
        cpu = 100 * (record.cpu_seconds - earlier.cpu_seconds) / seconds
        if cpu > 0 and cpu >= BUSY * share:
            found[record.identity] = cpu
    return found
