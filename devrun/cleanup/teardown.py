"""Stop the tree of a service, or all that is left of a run.  Called in its supervisor, or in the keeper after it.

Where this process is a subreaper every escapee is its descendant, so nobody else on the machine is
looked at; elsewhere the stamp finds them.  Each rescan reads the machine afresh; teardowns that one
loop drives at the same time share a reading where each of them would take one anyway.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from devrun.cleanup.joint import Result, Steps, carry_out, journal
from devrun.cleanup.values import CleanupReport, Readings, TreeRequest
from devrun.decide.classify import decide
from devrun.decide.context import Context, Tree
from devrun.errors import DevrunError
from devrun.model import (
    Classified,
    KillPlan,
    ProcessIdentity,
    ProcessRecord,
    Situation,
    StepResult,
    Surroundings,
    Worktree,
)
from devrun.state import open_state
from devrun.state.database import BRIEFLY
from devrun.system.columns import Column
from devrun.system.execute import Wait
from devrun.system.kernel import become_subreaper
from devrun.system.processes import has_ended
from devrun.worktrees.locate import locate
from devrun.worktrees.patterns import Patterns
from devrun.worktrees.places import Places
from devrun.worktrees.survey import Survey


def teardown(request: TreeRequest) -> Steps[CleanupReport]:
    """Stop what the request names; the generator is driven by the caller's loop."""
    adopts = become_subreaper()
    readings = Readings() if request.readings is None else request.readings
    asked = time.monotonic()
    yield Wait((), asked)
    first = _plan(request, readings.since(asked), adopts=adopts)
    seen: dict[ProcessIdentity, Classified] = {each.record.identity: each for each in first.spared}
    signals: dict[ProcessIdentity, int] = {}

    def noted(plan: KillPlan) -> KillPlan:
        for step in plan.steps:
            if step.service is not None and step.service in request.signals:
                signals[step.record.identity] = request.signals[step.service]
        seen.update((each.record.identity, each) for each in plan.spared)
        return plan

    paused: list[float] = []  # when everybody known had ended, while nothing has been read since

    def rescan() -> KillPlan:
        return noted(_plan(request, readings.since(paused.pop() if paused else time.monotonic()), adopts=adopts))

    stopping = carry_out(
        noted(first),
        deadline=request.deadline,
        signals=signals,
        rescan=None if first.is_empty else rescan,
        hurry=request.hurry,
    )
    results = yield from _noting_pauses(stopping, paused)
    stopped = {result.step.record.identity for result in results}
    spared = tuple(
        each for identity, each in sorted(seen.items()) if identity not in stopped and not has_ended(identity)
    )
    readings.is_journal_kept = _remember(request, results, spared, patience=BRIEFLY if readings.is_journal_kept else 0)
    return CleanupReport(plan=KillPlan(steps=tuple(result.step for result in results), spared=spared), results=results)


def _noting_pauses(steps: Steps[Result], paused: list[float]) -> Steps[Result]:
    """Keep the moment of a pause until the rescan it is for."""
    try:
        while True:
            wait = next(steps)
            paused[:] = [] if wait.handles else [time.monotonic()]
            yield wait
    except StopIteration as finished:
        result: Result = finished.value
        return result
    finally:
        steps.close()


def _plan(request: TreeRequest, survey: Survey, *, adopts: bool) -> KillPlan:
    snapshot = survey.snapshot
    sessions = {leader.pid for leader in request.leaders.values()}
    members = {record.pid for record in snapshot if record.sid in sessions}
    theirs = {each.pid for each in request.others if snapshot.find(each) is not None}
    ours = {record.pid for record in snapshot.children(os.getpid())} - theirs | sessions
    members |= ours | {record.pid for pid in ours for record in snapshot.descendants(pid)}
    if not adopts:
        survey.fill(survey.own_pids, Column.ENVIRONMENT)
        stamped = {
            record.pid for record in survey.snapshot if record.stamp is not None and record.stamp.run == request.run
        }
        members |= stamped | {record.pid for pid in stamped for record in snapshot.descendants(pid)}
    survey.fill(sorted(members - sessions))
    escaped = [record for record in survey.snapshot if record.pid in members and record.sid not in sessions]
    return decide(
        Context(
            situation=Situation.TEARDOWN,
            snapshot=survey.snapshot,
            uid=survey.uid,
            state_dir=request.state_dir,
            surroundings=_elsewhere(escaped, request),
            worktree=_own_worktree(request),
            run=request.run,
            tree=Tree(leaders=request.leaders, everything=request.everything, since=request.since),
        )
    )


def _elsewhere(escaped: Iterable[ProcessRecord], request: TreeRequest) -> dict[ProcessIdentity, Surroundings]:
    """Return the surroundings of those who left their session and stand in another worktree than the run's.

    Many may stand in one folder: it is looked at once, not once for each.
    """
    standing = [(record, record.cwd) for record in escaped if record.cwd is not None and not record.cwd.deleted]
    foreign = {path for path in {cwd.path for _, cwd in standing} if _is_elsewhere(path, request.worktree)}
    away = [(record, cwd) for record, cwd in standing if cwd.path in foreign]
    if not away:
        return {}
    places = Places((), Patterns())
    return {record.identity: places.around(cwd, started_at=record.started_at) for record, cwd in away}


def _is_elsewhere(path: str, root: str) -> bool:
    try:
        found = locate(path)
    except (DevrunError, OSError):
        return False
    return found.repository is not None and found.root != root


def _own_worktree(request: TreeRequest) -> Worktree | None:
    """Return the run's worktree while it is there: it says which others are its siblings."""
    try:
        return locate(request.worktree)
    except (DevrunError, OSError):
        return None


def _remember(
    request: TreeRequest, results: tuple[StepResult, ...], spared: tuple[Classified, ...], *, patience: float
) -> bool:
    """Write the journal, or leave it: services that are to be stopped wait for this.  Return whether it was kept."""
    try:
        with open_state(path=request.state_dir, wait=patience) as state:
            return journal(state, "up", results, spared)
    except (DevrunError, OSError):
        return False
