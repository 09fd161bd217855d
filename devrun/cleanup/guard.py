"""Clear the way of services before they start: stale copies and orphans go, everybody else is named.

All services of an `up` are guarded from one reading.  After a stop the machine is read again: the
process must be dead *and* the port free; somebody who took the port meanwhile is judged like the
first.  Owners of ports are looked up only when a port is held, command lines only for a `match`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import msgspec

from devrun.cleanup.joint import carry_out, journal, known_runs
from devrun.cleanup.obstacles import Obstacle, explain
from devrun.cleanup.values import GRACE, GuardReport, ServiceGuard
from devrun.config.project import OnForeign, Service, SweepSettings
from devrun.decide import commandline
from devrun.decide.classify import decide
from devrun.decide.context import Context, KnownRun, Target
from devrun.model import (
    KillPlan,
    Listener,
    Liveness,
    Outcome,
    PortSet,
    ProcessIdentity,
    Situation,
    StepResult,
    Worktree,
)
from devrun.state import State
from devrun.system.columns import Column
from devrun.system.execute import drive
from devrun.system.processes import has_ended
from devrun.system.sockets import can_bind, listeners_on
from devrun.worktrees.places import Places
from devrun.worktrees.survey import Mentions, Survey, make_places

ROUNDS = 3
"""How often the machine is read again after a stop.  Fewer and a port that changes hands once is
refused; more and something that restarts itself for ever is fought for ever."""

SETTLE = 0.5
"""Seconds for the port of a process that is ending, or was stopped.  Where its end is told by its main thread, the
others may hold the port for a moment: shorter refuses for nobody's sake, longer delays the refusal of a hidden holder."""


def target_of(service: Service, ports: PortSet | None, *, force: bool = False) -> Target:
    """Return what a guard has to know of a service whose ports are these."""
    held = {} if ports is None else ports.ports.get(service.name, {})
    return Target(
        service=service.name,
        ports=frozenset(held.values()),
        match=service.match,
        stop_foreign=force or service.on_foreign is OnForeign.STOP,
    )


def guard(
    state: State,
    worktree: Worktree,
    targets: Sequence[Target],
    *,
    dry_run: bool = False,
    run: str | None = None,
    replaced: str | None = None,
    survey: Survey | None = None,
    settings: SweepSettings | None = None,
    grace: float = GRACE,
) -> GuardReport:
    """Guard services and wait for the end of it.

    `run` is the caller's own run, whose service starts again.  A dry run may ask how it will be when a
    live run, `replaced`, has ended.
    """
    question = _Question(
        state, worktree, targets, run, settings or SweepSettings(), replaced=replaced if dry_run else None
    )
    deadline = time.monotonic() + grace
    results: dict[ProcessIdentity, StepResult] = {}
    plans = first = question.settled(survey)
    for _ in range(0 if dry_run else ROUNDS):
        merged = _merge(plans, besides=results)
        if merged.is_empty:
            break
        found = drive(carry_out(merged, deadline=max(deadline, time.monotonic() + 1.0)))
        results.update((each.step.record.identity, each) for each in found)
        plans = question.settled(None)
        first = {name: _joined(first[name], plans[name]) for name in first}
    services = tuple(
        question.conclude(target, first[target.service], plans[target.service], results) for target in targets
    )
    report = GuardReport(services)
    if not dry_run:
        journal(state, "guard", report.results, (row for each in services for row in each.blockers))
    return report


class _Question:
    """One guard: the facts that stay, and the machine as it was read last."""

    def __init__(
        self,
        state: State,
        worktree: Worktree,
        targets: Sequence[Target],
        run: str | None,
        settings: SweepSettings,
        *,
        replaced: str | None,
    ) -> None:
        self._state = state
        self._worktree = worktree
        self._targets = targets
        self._run = run
        self._runtimes = frozenset(settings.runtimes)
        self._replaced = replaced
        self._runs = self._known_runs()
        self._deadline = time.monotonic() + settings.budget
        self._patterns = settings.paths
        self._cached_places: Places | None = None
        self._listeners: tuple[Listener, ...] | None = ()

    def _known_runs(self) -> dict[str, KnownRun] | None:
        """Return the runs; the one to be replaced as if it had ended and left everything: that would be stopped."""
        runs = known_runs(self._state)
        known = None if runs is None or self._replaced is None else runs.get(self._replaced)
        if runs is None or known is None:
            return runs
        return {**runs, known.record.id: msgspec.structs.replace(known, liveness=Liveness.DEAD)}

    def ask(self, survey: Survey | None) -> dict[str, KillPlan]:
        """Read the machine (or take what was read) and return the plan of each service.

        Where nobody listens, nobody has the `match` and no run of ours goes on, nobody can be in the way.
        """
        patterns = [target.match for target in self._targets if target.match]
        self._listeners = listeners_on({port for target in self._targets for port in target.ports})
        mentions = Mentions() if survey is None else survey.mentions
        if not self._listeners and self._run is None and mentions.of(patterns) == frozenset():
            return {target.service: KillPlan() for target in self._targets}
        survey = Survey(mentions=mentions) if survey is None else survey
        survey.hear(self._listeners)
        candidates = self._candidates(survey, patterns)
        if not candidates:
            return {target.service: KillPlan() for target in self._targets}
        survey.look_closely(candidates, self._places, origins=True)
        return {target.service: decide(self._context(survey, target)) for target in self._targets}

    def _candidates(self, survey: Survey, patterns: Sequence[str]) -> list[int]:
        found = [each.pid for each in self._listeners or () if each.pid is not None]
        rows = (survey.snapshot.get(pid) for pid in survey.mentioning(patterns))
        found += [
            row.pid for row in rows if row is not None and any(commandline.matches(each, row) for each in patterns)
        ]
        if self._run is not None:
            below = [row.pid for row in survey.snapshot.descendants(survey.snapshot.self_pid)]
            survey.fill(below, Column.ENVIRONMENT)
            found += [pid for pid in below if (row := survey.snapshot.get(pid)) is not None and row.stamp is not None]
        return found

    @property
    def _places(self) -> Places:
        if self._cached_places is None:
            runs = [known.record for known in (self._runs or {}).values()]
            self._cached_places = make_places(
                self._state, runs=runs, worktree=self._worktree, patterns=self._patterns, deadline=self._deadline
            )
        return self._cached_places

    def _context(self, survey: Survey, target: Target) -> Context:
        return Context(
            situation=Situation.GUARD_FORCE if target.stop_foreign else Situation.GUARD,
            snapshot=survey.snapshot,
            uid=survey.uid,
            state_dir=self._state.path,
            runs=self._runs,
            surroundings=survey.surroundings,
            origins=survey.origins,
            worktree=self._worktree,
            target=target,
            run=self._run,
            runtimes=self._runtimes,
        )

    def conclude(
        self, target: Target, plan: KillPlan, last: KillPlan, results: Mapping[ProcessIdentity, StepResult]
    ) -> ServiceGuard:
        """Say whether the way is clear now: by the last reading, by what survived, and by trying the port."""
        own = tuple(results[each.record.identity] for each in plan.steps if each.record.identity in results)
        gone = {each.step.record.identity for each in own if each.outcome is not Outcome.SURVIVED}
        holders = {each.pid for each in self._listeners or () if each.port in target.ports}
        stopping = {each.record.pid for each in last.steps if each.record.identity not in results}
        blockers = [
            each
            for each in (*last.spared, *last.steps)
            if each.record.pid in holders - stopping and each.record.identity not in gone
        ]
        survivors = [each.step for each in own if each.outcome is Outcome.SURVIVED]
        blockers += [each for each in survivors if each.record.pid not in {one.record.pid for one in blockers}]
        known = {each.record.pid for each in (*last.spared, *last.steps)}
        hidden = self._hidden_ports(target, known, expected=bool(stopping))
        obstacle = Obstacle(target, tuple(blockers), hidden, self._live_here(target), self._listeners or ())
        message, hint = explain(obstacle, self._worktree, self._runs or {})
        return ServiceGuard(
            service=target.service,
            ports=tuple(sorted(target.ports)),
            plan=plan,
            results=own,
            blockers=tuple(blockers),
            hidden=hidden,
            message=message,
            hint=hint,
        )

    def settled(self, survey: Survey | None) -> dict[str, KillPlan]:
        """Ask, and where nobody can be seen who has a port ask again for a moment: he may be ending, or just starting."""
        plans = self.ask(survey)
        until = time.monotonic() + SETTLE
        while self._is_held_by_nobody(plans) and time.monotonic() < until:
            time.sleep(SETTLE / 25)
            self._runs = self._known_runs()
            plans = self.ask(None)
        return plans

    def _is_held_by_nobody(self, plans: Mapping[str, KillPlan]) -> bool:
        """Say whether a port is held and nobody who holds it can be seen."""
        known = {each.record.pid for plan in plans.values() for each in (*plan.spared, *plan.steps)}
        return any(self._hidden_ports(each, known, expected=bool(plans[each.service].steps)) for each in self._targets)

    def _hidden_ports(self, target: Target, known: set[int], *, expected: bool) -> tuple[int, ...]:
        """Return the ports that nobody we can see holds, and that cannot be had all the same."""
        held = {each.port for each in self._listeners or () if each.port in target.ports}
        seen = {each.port for each in self._listeners or () if each.pid is not None and each.pid in known}
        hidden = held - seen
        if not expected:
            hidden |= {port for port in target.ports - held if not can_bind(port)}
        return tuple(sorted(hidden))

    def _live_here(self, target: Target) -> KnownRun | None:
        """Return the live run of this worktree that has this service, told by its anchor.

        A guard that is a step of this very service (`predocs`, with the service's command `pnpm docs`)
        clears the way for itself.  By the kernel's word, not by a stamp: it is in the anchor's session.
        """
        session = os.getsid(0)
        for known in (self._runs or {}).values():
            record = known.record
            if known.liveness is Liveness.DEAD or record.id == self._run:
                continue
            anchor = record.groups.get(target.service)
            is_here = record.worktree_identity == self._worktree.identity
            if is_here and anchor is not None and anchor.pid != session and not has_ended(anchor):
                return known
        return None


def _merge(plans: Mapping[str, KillPlan], *, besides: Mapping[ProcessIdentity, StepResult]) -> KillPlan:
    steps = {step.record.identity: step for plan in plans.values() for step in plan.steps}
    return KillPlan(steps=tuple(step for identity, step in steps.items() if identity not in besides))


def _joined(first: KillPlan, later: KillPlan) -> KillPlan:
    """Return both readings as one plan: who was stopped first, whom a later reading found."""
    steps = {each.record.identity: each for each in (*first.steps, *later.steps)}
    spared = {each.record.identity: each for each in (*first.spared, *later.spared)}
    return msgspec.structs.replace(
        first,
        steps=tuple(steps.values()),
        spared=tuple(each for identity, each in spared.items() if identity not in steps),
    )
