"""The end of a worktree: its run, its servers, its fsmonitor daemon, the checkout, its ports; in that order.

Whether git would refuse is asked before anything is touched.  After that nothing stops the removal:
what could not be cleaned is said, and the checkout goes all the same.  The worktree's lock is held to
the end, so nothing is started in it meanwhile.  What is left of an earlier removal, or after
`rm -rf`, is finished; where nothing is left nothing is said.

Everything that is needed after the checkout is gone is imported before: devrun's own files may lie in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from shlex import quote

from devrun.cleanup import reap
from devrun.cleanup.memory import lease_row, refusal_row, remember, removal_row, slot_and_ports, was_removed
from devrun.cleanup.values import LeaseRow, Removal, SweepReport
from devrun.errors import DevrunError, IncompleteError, RefusedError
from devrun.model import KillPlan, StepResult, Worktree
from devrun.ports.ledger import release
from devrun.report.cleaning import sweep_lines
from devrun.run.talk.live import end_run
from devrun.state import State
from devrun.system.locks import FileLock
from devrun.workspace import sweep_settings
from devrun.worktrees.locate import root_now
from devrun.worktrees.removal import Refusal, Target, is_listed, let_git_remove, refusal

_LOCK_WAIT = 10.0
"""Seconds for an `up` of this worktree to publish its run, which is then ended.  Shorter refuses beside
a start on a loaded machine; longer looks like a hang."""

Say = Callable[[str], None]


def remove_worktree(state: State, target: Target, *, force: bool, say: Say, complain: Say) -> Removal:
    """Remove a worktree and all that belongs to it; `say` hears each act, `complain` what failed.

    Raises RefusedError, with nothing touched, when git would refuse.
    """
    lock = _lock(state, target)
    try:
        objection = refusal(target, force=force) or _own_run(state, target)
        if objection is not None:
            _refuse(state, target, objection)
        if target.entry is None and target.identity is None and not _was_here(state, target):
            _refuse(state, target, Refusal("not-a-worktree", f"`{target.root}` is not a git worktree", _LIST))
        return _remove(state, target, force=force, say=say, complain=complain)
    finally:
        if lock is not None:
            lock.close()


_LIST = "`devrun worktree list`"


def _remove(state: State, target: Target, *, force: bool, say: Say, complain: Say) -> Removal:
    problems: list[str] = []

    def failed(words: str) -> None:
        problems.append(words)
        complain(words)

    existed = target.exists
    runs = _end_runs(state, target, say, failed)
    cleanup = _reap(state, target, say, failed)
    for each in cleanup.spared if existed else ():
        if each.reason not in ("self", "devrun"):
            complain(f"left {each.record.pid} `{each.record.title}`: {each.detail}")
    removed = _remove_checkout(state, target, force=force, say=say, failed=failed)
    leases = _release(state, target, say, failed)
    return Removal(target.root, removed, runs, cleanup, leases, tuple(problems))


def _end_runs(state: State, target: Target, say: Say, failed: Say) -> tuple[str, ...]:
    ended = []
    for run in state.runs.alive(target.identity) if target.identity is not None else ():
        try:
            end_run(state, run, by="worktree remove")
        except (DevrunError, OSError) as error:
            failed(f"run {run.id} was not ended: {error}")
            continue
        say(f"ended run {run.id}")
        ended.append(run.id)
    return tuple(ended)


def _reap(state: State, target: Target, say: Say, failed: Say) -> SweepReport:
    try:
        report = reap(state, target.root, worktree=_worktree(target), settings=sweep_settings(target.root))
    except (DevrunError, OSError) as error:
        failed(f"servers of `{target.root}` were not stopped: {error}")
        return SweepReport()
    gone = tuple(each for each in report.results if each not in report.survivors)
    for line in sweep_lines(_only(gone), dry_run=False):
        say(line)
    for line in sweep_lines(_only(report.survivors), dry_run=False):
        failed(line)
    for each in report.skipped:
        failed(f"skipped {each.what}: {each.why}")
    return report


def _only(results: tuple[StepResult, ...]) -> SweepReport:
    return SweepReport(plan=KillPlan(steps=tuple(each.step for each in results)), results=results)


def _remove_checkout(state: State, target: Target, *, force: bool, say: Say, failed: Say) -> bool:
    if target.entry is None:
        return False
    answer = let_git_remove(target, force=force)
    if answer is None or answer.code != 0:
        why = "git could not be started" if answer is None else answer.problem
        if answer is None or is_listed(target):
            hint = f"`git -C {quote(target.root)} status`, or `devrun worktree remove --force {quote(target.root)}`"
            _refuse(state, target, Refusal("git", f"git did not remove `{target.root}`: {why}", hint))
        failed(f"git left files in `{target.root}`: {why}")
    branch = f" (branch {target.entry.branch} stays)" if target.entry.branch else ""
    say(f"removed `{target.root}`{branch}")
    remember(state, [removal_row(target.root, f"git worktree remove{' --force' if force else ''}")])
    return True


def _release(state: State, target: Target, say: Say, failed: Say) -> tuple[LeaseRow, ...]:
    mine = [
        each
        for each in state.leases.all()
        if each.identity == target.identity or each.root == target.root == root_now(each.identity, each.root)
    ]
    try:
        released = release(state, mine, locked=True)
    except DevrunError as error:
        failed(f"the ports of `{target.root}` are still leased: {error}")
        return ()
    remember(state, [lease_row("worktree remove", lease, "worktree-removed") for lease in released])
    for lease in released:
        say(f"released {slot_and_ports(lease)}")
    if released and target.identity is not None:
        with contextlib.suppress(OSError):
            os.unlink(state.worktree_lock_path(target.identity))
    return tuple(LeaseRow(worktree=lease.root, slot=lease.slot) for lease in released)


def _lock(state: State, target: Target) -> FileLock | None:
    if target.identity is None:
        return None
    lock = FileLock.take(state.worktree_lock_path(target.identity), wait=_LOCK_WAIT)
    if lock is None:
        raise RefusedError(
            f"another devrun command has been at work in `{target.root}` for {_LOCK_WAIT:g} s", hint="`devrun ps`"
        )
    return lock


def _own_run(state: State, target: Target) -> Refusal | None:
    """Refuse to end the run that this very command runs in: it would not live to remove anything."""
    own = os.environ.get("DEVRUN_RUN") if os.environ.get("DEVRUN_STATE_DIR") == state.path else None
    if own is None or target.identity is None or own not in {run.id for run in state.runs.alive(target.identity)}:
        return None
    message = f"this command is part of run {own} of `{target.root}`, which would be ended first"
    return Refusal("own-run", message, "call it from a shell outside of the run")


def _was_here(state: State, target: Target) -> bool:
    """Say whether a path that nobody knows is what an earlier removal left: then being gone is success."""
    return not target.exists and (target.by_path or was_removed(state, target.root))


def _refuse(state: State, target: Target, why: Refusal) -> None:
    remember(state, [refusal_row(target.root, why.reason, why.message)])
    raise RefusedError(why.message, hint=why.hint)


def _worktree(target: Target) -> Worktree:
    slug = os.path.basename(target.root)
    return Worktree(target.root, target.identity or "", target.repository, target.is_main, slug)


def exit_code(removal: Removal) -> int:
    """Return 0, or 1 when something could not be cleaned."""
    return IncompleteError.exit_code if removal.problems else 0
