"""The one function that stops processes, against the real kernel, with pidfd and without."""

from __future__ import annotations

import os
import signal
import time

import pytest

from devrun.model import KillPlan, Outcome
from devrun.system.control import SystemControl
from devrun.system.execute import drive, execute
from devrun.system.processes import read_snapshot
from tests.support.processes import DEADLINE, lives, wait_until
from tests.system.conftest import step_of

GRACE = 0.3  # what a process that ignores the first signal costs a test
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); rest()"


def stop(plan, *, grace=DEADLINE, **options):
    return drive(execute(plan, SystemControl(), deadline=time.monotonic() + grace, **options))


def outcomes(results):
    return {result.step.record.pid: result.outcome for result in results}


def tree_plan(root):
    """Plan everybody below and including `root`, deepest first, from a fresh snapshot."""
    snapshot = read_snapshot()
    rows = [record for record in (snapshot.get(root), *snapshot.descendants(root)) if record and not record.is_zombie]
    return KillPlan(steps=tuple(step_of(record) for record in reversed(rows)))


def test_a_process_that_ends_on_term_is_terminated(backend, processes, bystander, plan_for):
    bystander()
    child = processes.python("ready(); rest()")
    (result,) = stop(plan_for(child.pid))
    assert result.outcome is Outcome.TERMINATED
    assert child.popen.wait() == -signal.SIGTERM
    assert result.seconds < DEADLINE


def test_a_handler_gets_the_time_it_needs(backend, processes, plan_for):
    child = processes.shape("drain", "--drain", str(GRACE)).popen
    (result,) = stop(plan_for(child.pid))
    assert (result.outcome, child.wait()) == (Outcome.TERMINATED, 0)
    assert result.seconds >= GRACE


def test_a_process_that_ignores_term_is_killed_after_the_grace(backend, processes, plan_for):
    child = processes.python(IGNORE)
    began = time.monotonic()
    (result,) = stop(plan_for(child.pid), grace=GRACE)
    assert result.outcome is Outcome.KILLED
    assert time.monotonic() - began >= GRACE
    assert child.popen.wait() == -signal.SIGKILL


def test_a_stopped_process_is_terminated(backend, processes, plan_for):
    child = processes.python("ready(); rest()")
    child.process.suspend()
    wait_until(lambda: read_snapshot().get(child.pid).state == "T", "the stop")
    assert outcomes(stop(plan_for(child.pid))) == {child.pid: Outcome.TERMINATED}


def test_a_stopped_process_with_a_handler_runs_it(backend, processes, plan_for):
    child = processes.python("signal.signal(signal.SIGTERM, lambda *_: os._exit(7)); ready(); rest()")
    child.process.suspend()
    stop(plan_for(child.pid))
    assert child.popen.wait() == 7


def test_a_second_stop_finds_everybody_gone(backend, processes, plan_for):
    child = processes.python("ready(); rest()")
    plan = plan_for(child.pid)
    stop(plan)
    assert outcomes(stop(plan)) == {child.pid: Outcome.ALREADY_GONE}
    child.popen.wait()
    assert outcomes(stop(plan)) == {child.pid: Outcome.ALREADY_GONE}


def test_many_stubborn_processes_share_one_grace(backend, processes, plan_for):
    children = [processes.python(IGNORE) for _ in range(6)]
    began = time.monotonic()
    results = stop(plan_for(*(child.pid for child in children)), grace=GRACE)
    assert set(outcomes(results).values()) == {Outcome.KILLED}
    assert time.monotonic() - began < sum(result.seconds for result in results)  # one after the other


def test_a_second_interrupt_skips_the_grace(backend, processes, plan_for):
    child = processes.python(IGNORE)
    began = time.monotonic()
    results = stop(plan_for(child.pid), hurry=lambda: time.monotonic() - began > GRACE)
    assert outcomes(results) == {child.pid: Outcome.KILLED}
    assert time.monotonic() - began < DEADLINE / 2


def test_a_tree_that_respawns_is_stopped_and_stays_stopped(backend, processes, bystander):
    bystander()
    tree = processes.shape("respawner")
    root = tree.popen.pid
    results = stop(tree_plan(root), grace=GRACE, rescan=lambda: tree_plan(root))
    assert Outcome.SURVIVED not in outcomes(results).values()
    assert tree.handshake.wait_gone()
    assert not tree_plan(root).steps


def test_a_tree_that_ignores_everything_and_respawns_is_killed(backend, processes):
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_DFL)\n"
        "def child():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: rest()\n"
        "for _ in range(3): child()\n"
        "ready()\n"
        "for _ in range(200):\n"
        "    os.wait(); child()\n"
    )
    root = processes.python(code)
    results = stop(tree_plan(root.pid), grace=GRACE, rescan=lambda: tree_plan(root.pid))
    assert outcomes(results)[root.pid] is Outcome.KILLED
    assert Outcome.SURVIVED not in outcomes(results).values()
    assert len(results) >= 4


def test_a_tree_that_forks_again_on_term_is_stopped_with_its_children(backend, processes):
    child = processes.shape("reforker", start_new_session=True).popen

    def session():
        snapshot = read_snapshot()
        rows = [record for record in snapshot.session(child.pid) if not record.is_zombie]
        return KillPlan(steps=tuple(step_of(record) for record in rows))

    results = stop(session(), grace=GRACE, rescan=session)
    assert Outcome.SURVIVED not in outcomes(results).values()
    assert not session().steps


def test_a_failing_rescan_leaves_nobody_frozen(backend, processes):
    child = processes.python("signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); rest()")
    before = tree_plan(child.pid)
    looks = []

    def broken():
        looks.append(read_snapshot().get(child.pid).state)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop(before, grace=GRACE, rescan=broken)
    assert looks
    assert lives(child.process)
    wait_until(lambda: read_snapshot().get(child.pid).state != "T", "the process to run again")


def test_the_portable_driver_needs_no_descriptor(monkeypatch, processes, plan_for):
    monkeypatch.setenv("DEVRUN_PORTABLE", "1")
    before = len(os.listdir("/dev/fd"))
    children = [processes.python(IGNORE) for _ in range(3)]
    plan = plan_for(*(each.pid for each in children))
    stopping = execute(plan, SystemControl(), deadline=time.monotonic() + GRACE)
    wait = next(stopping)
    assert [handle.fileno() for handle in wait.handles] == [None] * 3
    assert set(outcomes(drive(stopping)).values()) == {Outcome.KILLED}
    assert len(os.listdir("/dev/fd")) == before


def test_every_descriptor_is_given_back(backend, processes, plan_for):
    child = processes.python("ready(); rest()")
    plan = plan_for(child.pid)
    before = len(os.listdir("/dev/fd"))
    stop(plan)
    assert len(os.listdir("/dev/fd")) == before
