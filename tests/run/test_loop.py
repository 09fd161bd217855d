"""The loop calls back those who listen at that moment, and timers in the order they are due."""

from __future__ import annotations

import contextlib
import os

import pytest

from devrun.run.loop import WRITE, Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipe():
    """Make pipes; with `full=True` there is something to read."""
    with contextlib.ExitStack() as stack:

        def make(*, full=False):
            ends = os.pipe()
            for end in ends:
                stack.callback(os.close, end)
            if full:
                os.write(ends[1], b"x")
            return ends

        yield make


def test_whoever_is_ready_is_called_and_nobody_else(loop, pipe):
    called = []
    full, (empty, _), (_, writable) = pipe(full=True)[0], pipe(), pipe()
    loop.watch(full, lambda: called.append("full"))
    loop.watch(empty, lambda: called.append("empty"))
    loop.watch(writable, lambda: called.append("writable"), WRITE)
    loop.turn()
    assert sorted(called) == ["full", "writable"]


def test_watching_again_replaces_the_call(loop, pipe):
    called = []
    reader, _ = pipe(full=True)
    loop.watch(reader, lambda: called.append("first"))
    loop.watch(reader, lambda: called.append("second"))
    loop.turn()
    assert called == ["second"]


def test_who_is_ignored_in_a_turn_is_not_called_in_it_and_ignoring_again_is_fine(loop, pipe):
    called = []
    readers = [pipe(full=True)[0] for _ in range(2)]

    def call(name, other):
        called.append(name)
        loop.ignore(other)
        loop.ignore(other)

    loop.watch(readers[0], lambda: call("one", readers[1]))
    loop.watch(readers[1], lambda: call("other", readers[0]))
    loop.turn()
    assert len(called) == 1


def test_a_number_that_was_closed_and_taken_again_in_a_turn_calls_nobody_of_before(loop, pipe):
    """A service ended and a client connected in one turn: the client got the number of the service's pty."""
    called = []
    readers = [pipe(full=True)[0] for _ in range(2)]

    def replace(own, other):
        called.append(f"before {readers.index(own)}")
        loop.ignore(other)
        os.dup2(pipe()[0], other)
        loop.watch(other, lambda: called.append("after"))

    loop.watch(readers[0], lambda: replace(readers[0], readers[1]))
    loop.watch(readers[1], lambda: replace(readers[1], readers[0]))
    loop.turn()
    assert len(called) == 1
    assert called[0].startswith("before")


def test_timers_fire_in_the_order_they_are_due_and_a_cancelled_one_never(loop):
    fired = []
    now = loop.now()
    for when in (3, 1, 2, 1):
        loop.call_at(now - 10 + when, lambda when=when: fired.append(when))
    cancelled = loop.call_at(now - 10, lambda: fired.append("cancelled"))
    assert cancelled.is_pending
    cancelled.cancel()
    cancelled.cancel()
    assert not cancelled.is_pending
    loop.turn()
    assert fired == [1, 1, 2, 3]


def test_a_timer_fires_once_and_is_what_a_turn_waits_for(loop):
    fired = []
    timer = loop.call_later(0.01, lambda: fired.append("late"))
    while not fired:
        loop.turn()
    loop.turn(0)
    assert fired == ["late"]
    assert not timer.is_pending


def test_a_turn_waits_no_longer_than_it_is_told(loop):
    fired = []
    loop.call_later(1000, lambda: fired.append("much later"))
    loop.turn(0)
    assert fired == []


def test_a_cancelled_timer_does_not_end_the_waiting(loop, pipe):
    called = []
    loop.call_later(0, lambda: called.append("timer")).cancel()
    loop.watch(pipe(full=True)[0], lambda: called.append("reader"))
    loop.turn()
    assert called == ["reader"]
