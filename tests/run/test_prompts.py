"""A line that stands on an idle terminal is a prompt, and is said once."""

from __future__ import annotations

import pytest

from devrun.run.loop import Loop, Timer
from devrun.run.output.prompts import STANDING, Prompts


class Clock(Loop):
    """A loop whose time the test moves."""

    def __init__(self):
        self.time = 0.0
        self.timers = []

    def now(self):
        return self.time

    def call_at(self, when, callback):
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def pass_time(self, seconds):
        until = self.time + seconds
        while due := sorted(
            (each for each in self.timers if each.is_pending and each.when <= until), key=lambda each: each.when
        ):
            self.time = due[0].when
            due[0].fire()
        self.time = until


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def prompts(clock, told):
    return Prompts(clock, told.append)


def test_a_standing_line_is_told_once(prompts, clock, told):
    prompts.feed("api", "tty", b"Password: ")
    assert told == []
    clock.pass_time(STANDING)
    assert told == ["api"]
    assert prompts.is_waiting("api")
    assert prompts.standing("api") == b"Password: "
    prompts.feed("api", "tty", b"\r\nPassword: ")
    assert not prompts.is_waiting("api")
    clock.pass_time(10)
    assert told == ["api"]
    assert prompts.is_waiting("api")


@pytest.mark.parametrize("text", [b"done\r\n", b"\x1b[2K\x1b[0m  ", b"\r\n\r\n"])
def test_no_words_are_no_prompt(prompts, clock, told, text):
    prompts.feed("api", "tty", text)
    clock.pass_time(10)
    assert told == []
    assert not prompts.is_waiting("api")


def test_a_service_that_goes_on_talking_is_not_asked_for(prompts, clock, told):
    prompts.feed("api", "tty", b"building ")
    for _ in range(20):
        clock.pass_time(STANDING / 2)
        prompts.feed("api", "stdout", b"still busy\n")
    assert told == []
    clock.pass_time(STANDING * 2)
    assert told == ["api"]


def test_an_answered_prompt_waits_no_more(prompts, clock, told):
    prompts.feed("api", "tty", b"Password: ")
    clock.pass_time(STANDING / 2)
    prompts.feed("api", "tty", b"\r\n")
    clock.pass_time(10)
    assert told == []


def test_the_next_life_of_a_service_is_told_again(prompts, clock, told):
    for _ in range(2):
        prompts.feed("api", "tty", b"Password: ")
        clock.pass_time(10)
        prompts.feed("api", "tty", b"")
    assert told == ["api", "api"]
    assert prompts.standing("api") == b""


def test_busy_output_beside_a_prompt_costs_no_timers(prompts, clock):
    prompts.feed("api", "tty", b"? ")
    for _ in range(1000):
        prompts.feed("api", "stdout", b"x\n")
    assert len(clock.timers) == 1
