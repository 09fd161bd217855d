"""Real processes in real worktrees: dev servers that stand where a test wants them."""

from __future__ import annotations

import os
import sys
import time

import pytest

from devrun.model import RunRecord
from devrun.state import open_state
from devrun.state.runs import KEEPER_LOCK, SUPERVISOR_LOCK
from devrun.system.locks import FileLock
from devrun.system.processes import boot_id
from devrun.worktrees.locate import locate

SERVER = "ready(port=None); rest()"
LISTENER = (
    "server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
    "server.bind(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 0)); server.listen();"
    "ready(port=server.getsockname()[1]); rest()"
)


@pytest.fixture
def state(isolated):
    with open_state() as opened:
        yield opened


@pytest.fixture
def server(processes):
    """Start a Python "dev server" in `cwd`; `env` is added to a plain environment with a true PWD."""

    def start(cwd, code=SERVER, *arguments, stamp=None, **popen):
        env = {"PATH": os.environ["PATH"], "PWD": os.fspath(cwd), **popen.pop("env", {})}
        if stamp is not None:
            env |= {f"DEVRUN_{name.upper()}": value for name, value in stamp.items()}
        return processes.python(code, *arguments, cwd=cwd, env=env, start_new_session=True, **popen)

    return start


@pytest.fixture
def listener(server):
    """Start a server that listens on a free port (or the one given); `facts["port"]` says which."""

    def start(cwd, *arguments, **options):
        return server(cwd, LISTENER, *arguments, **options)

    return start


def executable_named(folder, name):
    """Return a copy of Python's launcher under another name: a program that is not on any list, or on one."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.symlink(os.path.realpath(sys.executable), path)
    return path


class StagedRun:
    """A run that others take for live until `die` is called: record and locks, and the stamp its services carry."""

    def __init__(self, state, run, path, **facts):
        found = locate(path)
        folder = state.runs.make_folder(run)
        self._locks = [FileLock.take(os.path.join(folder, name)) for name in (KEEPER_LOCK, SUPERVISOR_LOCK)]
        state.runs.publish(RunRecord(run, found.root, found.identity, None, None, boot_id(), time.time(), **facts))
        self.stamp = {"run": run, "service": "web", "worktree": found.root, "state_dir": state.path}

    def die(self):
        for lock in self._locks:
            lock.close()


@pytest.fixture
def staged_run(state):
    """Stage a run of the worktree at a path: `staged_run("r1", path)`."""
    made = []

    def stage(run, path, **facts):
        made.append(StagedRun(state, run, path, **facts))
        return made[-1]

    yield stage
    for each in made:
        each.die()
