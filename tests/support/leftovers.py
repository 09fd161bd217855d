"""What a worktree leaves behind, for tests of cleaning: servers, leases, runs, and what a sweep says of them.

Other tests sweep the same machine at the same time.  So worktrees that are to be found by their path lie in
`trees/`, which only the `settings` of one test name; the others are known by a lease of its state folder.
"""

from __future__ import annotations

import os
import sys
import time

from devrun.config.project import SweepSettings
from devrun.model import FileId, RunRecord
from devrun.state.leases import Lease
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id
from devrun.worktrees.locate import locate

LISTENER = (
    "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
    "server.bind(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 0)); server.listen();"
    "ready(port=server.getsockname()[1]); rest()"
)


def executable_named(folder, name):
    """Return a copy of Python's launcher under another name: a program that is not on any list, or on one."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.symlink(os.path.realpath(sys.executable), path)
    return path


def nested(repository, name):
    """Make a worktree that a sweep with `settings` finds by its path."""
    return repository.worktree(name, os.path.join(repository.path, "trees", name))


def settings(repository):
    """Return settings that name the `trees/` of this repository alone."""
    return SweepSettings(paths=(f"{repository.path}/trees/*",))


def a_lease(path, slot=1):
    """Return the lease that a worktree which is there would have claimed."""
    found = locate(path)
    device = os.stat(os.path.dirname(path)).st_dev
    return Lease(
        identity=found.identity, root=found.root, repository=found.repository, slug=found.slug, is_main=found.is_main,
        slot=slot, stride=10, pinned=False, bases=(), claimed_at=time.time(), file_id=FileId(*found.file_id),
        parent_device=device, repository_parent_device=device,
    )  # fmt: skip


def a_lease_of_gone(path, repository):
    """Return the lease of a worktree that has been removed since."""
    git_dir = os.path.join(repository.path, ".git")
    return Lease(
        identity=os.path.join(git_dir, "worktrees", "a"), root=path, repository=git_dir, slug="a", is_main=False,
        slot=1, stride=10, pinned=False, bases=(), claimed_at=0.0,
    )  # fmt: skip


def mine(report, *children):
    """Return the rows about these children: other things may be left over on a real machine."""
    pids = {each.pid for each in children}
    return {step.record.pid for step in report.plan.steps} & pids


class StagedRun:
    """A run that others take for live until `die` is called: record and locks, and the stamp its services carry."""

    def __init__(self, state, run, path, **facts):
        found = locate(path)
        folder = state.runs.make_folder(run)
        self._locks = [FileLock.take(os.path.join(folder, name)) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)]
        keeper, supervisor = facts.pop("keeper", None), facts.pop("supervisor", None)
        record = RunRecord(run, found.root, found.identity, keeper, supervisor, boot_id(), time.time(), **facts)
        state.runs.publish(record)
        self.stamp = {"run": run, "service": "web", "worktree": found.root, "state_dir": state.path}

    def die(self):
        for lock in self._locks:
            lock.close()
