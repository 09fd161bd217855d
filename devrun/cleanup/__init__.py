"""THE JOINT: the one way from evidence to a stopped process, for every command that cleans.

`guard` before a service starts, `sweep` for the machine, `reap` for one worktree, `teardown` for
the trees of a run.  Each returns a report; with `dry_run` the same plan, not carried out.  They wait
in place, all but `teardown`, a generator that its caller's loop drives.
"""

from devrun.cleanup.guard import guard, target_of
from devrun.cleanup.reap import reap
from devrun.cleanup.sweep import sweep
from devrun.cleanup.teardown import teardown
from devrun.cleanup.values import (
    GRACE,
    CleanupReport,
    FileRow,
    GuardReport,
    LeaseRow,
    Readings,
    ServiceGuard,
    Skipped,
    SweepReport,
    TreeRequest,
)
from devrun.worktrees.survey import Survey

__all__ = [
    "GRACE",
    "CleanupReport",
    "FileRow",
    "GuardReport",
    "LeaseRow",
    "Readings",
    "ServiceGuard",
    "Skipped",
    "Survey",
    "SweepReport",
    "TreeRequest",
    "guard",
    "reap",
    "sweep",
    "target_of",
    "teardown",
]
