"""The page where the rooms meet: survey → classify → plan → execute → journal.

Guard, sweep, reap, the start of `up`, the removal of a worktree, the teardown of a run and the
keeper all pass here.  `decide` says who, `system` does it, `state` remembers it.  A dry run is the
same plan, not executed and not remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TypeVar

from devrun.cleanup.memory import remember
from devrun.cleanup.values import GRACE
from devrun.decide.classify import decide
from devrun.decide.context import Context, KnownRun
from devrun.errors import StateError
from devrun.model import Classified, KillPlan, ProcessIdentity, StepResult
from devrun.state import State
from devrun.state.journal import JournalRow
from devrun.system.control import SystemControl
from devrun.system.execute import Wait, drive, execute, never

LONGEST_COMMAND = 500
"""Characters of a command line that are remembered: enough to know it again, no room for a prompt."""

Result = TypeVar("Result")
Steps = Generator[Wait, None, Result]


def execute_and_wait(
    plan: KillPlan, *, again: Callable[[], Context], grace: float = GRACE
) -> tuple[KillPlan, tuple[StepResult, ...]]:
    """Stop whom the plan names and wait for it; return the plan with everybody who was stopped.

    `again` reads the machine anew: who started a child that replaces it was not the last of its tree.
    """
    if plan.is_empty:
        return plan, ()
    deadline = time.monotonic() + grace
    results = drive(carry_out(plan, deadline=deadline, rescan=lambda: decide(again())))
    return KillPlan(steps=tuple(each.step for each in results), spared=plan.spared), results


def carry_out(
    plan: KillPlan,
    *,
    deadline: float,
    signals: Mapping[ProcessIdentity, int] | None = None,
    rescan: Callable[[], KillPlan] | None = None,
    hurry: Callable[[], bool] = never,
) -> Steps[tuple[StepResult, ...]]:
    """Stop whom the plan names, as a generator for a caller with a loop of its own.  An empty plan costs nothing."""
    if plan.is_empty and rescan is None:
        return ()
    return (
        yield from execute(plan, SystemControl(), deadline=deadline, signals=signals or {}, rescan=rescan, hurry=hurry)
    )


def known_runs(state: State) -> dict[str, KnownRun] | None:
    """Return the runs of the state folder with what their locks prove; None when they cannot be read."""
    try:
        return {run.id: KnownRun(run, state.runs.liveness(run)) for run in state.runs.all()}
    except StateError:
        return None


def journal(state: State, verb: str, results: Iterable[StepResult], refused: Iterable[Classified] = ()) -> bool:
    """Remember what was stopped and who was in the way; return whether that was possible."""
    rows = [_journal_row(verb, each.step, each.outcome.value) for each in results]
    rows += [_journal_row(verb, each, None) for each in refused]
    return remember(state, rows)


def _journal_row(verb: str, each: Classified, outcome: str | None) -> JournalRow:
    record = each.record
    return JournalRow(
        verb=verb,
        pid=record.pid,
        command=" ".join(record.argv or (record.name or "",))[:LONGEST_COMMAND],
        cwd=None if record.cwd is None else record.cwd.path,
        worktree=each.worktree,
        service=each.service,
        action=each.verdict.value,
        reason=each.reason,
        detail=each.detail,
        outcome=outcome,
    )
