"""Fsmonitor daemons: stand-ins that hold such a socket, and the real one where the installed git has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

import msgspec
import psutil
import pytest

from devrun.cleanup import monitors, reap, sweep
from devrun.config.project import SweepSettings
from tests.support.leftovers import a_lease, executable_named, mine, nested, settings
from tests.support.processes import lives, wait_until
from tests.support.repositories import Repository

STAND_IN = (
    "server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen();os.chdir('/'); ready(); rest()"
)
WEDGED = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAND_IN}"
MENTIONS = "ready(); rest()"
HAS_DAEMON = subprocess.run(["git", "fsmonitor--daemon", "status"], capture_output=True, check=False).returncode != 128


@pytest.fixture(autouse=True)
def socket_name(monkeypatch):
    """Give this test's sockets a name of their own: a sweep is for the machine, and other tests sweep it, too."""
    assert monitors.SOCKET == "fsmonitor--daemon.ipc"
    monkeypatch.setattr(monitors, "SOCKET", f"{os.urandom(4).hex()}.ipc")


@pytest.fixture
def repository():
    """A repository at a short path: that of a Unix socket holds 107 bytes."""
    folder = tempfile.mkdtemp(prefix="dr-", dir="/tmp")
    yield Repository(os.path.join(folder, "r"))
    shutil.rmtree(folder)


@pytest.fixture(params=["fast", pytest.param("portable", marks=pytest.mark.linux)])
def daemon(request, server, monkeypatch, tmp_path):
    """Start a stand-in named `git` for the worktree at `path`, through both ways of finding sockets."""
    if request.param == "portable":
        monkeypatch.setenv("DEVRUN_PORTABLE", "1")

    def start(path, code=STAND_IN, *, word="fsmonitor--daemon"):
        git_dir = subprocess.run(
            ["git", "rev-parse", "--absolute-git-dir"], cwd=path, capture_output=True, text=True, check=True
        ).stdout.strip()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", executable_named(tmp_path, "git"))
            return server("/", code, os.path.join(git_dir, monitors.SOCKET), word, "run", "--detach")

    return start


def test_the_daemon_of_a_removed_worktree_is_stopped_and_that_of_a_live_one_never(state, repository, daemon, bystander):
    gone, live = nested(repository, "a"), nested(repository, "b")
    orphan, serving, of_main = daemon(gone), daemon(live), daemon(repository.path)
    bystander(cwd="/")
    repository.remove(gone)
    announced = sweep(state, dry_run=True)
    assert mine(announced, orphan, serving, of_main) == {orphan.pid}
    report = sweep(state)
    assert mine(report, orphan, serving, of_main) == {orphan.pid}
    step = next(each for each in report.plan.steps if each.record.pid == orphan.pid)
    assert (step.reason, "fsmonitor socket of" in step.detail) == ("fsmonitor", True)
    assert not lives(orphan.process)
    assert lives(serving.process)
    assert lives(of_main.process)
    assert not mine(sweep(state), orphan, serving, of_main)


def test_who_listens_there_and_is_no_fsmonitor_daemon_lives(state, repository, daemon):
    gone = nested(repository, "a")
    other = daemon(gone, word="upload-pack")
    repository.remove(gone)
    assert not mine(sweep(state), other)
    assert lives(other.process)


def test_a_wedged_daemon_is_killed_after_the_grace(state, repository, daemon):
    gone = nested(repository, "a")
    wedged = daemon(gone, WEDGED)
    repository.remove(gone)
    report = sweep(state, grace=0.3)
    assert [each.outcome.value for each in report.results if each.step.record.pid == wedged.pid] == ["killed"]


def test_who_only_mentions_the_daemon_is_spared(state, repository, server, processes, monkeypatch, tmp_path):
    gone = nested(repository, "a")
    socket = os.path.join(repository.path, ".git", "worktrees", "a", monitors.SOCKET)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", executable_named(tmp_path, "git"))
        text = server("/", MENTIONS, socket, "fsmonitor--daemon", "run")
        patch.setattr(sys, "executable", executable_named(tmp_path, "gdb"))
        debugger = server("/", STAND_IN, socket, "--args", "git", "fsmonitor--daemon")
    unnamed = server("/", STAND_IN, os.path.join(repository.path, ".git", "worktrees", "a", "other.ipc"))
    repository.remove(gone)
    assert not mine(sweep(state), text, debugger, unnamed)
    assert all(lives(each.process) for each in (text, debugger, unnamed))


BARE = "os.chdir(os.path.dirname(sys.argv[1])); server = socket.socket(socket.AF_UNIX); server.bind(os.path.basename(sys.argv[1])); server.listen();"


def test_a_bare_name_tells_only_of_a_daemon_that_stands_in_the_git_dir(state, repository, daemon):
    gone, live = nested(repository, "a"), nested(repository, "b")
    away = daemon(gone, f"{BARE} os.chdir('/'); ready(); rest()")
    os.unlink(os.path.join(repository.path, ".git", "worktrees", "a", monitors.SOCKET))
    inside = daemon(gone, f"{BARE} ready(); rest()")
    serving = daemon(live, f"{BARE} ready(); rest()")
    repository.remove(gone)
    assert mine(sweep(state), inside, away, serving) == {inside.pid}
    assert lives(away.process)
    assert lives(serving.process)


def test_the_class_is_off_where_git_does_not_say_which_worktrees_live(state, repository, daemon):
    gone = nested(repository, "a")
    orphan = daemon(gone)
    repository.remove(gone)
    head = os.path.join(repository.path, ".git", "HEAD")
    os.rename(head, f"{head}.off")
    report = sweep(state)
    assert not mine(report, orphan)
    assert any(each.what.startswith(repository.path) for each in report.skipped)
    assert lives(orphan.process)
    os.rename(f"{head}.off", head)
    assert mine(sweep(state), orphan) == {orphan.pid}


def test_after_rm_rf_the_lease_tells_a_deleted_checkout_from_an_unmounted_one(state, repository, daemon):
    gone = nested(repository, "a")
    lease = a_lease(gone)
    orphan = daemon(gone)
    shutil.rmtree(gone)
    assert not mine(sweep(state), orphan)
    state.leases.put(msgspec.structs.replace(lease, parent_device=lease.parent_device + 1), {})
    assert not mine(sweep(state), orphan)
    assert lives(orphan.process)
    state.leases.put(lease, {})
    assert mine(sweep(state), orphan) == {orphan.pid}


def test_a_reap_stops_the_daemon_of_its_worktree_and_of_no_other(state, repository, daemon):
    here, other, gone = nested(repository, "a"), nested(repository, "b"), nested(repository, "c")
    mine_, sibling, elsewhere = daemon(here), daemon(other), daemon(gone)
    repository.remove(gone)
    assert mine(reap(state, here), mine_, sibling, elsewhere) == {mine_.pid}
    assert not lives(mine_.process)
    assert lives(sibling.process)
    assert lives(elsewhere.process)


def test_a_stamp_of_a_dead_run_does_not_condemn_the_daemon_of_a_live_worktree(
    state, repository, server, staged_run, monkeypatch, tmp_path
):
    live = nested(repository, "a")
    run = staged_run("r1", live)
    socket = os.path.join(repository.path, ".git", "worktrees", "a", monitors.SOCKET)
    daemon = server("/", STAND_IN, socket, "fsmonitor--daemon", stamp=run.stamp)
    run.die()
    report = sweep(state, settings=settings(repository))
    assert not mine(report, daemon)
    assert [each.reason for each in report.spared if each.record.pid == daemon.pid] == ["fsmonitor-in-use"]


@pytest.mark.skipif(not HAS_DAEMON, reason="this git has no fsmonitor--daemon")
def test_the_real_daemon_of_a_removed_worktree_is_stopped(state, repository, monkeypatch):
    monkeypatch.setattr(monitors, "SOCKET", "fsmonitor--daemon.ipc")
    gone = nested(repository, "a")
    repository.git("config", "core.fsmonitor", "true")
    repository.git("fsmonitor--daemon", "start", at=gone)
    pid = wait_until(
        lambda: next((each.pid for each in psutil.process_iter() if "fsmonitor--daemon" in each.cmdline()), None),
        "the daemon",
    )
    process = psutil.Process(pid)
    shutil.rmtree(os.path.join(repository.path, ".git", "worktrees", "a"))
    report = sweep(state, settings=SweepSettings(budget=10))
    assert pid in {step.record.pid for step in report.plan.steps} or not lives(process)
    assert not lives(process)
