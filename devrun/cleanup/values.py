"""What goes into a clean-up and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from devrun.model import Classified, KillPlan, Outcome, ProcessIdentity, StepResult
from devrun.worktrees.survey import Survey

GRACE = 5.0
"""Seconds between the polite signal and SIGKILL, shared by everybody, where no service says otherwise."""


class Readings:
    """Surveys shared by several clean-ups at once: ten services that stop together need one, not ten.

    And whether the journal could be written last: it is not waited for again by each of them.
    """

    def __init__(self) -> None:
        self.is_journal_kept = True
        self._survey: Survey | None = None
        self._taken = 0.0

    def since(self, moment: float) -> Survey:
        """Return a survey that was begun at `moment` (monotonic) or later."""
        if self._survey is None or self._taken < moment:
            self._taken = time.monotonic()
            self._survey = Survey()
        return self._survey


class TreeRequest(Struct, frozen=True):
    """What a teardown stops: the trees of some services of a run, or (`everything`) all that is left of it.

    `leaders` are the anchors by service: leaders of the sessions, never signalled.  `signals` is the
    polite signal by service.  `deadline` (monotonic) ends the grace, `hurry()` ends it early.
    `everything` counts every descendant of this process, stamped or not, but for those that were there
    before `since` (a start token) and what they started.  `others` are the anchors of the run's other
    services: what hangs on them is theirs.  `readings` are shared by the teardowns of one loop.
    """

    run: str
    state_dir: str
    worktree: str
    leaders: Mapping[str, ProcessIdentity]
    signals: Mapping[str, int]
    deadline: float
    hurry: Callable[[], bool]
    everything: bool = False
    since: int | None = None
    others: Collection[ProcessIdentity] = ()
    readings: Readings | None = None


class CleanupReport(Struct, frozen=True):
    """A plan and how it ended; without `results` it was a dry run, or there was nothing to do."""

    plan: KillPlan = KillPlan()
    results: tuple[StepResult, ...] = ()

    @property
    def survivors(self) -> tuple[StepResult, ...]:
        """Those that are still there."""
        return tuple(each for each in self.results if each.outcome is Outcome.SURVIVED)

    @property
    def spared(self) -> tuple[Classified, ...]:
        """Those that a veto, or too little evidence, kept."""
        return self.plan.spared


class ServiceGuard(Struct, frozen=True):
    """The way of one service.  `message` and `hint` say who is in it, None when it is clear.

    `hidden` are its ports whose holder is not visible; `blockers` those that hold its ports and stay.
    """

    service: str
    ports: tuple[int, ...]
    plan: KillPlan = KillPlan()
    results: tuple[StepResult, ...] = ()
    blockers: tuple[Classified, ...] = ()
    hidden: tuple[int, ...] = ()
    message: str | None = None
    hint: str | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether the service cannot start."""
        return self.message is not None


class GuardReport(Struct, frozen=True):
    """A guard of several services."""

    services: tuple[ServiceGuard, ...] = ()

    @property
    def blocked(self) -> tuple[ServiceGuard, ...]:
        """The services whose way is not clear."""
        return tuple(each for each in self.services if each.is_blocked)

    @property
    def results(self) -> tuple[StepResult, ...]:
        """What was stopped, each process once."""
        found = {result.step.record.identity: result for each in self.services for result in each.results}
        return tuple(found.values())

    @property
    def survivors(self) -> tuple[StepResult, ...]:
        """Those that are still there."""
        return tuple(each for each in self.results if each.outcome is Outcome.SURVIVED)


class FileRow(Struct, frozen=True):
    """A left-over file."""

    path: str
    action: str
    reason: str
    outcome: str | None = None


class LeaseRow(Struct, frozen=True):
    """A lease of a worktree that is gone."""

    worktree: str
    slot: int
    action: str = "release"


class Skipped(Struct, frozen=True):
    """What could not be decided, and why."""

    what: str
    why: str


class Listing(Struct, frozen=True):
    """What the registries said: whom they miss and whom they list, by name, and which of them said nothing."""

    untracked: Mapping[ProcessIdentity, str] = {}
    tracked: Mapping[ProcessIdentity, str] = {}
    skipped: tuple[Skipped, ...] = ()


class SweepReport(CleanupReport, frozen=True):
    """A sweep or a reap."""

    files: tuple[FileRow, ...] = ()
    leases: tuple[LeaseRow, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class Removal(Struct, frozen=True):
    """The removal of a worktree: what was done, and in words what could not be."""

    path: str
    removed: bool = False
    runs: tuple[str, ...] = ()
    cleanup: SweepReport = SweepReport()
    leases: tuple[LeaseRow, ...] = ()
    problems: tuple[str, ...] = ()


ERROR, WARNING, INFO = "error", "warning", "info"


class Finding(Struct, frozen=True):
    """What a diagnosis found: where, what, what helps next, and how bad it is.

    `error`: devrun cannot do its work.  `warning`: something is left over or in the way.  `info`:
    worth knowing, nothing to do.
    """

    where: str | None
    message: str
    hint: str | None = None
    severity: str = WARNING
