"""How a plan is carried out, over a machine made of values: no process, no clock, no sleep."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.errors import DevrunError
from devrun.model import KillPlan, Outcome
from devrun.system.execute import CONFIRM_SECONDS, MAX_ROUNDS, execute
from tests.system.fake_control import STUBBORN, Machine

GRACE = 5.0


@pytest.fixture
def machine():
    return Machine()


def stop(machine, plan, *, grace=GRACE, on_wait=None, **options):
    stopping = execute(plan, machine, deadline=machine.now + grace, clock=machine.clock, **options)
    return machine.drive(stopping, on_wait=on_wait)


def outcomes(results):
    return {result.step.record.pid: result.outcome for result in results}


def test_an_empty_plan_does_nothing(machine):
    machine.start(7)
    assert stop(machine, KillPlan()) == ()
    assert machine.sent == []


def test_who_ends_on_the_first_signal_is_terminated_and_never_killed(machine):
    machine.start(7, after=1.0)
    (result,) = stop(machine, machine.plan(7))
    assert (result.outcome, result.seconds) == (Outcome.TERMINATED, 1.0)
    assert machine.signals_of(7) == ["SIGTERM", "SIGCONT"]


def test_parents_are_asked_before_their_children(machine):
    """A plan has the deepest first; a parent that sees its child end before it was asked says or does something."""
    for pid in (7, 8, 9):
        machine.start(pid, after=1.0)
    results = stop(machine, machine.plan(9, 7, 8))
    assert [pid for pid, name in machine.sent if name == "SIGTERM"] == [8, 7, 9]
    assert [each.step.record.identity.pid for each in results] == [9, 7, 8]


def test_who_outlives_the_grace_is_killed(machine):
    machine.start(7, after=STUBBORN)
    machine.start(8, after=1.0)
    results = stop(machine, machine.plan(7, 8))
    assert outcomes(results) == {7: Outcome.KILLED, 8: Outcome.TERMINATED}
    assert machine.signals_of(7) == ["SIGTERM", "SIGCONT", "SIGKILL"]
    assert machine.now == 100.0 + GRACE


def test_who_survives_sigkill_is_reported_after_a_bounded_wait(machine):
    machine.start(7, after=STUBBORN, unkillable=True)
    (result,) = stop(machine, machine.plan(7))
    assert result.outcome is Outcome.SURVIVED
    assert result.seconds == GRACE + CONFIRM_SECONDS


def test_who_may_not_be_signalled_survived(machine):
    machine.start(7, denied=True)
    (result,) = stop(machine, machine.plan(7))
    assert result.outcome is Outcome.SURVIVED
    assert machine.sent == []


def test_a_process_that_is_gone_gets_no_signal(machine):
    (result,) = stop(machine, machine.plan(7))
    assert result.outcome is Outcome.ALREADY_GONE
    assert machine.sent == []


def test_a_successor_with_another_token_gets_no_signal(machine):
    plan = machine.plan(7)
    machine.start(7, token=71)
    (result,) = stop(machine, plan)
    assert result.outcome is Outcome.ALREADY_GONE
    assert machine.sent == []


def test_a_process_that_ends_between_opening_and_signal_is_gone_not_terminated(machine):
    first, second = machine.start(7, after=0.0), machine.start(8)
    first.on_signal = lambda _signum: setattr(second, "dies_at", machine.now)
    assert outcomes(stop(machine, machine.plan(8, 7)))[8] is Outcome.ALREADY_GONE
    assert machine.signals_of(8) == []


def test_a_stopped_process_gets_term_then_cont_and_ends(machine):
    machine.start(7, stopped=True)
    (result,) = stop(machine, machine.plan(7))
    assert result.outcome is Outcome.TERMINATED
    assert machine.sent == [(7, "SIGTERM"), (7, "SIGCONT")]


def test_a_service_may_ask_for_a_signal_of_its_own(machine):
    seven, eight = machine.start(7), machine.start(8, after=1.0)
    results = stop(machine, machine.plan(7, 8), signals={seven.identity: signal.SIGQUIT, eight.identity: signal.SIGINT})
    assert machine.signals_of(7)[0] == "SIGQUIT"
    assert machine.signals_of(8) == ["SIGINT", "SIGCONT"]
    assert set(outcomes(results).values()) == {Outcome.TERMINATED}


def test_a_service_that_asks_for_sigkill_was_killed(machine):
    seven = machine.start(7)
    (result,) = stop(machine, machine.plan(7), signals={seven.identity: signal.SIGKILL})
    assert result.outcome is Outcome.KILLED
    assert machine.sent == [(7, "SIGKILL")]


def test_who_survives_its_own_sigkill_gets_no_second_one(machine):
    seven = machine.start(7, unkillable=True)
    (result,) = stop(machine, machine.plan(7), signals={seven.identity: signal.SIGKILL})
    assert result.outcome is Outcome.SURVIVED
    assert machine.sent == [(7, "SIGKILL")]


def test_sixty_stubborn_processes_share_one_grace(machine):
    pids = range(10, 70)
    for pid in pids:
        machine.start(pid, after=STUBBORN)
    results = stop(machine, machine.plan(*pids))
    assert len(results) == 60
    assert machine.now == 100.0 + GRACE


def test_hurry_skips_the_grace(machine):
    machine.start(7, after=STUBBORN)
    pressed = []
    results = stop(machine, machine.plan(7), hurry=lambda: bool(pressed), on_wait=lambda: pressed.append(1))
    assert outcomes(results) == {7: Outcome.KILLED}
    assert machine.now < 101.0


def test_hurry_from_the_start_still_asks_first(machine):
    machine.start(7, after=1.0)
    stop(machine, machine.plan(7), hurry=lambda: True)
    assert machine.signals_of(7) == ["SIGTERM", "SIGCONT", "SIGKILL"]


def test_a_grace_that_is_over_still_asks_first(machine):
    machine.start(7, after=1.0)
    stop(machine, machine.plan(7), grace=-1.0)
    assert machine.signals_of(7) == ["SIGTERM", "SIGCONT", "SIGKILL"]


def test_the_driver_may_resume_early_without_changing_the_end(machine):
    machine.start(7, after=2.0)
    stopping = execute(machine.plan(7), machine, deadline=machine.now + GRACE, clock=machine.clock)
    wait = next(stopping)
    for _ in range(3):
        assert next(stopping) == wait
    assert outcomes(machine.drive(stopping)) == {7: Outcome.TERMINATED}
    assert machine.signals_of(7) == ["SIGTERM", "SIGCONT"]


def test_only_living_processes_are_waited_for(machine):
    machine.start(7, after=1.0)
    machine.start(8, after=2.0)
    stop(machine, machine.plan(7, 8, 9))
    assert [len(wait.handles) for wait in machine.waits] == [2, 1]


def test_every_handle_is_closed(machine):
    machine.start(7)
    machine.start(8, after=STUBBORN)
    stop(machine, machine.plan(7, 8), rescan=machine.rescan)
    assert machine.handles
    assert all(handle.closed for handle in machine.handles)


def test_nothing_is_signalled_when_one_step_cannot_be_opened(machine):
    machine.start(7)

    def refuse(identity):
        if identity.pid == 8:
            raise ValueError("pid 8 is never signalled")
        return Machine.open(machine, identity)

    plan = machine.plan(7, 8)
    machine.open = refuse
    with pytest.raises(ValueError, match="never signalled"):
        stop(machine, plan)
    assert machine.sent == []
    assert all(handle.closed for handle in machine.handles)


def test_a_child_born_during_the_grace_is_asked_politely_too(machine):
    seven = machine.start(7)
    seven.on_signal = lambda signum: signum == signal.SIGTERM and machine.start(8, after=1.0)
    results = stop(machine, machine.plan(7), rescan=machine.rescan)
    assert outcomes(results) == {7: Outcome.TERMINATED, 8: Outcome.TERMINATED}
    assert machine.signals_of(8) == ["SIGTERM", "SIGCONT"]


def test_a_tree_that_is_left_is_frozen_before_it_is_killed(machine):
    machine.start(7, after=STUBBORN)
    machine.start(8, after=STUBBORN)
    stop(machine, machine.plan(8, 7), rescan=machine.rescan)
    assert machine.sent[4:] == [(7, "SIGSTOP"), (8, "SIGSTOP"), (8, "SIGKILL"), (7, "SIGKILL")]


def test_a_respawner_is_beaten_by_freezing_it(machine):
    def respawn(parent, pid):
        """Start another child whenever one dies, as long as the parent runs."""
        child = machine.start(pid, after=0.0)

        def react(signum):
            if signum in {signal.SIGTERM, signal.SIGKILL} and not parent.stopped and not parent.gone:
                respawn(parent, pid + 1)

        child.on_signal = react

    parent = machine.start(7, after=STUBBORN)
    respawn(parent, 8)
    results = stop(machine, machine.rescan(), rescan=machine.rescan)
    assert all(process.gone for process in machine.processes.values())
    assert {outcome for pid, outcome in outcomes(results).items()} == {Outcome.KILLED, Outcome.TERMINATED}
    assert len(results) == len(machine.processes)


def test_newcomers_are_frozen_until_nobody_new_is_found(machine):
    parent = machine.start(7, after=STUBBORN)
    born = iter(range(8, 11))

    def fork_once_more(signum):
        if signum == signal.SIGSTOP and (pid := next(born, None)):
            machine.start(pid, after=STUBBORN).on_signal = fork_once_more

    parent.on_signal = fork_once_more
    results = stop(machine, machine.plan(7), rescan=machine.rescan)
    assert outcomes(results) == dict.fromkeys((7, 8, 9, 10), Outcome.KILLED)
    killed_first = machine.sent.index((7, "SIGKILL"))
    assert all(machine.sent.index((pid, "SIGSTOP")) < killed_first for pid in (7, 8, 9, 10))


def test_a_storm_without_end_is_given_up_after_bounded_rounds(machine):
    pids = iter(range(8, 100_000))

    def endless():
        machine.start(next(pids), after=STUBBORN)
        return machine.rescan()

    machine.start(7, after=STUBBORN)
    results = stop(machine, machine.plan(7), rescan=endless)
    assert len(machine.processes) <= (MAX_ROUNDS + 1) ** 2 + 1
    assert len(results) == len({result.step.record.pid for result in results})
    assert Outcome.SURVIVED in outcomes(results).values()


def test_a_survivor_is_waited_for_once_however_many_newcomers_there_are(machine):
    survivor = machine.start(7, after=STUBBORN, unkillable=True)
    born = iter(range(8, 11))

    def another():
        if "SIGKILL" in machine.signals_of(7) and (pid := next(born, None)):
            machine.start(pid, after=STUBBORN)
        return machine.rescan()

    results = stop(machine, machine.plan(7), rescan=another)
    assert outcomes(results) == {7: Outcome.SURVIVED, **dict.fromkeys((8, 9, 10), Outcome.KILLED)}
    assert machine.now == 100.0 + GRACE + CONFIRM_SECONDS
    assert survivor.identity == results[0].step.record.identity


def test_dead_rows_of_a_rescan_are_no_reason_for_another_round(machine):
    machine.start(7)
    rescans = []

    def with_the_dead():
        rescans.append(len(rescans))
        dead = machine.start(20 + len(rescans))
        plan = machine.plan(dead.identity.pid)
        dead.dies_at = machine.now
        return plan

    stop(machine, machine.plan(7), rescan=with_the_dead)
    assert len(rescans) == 1


def test_one_process_that_cannot_be_continued_does_not_keep_the_others_frozen(machine):
    def broken():
        raise KeyboardInterrupt

    def refuse(signum):
        if signum == signal.SIGCONT and seven.stopped:
            raise OSError

    seven, eight = machine.start(7, after=STUBBORN), machine.start(8, after=STUBBORN)
    seven.on_signal = refuse
    with pytest.raises(KeyboardInterrupt):
        stop(machine, machine.plan(7, 8), rescan=broken)
    assert not eight.stopped
    assert all(handle.closed for handle in machine.handles)


def test_only_rows_of_a_plan_are_ever_frozen(machine):
    machine.start(7, after=STUBBORN)
    machine.start(8, after=STUBBORN)
    stop(machine, machine.plan(7), rescan=lambda: machine.plan(7))
    assert machine.signals_of(8) == []


@pytest.mark.parametrize("error", [DevrunError("the process table is missing"), OSError(24, "Too many open files")])
def test_a_rescan_that_fails_does_not_save_what_is_known(machine, error):
    def failing():
        raise error

    machine.start(7, after=STUBBORN)
    assert outcomes(stop(machine, machine.plan(7), rescan=failing)) == {7: Outcome.KILLED}


def test_whatever_fails_while_frozen_everybody_runs_again(machine):
    def broken():
        raise KeyboardInterrupt

    machine.start(7, after=STUBBORN)
    machine.start(8, after=STUBBORN)
    with pytest.raises(KeyboardInterrupt):
        stop(machine, machine.plan(7, 8), rescan=broken)
    assert not any(process.stopped for process in machine.processes.values())
    assert all(handle.closed for handle in machine.handles)


def test_a_frozen_process_that_may_not_be_killed_runs_again(machine):
    seven = machine.start(7, after=STUBBORN)
    real = FakeSendDenied(machine, seven)
    results = stop(machine, machine.plan(7), rescan=machine.rescan)
    assert outcomes(results) == {7: Outcome.SURVIVED}
    assert not seven.stopped
    assert real.refused


def test_who_ends_by_itself_after_a_kill_that_was_refused_was_not_killed(machine):
    FakeSendDenied(machine, machine.start(7, after=GRACE + 1.0))
    assert outcomes(stop(machine, machine.plan(7), rescan=machine.rescan)) == {7: Outcome.TERMINATED}


class FakeSendDenied:
    """Let everything through but SIGKILL."""

    def __init__(self, machine, process):
        self.refused = False
        process.on_signal = self.react

    def react(self, signum):
        if signum == signal.SIGKILL:
            self.refused = True
            raise PermissionError


def test_a_driver_that_walks_away_leaves_nobody_frozen_and_no_handle_open(machine):
    machine.start(7, after=STUBBORN, unkillable=True)
    stopping = execute(
        machine.plan(7), machine, deadline=machine.now, clock=machine.clock, rescan=machine.rescan, hurry=lambda: True
    )
    next(stopping)
    stopping.close()
    assert all(handle.closed for handle in machine.handles)


BEHAVIOURS = st.fixed_dictionaries(
    {
        "after": st.sampled_from([0.0, 0.5, GRACE - 0.1, GRACE + 1, STUBBORN]),
        "stopped": st.booleans(),
        "unkillable": st.booleans(),
        "denied": st.booleans(),
    }
)


@given(
    st.lists(BEHAVIOURS, max_size=8),
    st.integers(0, 2),
    st.sampled_from([0.0, 1.0, GRACE]),
    st.booleans(),
    st.booleans(),
)
def test_every_step_gets_exactly_one_outcome_and_nobody_is_killed_who_was_ending(
    behaviours, missing, grace, rescanning, hurrying
):
    machine = Machine()
    for pid, behaviour in enumerate(behaviours, start=10):
        machine.start(pid, **behaviour)
    bystander = machine.start(5)
    pids = [*range(10, 10 + len(behaviours) + missing)]
    plan = machine.plan(*pids)
    results = stop(
        machine,
        plan,
        grace=grace,
        rescan=(lambda: plan) if rescanning else None,
        hurry=(lambda: hurrying) if hurrying else (lambda: False),
    )
    assert [result.step for result in results] == list(plan.steps)
    for result in results:
        process = machine.processes.get(result.step.record.pid)
        sent = machine.signals_of(result.step.record.pid)
        assert sent.count("SIGTERM") <= 1
        assert sent.count("SIGKILL") <= 1
        if result.outcome is Outcome.TERMINATED:
            assert "SIGKILL" not in sent
        if result.outcome is Outcome.ALREADY_GONE:
            assert sent == []
        else:
            assert process.gone == (result.outcome is not Outcome.SURVIVED)
    assert machine.signals_of(5) == []
    assert not bystander.gone
    assert all(handle.closed for handle in machine.handles)
    assert machine.now <= 100.0 + grace + CONFIRM_SECONDS + 1e-6
