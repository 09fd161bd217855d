"""Commands of others: bounded in time and in words, and nothing of them is left when they are cut off."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

from devrun.interrupt import Interrupted, interruptible
from devrun.system.bounded import TooLongError, run_bounded, run_shown
from devrun.system.git import run_git
from tests.support.devrun import PROGRAM
from tests.support.processes import DEADLINE, lives, wait_gone, wait_until

SOON = 1.0
LARGEST = 1 << 16


@pytest.fixture
def run(tmp_path):
    def call(text, *, seconds=DEADLINE, largest=LARGEST):
        until = None if seconds is None else time.monotonic() + seconds
        words = ["/bin/sh", "-c", text]
        return run_bounded(words, cwd=str(tmp_path), environment=os.environ, until=until, largest=largest)

    return call


@pytest.fixture
def marked(monkeypatch, tmp_path):
    """Tell who was started by this test, by an inherited variable."""
    monkeypatch.setenv("BOUNDED_TEST", str(tmp_path))

    def find():
        found = []
        for each in psutil.process_iter(["environ"]):
            environ = each.info["environ"] or {}
            if environ.get("BOUNDED_TEST") == str(tmp_path) and lives(each):
                found.append(each)
        return found

    return find


def test_code_and_both_outputs_are_told_apart(run):
    assert run("echo said; echo complained >&2; exit 7") == (7, b"said\n", b"complained\n")
    assert run("exec >&- 2>&-; exit 3") == (3, b"", b"")
    assert run("kill -9 $$", seconds=None).code == -signal.SIGKILL


def test_what_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_bounded(["no-such-program"], cwd=str(tmp_path), environment={}, until=None, largest=1)


@pytest.mark.parametrize(
    "text", ["sleep 600 & sleep 600", "exec >&- 2>&-; sleep 600 & sleep 600", "trap '' TERM; sleep 600 & wait"]
)
def test_out_of_time_nothing_of_it_is_left_and_a_bystander_lives(run, bystander, marked, text):
    bystander(start_new_session=True)
    others = set(marked())
    with pytest.raises(TimeoutError):
        run(text, seconds=SOON)
    assert set(marked()) == others


def test_a_stream_that_drips_for_ever_is_cut_off_in_time(run, marked):
    with pytest.raises(TimeoutError):
        run("while :; do echo x; done | head -c 60000; while :; do printf x >&2; done", seconds=SOON)
    assert marked() == []


@pytest.mark.parametrize("seconds", [DEADLINE, None])
def test_who_says_too_much_is_cut_off_with_all_of_its_tree(run, marked, seconds):
    with pytest.raises(TooLongError):
        run("sleep 600 & yes", seconds=seconds)
    assert marked() == []


def test_complaints_are_cut_and_never_too_long(run):
    done = run("yes | head -c 1000000 >&2; echo '[]'")
    assert done.stdout == b"[]\n"
    assert 0 < len(done.stderr) <= LARGEST


def test_a_daemon_that_holds_the_output_delays_nobody_and_is_left_alone(run, marked):
    daemon = "import os; os.setsid(); os.execvp('sleep', ['sleep', '600'])"
    done = run(f"{shlex.quote(sys.executable)} -I -c {shlex.quote(daemon)} & echo '[]'", seconds=None)
    assert done.stdout == b"[]\n"
    (left,) = marked()
    left.kill()
    assert not wait_gone([left])


def test_a_git_that_hangs_goes_with_what_it_started(tmp_path, marked, monkeypatch):
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nsleep 600 &\nsleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run_git(["worktree", "list"], cwd=str(tmp_path), timeout=SOON) is None
    assert marked() == []


@pytest.mark.parametrize("runner", [run_bounded, run_shown])
def test_an_interruption_lets_it_tidy_up_and_leaves_nothing(tmp_path, marked, runner):
    """The command interrupts devrun itself when its handlers are installed: nothing has to be guessed."""
    tidy = tmp_path / "tidy"
    text = f"trap 'echo > {tidy}; exit 1' TERM; kill -HUP {os.getpid()}; while :; do sleep 0.1; done"
    words = ["/bin/sh", "-c", text]
    bounds = {} if runner is run_shown else {"until": None, "largest": LARGEST}
    with pytest.raises(Interrupted), interruptible():
        runner(words, cwd=str(tmp_path), environment=os.environ, **bounds)
    assert tidy.exists()
    assert marked() == []


def test_git_takes_back_a_worktree_that_was_interrupted(repository, up, tmp_path):
    """A checkout of many files is interrupted by a filter that runs in the middle of it."""
    repository.write({".gitattributes": "big filter=stop\n", "big": "x", "services.yaml": "services: {}\n"})
    repository.git("add", "-A")
    repository.git("commit", "-qm", "big")
    reached = tmp_path / "reached"
    repository.git("config", "filter.stop.smudge", f"touch {reached}; sleep 600")
    made = up("add", str(tmp_path / "made"), argv=(PROGRAM, "worktree"), cwd=repository.path)
    wait_until(lambda: reached.exists() or made.popen.poll() is not None, "the filter runs")
    assert made.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert not (tmp_path / "made").exists()
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=repository.path, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1
