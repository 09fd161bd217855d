"""The command that starts a run in the background looks on, and is not kept waiting for ever."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from devrun.errors import DevrunError
from devrun.model import RunRecord
from devrun.run import background
from devrun.run.background import Background
from devrun.state import open_state


@pytest.fixture
def started(tmp_path):
    """A start that is looked at, and the end of the pipe that its keeper would write to."""
    with open_state() as state:
        plan = SimpleNamespace(id="r1", state_path=state.path, socket=str(tmp_path / "run.sock"))
    reader, writer = os.pipe()
    yield Background(plan, reader, None), writer, plan.socket
    os.close(reader)


def publish():
    with open_state() as state:
        state.runs.publish(RunRecord("r1", "/w", "/w", None, None, "boot", 1.0))


def test_a_run_that_cannot_listen_is_known_after_a_while(started, monkeypatch):
    look, writer, _ = started
    monkeypatch.setattr(background, "START_PATIENCE", 0.05)
    publish()
    assert look.published().id == "r1"
    os.close(writer)


def test_a_run_is_known_once_it_listens(started):
    look, writer, socket = started
    publish()
    with open(socket, "wb"):
        pass
    assert look.published().id == "r1"
    os.close(writer)


def test_a_run_that_ended_before_is_none(started):
    look, writer, _ = started
    os.close(writer)
    assert look.published() is None


def test_a_run_that_never_begins_is_not_waited_for_for_ever(started, monkeypatch):
    look, writer, _ = started
    monkeypatch.setattr(background, "START_PATIENCE", 0.05)
    with pytest.raises(DevrunError, match="the run did not begin"):
        look.wait(ready=True, timeout=None)
    os.close(writer)
