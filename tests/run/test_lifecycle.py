"""The life of a run by its own: starts in order, ends, restarts, the end of all."""

from __future__ import annotations

import pytest

from devrun.config.project import Condition
from devrun.run.life import events as ev
from devrun.run.life.lifecycle import STABLE_AFTER
from devrun.run.life.servicestate import DEFAULT_MAX_RESTARTS, has_missed
from tests.run.lifecycles import Run, service

COMPLETED, STARTED = Condition.COMPLETED, Condition.STARTED


# Starting.


def test_services_without_dependencies_start_at_once_in_the_order_given():
    run = Run(service("web"), service("api"))
    assert run.latest == (ev.Start("web", 0, guard=False), ev.Start("api", 0, guard=False))


def test_a_service_without_a_probe_is_ready_when_started():
    run = Run(service("worker"))
    assert run.tell(ev.Spawned("worker")) == ()
    assert run.phase("worker") == "ready"


def test_a_probe_is_asked_for_once_the_process_runs():
    run = Run(service("api", probe=True))
    assert run.tell(ev.Spawned("api")) == (ev.AwaitReady("api"),)
    assert run.phase("api") == "running"
    run.tell(ev.BecameReady("api"))
    assert run.phase("api") == "ready"
    assert run.state.services["api"].is_ready


@pytest.mark.parametrize(
    ("condition", "releasing"),
    [
        (STARTED, [ev.Spawned("db")]),
        (Condition.READY, [ev.Spawned("db"), ev.BecameReady("db")]),
        (COMPLETED, [ev.Spawned("db"), ev.BecameReady("db"), ev.MainExited("db", 0), ev.TreeGone("db")]),
    ],
    ids=lambda each: each.value if isinstance(each, Condition) else "",
)
def test_a_dependent_starts_with_the_event_that_meets_its_condition_and_not_before(condition, releasing):
    run = Run(service("api", ("db", condition)), service("db", probe=True))
    for event in releasing:
        assert run.phase("api") == "waiting"
        run.tell(event)
    assert run.asked(ev.Start) == ["db", "api"]


def test_a_dependency_on_a_service_outside_the_run_holds_nobody_back():
    assert Run(service("api", "elsewhere")).asked(ev.Start) == ["api"]


def test_a_dependent_waits_for_all_its_dependencies():
    run = Run(service("a"), service("b", probe=True), service("web", "a", "b"))
    run.up("a")
    assert run.phase("web") == "waiting"
    run.up("b")
    assert run.phase("web") == "starting"


def test_a_run_of_nothing_is_over_at_once():
    assert Run().finish == (0, "no service to run")


# The end of a service.


def test_a_one_shot_that_ends_with_nobody_waiting_ends_the_run_with_0():
    run = Run(service("job"), service("web")).up("job", "web")
    run.end("job", 0)
    assert run.asked(ev.StopTree) == ["web", "job"] or run.asked(ev.StopTree) == ["job", "web"]
    assert run.finish is None
    run.gone("web")
    assert run.finish == (0, "`job` exited with code 0")
    assert run.phases() == {"job": "exited", "web": "stopped"}


def test_exit_0_that_is_awaited_as_completed_goes_on():
    run = Run(service("migrate"), service("api", ("migrate", COMPLETED))).up("migrate")
    run.end("migrate", 0)
    assert run.phase("migrate") == "exited"
    run.up("api")
    assert run.finish is None


def test_exit_0_of_a_task_goes_on_even_when_nobody_who_awaits_it_is_in_the_run():
    run = Run(service("migrate", completes=True), service("api")).up("migrate", "api")
    run.end("migrate", 0)
    run.gone("migrate")
    assert run.finish is None
    assert run.phases() == {"migrate": "exited", "api": "ready"}


def test_a_completed_service_lets_nobody_start_before_its_leftovers_are_gone():
    run = Run(service("migrate"), service("api", ("migrate", COMPLETED))).up("migrate")
    assert ev.StopTree("migrate") in run.tell(ev.MainExited("migrate", 0))
    assert (run.phase("migrate"), run.phase("api")) == ("stopping", "waiting")
    assert run.tell(ev.TreeGone("migrate")) == (ev.Start("api"),)


def test_exit_0_awaited_as_completed_is_not_restarted_even_by_always():
    run = Run(service("migrate", restart="always"), service("api", ("migrate", COMPLETED))).up("migrate")
    run.end("migrate", 0)
    assert run.asked(ev.ScheduleRestart) == []
    assert run.phase("api") == "starting"


def test_a_dependency_that_fails_ends_the_run_with_its_code_and_its_dependents_never_start():
    run = Run(service("migrate"), service("api", ("migrate", COMPLETED))).up("migrate")
    run.end("migrate", 9)
    assert run.finish == (9, "`migrate` exited with code 9")
    assert run.asked(ev.Start) == ["migrate"]
    assert run.phases() == {"migrate": "failed", "api": "stopped"}


def test_dependents_of_a_failed_service_that_is_not_essential_never_start_and_say_why():
    run = Run(
        service("other"),
        service("migrate", essential=False),
        service("api", ("migrate", COMPLETED)),
        service("web", "api"),
    ).up("other", "migrate")
    run.end("migrate", 9)
    assert run.finish is None
    assert run.phases() == {"other": "ready", "migrate": "failed", "api": "failed", "web": "failed"}
    assert "`api` is not started: `migrate` failed" in run.texts()
    assert run.state.services["web"].detail == "`web` is not started: `api` failed"


def test_a_service_that_is_not_essential_leaves_the_others_alone():
    run = Run(service("docs", essential=False), service("web")).up("docs", "web")
    run.end("docs", 5)
    assert run.finish is None
    assert run.phases() == {"docs": "failed", "web": "ready"}
    assert "`docs` exited with code 5" in run.texts()


@pytest.mark.parametrize(
    ("probe", "ready", "code", "needed", "missed"),
    [
        (True, False, 0, "started", True),
        (True, False, 0, "completed", False),
        (True, True, 0, "started", False),
        (True, False, 3, "started", False),
        (False, True, 0, "started", False),
    ],
    ids=["server", "awaited as completed", "was ready", "failed", "task"],
)
def test_a_service_that_ended_well_before_it_was_ready_is_missed(probe, ready, code, needed, missed):
    run = Run(service("docs", probe=probe, essential=False), service("web", ("docs", Condition(needed))))
    run.up("docs") if ready else run.tell(ev.Spawned("docs"))
    run.end("docs", code)
    services = run.state.services
    assert has_missed(services["docs"], services.values()) is missed


def test_a_run_whose_services_all_ended_by_themselves_is_over_with_the_first_failure():
    run = Run(service("a", essential=False), service("b", essential=False), service("c", essential=False))
    run.up("a", "b", "c")
    run.end("a", 0)
    run.end("b", 5)
    assert run.finish is None
    run.end("c", 6)
    assert run.finish == (5, "`b` exited with code 5")


def test_a_run_whose_services_all_ended_well_is_over_with_0():
    run = Run(service("a", essential=False)).up("a")
    run.end("a", 0)
    assert run.finish == (0, "every service has ended")


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [
        (1, 1, "`api` exited with code 1"),
        (-9, 137, "`api` exited with code 137 (SIGKILL)"),
        (143, 143, "`api` exited with code 143 (SIGTERM)"),
        (250, 250, "`api` exited with code 250"),
    ],
)
def test_the_exit_code_of_the_first_failure_passes_through_and_is_named(code, exit_code, text):
    run = Run(service("api"), service("web")).up("api", "web")
    run.end("api", code)
    run.end("web", 77)
    assert run.finish == (exit_code, text)


def test_the_rest_of_a_tree_is_stopped_when_its_main_process_ends_without_waiting_for_dependents():
    run = Run(service("api"), service("web", "api")).up("api", "web")
    assert run.asked(ev.StopTree, run.tell(ev.MainExited("api", 1))) == ["api", "web"]


def test_a_service_that_exits_while_it_is_being_started_is_an_exit_like_any():
    run = Run(service("api", probe=True))
    run.tell(ev.MainExited("api", 4))
    run.tell(ev.Spawned("api"))
    run.gone("api")
    assert run.finish == (4, "`api` exited with code 4")
    assert run.asked(ev.AwaitReady) == []


def test_an_exit_before_ready_cancels_the_probe():
    run = Run(service("api", probe=True))
    run.tell(ev.Spawned("api"))
    assert ev.CancelReady("api") in run.tell(ev.MainExited("api", 1))


def test_a_tree_killed_from_outside_is_an_end_by_sigkill():
    run = Run(service("api")).up("api")
    run.tell(ev.TreeGone("api"))
    run.tell(ev.MainExited("api", -9))
    assert run.finish == (137, "`api` exited with code 137 (SIGKILL)")


def test_an_exit_with_a_stranger_on_the_port_is_a_refusal_that_names_him():
    run = Run(service("api", restart="always")).up("api")
    run.end("api", 1, holder="pid 4711 `node server.js`")
    assert run.finish == (3, "`api` exited with code 1: its port is held by pid 4711 `node server.js`")
    assert run.asked(ev.ScheduleRestart) == []


def test_not_ready_in_time_stops_the_run_with_124_and_what_was_awaited():
    run = Run(service("db"), service("api", "db", probe=True)).up("db")
    run.tell(ev.Spawned("api"))
    effects = run.tell(ev.ReadyFailed("api", "not ready in 60 s: awaited a listener on port 3001"))
    assert run.asked(ev.StopTree, effects) == ["api"]
    run.gone("api")
    assert run.asked(ev.StopTree) == ["api", "db"]
    run.gone("db")
    assert run.finish == (124, "`api`: not ready in 60 s: awaited a listener on port 3001")
    assert run.phases() == {"db": "stopped", "api": "failed"}


def test_not_ready_because_of_a_foreign_holder_stops_the_run_with_3():
    run = Run(service("api", probe=True))
    run.tell(ev.Spawned("api"))
    run.tell(ev.ReadyFailed("api", "port 3001 is held by pid 1", 3))
    run.gone("api")
    assert run.finish[0] == 3


def test_a_service_that_is_not_essential_and_not_ready_is_stopped_alone():
    run = Run(service("docs", probe=True, essential=False), service("web"), service("search", "docs")).up("web")
    run.tell(ev.Spawned("docs"))
    assert ev.StopTree("docs") in run.tell(ev.ReadyFailed("docs", "too late"))
    run.gone("docs")
    assert run.phases() == {"docs": "failed", "web": "ready", "search": "failed"}
    assert run.finish is None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (ev.SpawnFailed("api", "no such folder", 126), 126),
        (ev.GuardRefused("api", "port 1 is held by pid 2"), 3),
    ],
    ids=["spawn failed", "guard refused"],
)
def test_a_start_that_does_not_come_about_ends_the_run(event, code):
    run = Run(service("web"), service("api")).up("web")
    assert run.tell(event)[-1] == ev.StopTree("web")
    run.gone("web")
    assert run.finish == (code, f"`api`: {event.message}")
    assert run.phase("api") == "failed"


# Restarting.


def test_a_restart_waits_for_the_tree_and_then_for_the_back_off():
    run = Run(service("api", restart="on-failure")).up("api")
    effects = run.tell(ev.MainExited("api", 1))
    assert run.asked(ev.StopTree, effects) == ["api"]
    assert run.asked(ev.ScheduleRestart, effects) == []
    assert run.texts() == ["`api` exited with code 1: restart 1 of 10 in 0.5 s"]
    assert run.tell(ev.TreeGone("api")) == (ev.ScheduleRestart("api", 0.5),)
    assert run.phase("api") == "waiting"
    assert run.tell(ev.RestartDue("api")) == (ev.Start("api", 1, guard=True),)
    assert run.state.services["api"].restarts == 1


@pytest.mark.parametrize("policy", ["on-failure", "always"])
def test_the_back_off_doubles_up_to_its_maximum_and_ends_at_the_cap(policy):
    run = Run(service("api", restart=policy)).up("api")
    for _ in range(DEFAULT_MAX_RESTARTS):
        run.end("api", 1)
        run.tell(ev.RestartDue("api"))
        run.up("api")
    delays = [each.delay for each in run.log if isinstance(each, ev.ScheduleRestart)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    run.end("api", 1)
    assert run.finish == (1, "`api` exited with code 1: restarted 10 times, giving up")


def test_max_restarts_2_is_the_first_start_and_two_more():
    run = Run(service("api", restart="on-failure", cap=2))
    for _ in range(2):
        run.up("api")
        run.end("api", 7)
        run.tell(ev.RestartDue("api"))
    run.up("api")
    run.end("api", 7)
    assert run.asked(ev.Start) == ["api"] * 3
    assert run.finish == (7, "`api` exited with code 7: restarted 2 times, giving up")


def test_max_restarts_0_is_no_restart():
    run = Run(service("api", restart="always", cap=0)).up("api")
    run.end("api", 0)
    assert run.finish == (0, "`api` exited with code 0")


def test_a_long_life_makes_earlier_restarts_forgotten():
    run = Run(service("api", restart="on-failure", cap=1)).up("api")
    for _ in range(3):
        run.end("api", 1, uptime=STABLE_AFTER)
        run.tell(ev.RestartDue("api"))
        run.up("api")
    assert run.finish is None
    assert {each.delay for each in run.log if isinstance(each, ev.ScheduleRestart)} == {0.5}


def test_always_restarts_after_exit_0_and_giving_up_then_is_a_failure():
    run = Run(service("api", restart="always", cap=1)).up("api")
    run.end("api", 0)
    run.tell(ev.RestartDue("api"))
    run.up("api")
    run.end("api", 0)
    assert run.finish == (1, "`api` exited with code 0: restarted once, giving up")


def test_exit_0_under_on_failure_is_a_proper_end_and_the_run_goes_on():
    run = Run(service("job", restart="on-failure"), service("web")).up("job", "web")
    run.end("job", 0)
    assert run.phase("job") == "exited"
    assert run.finish is None


def test_a_service_that_gives_up_and_is_not_essential_leaves_the_others_alone():
    run = Run(service("docs", restart="always", cap=0, essential=False), service("web")).up("docs", "web")
    run.end("docs", 2)
    assert run.finish is None
    assert run.phase("docs") == "failed"


def test_dependents_live_on_while_their_dependency_restarts_and_waiting_ones_go_on_waiting():
    run = Run(service("db", restart="always"), service("api", "db"), service("slow", probe=True))
    run.tell(ev.AddServices((service("late", "db", "slow"),)))
    run.up("db", "api")
    run.end("db", 1)
    assert run.phases() == {"db": "waiting", "api": "ready", "slow": "starting", "late": "waiting"}
    run.up("slow")
    assert run.phase("late") == "waiting"
    run.tell(ev.RestartDue("db"))
    run.up("db")
    assert run.phase("late") == "starting"


def test_a_restart_waits_for_a_dependency_that_is_down_itself():
    run = Run(service("db", restart="always"), service("api", "db", restart="always")).up("db", "api")
    run.end("db", 1)
    run.end("api", 1)
    assert run.tell(ev.RestartDue("api")) == ()
    run.tell(ev.RestartDue("db"))
    run.up("db")
    assert run.phase("api") == "starting"


def test_a_restart_does_not_need_what_the_service_had_already_lost():
    run = Run(service("db", essential=False), service("api", "db", restart="always")).up("db", "api")
    run.end("db", 1)
    run.end("api", 1)
    assert run.tell(ev.RestartDue("api")) == (ev.Start("api", 1, guard=True),)


def test_a_guard_that_refuses_a_restart_ends_the_run_with_3():
    run = Run(service("api", restart="always"), service("web")).up("api", "web")
    run.end("api", 1)
    run.tell(ev.RestartDue("api"))
    run.tell(ev.GuardRefused("api", "port 3001 is held by pid 4711"))
    run.gone("web")
    assert run.finish == (3, "`api`: port 3001 is held by pid 4711")


# Stopping the run.


def test_services_are_stopped_after_everybody_who_depends_on_them():
    run = Run(service("db"), service("cache"), service("api", "db"), service("web", "api", "cache"))
    run.up("db", "cache", "api", "web")
    assert run.asked(ev.StopTree, run.tell(ev.StopRun("interrupted", 130))) == ["web"]
    assert run.asked(ev.StopTree, run.tell(ev.TreeGone("web"))) == ["cache", "api"]
    assert run.asked(ev.StopTree, run.tell(ev.TreeGone("cache"))) == []
    assert run.asked(ev.StopTree, run.tell(ev.TreeGone("api"))) == ["db"]
    assert run.tell(ev.TreeGone("db")) == (ev.Finish(130, "interrupted"),)
    assert set(run.phases().values()) == {"stopped"}


def test_the_order_holds_across_a_service_that_has_ended():
    run = Run(service("db"), service("api", "db", essential=False), service("web", "api")).up("db", "api", "web")
    run.end("api", 1)
    assert run.asked(ev.StopTree, run.tell(ev.StopRun("interrupted", 130))) == ["web"]
    assert run.asked(ev.StopTree, run.tell(ev.TreeGone("web"))) == ["db"]


def test_an_exit_code_in_the_middle_of_stopping_is_no_failure():
    run = Run(service("api"), service("web", "api")).up("api", "web")
    run.tell(ev.StopRun("interrupted", 130))
    run.end("web", -15)
    run.end("api", 1)
    assert run.finish == (130, "interrupted")


def test_the_first_reason_to_stop_wins():
    run = Run(service("api")).up("api")
    run.tell(ev.StopRun("interrupted", 130))
    assert run.tell(ev.StopRun("terminated", 143)) == ()
    run.gone("api")
    assert run.finish == (130, "interrupted")


def test_a_failure_is_not_renamed_by_a_later_stop():
    run = Run(service("api"), service("web")).up("api", "web")
    run.tell(ev.MainExited("api", 4))
    run.tell(ev.StopRun("interrupted", 130))
    run.gone("api", "web")
    assert run.finish == (4, "`api` exited with code 4")


def test_a_stop_while_a_restart_is_scheduled_cancels_it():
    run = Run(service("api", restart="always")).up("api")
    run.end("api", 1)
    assert run.tell(ev.StopRun("terminated", 143)) == (ev.CancelRestart("api"), ev.Finish(143, "terminated"))
    assert run.tell(ev.RestartDue("api")) == ()
    assert run.phase("api") == "stopped"


def test_a_stop_while_leftovers_are_stopped_before_a_restart_means_no_restart():
    run = Run(service("api", restart="always")).up("api")
    run.tell(ev.MainExited("api", 1))
    assert run.tell(ev.StopRun("terminated", 143)) == ()
    assert run.tell(ev.TreeGone("api")) == (ev.Finish(143, "terminated"),)


@pytest.mark.parametrize(
    "answer",
    [ev.SpawnFailed("api", "no"), ev.GuardRefused("api", "no"), ev.TreeGone("api")],
    ids=lambda each: type(each).__name__,
)
def test_a_stop_while_a_service_is_being_started_waits_for_the_answer(answer):
    run = Run(service("api"))
    assert run.tell(ev.StopRun("interrupted", 130)) == (ev.StopTree("api"),)
    assert run.phase("api") == "stopping"
    run.tell(answer)
    assert run.finish == (130, "interrupted")
    assert run.phase("api") == "stopped"


def test_a_process_that_was_spawned_while_the_stop_was_on_its_way_is_stopped():
    run = Run(service("api", probe=True))
    run.tell(ev.StopRun("interrupted", 130))
    assert run.tell(ev.Spawned("api")) == (ev.StopTree("api"),)
    assert run.finish is None
    run.gone("api")
    assert run.finish == (130, "interrupted")


def test_a_stop_while_services_wait_starts_none_of_them():
    run = Run(service("db", probe=True), service("api", "db"))
    run.tell(ev.Spawned("db"))
    assert run.tell(ev.StopRun("interrupted", 130)) == (ev.CancelReady("db"), ev.StopTree("db"))
    run.tell(ev.BecameReady("db"))
    run.gone("db")
    assert run.asked(ev.Start) == ["db"]
    assert run.phase("api") == "stopped"


# Robustness.

STRAY = [
    ev.Spawned("api"),
    ev.SpawnFailed("api", "late"),
    ev.GuardRefused("api", "late"),
    ev.BecameReady("api"),
    ev.ReadyFailed("api", "late"),
    ev.RestartDue("api"),
]


@pytest.mark.parametrize("stray", STRAY, ids=lambda each: type(each).__name__)
def test_late_and_doubled_events_change_nothing(stray):
    run = Run(service("api", probe=True)).up("api")
    before = run.state
    assert run.tell(stray) == ()
    assert run.state == before


@pytest.mark.parametrize(
    "event",
    [
        *[type(each)("ghost", *(["x"] if hasattr(each, "message") else [])) for each in STRAY],
        ev.MainExited("ghost", 1),
        ev.TreeGone("ghost"),
        ev.StopServices(("ghost",)),
        ev.StartServices(("ghost",)),
        ev.RestartServices(("ghost",)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_events_of_unknown_services_change_nothing(event):
    run = Run(service("api")).up("api")
    before = run.state
    assert run.tell(event) == ()
    assert run.state == before


def test_a_finished_run_answers_nothing_any_more():
    run = Run(service("api")).up("api")
    run.end("api", 0)
    for event in (ev.StopRun("again", 1), ev.StartServices(("api",)), ev.TreeGone("api")):
        assert run.tell(event) == ()


def test_services_that_depend_on_each_other_can_still_be_stopped():
    run = Run(service("a", "b"))
    run.tell(ev.Spawned("a"))
    run.tell(ev.AddServices((service("b", ("a", STARTED)),)))
    run.up("b")
    assert run.asked(ev.StopTree, run.tell(ev.StopRun("interrupted", 130))) == ["a", "b"]
    run.gone("a", "b")
    assert run.finish == (130, "interrupted")


def test_a_start_that_is_reported_as_ended_and_as_failed_is_over():
    run = Run(service("api"))
    run.tell(ev.MainExited("api", 2))
    run.tell(ev.SpawnFailed("api", "no such file"))
    assert run.finish == (2, "`api` exited with code 2")


def test_a_chain_of_hundreds_is_stopped_from_its_end_without_asking_everybody_about_everybody():
    """Where everybody was asked about everybody above, nobody saw the end of this test."""
    names = [f"s{number}" for number in range(400)]
    run = Run(*(service(name, *names[max(0, at - 1) : at]) for at, name in enumerate(names))).up(*names)
    effects = run.tell(ev.StopRun("interrupted", 130))
    for name in reversed(names):
        assert effects == (ev.StopTree(name),)
        effects = run.tell(ev.TreeGone(name))
    assert effects == (ev.Finish(130, "interrupted"),)
