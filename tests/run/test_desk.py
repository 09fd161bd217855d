"""What a run answers to those who wait for its services, by the state of the machine alone."""

from __future__ import annotations

from types import SimpleNamespace

from devrun.run.life import events as ev
from devrun.run.talk.desk import Desk
from devrun.run.talk.protocol import WAIT, Ask
from tests.run.lifecycles import Run, service


def desk_of(run):
    screen = SimpleNamespace(prompts=SimpleNamespace(is_waiting=lambda _name: False))
    trees = SimpleNamespace(instances={})
    return Desk(state=lambda: run.state, tell=run.tell, roster=None, trees=trees, screen=screen)


def asked_to_wait(run, *names):
    return desk_of(run).handle(Ask(WAIT, names=names))()


def test_who_waits_is_answered_when_everything_is_at_rest():
    run = Run(service("web", probe=True))
    pending = desk_of(run).handle(Ask(WAIT))
    assert pending() is None
    run.up("web")
    assert (pending().code, pending().error) == (0, None)


def test_who_asks_after_a_failure_ended_the_run_is_told_of_the_run_not_of_a_service_it_stopped():
    run = Run(service("web"), service("job", probe=True))
    run.tell(ev.Spawned("web"))
    run.tell(ev.Spawned("job"))
    run.end("job", 9)
    run.gone("web")
    assert run.state.is_finished
    assert asked_to_wait(run).error == "the run is stopping"
    assert asked_to_wait(run, "web").error == "the run is stopping"
    assert asked_to_wait(run, "job").code == 9


def test_a_run_that_ends_because_all_is_done_answers_with_success():
    run = Run(service("job", essential=False))
    pending = desk_of(run).handle(Ask(WAIT))
    run.tell(ev.Spawned("job"))
    run.end("job", 0)
    assert run.state.is_finished
    assert (pending().code, pending().error) == (0, None)
