"""A sweep has its time budget for everything it asks; what was cut is said, and kept."""

from __future__ import annotations

import os
import stat
import time

import pytest

from devrun.cleanup import sweep
from devrun.config.project import Registry, SweepSettings
from tests.support.leftovers import a_lease, mine
from tests.support.processes import lives


@pytest.fixture
def hanging_git(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_many_repositories_that_hang_cost_one_budget_and_keep_everything(
    state, make_repository, server, tmp_path, request
):
    children = []
    for number in range(6):
        repository = make_repository(f"r{number}")
        path = repository.worktree(f"w{number}")
        state.leases.put(a_lease(path, number + 1), {})
        children.append(server(path))
        repository.remove(path)
    request.getfixturevalue("hanging_git")
    report = sweep(state, settings=SweepSettings(budget=0.6), dry_run=True)
    assert not mine(report, *children)
    whys = [each.why for each in report.skipped if str(tmp_path) in each.what]
    assert len(whys) == 6
    assert any("no time was left" in why for why in whys)
    assert all(lives(each.process) for each in children)


def test_many_registries_that_hang_cost_one_budget(state, server, tmp_path):
    orphan = server(tmp_path, "ready(); rest()", f"/opt/{tmp_path.name}/x.js")
    registries = tuple(
        Registry(f"r{number}", f"{tmp_path.name}/x.js", "[]", command="sleep 60 | sleep 60", grace=0)
        for number in range(5)
    )
    began = time.monotonic()
    report = sweep(state, settings=SweepSettings(registries=registries, budget=2), root=str(tmp_path))
    assert time.monotonic() - began < 5 * 2  # a budget each
    assert {each.what for each in report.skipped} >= {f"registry `r{number}`" for number in range(5)}
    assert not mine(report, orphan)
