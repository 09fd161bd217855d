"""What is running: a run seen from outside, with what its supervisor says, its processes and its ports.

Only looks: nothing is written, nobody is signalled.  A run that does not answer is shown all the
same, from its record and the process table, with what went wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from msgspec import Struct

from devrun.config.project import Project
from devrun.errors import DevrunError
from devrun.model import Liveness, PortSet, RunRecord, Worktree
from devrun.ports.ledger import known
from devrun.ports.names import url_of
from devrun.report.answers import Ps, RunRow, ServiceRow
from devrun.run.footprint import SAMPLE, Anchored, Load, measure
from devrun.run.life.events import Phase
from devrun.run.ready.intruders import Claim, Intruder, find_intruders
from devrun.run.talk import protocol
from devrun.run.talk.client import ask
from devrun.run.talk.protocol import Ask, ServiceStatus
from devrun.state import State
from devrun.system.processes import Column, has_ended, read_details, read_snapshot
from devrun.worktrees.locate import root_now

ANSWER_PATIENCE = 5.0
"""Seconds for a supervisor to say how it is: `ps --all` asks one after the other, and shows it all the same."""
_NO_PORTS = PortSet(slot=0, offset=0, ports={})


class View(Struct, frozen=True):
    """One worktree.  `data` is the answer; the rest is what people are told besides."""

    data: Ps
    uptimes: dict[str, float]
    waiting: tuple[str, ...] = ()
    details: dict[str, str] = {}
    owner: str | None = None
    intruders: tuple[Intruder, ...] = ()
    problem: DevrunError | None = None


class _Run(Struct, frozen=True):
    record: RunRecord
    ports: PortSet
    services: tuple[ServiceStatus, ...]
    problem: DevrunError | None
    is_silent: bool = False

    def anchored(self) -> Iterator[Anchored]:
        """Yield the services that have processes."""
        supervisor = None if self.record.supervisor is None else self.record.supervisor.pid
        for each in self.services:
            if each.anchor is not None:
                yield Anchored(self.record.id, each.name, supervisor, each.anchor)


def look_at(state: State, runs: Iterable[RunRecord], *, sample: float = SAMPLE) -> list[View]:
    """Return the view of each live run, from one look at the process table; CPU is measured for `sample` seconds.

    A run that is over by now, and did not answer for that reason, is left out.
    """
    asked = [run for record in runs if not _is_over(state, run := _ask(state, record))]
    loads = measure((each for run in asked for each in run.anchored()), sample=sample)
    return [_view(run, loads, _find_intruders(state, run, loads)) for run in asked]


def look_at_nothing(state: State, worktree: Worktree, project: Project | None) -> View:
    """Return the view of a worktree without a run: its services are stopped."""
    ports = known(state, worktree.identity) or _NO_PORTS
    names = tuple(ports.ports) if project is None else tuple(project.services)
    rows = tuple(_row(ServiceStatus(name=name, state=Phase.STOPPED.value), ports, None) for name in names)
    claims = [Claim(name, port, frozenset()) for name in names for port in ports.ports.get(name, {}).values()]
    return View(data=Ps(worktree=worktree.root, run=None, services=rows), uptimes={}, intruders=find_intruders(claims))


def _ask(state: State, record: RunRecord) -> _Run:
    ports = known(state, record.worktree_identity) or _NO_PORTS
    try:
        return _Run(record, ports, ask(record, Ask(protocol.STATUS), timeout=ANSWER_PATIENCE).services, None)
    except DevrunError as error:
        is_ending = record.supervisor is not None and has_ended(record.supervisor)  # its keeper clears up after it
        phase = Phase.STOPPING if is_ending else Phase.RUNNING
        groups = record.groups.items()
        services = tuple(ServiceStatus(name, phase.value, anchor=anchor.pid) for name, anchor in groups)
        return _Run(record, ports, services, None if is_ending else error, is_silent=True)


def _is_over(state: State, run: _Run) -> bool:
    return run.is_silent and state.runs.liveness(run.record) is Liveness.DEAD


def _find_intruders(state: State, run: _Run, loads: dict[tuple[str, str], Load]) -> tuple[Intruder, ...]:
    """Return who listens on the ports of this run's services and is none of theirs.

    Of a service that was started again since it was asked about, or of a run that has ended, nobody
    is: the look was at two moments.
    """
    claims = [
        Claim(each.name, port, frozenset() if load is None else load.pids | {each.anchor or 0})
        for each in run.services
        for port in each.ports_beside(run.ports).values()
        for load in [loads.get((run.record.id, each.name))]
    ]
    found = find_intruders(claims)
    if not found or run.problem is not None:
        return found
    if run.record.supervisor is not None and has_ended(run.record.supervisor):
        return ()
    now = {each.name: each.anchor for each in _ask(state, run.record).services}
    unchanged = {each.name for each in run.services if now.get(each.name) == each.anchor}
    return tuple(each for each in found if each.service in unchanged)


def _view(run: _Run, loads: dict[tuple[str, str], Load], intruders: tuple[Intruder, ...]) -> View:
    record = run.record
    loaded = {each.name: loads.get((record.id, each.name)) for each in run.services}
    wrong = {each.service for each in intruders}
    now = time.time()
    return View(
        data=Ps(
            worktree=root_now(record.worktree_identity, record.worktree),
            run=_run_row(record),
            services=tuple(_row(each, run.ports, loaded[each.name], wrong=wrong) for each in run.services),
        ),
        uptimes={each.name: max(0.0, now - each.since) for each in run.services if each.since is not None},
        waiting=tuple(each.name for each in run.services if each.prompt),
        details={each.name: each.detail for each in run.services if each.detail},
        owner=_owner(record),
        intruders=intruders,
        problem=run.problem,
    )


def _run_row(record: RunRecord) -> RunRow:
    return RunRow(
        id=record.id,
        pid=None if record.keeper is None else record.keeper.pid,
        supervisor=None if record.supervisor is None else record.supervisor.pid,
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.started_at)),
        detached=record.detached,
        owner=None if record.owner is None else record.owner.pid,
    )


def _row(each: ServiceStatus, ports: PortSet, load: Load | None, *, wrong: set[str] | None = None) -> ServiceRow:
    port = each.ports_beside(ports).get("")
    return ServiceRow(
        name=each.name,
        state=each.state,  # type: ignore[arg-type]  # the supervisor's phases are these words
        pid=None if load is None else load.main,
        port=port,
        url=None if port is None else url_of(port),
        ready=each.ready and each.name not in (wrong or ()),
        restarts=each.restarts,
        cpu=None if load is None else load.cpu,
        rss=None if load is None else load.rss,
    )


def _owner(record: RunRecord) -> str | None:
    """Name the process whose death ends the run."""
    if record.owner is None:
        return None
    found = read_details(read_snapshot(), [record.owner.pid], Column.ARGV).find(record.owner)
    return f"pid {record.owner.pid}" if found is None else f"pid {record.owner.pid} `{found.title}`"
