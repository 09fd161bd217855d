"""Every fact is asked of both backends; plans are built from what a snapshot says."""

from __future__ import annotations

import os

import pytest

from devrun.model import Classified, KillPlan, Verdict
from devrun.system.processes import identify, read_snapshot


@pytest.fixture(params=[pytest.param("linux", marks=pytest.mark.linux), "portable"])
def backend(request, monkeypatch):
    """Run the test over /proc and pidfd, and over psutil alone."""
    if request.param == "portable":
        monkeypatch.setenv("DEVRUN_PORTABLE", "1")
    return request.param


@pytest.fixture
def plan_for():
    """Build the plan that stops exactly these pids, in this order."""

    def build(*pids):
        snapshot = read_snapshot()
        return KillPlan(steps=tuple(step_of(snapshot.get(pid)) for pid in pids))

    return build


def step_of(record):
    return Classified(record, Verdict.STOP, "test", "planned by a test")


@pytest.fixture
def as_nobody():
    """Call a function in a child that gave up its rights; return the repr of what it returned."""

    def call(function):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                answer = repr(function())
            except BaseException as error:  # noqa: BLE001 - this process has nobody else to tell
                answer = f"raised {error!r}"
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answers:
            answer = answers.read()
        os.waitpid(pid, 0)
        return answer

    return call


@pytest.fixture
def identity_of():
    """Return the identity of a living process."""

    def identity(pid):
        found = identify(pid)
        assert found is not None
        return found

    return identity
