"""What is typed into a terminal arrives whole, however slowly it is read; on real ptys."""

from __future__ import annotations

import errno
import os
import tty

import pytest

from devrun.run import keyboard as keyboards
from devrun.run.keyboard import ENOUGH, Keyboard
from devrun.run.loop import Loop

PASTE = b"".join(b"line %07d\n" % number for number in range(20_000))
DEADLINE = 30.0


class Desk:
    """A keyboard, the terminal it types into, and who reads that."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        os.set_blocking(self.slave, False)
        self.loop = Loop()
        self.keyboard = Keyboard(self.master, self.loop)
        self.went_on = []

    def type(self, keys):
        return self.keyboard.type(keys, self._go_on)

    def _go_on(self, has_room):
        self.went_on.append(has_room)

    def read(self, size):
        """Read so many bytes, with the loop turning."""
        found = b""
        limit = self.loop.now() + DEADLINE
        while len(found) < size:
            assert self.loop.now() < limit, f"{len(found)} of {size} bytes arrived"
            self.loop.turn(0.01)
            try:
                found += os.read(self.slave, 4096)
            except BlockingIOError:
                continue
        return found

    def close(self):
        self.keyboard.close()
        self.loop.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def test_a_long_paste_arrives_whole_and_in_order(desk):
    assert not desk.type(PASTE)
    assert desk.read(len(PASTE)) == PASTE
    assert desk.went_on == [True]


def test_what_is_typed_behind_a_paste_comes_after_it(desk):
    desk.type(PASTE)
    desk.type(b"and\n")
    assert desk.read(len(PASTE) + 4) == PASTE + b"and\n"


def test_a_short_line_needs_no_pause_and_no_watching(desk):
    assert desk.type(b"yes\n")
    assert desk.read(4) == b"yes\n"
    assert desk.went_on == []
    assert not desk.loop._selector.get_map()


def test_nothing_is_watched_once_the_paste_is_through(desk):
    desk.type(PASTE)
    desk.read(len(PASTE))
    assert not desk.loop._selector.get_map()


def test_the_end_of_the_service_is_said_and_leaves_no_descriptor(desk):
    before = len(os.listdir("/dev/fd"))
    assert not desk.type(b"x" * 10 * ENOUGH)
    desk.keyboard.close()
    assert desk.went_on == [False]
    assert len(os.listdir("/dev/fd")) == before


def test_without_descriptors_the_paste_waits_for_one(desk, monkeypatch):
    refusals = iter([OSError(errno.EMFILE, "none left")])
    dup = os.dup

    def scarce(descriptor):
        for refusal in refusals:
            raise refusal
        return dup(descriptor)

    monkeypatch.setattr(keyboards, "BREATH", 0.01)
    monkeypatch.setattr(keyboards.os, "dup", scarce)
    desk.type(PASTE)
    assert desk.read(len(PASTE)) == PASTE
