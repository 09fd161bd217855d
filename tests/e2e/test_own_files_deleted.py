"""The virtual environment that devrun runs from may lie in the worktree that is removed under it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import signal
import sys

import pytest

from devrun.state import open_state
from tests.support.arena import supervisor_of

PARTS = ("devrun", "msgspec", "honcho", "psutil", "yaml", "_yaml", "dotenv")
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from devrun.cli import main; sys.exit(main())"
SHAPES = {"listener": 1, "session": 2, "daemon": 2}


@pytest.fixture
def library(tmp_path):
    """A copy of devrun and what it needs, and nothing else to import them from."""
    folder = tmp_path / "library"
    for name in PARTS:
        shutil.copytree(os.path.dirname(importlib.util.find_spec(name).origin), folder / name)
    return folder


@pytest.fixture
def run(library, tmp_path, handshake, up, monkeypatch):
    """Start a run whose last service deletes the library once the others are up."""
    # A Procfile's ports begin at 5000 for everybody: tests beside this one would be strangers on them.
    monkeypatch.setenv("DEVRUN_PIN_SLOT", str(41 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])))
    project = tmp_path / "project"
    project.mkdir()
    lines = [f"{name}: {handshake.text(name)}\n" for name in SHAPES]
    delete = f"read _ < {shlex.quote(str(tmp_path / 'gate'))}; rm -rf {shlex.quote(str(library))}; echo deleted; exec sleep 600"
    os.mkfifo(tmp_path / "gate")
    (project / "Procfile").write_text("".join(lines) + f"remover: {delete}\n")
    started = up(argv=(sys.executable, "-S", "-P", "-c", START, str(library), "up"), cwd=project)
    handshake.wait_shapes(*SHAPES)
    (tmp_path / "gate").write_text("\n")
    started.read_until("deleted")
    assert not library.exists()
    return started


def recorded():
    with open_state(create=False) as state:
        return {row.service for row in state.journal.history()}, state.runs.all()[0].ended_at


def test_ctrl_c_still_stops_everything(run, handshake):
    assert run.stop(signal.SIGINT) == 130
    assert handshake.wait_gone()
    services, ended = recorded()
    assert services >= {"listener", "session", "remover"}
    assert ended is not None


def test_the_keeper_still_clears_up_after_a_killed_supervisor(run, handshake):
    supervisor_of(run.process).kill()
    assert run.wait() == 128 + signal.SIGKILL
    assert handshake.wait_gone()
    assert recorded()[0] >= {"session"}


def test_the_supervisor_still_stops_everything_when_the_keeper_is_killed(run, handshake):
    run.send(signal.SIGKILL)
    assert handshake.wait_gone()
