"""The output of a run in the supervisor's loop: who is read while whoever reads devrun is behind."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from devrun.run.loop import Loop
from devrun.run.output import screen as room
from devrun.run.output.screen import Screen
from devrun.run.plan import OutputOptions


class Read:
    """An instance, as far as it is read."""

    def __init__(self):
        self.is_read = True

    def pause(self):
        self.is_read = False

    def resume(self):
        self.is_read = True


@pytest.fixture
def behind(tmp_path, monkeypatch):
    """A screen whose reader is behind, and the reader's end of the pipe."""
    reader, writer = os.pipe()
    out = room.Multiplexer
    monkeypatch.setattr(room, "Multiplexer", lambda names, **options: out(names, **{**options, "fd": writer}))
    loop = Loop()
    plan = SimpleNamespace(services=(SimpleNamespace(name="web"),), detached=False, output=OutputOptions())
    made = Screen(plan, loop, folder=str(tmp_path))
    for _ in range(64):
        made.feed("web", "stdout", b"x" * 65535 + b"\n")
    yield made, reader
    os.close(reader)
    made.close()
    os.close(writer)
    loop.close()


def test_a_service_that_is_started_while_the_reader_is_behind_waits_like_the_others(behind):
    screen, reader = behind
    first, second = Read(), Read()
    screen.tend([first])
    screen.tend([first, second])
    assert not first.is_read
    assert not second.is_read
    os.set_blocking(reader, False)
    while first.is_read is False:
        os.read(reader, 1 << 20)
        screen._loop.turn(0)
        screen.tend([first, second])
    assert second.is_read
