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

from devrun.cleanup.joint import execute_and_wait, journal, known_runs
from devrun.cleanup.memory import file_row, lease_row, remember
from devrun.cleanup.monitors import find_monitors
from devrun.cleanup.pidfiles import find_leftovers, planned, remove
from devrun.cleanup.suspects import find_suspects
from devrun.cleanup.values import GRACE, LeaseRow, Listing, Skipped, SweepReport
from devrun.config.project import SweepSettings
from devrun.decide import commandline
from devrun.decide.classify import decide
from devrun.decide.context import Context, KnownRun
from devrun.decide.fate import Fate, judge
from devrun.errors import DevrunError
from devrun.model import Cwd, Outcome, Situation, StepResult
from devrun.ports.ledger import release
from devrun.state import State
from devrun.state.leases import Lease
from devrun.system.columns import Column
from devrun.worktrees.locate import locate, root_of
from devrun.worktrees.places import Places
from devrun.worktrees.survey import Survey, make_places, started_at


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
    question = _Question(state, settings or SweepSettings(), root)
    survey = Survey(question.wanted) if survey is None else survey
    context = question.ask(survey)
    plan = decide(context)
    results: tuple[StepResult, ...] = ()
    files, unread = find_leftovers(
        question.settings.pidfiles, root, context.snapshot, stopped={each.record.pid for each in plan.steps}
    )
    if not dry_run:
        plan, results = execute_and_wait(plan, again=lambda: question.ask(Survey(question.wanted)), grace=grace)
    leases = tuple(lease for lease in state.leases.all() if _is_gone(lease, question.places))
    left = {each.step.record.pid for each in results if each.outcome is Outcome.SURVIVED}
    rows = tuple(planned(each) if dry_run else remove(each) for each in files if each.pid not in left)
    if not dry_run:
        journal(state, "sweep", results)
        leases = release(state, leases)
        remember(state, [lease_row("sweep", lease, "worktree-gone") for lease in leases])
        remember(state, [file_row("sweep", row) for row in rows if row.outcome == "removed"])
        _forget_old_runs(state, survey, question.runs)
    return SweepReport(
        plan=plan,
        results=results,
        files=rows,
        leases=tuple(LeaseRow(worktree=lease.root, slot=lease.slot) for lease in leases),
        skipped=(*question.skipped, *unread),
    )


class _Question:
    """One sweep: what it may ask of whom, until when, and what it was told already."""

    def __init__(self, state: State, settings: SweepSettings, root: str | None) -> None:
        self.settings = settings
        self.runs = known_runs(state)
        self._state_dir = state.path
        self._root = root
        self._until = time.monotonic() + settings.budget
        self._listing: Listing | None = None
        self.places = make_places(
            state,
            runs=[known.record for known in (self.runs or {}).values()],
            patterns=settings.paths,
            repository=_repository_of(root) if settings.paths else None,
            deadline=self._until,
        )

    @property
    def wanted(self) -> Column:
        """The columns that are read of everybody.  Where no run is known, no stamp can convict."""
        return Column.CWD | Column.ENVIRONMENT if self.runs else Column.CWD

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What gave no answer."""
        problems = tuple(Skipped(what, why) for what, why in self.places.problems)
        return problems if self._listing is None else (*problems, *self._listing.skipped)

    def ask(self, survey: Survey) -> Context:
        """Gather the facts; a later reading of the machine asks git and the registries nothing again."""
        survey.look_closely(self._suspicious(survey), self.places)
        survey.look_closely(self._moved_away(survey), self.places, origins=True)
        sockets = find_monitors(survey, self.places)
        if self._listing is None:  # whoever appears after the answer is too young to be missed in it
            self._listing = self._consult(survey)
        untracked = self._listing.untracked
        suspects = find_suspects(survey, self.settings.suspects)
        kin = [record.pid for who in untracked for record in survey.snapshot.session(who.pid)]
        survey.look_closely([*(who.pid for who in (*sockets, *untracked, *suspects)), *kin], self.places)
        return Context(
            situation=Situation.SWEEP,
            snapshot=survey.snapshot,
            uid=survey.uid,
            state_dir=self._state_dir,
            runs=self.runs,
            surroundings=survey.surroundings,
            origins=survey.origins,
            runtimes=frozenset(self.settings.runtimes),
            matches=frozenset(self.settings.matches),
            sockets=sockets,
            untracked=untracked,
            tracked=self._listing.tracked,
            suspects=suspects,
        )

    def _consult(self, survey: Survey) -> Listing:
        if not self.settings.registries:
            return Listing()
        from devrun.cleanup.registries import consult

        return consult(survey, self.settings.registries, root=self._root, until=self._until)

    def _suspicious(self, survey: Survey) -> list[int]:
        """Return who is worth a closer look: their folder may be gone, or they carry the stamp of a run."""
        runs, own = self.runs, survey.own_pids
        survey.fill(own, self.wanted)
        found = []
        for pid in own:
            record = survey.snapshot.get(pid)
            if record is None:
                continue
            is_stamped = record.stamp is not None and runs is not None and record.stamp.run in runs
            if is_stamped or (record.cwd is not None and self.places.is_suspicious(record.cwd)):
                found.append(pid)
        return found

    def _moved_away(self, survey: Survey) -> list[int]:
        """Return who is of a service's kind and may have been started in a worktree that is gone."""
        alike = survey.mentioning(self.settings.matches)
        rows = [record for pid in alike if (record := survey.snapshot.get(pid)) is not None]
        alike = [row.pid for row in rows if any(commandline.matches(each, row) for each in self.settings.matches)]
        survey.fill(alike, Column.ENVIRONMENT)
        return [pid for pid in alike if any(map(self._may_be_gone, started_at(survey.snapshot.get(pid))))]

    def _may_be_gone(self, path: str) -> bool:
        return self.places.is_suspicious(Cwd(os.path.realpath(path), deleted=False))


def _repository_of(root: str | None) -> str | None:
    """Return the repository of the configuration: worktrees outside of it, which only its patterns name, are its own."""
    try:
        return None if root is None else locate(root).repository
    except (DevrunError, OSError):
        return None


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
