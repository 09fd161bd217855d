"""Who listens on a port: each holder with where it stands, whose service it is, and what that makes of it.

Only looks.  The reason of a row is the strongest word for it: the run it belongs to, the worktree it
stands in and what became of that, or that nobody knows it.
"""

from __future__ import annotations

import time

from devrun.cleanup.joint import known_runs
from devrun.decide.context import Context, KnownRun
from devrun.decide.fate import Fate
from devrun.model import Classified, Liveness, ProcessRecord, Situation, Verdict
from devrun.state import State
from devrun.system.sockets import listeners_on
from devrun.worktrees.survey import Survey, make_places

_BUDGET = 2.0


def holders_of(state: State, port: int) -> tuple[tuple[Classified, ...], bool]:
    """Return the processes that listen on `port`, and whether some holder cannot be seen."""
    listeners = listeners_on([port])
    if not listeners:
        return (), listeners is None
    pids = [each.pid for each in listeners if each.pid is not None]
    survey, runs = Survey(), known_runs(state)
    records = [known.record for known in (runs or {}).values()]
    survey.look_closely(pids, make_places(state, runs=records, deadline=time.monotonic() + _BUDGET))
    context = Context(
        situation=Situation.SWEEP,
        snapshot=survey.snapshot,
        uid=survey.uid,
        state_dir=state.path,
        runs=runs,
        surroundings=survey.surroundings,
    )
    found = [survey.snapshot.get(pid) for pid in dict.fromkeys(pids)]
    addresses = {each.pid: each.address for each in listeners}
    rows = tuple(_row(each, context, addresses[each.pid], port) for each in found if each is not None)
    return rows, any(each.pid is None for each in listeners)


def _row(record: ProcessRecord, context: Context, address: str, port: int) -> Classified:
    stamp, run, place = record.stamp, context.run_of(record), context.where(record)
    if stamp is not None:
        reason, whose = _stamped(run), f"started for `{stamp.service}` of `{stamp.worktree}` by run {stamp.run}"
        whose += "" if run is None else f", which is {run.liveness.value}"
    elif place is not None and place.root is not None:
        fate = context.fate(record)
        reason = (
            "live-worktree" if fate.fate is Fate.LIVE else "worktree-gone" if fate.fate is Fate.ORPHAN else "worktree"
        )
        whose = f"stands in `{place.root}`: {fate.words}"
    else:
        reason, whose = "stranger", "stands in no worktree that devrun knows"
    return Classified(
        record=record,
        verdict=Verdict.REPORT,
        reason=reason,
        detail=f"listens on {_shown(address)}:{port}; {whose}",
        service=None if stamp is None else stamp.service,
        worktree=stamp.worktree if stamp is not None else None if place is None else place.root,
    )


def _stamped(run: KnownRun | None) -> str:
    if run is None:
        return "unknown-run"
    return {Liveness.LIVE: "live-run", Liveness.DEAD: "dead-run", Liveness.UNKNOWN: "unknown-run"}[run.liveness]


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address or "*"
