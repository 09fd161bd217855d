"""What every test stands on: nothing leaks, nothing outside `tmp_path`, nothing inherited.

Fixtures: `processes` (shapes and one-liners), `handshake`, `bystander`, `repository`,
`make_repository`, `terminal`, `up`; the modules of `tests/support/` say how each is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.devrun import Up
from tests.support.leak_guard import leak_guard, pytest_configure
from tests.support.processes import Processes, lives
from tests.support.repositories import GIT_ENVIRONMENT, Repository
from tests.support.session import Session
from tests.support.terminal import Terminal

__all__ = ["leak_guard", "pytest_configure"]

settings.register_profile(
    "ci", max_examples=500, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# What a launcher, a terminal or a git hook around pytest may have left in the environment.
_INHERITED = ("PORT", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "INIT_CWD", "XDG_STATE_HOME")


@pytest.fixture(autouse=True)
def isolated(leak_guard, monkeypatch, tmp_path, request):
    """Give each test a state folder, a home, a temp folder and git of its own; devrun must not fall over in it."""
    for name in tuple(os.environ):
        if name.startswith(("DEVRUN_", "GIT_")) or name in _INHERITED:
            monkeypatch.delenv(name)
    for name, value in GIT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # The path of a Unix socket holds 104 bytes at most, and tmp_path alone may be longer.
    runtime = tempfile.mkdtemp(prefix="dr-", dir="/tmp")
    monkeypatch.setenv("TMPDIR", runtime)
    monkeypatch.setattr(tempfile, "tempdir", runtime)
    monkeypatch.setenv("DEVRUN_STATE_DIR", str(tmp_path / "devrun-state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield
    reports = [report.read_text() for report in Path(runtime).glob("devrun-report-*")]
    shutil.rmtree(runtime, ignore_errors=True)
    assert bool(reports) == (request.node.get_closest_marker("crash") is not None), "\n".join(reports)


@pytest.fixture
def processes(tmp_path):
    """Start shapes and Python one-liners; they are killed and waited for at the end."""
    made = Processes(tmp_path)
    yield made
    made.close()


@pytest.fixture
def handshake(processes):
    """FIFOs for shapes that run as services of devrun."""
    return processes.handshake()


@pytest.fixture
def bystander(processes):
    """Plant processes that nobody may touch: same words, same folder, another start token.

    `bystander(argv=…, cwd=…, env=…)` starts one; by default a quiet Python.  At the end of the
    test each must still run.
    """
    planted = []

    def plant(argv=None, **popen):
        if argv is None:
            child = processes.python("ready(); rest()", **popen)
            planted.append(child.process)
            return child.process
        import psutil

        planted.append(psutil.Process(processes.popen(argv, **popen).pid))
        return planted[-1]

    yield plant
    dead = [process for process in planted if not lives(process)]
    assert not dead, f"bystanders died: {dead}"


@pytest.fixture
def make_repository(tmp_path):
    """Make git repositories: `make_repository(name="repo", files={…})`."""

    def make(name="repo", files=None):
        return Repository(tmp_path / name, files)

    return make


@pytest.fixture
def repository(make_repository):
    """A git repository with one commit."""
    return make_repository()


@pytest.fixture
def terminal():
    """Start programs under a pty: `terminal(argv, cwd=…, env=…)`; closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(argv, **options):
            made = Terminal(argv, **options)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def up():
    """Start `devrun up WORDS` on pipes: `up("-f", path, cwd=…)`; ended at the end."""
    with contextlib.ExitStack() as stack:

        def start(*words, **options):
            made = Up(*words, **options)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def session(tmp_path, handshake):
    """A project for runs in the background: `session.services(web="listener")`, `session("up", "-d")`."""
    made = Session(tmp_path / "project", handshake)
    yield made
    made.close()
