"""Ending a run from outside: with patience for what its services were promised, and never a signal to pid 1."""

from __future__ import annotations

import pytest

from devrun.model import ProcessIdentity, RunRecord
from devrun.run.loop import Loop
from devrun.run.talk import client, live
from devrun.run.talk.protocol import Answer
from devrun.run.watch import Pulse, watch_processes
from devrun.state import open_state

INIT = ProcessIdentity(1, 1)


def test_a_run_is_not_cut_short_that_needs_longer_than_others_for_its_end(session, monkeypatch):
    monkeypatch.setattr(live, "_DOWN_PATIENCE", 0.3)
    session.services(web={"shape": "drain --drain 1.5", "stop": {"timeout": 20}})
    session.json("up", "-d", "--wait")
    session.handshake.wait(1)
    with open_state(create=False) as state:
        (run,) = state.runs.alive()
        answer = live.end_run(state, run)
    assert answer is not None
    assert "web | drained" in session("logs").stdout.splitlines()


def test_a_keeper_that_has_to_clear_up_after_a_supervisor_that_hangs_is_woken(monkeypatch):
    sent = []
    over = iter([False, True])
    monkeypatch.setattr(client, "ask", lambda *_, **__: Answer())
    monkeypatch.setattr(live, "wait_until_over", lambda *_: next(over))
    monkeypatch.setattr(live, "send_to", lambda identity, signum: sent.append((identity.pid, signum)) or True)
    keeper, supervisor = ProcessIdentity(4711, 1), ProcessIdentity(4712, 1)
    run = RunRecord(
        id="r", worktree="/w", worktree_identity="/w", keeper=keeper, supervisor=supervisor, boot_id="b", started_at=0.0
    )
    with open_state() as state:
        live.end_run(state, run)
    assert [each for each in sent if each[1] != live.signal.SIGTERM][:2] == [
        (supervisor.pid, live.signal.SIGKILL),
        (keeper.pid, live.signal.SIGCONT),
    ]


@pytest.mark.parametrize("keeper", [INIT, None])
def test_the_keeper_that_is_the_init_of_a_container_is_not_signalled(keeper, monkeypatch):
    asked = []
    monkeypatch.setattr(live, "send_to", lambda identity, signum: asked.append((identity, signum)) or True)
    supervisor = ProcessIdentity(4711, 1)
    run = RunRecord(
        id="r", worktree="/w", worktree_identity="/w", keeper=keeper, supervisor=supervisor, boot_id="b", started_at=0.0
    )
    live._signal(run, live.signal.SIGTERM)
    assert {identity for identity, _ in asked} == {supervisor}


def test_a_run_may_be_bound_to_the_init_of_a_container(monkeypatch):
    """An agent, or the `exec` that a container was started for: with it ends everybody there."""
    loop, ended = Loop(), []
    watch_processes(loop, Pulse(loop), [INIT], ended.append)
    loop.turn(0)
    loop.close()
    assert ended == []
