"""Make a plan happen: locks, keeper, supervisor, and the clean-up after either is lost.

All that stopping and the journal need is imported here, before the fork: from the first service on,
devrun's own files may be deleted at any moment (its virtual environment may lie in the worktree that
is being removed), and what both processes loaded before is in memory once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Mapping

from devrun.cleanup import TreeRequest, teardown
from devrun.errors import DevrunError, StateError
from devrun.model import ProcessIdentity
from devrun.report.cleaning import left_line, stop_lines
from devrun.run import layers
from devrun.run.book import RunBook, hold_as_keeper
from devrun.run.keeper import Cleared, Keeper
from devrun.run.plan import RunPlan, RunResult
from devrun.run.supervisor import Supervisor
from devrun.state import open_state
from devrun.state.database import BRIEFLY
from devrun.system.execute import drive
from devrun.system.kernel import become_subreaper, signal_on_parent_death
from devrun.system.locks import FileLock
from devrun.system.processes import identify, prepare
from devrun.system.spawn import raise_descriptor_limit


def run_to_end(plan: RunPlan, starting: FileLock) -> RunResult:
    """Run the plan's services with this process as keeper; return how the run ended.

    `starting` is the worktree's lock, given back when the run is published.  No database may be
    open: SQLite's connections must not cross a fork.
    """
    with open_state(path=plan.state_path) as state:
        folder = state.runs.make_folder(plan.id)
    keeper_lock = hold_as_keeper(folder)
    keeper = own_identity()
    raise_descriptor_limit()
    prepare()
    gc.freeze()  # a collection would write to every page that the two processes share

    def supervise(life: int) -> RunResult:
        keeper_lock.close()
        os.setsid()
        os.chdir("/")
        become_subreaper()
        if layers.is_on(layers.KEEPER):
            signal_on_parent_death(signal.SIGCONT)  # its pipe tells it then, even where somebody stopped it
        with open_state(path=plan.state_path) as own_state:
            book = RunBook(plan, own_state)
            book.publish(plan, keeper=keeper, supervisor=own_identity())
            starting.close()
            supervisor = Supervisor(plan, keeper=keeper, life=life, book=book, folder=folder)
            return supervisor.run()

    clearing = Keeper(plan.grace, clear=lambda supervisor: clear_after_supervisor(plan, supervisor))
    return clearing.keep(supervise, on_forked=starting.close)


def own_identity() -> ProcessIdentity:
    """Return the identity of this process.  Raises StateError where the process table hides it."""
    identity = identify(os.getpid())
    if identity is None:
        raise StateError("this process cannot be found in the process table", hint="is /proc mounted?")
    return identity


def clear_after_supervisor(plan: RunPlan, supervisor: ProcessIdentity | None) -> Cleared:
    """In the keeper: stop what a dead supervisor left.

    On Linux they are this process's children now, by adoption.  Elsewhere the recorded session
    leaders lead to them.  Children that it had before the supervisor are somebody else's work: those of a
    shell that started them in the background and then became this devrun (`exec devrun up`).  A further
    Ctrl-C skips the grace.  A state folder that cannot be read or written stops nobody's clean-up.
    """
    report = drive(
        teardown(
            TreeRequest(
                run=plan.id,
                state_dir=plan.state_path,
                worktree=plan.worktree.root,
                leaders=_recorded_groups(plan),
                signals={service.name: int(service.stop.signal) for service in plan.services},
                deadline=time.monotonic() + plan.grace,
                hurry=lambda: signal.SIGINT in signal.sigpending(),
                everything=True,
                since=None if supervisor is None else supervisor.start_token,
            )
        )
    )
    with contextlib.suppress(DevrunError), open_state(path=plan.state_path, wait=BRIEFLY) as state:
        state.runs.end(plan.id, exit_code=1)
    left = (*map(left_line, report.spared), *stop_lines(report.survivors))
    return Cleared(len(report.results) - len(report.survivors), left)


def _recorded_groups(plan: RunPlan) -> Mapping[str, ProcessIdentity]:
    """Return the session leaders that the supervisor recorded; none where that cannot be read."""
    try:
        with open_state(path=plan.state_path, wait=BRIEFLY) as state:
            record = state.runs.get(plan.id)
    except DevrunError:
        return {}
    return {} if record is None else record.groups
