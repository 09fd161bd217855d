"""What is counted of the stops of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from devrun.cleanup import CleanupReport
from devrun.model import Classified, KillPlan, Outcome, ProcessRecord, StepResult, Verdict
from devrun.run import trees as room
from devrun.run.loop import Loop
from devrun.run.trees import Trees
from devrun.system.processes import identify
from tests.support.processes import wait_gone


@pytest.fixture
def trees(monkeypatch):
    plan = SimpleNamespace(id="r", state_path="/s", worktree=SimpleNamespace(root="/w"))
    loop = Loop()
    said = []
    yield Trees(plan, loop, tell=said.append, feed=lambda *_: None, say=said.append)
    loop.close()


def test_who_survives_two_stops_is_one_and_who_ends_after_all_is_none(trees, processes, monkeypatch):
    child = processes.python("ready(); rest()")
    step = Classified(
        ProcessRecord(identity=identify(child.pid)), Verdict.STOP, "session", "is in the session of `web`"
    )
    report = CleanupReport(plan=KillPlan(steps=(step,)), results=(StepResult(step, Outcome.SURVIVED, 0.0),))

    def teardown(_request):
        yield from ()
        return report

    monkeypatch.setattr(room, "teardown", teardown)
    for _ in range(2):
        trees.clear(deadline=0.0, on_done=lambda: None)
    assert trees.survivors == 1
    child.popen.kill()
    wait_gone([child.process])
    assert trees.survivors == 0
