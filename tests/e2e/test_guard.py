"""`devrun guard` before another start command, as people have it in package.json: `"predocs": "devrun guard docs"`."""

from __future__ import annotations

import shlex

from tests.support.devrun import PROGRAM
from tests.support.processes import lives, wait_until


def guarded(session, *guards):
    return " && ".join(
        [*(f"{shlex.quote(PROGRAM)} guard {name}" for name in guards), session.handshake.text("listener")]
    )


def test_a_guard_that_is_a_step_of_its_own_service_lets_it_start_and_restart(session):
    session.services(web={"command": guarded(session, "web"), "port": session.base, "match": "shapes.py listener"})
    answer = session.json("up", "-d", "--wait")
    assert [row["state"] for row in answer["services"]] == ["ready"]
    (first,) = session.handshake.wait(1)
    session.json("restart", "web")
    (second,) = session.handshake.wait(1)
    assert not lives(first.process)
    assert lives(second.process)
    assert session("guard", "web").returncode == 3  # from outside it is running


def test_a_guard_in_another_service_of_the_run_is_refused_as_everywhere(session):
    session.services(
        web="listener",
        api={"command": guarded(session, "web"), "depends_on": {"web": "ready"}, "essential": False},
    )
    session("up", "-d", "--wait")
    (web,) = session.handshake.wait(1)
    refusal = "`web` is already running in this worktree"
    wait_until(lambda: refusal in session("logs", "api").stdout, "the guard is refused")
    assert lives(web.process)
