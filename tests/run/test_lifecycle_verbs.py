"""What `stop`, `start`, `restart` and `up -d SERVICE` do to a live run."""

from __future__ import annotations

import pytest

from devrun.config.project import Condition
from devrun.run.life import events as ev
from tests.run.lifecycles import Run, service

COMPLETED = Condition.COMPLETED


def chain():
    return Run(service("db"), service("api", "db"), service("web", "api")).up("db", "api", "web")


# stop


def test_stop_also_stops_dependents_first_and_says_so():
    run = chain()
    run.tell(ev.StopServices(("db",)))
    assert run.asked(ev.StopTree) == ["web"]
    run.gone("web")
    run.gone("api")
    run.gone("db")
    assert run.asked(ev.StopTree) == ["web", "api", "db"]
    assert run.texts() == [
        "`api` is stopped too: it depends on `db`",
        "`web` is stopped too: it depends on `db`",
    ]


def test_the_run_goes_on_after_all_its_services_were_stopped():
    run = chain()
    run.tell(ev.StopServices(("db", "api", "web")))
    run.gone("web", "api", "db")
    assert set(run.phases().values()) == {"stopped"}
    assert run.finish is None
    assert run.texts() == []
    run.tell(ev.StopRun("`devrun down`", 0))
    assert run.finish == (0, "`devrun down`")


def test_stop_leaves_alone_what_does_not_depend_on_it():
    run = chain()
    run.tell(ev.StopServices(("web",)))
    run.gone("web")
    assert run.phases() == {"db": "ready", "api": "ready", "web": "stopped"}


def test_stop_is_idempotent():
    run = chain()
    run.tell(ev.StopServices(("web",)))
    assert run.tell(ev.StopServices(("web",))) == ()
    run.gone("web")
    assert run.tell(ev.StopServices(("web",))) == ()


def test_a_stopped_service_that_exits_badly_does_not_end_the_run():
    run = chain()
    run.tell(ev.StopServices(("web",)))
    run.end("web", 1)
    assert run.finish is None
    assert run.phase("web") == "stopped"


def test_stop_of_a_service_in_its_back_off_cancels_the_restart():
    run = Run(service("api", restart="always"), service("web")).up("api", "web")
    run.end("api", 1)
    assert run.tell(ev.StopServices(("api",))) == (ev.CancelRestart("api"),)
    assert run.phase("api") == "stopped"


def test_stop_while_leftovers_are_stopped_means_no_restart():
    run = Run(service("api", restart="always"), service("web")).up("api", "web")
    run.tell(ev.MainExited("api", 1))
    run.tell(ev.StopServices(("api",)))
    run.gone("api")
    assert run.asked(ev.ScheduleRestart) == []
    assert run.phase("api") == "stopped"


def test_stop_also_takes_dependents_that_still_wait():
    run = Run(service("db", probe=True), service("api", "db"))
    run.tell(ev.Spawned("db"))
    run.tell(ev.StopServices(("db",)))
    run.gone("db")
    assert run.phases() == {"db": "stopped", "api": "stopped"}
    assert run.asked(ev.Start) == ["db"]


def test_stop_of_a_job_spares_who_runs_since_it_completed():
    run = Run(service("job"), service("api", ("job", COMPLETED))).up("job")
    run.end("job")
    run.up("api")
    run.tell(ev.StartServices(("job",)))
    run.up("job")
    run.tell(ev.StopServices(("job",)))
    run.gone("job")
    assert run.phases() == {"job": "stopped", "api": "ready"}


# start


def test_start_brings_back_what_the_service_needs_in_order_and_through_the_guard():
    run = chain()
    run.tell(ev.StopServices(("db",)))
    run.gone("web", "api", "db")
    assert run.tell(ev.StartServices(("api",))) == (ev.Start("db", 1, guard=True),)
    run.up("db", "api")
    assert run.phases() == {"db": "ready", "api": "ready", "web": "stopped"}


def test_start_of_what_runs_does_nothing():
    run = chain()
    assert run.tell(ev.StartServices(("web", "db"))) == ()


def test_start_does_not_repeat_what_is_completed():
    run = Run(service("job"), service("api", ("job", COMPLETED))).up("job")
    run.end("job")
    run.up("api")
    run.tell(ev.StopServices(("api",)))
    run.gone("api")
    assert run.asked(ev.Start, run.tell(ev.StartServices(("api",)))) == ["api"]


def test_start_while_the_service_is_being_stopped_starts_it_once_its_tree_is_gone():
    run = chain()
    run.tell(ev.StopServices(("web",)))
    assert run.tell(ev.StartServices(("web",))) == ()
    assert run.tell(ev.TreeGone("web")) == (ev.Start("web", 1, guard=True),)


def test_start_in_the_back_off_starts_now():
    run = Run(service("api", restart="always")).up("api")
    run.end("api", 1)
    assert run.tell(ev.StartServices(("api",))) == (ev.CancelRestart("api"), ev.Start("api", 1, guard=True))


def test_start_of_a_failed_dependency_starts_those_it_kept_from_starting():
    run = Run(service("other"), service("db", essential=False, probe=True), service("api", "db")).up("other")
    run.tell(ev.Spawned("db"))
    run.end("db", 1)
    assert run.phase("api") == "failed"
    run.tell(ev.StartServices(("db",)))
    assert run.phase("api") == "waiting"
    run.up("db", "api")
    assert run.phases() == {"other": "ready", "db": "ready", "api": "ready"}


@pytest.mark.parametrize(
    "verb", [ev.StartServices(("api",)), ev.RestartServices(("api",)), ev.AddServices((service("x"),))]
)
def test_verbs_start_nothing_in_a_run_that_stops(verb):
    run = Run(service("api"), service("web")).up("api", "web")
    run.tell(ev.StopRun("interrupted", 130))
    assert run.tell(verb) == ()
    run.gone("api", "web")
    assert run.finish == (130, "interrupted")
    assert run.asked(ev.Start) == ["api", "web"]


@pytest.mark.parametrize(
    "event",
    [
        ev.SpawnFailed("new", "no such folder"),
        ev.GuardRefused("new", "port 1 is held by pid 2"),
        ev.MainExited("new", 1),
        ev.ReadyFailed("new", "too late"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_a_verb_started_and_what_never_was_ready_fails_alone(event):
    run = Run(service("web")).up("web")
    run.tell(ev.AddServices((service("new", probe=True), service("user", "new"))))
    if not isinstance(event, (ev.SpawnFailed, ev.GuardRefused)):
        run.tell(ev.Spawned("new"))
    run.tell(event)
    run.gone("new")
    assert run.finish is None
    assert run.phases() == {"web": "ready", "new": "failed", "user": "failed"}


def test_what_a_verb_started_and_what_was_ready_is_a_service_like_any():
    run = Run(service("web")).up("web")
    run.tell(ev.AddServices((service("new", probe=True),)))
    run.up("new")
    run.end("new", 6)
    run.gone("web")
    assert run.finish == (6, "`new` exited with code 6")


def test_a_job_that_a_verb_started_may_end_with_0():
    run = Run(service("web")).up("web")
    run.tell(ev.AddServices((service("job"),)))
    run.up("job")
    run.end("job", 0)
    assert run.phases() == {"web": "ready", "job": "exited"}
    assert run.finish is None


def test_a_refused_start_of_the_only_service_ends_the_run_with_3():
    run = Run(service("web")).up("web")
    run.tell(ev.RestartServices(("web",)))
    run.gone("web")
    run.tell(ev.GuardRefused("web", "port 1 is held by pid 2"))
    assert run.finish == (3, "`web`: port 1 is held by pid 2")


# restart


def test_restart_leaves_dependents_alone():
    run = chain()
    assert run.tell(ev.RestartServices(("db",))) == (ev.StopTree("db"),)
    assert run.tell(ev.TreeGone("db")) == (ev.Start("db", 1, guard=True),)
    run.up("db")
    assert run.phases() == {"db": "ready", "api": "ready", "web": "ready"}


def test_restart_of_several_stops_and_starts_them_in_order():
    run = chain()
    run.tell(ev.RestartServices(("db", "api")))
    assert run.asked(ev.StopTree) == ["api"]
    assert run.asked(ev.StopTree, run.tell(ev.TreeGone("api"))) == ["db"]
    assert run.phase("api") == "waiting"
    run.gone("db")
    run.up("db", "api")
    assert run.asked(ev.Start)[3:] == ["db", "api"]


def test_restart_of_what_is_stopped_starts_it():
    run = chain()
    run.tell(ev.StopServices(("web",)))
    run.gone("web")
    assert run.tell(ev.RestartServices(("web",))) == (ev.Start("web", 1, guard=True),)


def test_restart_before_ready_cancels_the_probe_and_asks_again():
    run = Run(service("api", probe=True))
    run.tell(ev.Spawned("api"))
    assert run.tell(ev.RestartServices(("api",))) == (ev.CancelReady("api"), ev.StopTree("api"))
    assert run.tell(ev.ReadyFailed("api", "late")) == ()
    run.gone("api")
    assert run.tell(ev.Spawned("api")) == (ev.AwaitReady("api"),)


def test_a_stop_of_the_run_while_a_restart_is_under_way_starts_nothing():
    run = chain()
    run.tell(ev.RestartServices(("web",)))
    run.tell(ev.StopRun("interrupted", 130))
    run.gone("web", "api", "db")
    assert run.finish == (130, "interrupted")
    assert len(run.asked(ev.Start)) == 3


# add


def test_added_services_start_through_the_guard_after_what_they_need():
    run = Run(service("web")).up("web")
    added = (service("docs", "search"), service("search"))
    assert run.tell(ev.AddServices(added)) == (ev.Start("search", 0, guard=True),)
    run.up("search", "docs")
    assert run.finish is None


def test_adding_what_runs_changes_nothing_and_adding_what_is_stopped_starts_it_anew_defined():
    run = Run(service("web"), service("docs")).up("web", "docs")
    run.tell(ev.StopServices(("docs",)))
    run.gone("docs")
    fresh = service("docs", probe=True)
    assert run.tell(ev.AddServices((service("web", probe=True), fresh))) == (ev.Start("docs", 1, guard=True),)
    assert run.state.services["docs"].service == fresh
    assert run.state.services["web"].service == service("web")


def test_a_service_whose_job_was_stopped_meanwhile_is_not_started_and_says_why():
    run = Run(service("job"), service("api", ("job", COMPLETED))).up("job")
    run.end("job")
    run.up("api")
    run.tell(ev.StartServices(("job",)))
    run.up("job")
    run.tell(ev.RestartServices(("api",)))
    run.tell(ev.StopServices(("job",)))
    run.gone("job", "api")
    assert run.phases() == {"job": "stopped", "api": "stopped"}
    assert run.texts()[-1] == "`api` is not started: `job` is stopped"
    assert run.finish is None
    run.tell(ev.StartServices(("job",)))
    run.up("job")
    run.end("job")
    assert run.phase("api") == "starting"


def test_start_of_the_end_of_a_chain_longer_than_pythons_stack_starts_it_all():
    names = [f"s{number}" for number in range(2000)]
    run = Run(*(service(name, *names[max(0, at - 1) : at]) for at, name in enumerate(names)))
    run.tell(ev.StopServices((names[0],)))
    run.gone(names[0])
    assert {each.phase.value for each in run.state.services.values()} == {"stopped"}
    assert run.tell(ev.StartServices((names[-1],))) == (ev.Start(names[0], 1, guard=True),)
    assert {each.phase.value for each in run.state.services.values()} == {"starting", "waiting"}
