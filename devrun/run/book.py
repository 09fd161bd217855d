"""The run's entry in the state folder, as its processes keep it: locks, record, end.

Keeper and supervisor each hold a lock on a file of the run, taken before the run is published and
never unlocked by hand: however they end, the kernel lets go, and that proves the run dead.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping

from devrun.errors import StateError, reason_of
from devrun.model import ProcessIdentity, RunRecord
from devrun.run.plan import RunPlan
from devrun.state import State
from devrun.state.database import BRIEFLY
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id


def hold(folder: str, name: str) -> FileLock:
    """Take a lock of a new run; nobody else can have it.  Raises StateError when it cannot be taken."""
    try:
        lock = FileLock.take(os.path.join(folder, name))
    except OSError as error:
        raise StateError(f"`{folder}` cannot be locked: {reason_of(error)}") from error
    if lock is None:
        raise StateError(f"`{os.path.join(folder, name)}` is locked by another process", hint="`devrun doctor`")
    return lock


def hold_as_keeper(folder: str) -> FileLock:
    """Take the keeper's lock."""
    return hold(folder, KEEPER_LOCK)


class RunBook:
    """What the supervisor writes about its run.  Its own connection: SQLite's must not cross a fork.

    Once the run is published, what cannot be written any more is left unwritten: a full disk, a
    spoilt database or somebody who holds its lock must not keep a run from stopping.  The locks say
    the truth all the same.
    """

    def __init__(self, plan: RunPlan, state: State) -> None:
        self.state = state
        self.folder = state.runs.folder(plan.id)
        self._id = plan.id
        self._lock = hold(self.folder, SUPERVISOR_LOCK)

    def publish(self, plan: RunPlan, *, keeper: ProcessIdentity, supervisor: ProcessIdentity) -> None:
        """Make the run known to everybody."""
        self.state.runs.publish(
            RunRecord(
                id=plan.id,
                worktree=plan.worktree.root,
                worktree_identity=plan.worktree.identity,
                keeper=keeper,
                supervisor=supervisor,
                boot_id=boot_id(),
                started_at=time.time(),
                detached=plan.detached,
                owner=plan.binding.owner,
                socket=plan.socket,
                folder=plan.worktree.file_id,
                taken=plan.taken,
            )
        )
        self.state.wait_at_most(BRIEFLY)

    def record_groups(self, anchors: Mapping[str, ProcessIdentity]) -> bool:
        """Record the session leaders: where orphans cannot be adopted, they lead to what is left.  Return success."""
        with contextlib.suppress(StateError):
            self.state.runs.update(self._id, groups=dict(anchors))
            return True
        return False

    def stopping(self) -> None:
        """Record that the run is ending: whoever wants to start one here waits a moment."""
        with contextlib.suppress(StateError):
            self.state.runs.update(self._id, stopping_at=time.time())

    def end(self, exit_code: int) -> None:
        """Record the end; the locks go with the processes."""
        with contextlib.suppress(StateError):
            self.state.runs.end(self._id, exit_code=exit_code)
