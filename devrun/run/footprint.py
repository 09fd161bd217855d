"""What the services of runs cost: who belongs to each tree, and its CPU and memory, from the outside.

The client looks for itself; the supervisor is not bothered.  CPU is measured over a moment, because
an average over a life hides the server that has been spinning for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from devrun.model import ProcessIdentity, ProcessRecord, ProcessSnapshot, RunRecord
from devrun.system.processes import Column, read_details, read_snapshot

SAMPLE = 0.25
"""Seconds between two readings.  The kernel counts in hundredths: shorter is coarse, longer is felt."""


class Anchored(Struct, frozen=True):
    """A running service: the run it belongs to, its supervisor's pid, the pid of its anchor."""

    run: str
    name: str
    supervisor: int | None
    anchor: int


class Load(Struct, frozen=True):
    """The tree of a service.  `main` is the anchor's child, `pids` everybody but the anchor."""

    main: int | None
    pids: frozenset[int]
    cpu: float
    rss: int


def measure(services: Iterable[Anchored], *, sample: float = SAMPLE) -> dict[tuple[str, str], Load]:
    """Return the load of each service by run and name; takes `sample` seconds when there are any (0: no CPU)."""
    asked = tuple(services)
    if not asked:
        return {}
    began = time.monotonic()
    before = {record.identity: record.cpu_seconds for record in read_snapshot()} if sample else None
    time.sleep(sample)
    snapshot = read_snapshot()
    seconds = time.monotonic() - began
    escaped = _escaped(asked, snapshot)
    found = {}
    for each in asked:
        members = _members(each, snapshot, escaped)
        spent = 0.0 if before is None else sum(_spent(record, before) for record in members)
        children = [record.pid for record in snapshot.children(each.anchor)]
        found[each.run, each.name] = Load(
            main=min(children, default=None),
            pids=frozenset(record.pid for record in members),
            cpu=round(100 * max(0.0, spent) / seconds, 1),
            rss=sum(record.rss or 0 for record in members),
        )
    return found


def _spent(record: ProcessRecord, before: Mapping[ProcessIdentity, float | None]) -> float:
    return (record.cpu_seconds or 0.0) - (before.get(record.identity) or 0.0)


def _members(
    each: Anchored, snapshot: ProcessSnapshot, escaped: Mapping[tuple[str, str], list[ProcessRecord]]
) -> tuple[ProcessRecord, ...]:
    """Return the session of the anchor, what descends from it, and what left it with the service's stamp."""
    outside = escaped.get((each.run, each.name), [])
    found = [*snapshot.session(each.anchor), *snapshot.descendants(each.anchor), *outside]
    found += [record for one in outside for record in snapshot.descendants(one.pid)]
    return tuple(
        {record.pid: record for record in found if record.pid != each.anchor and not record.is_zombie}.values()
    )


def _escaped(asked: tuple[Anchored, ...], snapshot: ProcessSnapshot) -> dict[tuple[str, str], list[ProcessRecord]]:
    """Return who was adopted by a supervisor (double fork), by the service its stamp names."""
    anchors = {each.anchor for each in asked}
    supervisors = {each.supervisor for each in asked if each.supervisor is not None}
    adopted = [child.pid for pid in supervisors for child in snapshot.children(pid) if child.pid not in anchors]
    found: dict[tuple[str, str], list[ProcessRecord]] = {}
    for pid in adopted:
        record = read_details(snapshot, [pid], Column.ENVIRONMENT).get(pid)
        if record is not None and record.stamp is not None:
            found.setdefault((record.stamp.run, record.stamp.service), []).append(record)
    return found


class Memory:
    """The resident bytes of runs, from one reading of the process table."""

    def __init__(self) -> None:
        self._snapshot: ProcessSnapshot | None = None

    def of(self, run: RunRecord) -> int:
        """Return what keeper, supervisor and the sessions of the services have, and what descends from them."""
        if self._snapshot is None:
            self._snapshot = read_snapshot()
        snapshot = self._snapshot
        heads = [each for each in (run.keeper, run.supervisor, *run.groups.values()) if each is not None]
        members: dict[int, ProcessRecord] = {}
        for head in heads:
            record = snapshot.find(head)
            if record is not None:
                found = (record, *snapshot.descendants(head.pid), *snapshot.session(head.pid))
                members |= {each.pid: each for each in found}
        return sum(record.rss or 0 for record in members.values())
