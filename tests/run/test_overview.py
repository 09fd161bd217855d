"""A run seen from outside: the look at its ports is later than what the run said of its services."""

from __future__ import annotations

import json
import os

import pytest

from devrun.model import ProcessIdentity
from devrun.run.talk import overview
from devrun.run.talk.live import require_run
from devrun.state import open_state
from devrun.worktrees.locate import locate
from tests.support.leftovers import StagedRun


@pytest.fixture
def staged(session):
    """Stage a run here whose supervisor was killed, while its keeper clears up."""
    with open_state() as state:
        web = {"web": ProcessIdentity(os.getpid(), 1)}
        made = StagedRun(state, "r1", session.path, socket="none.sock", supervisor=web["web"], groups=web)
        yield made
        made.die()


def test_a_run_whose_keeper_clears_up_after_its_supervisor_is_stopping_and_no_error(session, staged):
    for words in (("ps",), ("ps", "--all")):
        done = session(*words, "--json")
        shown = json.loads(done.stdout)["data"]
        (row,) = (shown if words[1:] else [shown])[0]["services"]
        assert (done.returncode, done.stderr, row["name"], row["state"]) == (0, "", "web", "stopping")


def test_a_run_that_ends_before_it_can_be_asked_is_not_shown(session, staged):
    with open_state() as state:
        run = require_run(state, locate(session.path))
        staged.die()
        assert overview.look_at(state, [run]) == []


@pytest.fixture
def look(session, monkeypatch):
    """Return who is named as a wrong server, where `meanwhile` was called once the run had been asked."""

    def start(meanwhile):
        measure = overview.measure

        def later(*words, **options):
            meanwhile()
            return measure(*words, **options)

        monkeypatch.setattr(overview, "measure", later)
        with open_state() as state:
            run = require_run(state, locate(session.path))
            return [each.service for each in overview.look_at(state, [run], sample=0)[0].intruders]

    return start


def test_a_service_that_was_just_started_again_is_no_wrong_server(session, look):
    session.services(web="listener", api="listener")
    session.json("up", "-d", "--wait")
    assert look(lambda: session.json("restart", "web")) == []


def test_the_server_of_the_run_that_came_after_is_no_wrong_server(session, look):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    assert look(lambda: session.json("up", "-d", "--wait", "--replace")) == []


def test_somebody_else_on_the_port_is_named_although_another_service_was_started_again(session, look, processes):
    session.services(web="listener", api="listener")
    session.json("up", "-d", "--wait")
    session.json("stop", "web")
    processes.shape("listener", "--port", str(session.base))
    assert look(lambda: session.json("restart", "api")) == ["web"]
