"""A start in a live run, where the machine cannot be looked at: that service does not start, the others go on."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from devrun.config.project import Service
from devrun.model import Listener, PortSet
from devrun.run import gate as room
from devrun.run.gate import Gate
from devrun.run.life.events import MainExited

WEB = Service(name="web", command="true", working_dir="/")
PORTS = PortSet(slot=0, offset=0, ports={"web": {"": 3001}})


@pytest.fixture
def gate(monkeypatch):
    def refuse(*_words, **_options):
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(room, "guard", refuse)
    monkeypatch.setattr(room, "read_snapshot", refuse)
    monkeypatch.setattr(room, "listeners_on", lambda _ports: (Listener(3001, "127.0.0.1", 4711),))
    return Gate(SimpleNamespace(id="r", worktree=None, project=SimpleNamespace(sweep=None)), None)


def test_a_guard_without_a_descriptor_left_refuses_one_service(gate):
    refusal = gate.refusal(WEB, PORTS)
    assert (refusal.name, refusal.code) == ("web", 1)
    assert "too many open files" in refusal.message


def test_a_failure_whose_reason_cannot_be_looked_for_is_the_failure_it_is(gate):
    event = MainExited("web", 1)
    assert gate.with_holder(event, WEB, PORTS, SimpleNamespace()) == event
