"""Losers of a port race that spin: of a kind the configuration names, no listener, and a core busy.

Some servers that do not get their port neither listen nor exit, and no port leads to them.  They are
called out, not stopped: the guard of their service and the sweep do that, where there is evidence.
Measured over two readings, because an average over a life hides who began to spin a minute ago; the
second one is taken only when somebody is suspicious after the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from devrun.decide.spinning import idle_of_kind, spenders
from devrun.model import ProcessIdentity, ProcessRecord
from devrun.system.columns import Column
from devrun.system.processes import read_snapshot
from devrun.system.sockets import read_listeners
from devrun.worktrees.survey import Survey

SAMPLE = 0.25
"""Seconds between two readings.  The kernel counts in hundredths: shorter is coarse, longer is felt."""


class Spinner(Struct, frozen=True):
    """A process that burns `cpu` per cent of a core and serves nobody; `service` is whose `match` it has."""

    record: ProcessRecord
    service: str
    cpu: float

    @property
    def words(self) -> str:
        """What is wrong with it, for people."""
        return (
            f"pid {self.record.pid} `{self.record.title}` looks like `{self.service}`, listens nowhere,"
            f" and uses {self.cpu:.0f} % of a core"
        )


def find_spinning(
    matches: Mapping[str, str | None], *, survey: Survey | None = None, sample: float = SAMPLE
) -> tuple[Spinner, ...]:
    """Return who spins among the processes that have a service's `match` (by service name)."""
    patterns = {name: match for name, match in matches.items() if match}
    if not patterns:
        return ()
    survey = Survey() if survey is None else survey
    survey.mentioning(patterns.values())
    survey.hear(read_listeners())
    idle = idle_of_kind(patterns, survey.snapshot, survey.uid)
    if not idle:
        return ()
    before = read_snapshot()
    began = time.monotonic()
    time.sleep(sample)
    busy = spenders(before, read_snapshot(), time.monotonic() - began, os.cpu_count() or 1)
    survey.fill((who.pid for who in idle), Column.CWD)
    return tuple(_spinners(idle, busy, survey))


def _spinners(
    idle: Mapping[ProcessIdentity, str], busy: Mapping[ProcessIdentity, float], survey: Survey
) -> Iterable[Spinner]:
    for identity, service in sorted(idle.items()):
        record = survey.snapshot.find(identity)
        if record is not None and identity in busy:
            yield Spinner(record, service, busy[identity])
