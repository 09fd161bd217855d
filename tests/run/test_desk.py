"""What a run answers to those who wait for its services, by the state of the machine alone."""

from __future__ import annotations

from types import SimpleNamespace

from devrun.model import PortSet
from devrun.run.life import events as ev
from devrun.run.talk.desk import Desk
from devrun.run.talk.protocol import RESTART, START, STOP, WAIT, Ask
from tests.run.lifecycles import Run, service


def desk_of(run):
    screen = SimpleNamespace(prompts=SimpleNamespace(is_waiting=lambda _name: False))
    trees = SimpleNamespace(instances={})
    roster = SimpleNamespace(ports=lambda _name: PortSet(slot=0, offset=0, ports={}))
    return Desk(state=lambda: run.state, tell=run.tell, roster=roster, trees=trees, screen=screen)


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


def test_who_stops_is_answered_when_somebody_else_starts_it_again():
    run = Run(service("web"))
    run.up("web")
    desk = desk_of(run)
    stopping = desk.handle(Ask(STOP, names=("web",)))
    starting = desk.handle(Ask(START, names=("web",)))
    assert (stopping(), starting()) == (None, None)
    run.gone("web")  # and started in the same step
    assert run.phase("web") == "starting"
    assert stopping().outcomes == {"web": "starting"}
    run.up("web")
    assert starting().code == 0


def test_who_restarts_is_answered_when_somebody_else_stops_it_meanwhile():
    run = Run(service("web"))
    run.up("web")
    desk = desk_of(run)
    restarting = desk.handle(Ask(RESTART, names=("web",)))
    stopping = desk.handle(Ask(STOP, names=("web",)))
    assert (restarting(), stopping()) == (None, None)
    run.gone("web")
    assert restarting().error == "`web` was stopped meanwhile"
    assert restarting().hint == "`devrun start web`"
    assert stopping().outcomes == {"web": "stopped"}


def test_who_starts_is_answered_when_somebody_else_stops_what_it_waits_for():
    run = Run(service("db", probe=True), service("web", "db"))
    desk = desk_of(run)
    run.tell(ev.Spawned("db"))
    desk.handle(Ask(STOP, names=("web",)))
    starting = desk.handle(Ask(START, names=("web",)))
    assert starting() is None
    desk.handle(Ask(STOP, names=("db",)))
    assert starting().error == "`web` was stopped meanwhile"
