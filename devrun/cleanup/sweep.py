"""Clear the machine of what is left over: orphans of gone worktrees, stamped processes of dead runs, leases.

Also what the configuration names: processes that a registry misses, files of processes that are
gone, suspects (those are reported, no more).

Reads folders and stamps of this user's processes, everything else only of those that look
suspicious.  Git and registries are asked within the budget; who did not answer is named in `skipped`
and keeps everything.
"""

from __future__ import annotations

import os
import time

from devrun.cleanup.joint import Steps, drive, journal, known_runs, plan_and_execute
from devrun.cleanup.memory import file_row, lease_row, remember
from devrun.cleanup.monitors import find_monitors
from devrun.cleanup.pidfiles import find_leftovers, planned, remove
from devrun.cleanup.registries import Listing, consult
from devrun.cleanup.suspects import find_suspects
from devrun.cleanup.values import GRACE, LeaseRow, Skipped, SweepReport
from devrun.config.project import SweepSettings
from devrun.decide.context import Context, KnownRun
from devrun.decide.fate import Fate, judge
from devrun.model import Situation
from devrun.ports.ledger import release
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.columns import Column
from devrun.worktrees.locate import root_of
from devrun.worktrees.places import Places
from devrun.worktrees.survey import Survey, make_places


def sweep(
    state: State,
    *,
    settings: SweepSettings | None = None,
    dry_run: bool = False,
    survey: Survey | None = None,
    root: str | None = None,
    grace: float = GRACE,
) -> SweepReport:
    """Sweep the machine and wait for the end of it.  `root` is the folder of the configuration, for what it names."""
    return drive(sweeping(state, settings=settings, dry_run=dry_run, survey=survey, root=root, grace=grace))


def sweeping(
    state: State,
    *,
    settings: SweepSettings | None = None,
    dry_run: bool = False,
    survey: Survey | None = None,
    root: str | None = None,
    grace: float = GRACE,
) -> Steps[SweepReport]:
    """Sweep the machine as a generator, for a caller with a loop of its own."""
    settings = SweepSettings() if settings is None else settings
    runs = known_runs(state)
    survey = Survey(_wanted(runs)) if survey is None else survey
    until = time.monotonic() + settings.budget
    places = make_places(
        state, runs=[known.record for known in (runs or {}).values()], patterns=settings.paths, deadline=until
    )
    listing: Listing | None = None

    def read(survey: Survey) -> Context:
        nonlocal listing
        survey.look_closely(_suspicious(survey, places, runs), places)
        sockets = find_monitors(survey, places)
        if listing is None:  # asked once: whoever appears after the answer is too young to be missed
            listing = consult(survey, settings.registries, root=root, until=until)
        suspects = find_suspects(survey, settings.suspects)
        survey.look_closely([who.pid for who in (*sockets, *listing.untracked)], places)
        survey.fill(who.pid for who in suspects)
        return Context(
            situation=Situation.SWEEP,
            snapshot=survey.snapshot,
            uid=survey.uid,
            state_dir=state.path,
            runs=runs,
            surroundings=survey.surroundings,
            runtimes=frozenset(settings.runtimes),
            sockets=sockets,
            untracked=listing.untracked,
            tracked=listing.tracked,
            suspects=suspects,
        )

    context = read(survey)
    files, unread = find_leftovers(settings.pidfiles, root, context.snapshot)
    plan, results = yield from plan_and_execute(
        context, again=lambda: read(Survey(_wanted(runs))), dry_run=dry_run, grace=grace
    )
    leases = tuple(lease for lease in state.leases.all() if _is_gone(lease, places))
    rows = tuple(planned(each) if dry_run else remove(each) for each in files)
    if not dry_run:
        journal(state, "sweep", results)
        leases = release(state, leases)
        remember(state, [lease_row("sweep", lease, "worktree-gone") for lease in leases])
        remember(state, [file_row("sweep", row) for row in rows])
        _forget_old_runs(state, survey, runs)
    problems = tuple(Skipped(what, why) for what, why in places.problems)
    return SweepReport(
        plan=plan,
        results=results,
        files=rows,
        leases=tuple(LeaseRow(worktree=lease.root, slot=lease.slot) for lease in leases),
        skipped=(*problems, *(listing.skipped if listing else ()), *unread),
    )


def _wanted(runs: dict[str, KnownRun] | None) -> Column:
    """Return the columns that are read of everybody.  Where no run is known, no stamp can convict."""
    return Column.CWD | Column.ENVIRONMENT if runs else Column.CWD


def _suspicious(survey: Survey, places: Places, runs: dict[str, KnownRun] | None) -> list[int]:
    """Return who is worth a closer look: their folder may be gone, or they carry the stamp of a run."""
    own = survey.own_pids
    survey.fill(own, _wanted(runs))
    found = []
    for pid in own:
        record = survey.snapshot.get(pid)
        if record is None:
            continue
        is_stamped = record.stamp is not None and runs is not None and record.stamp.run in runs
        if is_stamped or (record.cwd is not None and places.is_suspicious(record.cwd)):
            found.append(pid)
    return found


def _is_gone(lease: Lease, places: Places) -> bool:
    """Say whether the worktree of a lease is gone, by the same table as for a process.  Git may have moved it."""
    now = root_of(lease.identity)
    if any(os.path.lexists(os.path.join(root, ".git")) for root in (lease.root, now or lease.root)):
        return False
    return judge(places.at(lease.root)).fate in (Fate.ORPHAN, Fate.ORPHAN_IF_STAMPED)


def _forget_old_runs(state: State, survey: Survey, runs: dict[str, KnownRun] | None) -> None:
    """Prune records of old runs, but never of one that a process still carries the stamp of."""
    if runs:
        stamps = (record.stamp for record in survey.snapshot)
        state.runs.prune(in_use={stamp.run for stamp in stamps if stamp is not None})
