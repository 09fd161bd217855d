"""The keeper alone, with stand-in supervisors: small programs that fork through the real `Keeper`."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import nothing_happens, wait_gone, wait_until

_PROGRAM = """
import os, signal, sys, time
from devrun.run import keeper as room
from devrun.run.plan import RunResult
room.STOP_MARGIN = {margin}

got = []

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def note(signum, frame):
    got.append(signum)
    say("got", signal.Signals(signum).name)

def listen():
    global wakeups
    wakeups, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH):
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, note)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

def clear(supervisor):
    say("cleared")
    return room.Cleared({count}, ("left 4711",))

def supervise(life):
    os.setsid()
    listen()
    say("supervisor", os.getpid())
    {body}

result = room.Keeper(0.1, clear=clear).keep(supervise, on_forked=lambda: None)
say("result", result.exit_code, result.message, *result.last_lines, result.hint or "")
sys.exit(result.exit_code)
"""
_UNTIL_TERM = """
    while signal.SIGTERM not in got:
        os.read(wakeups, 1)  # not pause(): a signal between the question and the wait would be missed
    return RunResult(5, "asked")"""


@pytest.fixture
def keeper(processes, up):
    """Start a keeper whose supervisor runs `body`."""

    def start(body, *, margin=30, count=3, **popen):
        # stdout first: the handshake is the line "supervisor PID".
        program = _PROGRAM.replace("{margin}", str(margin)).replace("{count}", str(count))
        run = up(argv=(sys.executable, "-c", program.replace("{body}", body.strip())), **popen)
        run.supervisor = int(run.read_until("\n").split()[1])
        return run

    return start


def test_the_result_of_the_supervisor_is_the_result_of_the_run(keeper):
    run = keeper("return RunResult(7, 'done')")
    assert run.wait() == 7
    assert "result 7 done" in run.output


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH])
def test_a_signal_is_forwarded(keeper, signum):
    run = keeper(_UNTIL_TERM)
    run.send(signum)
    run.read_until(f"got {signum.name}")
    run.send(signal.SIGTERM)
    assert run.wait() == 5


@pytest.mark.parametrize(("count", "said"), [(1, "1 process it left was"), (3, "3 processes it left were")])
def test_what_a_supervisor_leaves_by_its_death_is_cleared(keeper, count, said):
    run = keeper(_UNTIL_TERM, count=count)
    psutil.Process(run.supervisor).kill()
    assert run.wait() == 137
    assert "cleared" in run.output
    assert f"{said} stopped left 4711" in run.output


def test_a_supervisor_that_cannot_begin_says_why_with_its_hint_and_it_is_no_bug(keeper):
    run = keeper("from devrun.errors import StateError\n    raise StateError('the disk is full', hint='`df`')", count=0)
    assert run.wait() == 1
    assert "cleared\nresult 1 the disk is full left 4711 `df`\n" in run.output


@pytest.mark.crash
def test_a_supervisor_that_crashes_is_cleared_after_and_its_report_is_named(keeper):
    run = keeper("raise ValueError('no')", count=2)
    assert run.wait() == 70
    assert "cleared" in run.output
    assert "a bug in devrun: ValueError: no; 2 processes it left were stopped" in run.output
    assert "ValueError: no" in Path(re.search("report is in `(.*?)`", run.output)[1]).read_text()


def test_a_supervisor_that_hangs_at_stop_is_killed_and_cleared_after(keeper):
    run = keeper("\n    while True:\n        signal.pause()", margin=0.2)
    run.send(signal.SIGTERM)
    assert run.wait() == 137
    assert "cleared" in run.output


def test_a_supervisor_that_says_it_is_stopping_has_its_time_counted(keeper):
    run = keeper("\n    os.kill(os.getppid(), signal.SIGUSR1)\n    while True:\n        signal.pause()", margin=0.2)
    assert run.wait() == 137


def test_a_supervisor_that_gets_on_with_its_stop_is_given_its_time_anew(keeper):
    """Twice half of its time, and a bit: too long for one that hangs."""
    told = "os.kill(os.getppid(), signal.SIGUSR1); select.select([], [], [], 1.2)"
    run = keeper(f"\n    import select\n    {told}; {told}\n    return RunResult(5, 'slow')", margin=2)
    assert run.wait() == 5


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not say who sent a signal")
@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM])
def test_what_the_supervisor_tells_the_keeper_nobody_else_can_say(keeper, signum):
    run = keeper(_UNTIL_TERM, margin=0)
    run.send(signum)
    run.send(signal.SIGWINCH)
    run.read_until("got SIGWINCH")
    nothing_happens()  # the supervisor, whose grace is over in a tenth of a second, is not killed
    assert run.popen.poll() is None
    run.send(signal.SIGTERM)
    run.wait()


def test_the_end_of_the_supervisor_is_seen_where_children_were_ignored(keeper):
    run = keeper("return RunResult(7, 'done')", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert run.wait() == 7


def test_a_supervisor_without_files_to_open_is_explained_and_cleared_after(keeper):
    run = keeper("raise OSError(24, 'Too many open files')")
    assert run.wait() == 1
    assert "cleared" in run.output
    assert "result 1 too many open files" in run.output


def test_a_supervisor_whose_keeper_was_killed_ends_without_a_report_of_a_bug(keeper):
    run = keeper("\n    while os.read(life, 1):\n        pass\n    say('over')\n    return RunResult(5, 'late')")
    run.send(signal.SIGKILL)
    run.wait()
    assert "over" in run.output
    assert "bug" not in run.output


def test_an_ignored_hangup_stays_ignored(keeper):
    run = keeper(_UNTIL_TERM, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    run.send(signal.SIGHUP)
    run.send(signal.SIGWINCH)
    run.read_until("got SIGWINCH")
    assert "got SIGHUP" not in run.output
    run.send(signal.SIGTERM)
    run.wait()


def test_the_supervisor_sees_the_keeper_die(keeper):
    run = keeper("os.read(life, 1); say('keeper gone'); return RunResult(0, '')")
    supervisor = psutil.Process(run.supervisor)
    run.send(signal.SIGKILL)
    run.read_until("keeper gone")
    assert wait_gone([supervisor]) == []


def test_the_keeper_does_not_stand_in_the_folder_it_was_started_in(keeper, tmp_path):
    run = keeper(_UNTIL_TERM, cwd=tmp_path)
    wait_until(lambda: os.readlink(f"/proc/{run.pid}/cwd") == "/", "a keeper outside of the folder")
    run.send(signal.SIGTERM)
    run.wait()


def test_a_result_longer_than_a_pipe_arrives(keeper):
    run = keeper("return RunResult(7, 'x' * 1_000_000)")
    assert run.wait() == 7
    assert "x" * 1_000_000 in run.output


def test_a_result_that_quotes_a_folder_without_a_name_in_text_arrives(keeper):
    run = keeper("return RunResult(7, 'held in \\udce9')")
    assert run.wait() == 7
    assert "result 7 held in \N{REPLACEMENT CHARACTER}" in run.output
