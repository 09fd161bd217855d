"""The supervisor's own loop, with everything around it left out."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

from devrun.run.life import events as ev
from devrun.run.life.lifecycle import begin
from devrun.run.supervisor import DEAFNESS, Supervisor
from tests.run.lifecycles import service


def test_who_asks_for_the_end_is_heard_before_hundreds_of_restarts_that_are_due():
    """Each event takes as long as a supervisor may be deaf: with all of them first, the keeper lost its patience."""
    clock = iter(range(10_000))
    names = [f"s{number}" for number in range(300)]
    applied = []
    supervisor = object.__new__(Supervisor)
    vars(supervisor).update(
        _loop=SimpleNamespace(now=lambda: next(clock) * DEAFNESS * 0.6),
        _events=deque(ev.RestartDue(name) for name in names),
        _state=begin([service(name) for name in names])[0],
        _control=SimpleNamespace(review=lambda: applied.append("looked around")),
        _apply=applied.extend,
        _begin_to_stop=lambda *, said: applied.append("stopping"),
        _was_asked=False,
        _stopping_since=None,
        _has_new_groups=False,
    )
    supervisor._settle()
    assert applied == ["looked around"]
    assert len(supervisor._events) == len(names) - 1
    supervisor._stop_run("interrupted", 130)
    supervisor._stop_run("terminated", 143)
    supervisor._settle()
    assert applied[1] == "stopping"
    assert supervisor._state.ending.message == "interrupted"
    assert len(supervisor._events) == len(names) - 1
