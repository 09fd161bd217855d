from __future__ import annotations

import os

import pytest

from devrun.model import ProcessIdentity, RunRecord
from devrun.state import open_state
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system import sockets
from devrun.system.locks import FileLock


@pytest.fixture
def state():
    with open_state() as opened:
        yield opened


@pytest.fixture
def busy(monkeypatch):
    """A set of ports on which somebody listens; nobody on any other."""
    ports = set()
    monkeypatch.setattr(sockets, "can_bind", lambda port: port not in ports)
    return ports


@pytest.fixture(autouse=True)
def nobody_listens(busy):
    """Ledger tests do not depend on what this machine runs."""


@pytest.fixture
def start_run(state):
    """Publish a live run of a worktree: `start_run(worktree, "web")`; returns a function that ends it."""
    held = []

    def start(worktree, *services, taken=False):
        run_id = f"run{len(held)}"
        folder = state.runs.make_folder(run_id)
        locks = [FileLock.take(os.path.join(folder, name)) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)]
        held.extend(locks)
        nobody = ProcessIdentity(2**22, 1)
        state.runs.publish(
            RunRecord(
                id=run_id,
                worktree=worktree.root,
                worktree_identity=worktree.identity,
                keeper=nobody,
                supervisor=nobody,
                boot_id="-",
                started_at=1.0,
                groups=dict.fromkeys(services, nobody),
                taken=taken,
            )
        )

        def end():
            for lock in locks:
                lock.close()

        return end

    yield start
    for lock in held:
        lock.close()
