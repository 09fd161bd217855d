"""Teardown on real trees: what belongs to a service goes, what it opened for a person stays."""

from __future__ import annotations

import os
import shlex
import sys
import time

import pytest

from devrun.cleanup import Readings, TreeRequest, teardown
from devrun.model import Outcome
from devrun.system.execute import drive
from devrun.system.processes import identify
from tests.support.leftovers import executable_named
from tests.support.processes import lives, wait_until

PYTHON = shlex.quote(sys.executable)


def a_request(state, anchor, worktree, *, everything=False, grace=5.0, signals=None, **more):
    return TreeRequest(
        run="r1",
        state_dir=state.path,
        worktree=worktree,
        leaders={"web": identify(anchor.pid)},
        signals=signals or {},
        deadline=time.monotonic() + grace,
        hurry=lambda: False,
        everything=everything,
        **more,
    )


@pytest.fixture
def anchored(state, processes, tmp_path):
    """Start a shape below an anchor: an `sh` that leads the session, ignores TERM and outlives the tree."""

    def start(shape, *options, service="web"):
        handshake = processes.handshake()
        env = {
            **os.environ,
            "DEVRUN_RUN": "r1",
            "DEVRUN_SERVICE": service,
            "DEVRUN_WORKTREE": str(tmp_path),
            "DEVRUN_STATE_DIR": state.path,
        }
        text = f"trap '' TERM; (trap - TERM; exec {handshake.text(shape, *options)}); read forever"
        popen = processes.popen(["/bin/sh", "-c", text], start_new_session=True, env=env, cwd=tmp_path, stdin=-1)
        handshake.wait_shapes(shape)
        return popen, handshake

    return start


@pytest.mark.parametrize("shape", ["tree", "session", "daemon", "stopped", "deep", "background", "nohup"])
def test_the_whole_tree_of_a_service_goes_and_its_anchor_stays(state, anchored, tmp_path, shape, bystander):
    anchor, handshake = anchored(shape)
    bystander(cwd=tmp_path)
    report = drive(teardown(a_request(state, anchor, str(tmp_path))))
    assert not report.survivors
    assert handshake.living() == []
    assert anchor.poll() is None
    assert anchor.pid not in {each.step.record.pid for each in report.results}


@pytest.mark.parametrize("shape", ["tree", "daemon"])
def test_what_hangs_on_the_anchor_of_another_service_lives_and_is_not_even_read(state, anchored, tmp_path, shape):
    """With hundreds of services, each stop would read the environment of all their processes."""
    anchor, handshake = anchored(shape)
    other, others = anchored("tree", service="api")
    before, readings = others.living(), Readings()
    drive(teardown(a_request(state, anchor, str(tmp_path), others=[identify(other.pid)], readings=readings)))
    assert handshake.living() == []
    assert others.living() == before
    rows = readings.since(0).snapshot.descendants(other.pid)
    assert len(rows) >= len(before)
    assert {each.environment for each in rows} == {None}


def test_a_stubborn_tree_is_killed_after_the_grace_and_a_reforking_one_is_beaten(state, anchored, tmp_path):
    for shape in ("stubborn", "reforker"):
        anchor, handshake = anchored(shape)
        report = drive(teardown(a_request(state, anchor, str(tmp_path), grace=0.3)))
        assert not report.survivors
        assert handshake.living() == []
        assert Outcome.KILLED in {each.outcome for each in report.results}


def test_the_services_own_signal_is_sent(state, anchored, tmp_path):
    import signal

    anchor, handshake = anchored("stubborn")
    report = drive(teardown(a_request(state, anchor, str(tmp_path), signals={"web": int(signal.SIGUSR1)})))
    assert [each.outcome for each in report.results] == [Outcome.TERMINATED]
    assert handshake.living() == []


@pytest.mark.parametrize("name", ["watchman", "google-chrome", "nvim", "claude", "tmux"])
def test_what_a_service_opened_for_a_person_is_spared_and_reported(state, processes, tmp_path, name):
    """A double-forked program of that name, which starts something itself: both carry the stamp, both live."""
    program = executable_named(str(tmp_path), name)
    inner = f"import os, signal\nos.fork()\nopen({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')\nsignal.pause()"
    outer = f"setsid {shlex.quote(program)} -I -c {shlex.quote(inner)} & read forever"
    env = {"PATH": os.environ["PATH"], "DEVRUN_RUN": "r1", "DEVRUN_SERVICE": "web"}
    env |= {"DEVRUN_WORKTREE": str(tmp_path), "DEVRUN_STATE_DIR": state.path}
    anchor = processes.popen(["/bin/sh", "-c", outer], start_new_session=True, env=env, cwd=tmp_path, stdin=-1)
    pids = wait_until(lambda: _two_pids(tmp_path / "pids"), "the program and its child run")
    report = drive(teardown(a_request(state, anchor, str(tmp_path))))
    import psutil

    opened = [psutil.Process(pid) for pid in pids]
    assert report.results == ()
    assert len(report.spared) == 1
    assert all(lives(each) for each in opened)
    for each in opened:
        each.kill()


def _two_pids(path):
    pids = path.read_text().split() if path.exists() else []
    return [int(pid) for pid in pids] if len(pids) == 2 else None


def test_who_was_to_be_spared_and_ended_meanwhile_is_not_reported_as_left(state, processes, tmp_path):
    """A daemon on the list that ends with the service that talks to it."""
    program = executable_named(str(tmp_path), "watchman")
    code = (
        "import os, signal, subprocess\n"
        f"daemon = subprocess.Popen([{program!r}, '-I', '-c', 'input()'], stdin=subprocess.PIPE, start_new_session=True)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (daemon.communicate(), os._exit(0)))\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{daemon.pid}}')\n"
        "while True: signal.pause()"
    )
    text = f"trap '' TERM; (trap - TERM; exec {PYTHON} -I -c {shlex.quote(code)}); read forever"
    anchor = processes.popen(["/bin/sh", "-c", text], start_new_session=True, cwd=tmp_path, stdin=-1)
    service, _ = wait_until(lambda: _two_pids(tmp_path / "pids"), "the service and its daemon run")
    report = drive(teardown(a_request(state, anchor, str(tmp_path))))
    assert [each.step.record.pid for each in report.results] == [service]
    assert report.spared == ()


def test_everything_takes_descendants_without_a_stamp(state, processes, tmp_path):
    """In a process of its own: pytest is the ancestor of too much."""
    code = (
        "import time\n"
        "from devrun.cleanup import TreeRequest, teardown\n"
        "from devrun.system.execute import drive\n"
        "from devrun.system.kernel import become_subreaper\n"
        "import subprocess\n"
        "become_subreaper()\n"
        "subprocess.run(['sh', '-c', 'env -i setsid sleep 600 & sleep 600 & exit'])\n"
        f"r = TreeRequest('r1', {state.path!r}, '/', {{}}, {{}}, time.monotonic() + 5, lambda: False, True)\n"
        "report = drive(teardown(r))\n"
        "ready(stopped=len(report.results), left=len(report.survivors))\n"
    )
    child = processes.python(f"sys.path.insert(0, {os.getcwd()!r})\n{code}")
    assert (child.facts["stopped"], child.facts["left"]) == (2, 0)


def test_who_left_for_a_sibling_worktree_is_spared(state, processes, repository):
    sibling = repository.worktree("sibling")
    code = (
        "import subprocess, time\n"
        "from devrun.cleanup import TreeRequest, teardown\n"
        "from devrun.system.execute import drive\n"
        f"folders = ({repository.path!r}, {sibling!r}, '/')\n"
        "left = [subprocess.Popen(['sleep', '600'], cwd=each, start_new_session=True) for each in folders]\n"
        f"r = TreeRequest('r1', {state.path!r}, {repository.path!r}, {{}}, {{}}, time.monotonic() + 5, lambda: False, True)\n"
        "report = drive(teardown(r))\n"
        "ready(stopped=len(report.results), spared=[(each.record.pid == left[1].pid, each.reason) for each in report.spared])\n"
        "left[1].kill(); left[1].wait()\n"
    )
    child = processes.python(f"sys.path.insert(0, {os.getcwd()!r})\n{code}")
    assert child.facts["stopped"] == 2
    assert child.facts["spared"] == [[True, "live-worktree"]]
