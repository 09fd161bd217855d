"""Wrong server: somebody else listens on a port of ours, so whoever asks there gets another program's answer."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from devrun.model import ProcessRecord
from devrun.system.processes import Column, read_details, read_snapshot
from devrun.system.sockets import listeners_on


class Claim(Struct, frozen=True):
    """A port of a service, and the processes that may listen there, with whatever descends from them."""

    service: str
    port: int
    pids: frozenset[int]


class Intruder(Struct, frozen=True):
    """Who listens on a port of ours; `record` is None when the holder is not visible to this user."""

    service: str
    port: int
    record: ProcessRecord | None

    def describe(self) -> str:
        """Say it in one line."""
        if self.record is None:
            return f"port {self.port} of `{self.service}` is held by a process that is not visible"
        place = f" in `{self.record.cwd.path}`" if self.record.cwd is not None else ""
        return f"port {self.port} of `{self.service}` is held by pid {self.record.pid} `{self.record.title}`{place}"


def find_intruders(claims: Iterable[Claim]) -> tuple[Intruder, ...]:
    """Return who listens on these ports without belonging to the service; nobody when the table cannot be read.

    A service that listens beside them is no excuse: which of the two answers is anybody's guess.
    """
    asked = tuple(claims)
    listeners = listeners_on((each.port for each in asked), sorted({pid for each in asked for pid in each.pids}))
    if not listeners:
        return ()
    found = []
    for each in asked:
        holders = {listener.pid for listener in listeners if listener.port == each.port}
        if None in holders:
            found.append(Intruder(each.service, each.port, None))
        strangers = sorted(pid for pid in holders if pid is not None and pid not in each.pids)
        found += [Intruder(each.service, each.port, record) for record in _confirmed(strangers, each.pids)]
    return tuple(found)


def _confirmed(strangers: list[int], own: frozenset[int]) -> list[ProcessRecord]:
    """Return those that live and do not descend from `own`: a worker may have been forked since that was read."""
    if not strangers:
        return []
    snapshot = read_snapshot()
    foreign = [pid for pid in strangers if own.isdisjoint(each.pid for each in snapshot.lineage(pid))]
    snapshot = read_details(snapshot, foreign, Column.ARGV | Column.CWD)
    return [record for pid in foreign if (record := snapshot.get(pid)) is not None]
