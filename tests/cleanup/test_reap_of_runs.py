"""How a reap asks a live run to end: who is asked, and who never is."""

from __future__ import annotations

import importlib
import signal
from types import SimpleNamespace

from devrun.decide.context import KnownRun
from devrun.model import Liveness, ProcessIdentity, RunRecord

room = importlib.import_module("devrun.cleanup.reap")  # the package has a function of that name
SUPERVISOR = ProcessIdentity(4711, 1)


class Control:
    """Opens handles that note what was sent, and are gone at once."""

    def __init__(self):
        self.sent = []

    def open(self, identity):
        assert identity.pid > 1, "pid 1 is never signalled"
        send = lambda signum: self.sent.append((identity, signum))  # noqa: E731
        return SimpleNamespace(send=send, is_gone=lambda: True, fileno=lambda: None, close=lambda: None)


def test_a_run_whose_keeper_is_the_init_of_a_container_is_asked_at_its_supervisor(monkeypatch):
    control = Control()
    monkeypatch.setattr(room, "SystemControl", lambda: control)
    run = RunRecord("r", "/w", "/w", ProcessIdentity(1, 1), SUPERVISOR, boot_id="b", started_at=0.0)
    survey = SimpleNamespace(snapshot=SimpleNamespace(self_pid=1000))
    room._end_runs([KnownRun(run, Liveness.LIVE)], survey, 1.0)
    assert [identity for identity, signum in control.sent if signum == signal.SIGTERM] == [SUPERVISOR]
