"""Signals reach exactly the process that was meant."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest

from devrun.model import ProcessIdentity
from devrun.system import control
from devrun.system import processes as table
from devrun.system.control import Handle, SystemControl, pidfd_works, send_to, wait_for_one
from tests.support.processes import DEADLINE, lives, wait_gone

REPORT = "signal.signal(signal.SIGUSR1, lambda *_: (print('got', flush=True))); ready(); rest()"


def test_a_signal_reaches_the_process_and_nobody_else(backend, processes, bystander, identity_of):
    bystander()
    child = processes.python(REPORT, stdout=subprocess.PIPE)
    with SystemControl().open(identity_of(child.pid)) as handle:
        assert handle.send(signal.SIGUSR1)
        assert child.popen.stdout.readline() == b"got\n"
        assert not handle.is_gone()
        assert handle.send(signal.SIGKILL)
        wait_gone([child.process])
        assert handle.is_gone()  # a zombie: nobody has waited for it yet
        assert not handle.send(signal.SIGUSR1)
    assert child.popen.wait() == -signal.SIGKILL


def test_a_successor_is_never_opened(backend, bystander, identity_of):
    planted = bystander()
    predecessor = ProcessIdentity(planted.pid, identity_of(planted.pid).start_token - 1)
    before = psutil.Process().num_fds()
    assert SystemControl().open(predecessor) is None
    assert not send_to(predecessor, signal.SIGKILL)
    assert psutil.Process().num_fds() == before


def test_a_process_that_ended_is_not_opened(backend, processes, identity_of):
    child = processes.python("ready(); rest()")
    identity = identity_of(child.pid)
    child.process.kill()
    child.popen.wait()
    assert SystemControl().open(identity) is None


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux")
def test_more_processes_than_descriptors_are_held_and_some_descriptors_are_left_over(
    monkeypatch, bystander, identity_of
):
    identity = identity_of(bystander().pid)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + control.SPARED_DESCRIPTORS + 20, hard))
    handles = []
    try:
        handles = [SystemControl().open(identity) for _ in range(200)]
        left = [os.open(os.devnull, os.O_RDONLY) for _ in range(control.SPARED_DESCRIPTORS)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for handle in handles:
            handle.close()
    for descriptor in left:
        os.close(descriptor)
    assert None not in handles
    assert not any(handle.is_gone() for handle in handles)


def test_without_a_pidfd_the_token_is_compared_before_each_signal(monkeypatch, bystander, identity_of):
    planted = bystander()
    predecessor = ProcessIdentity(planted.pid, identity_of(planted.pid).start_token - 1)
    for forced in ("1", "0"):
        monkeypatch.setenv("DEVRUN_PORTABLE", forced)
        with Handle(predecessor, None) as handle:  # opened before the pid changed hands
            assert not handle.send(signal.SIGKILL)


@pytest.mark.linux
def test_a_pidfd_that_was_opened_before_the_exit_refuses_to_signal_afterwards(processes, identity_of):
    child = processes.python("ready(); rest()")
    with SystemControl().open(identity_of(child.pid)) as handle:
        child.process.kill()
        child.popen.wait()
        handle._ended = False
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(handle.fileno(), signal.SIGKILL)
        assert not handle.send(signal.SIGKILL)


@pytest.mark.parametrize("pid", [1, 0, -1])
def test_the_system_and_groups_are_refused(backend, pid):
    with pytest.raises(ValueError, match="never signalled"):
        SystemControl().open(ProcessIdentity(pid, 0))
    with pytest.raises(ValueError, match="never signalled"):
        send_to(ProcessIdentity(pid, 0), signal.SIGTERM)


def test_devrun_does_not_signal_itself(backend, identity_of):
    with pytest.raises(ValueError, match="never signalled"):
        SystemControl().open(identity_of(os.getpid()))


def test_a_descriptor_is_offered_only_where_the_system_has_one(backend, processes, identity_of):
    child = processes.python("ready(); rest()")
    with SystemControl().open(identity_of(child.pid)) as handle:
        assert pidfd_works() == (backend == "linux" and sys.platform == "linux")
        assert (handle.fileno() is not None) == pidfd_works()


@pytest.mark.linux
def test_a_sandbox_that_refuses_pidfd_is_noticed_by_trying(monkeypatch, processes, identity_of):
    def refused(*_words):
        raise PermissionError

    child = processes.python("ready(); rest()")
    control._try_pidfd.cache_clear()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pidfd_open", refused)
            assert not pidfd_works()
            handle = SystemControl().open(identity_of(child.pid))
    finally:
        control._try_pidfd.cache_clear()
    with handle:
        assert handle.fileno() is None
        assert handle.send(signal.SIGKILL)
        wait_gone([child.process])
        assert handle.is_gone()


def test_waiting_ends_with_the_first_process_that_ends(backend, processes, identity_of):
    gone, stays = processes.python("ready(); rest()"), processes.python("ready(); rest()")
    handles = [SystemControl().open(identity_of(child.pid)) for child in (gone, stays)]
    handles[0].send(signal.SIGKILL)
    wait_for_one(handles, time.monotonic() + DEADLINE)
    assert [each.is_gone() for each in handles] == [True, False]
    for handle in handles:
        handle.close()
        handle.close()


def test_waiting_ends_when_its_time_has_come(backend, processes, identity_of):
    with SystemControl().open(identity_of(processes.python("ready(); rest()").pid)) as handle:
        wait_for_one([handle], time.monotonic() + 0.05)
        assert not handle.is_gone()


@pytest.mark.linux
def test_a_pidfd_can_be_watched_by_a_loop(processes, identity_of):
    child = processes.python("ready(); rest()")
    with SystemControl().open(identity_of(child.pid)) as handle:
        assert select.select([handle.fileno()], [], [], 0)[0] == []
        handle.send(signal.SIGKILL)
        assert select.select([handle.fileno()], [], [], 30)[0] == [handle.fileno()]


def test_another_users_process_is_refused_by_the_kernel_and_said_so(backend, processes, as_nobody):
    child = processes.python("ready(); rest()")
    identity = table.identify(child.pid)
    send_to(identity, 0)
    if os.geteuid() == 0:
        assert "PermissionError" in as_nobody(lambda: send_to(identity, signal.SIGTERM))
    assert lives(child.process)
