"""Real processes in real worktrees: dev servers that stand where a test wants them."""

from __future__ import annotations

import os

import pytest

from devrun.state import open_state
from tests.support.leftovers import LISTENER, StagedRun

SERVER = "ready(port=None); rest()"


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
