"""The leak guard: a pytest plugin under which a test that leaves a process behind has failed.

The test process is a subreaper (Linux), so whatever a test starts, daemons included, stays its
descendant and nothing else on the machine is confused with it.  On other systems a marker variable
stands in.  Leftovers get one settle window, then the test fails with their command lines, and they
are killed by identity.  A changed environment or working directory fails the test, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import uuid

import psutil
import pytest

PR_SET_CHILD_SUBREAPER = 36
MARK = "PYTEST_LEAK_MARK"
# Time for what is already ending to end.  Smaller: a slow exit on a busy machine fails an innocent
# test.  Larger: every real leak costs that much, and a slow stop passes for a clean one.
SETTLE_WINDOW = 3.0


def become_subreaper() -> bool:
    """Make this process adopt the orphans among its descendants; prctl(2)."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def started_here(mark: str) -> set[psutil.Process]:
    """Return the processes below this one; without a subreaper those that carry the mark."""
    if sys.platform == "linux":
        return set(psutil.Process().children(recursive=True))
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.add(process)
    return found


def describe(process: psutil.Process) -> str:
    """Say who a process is, as far as it can still be told."""
    with contextlib.suppress(psutil.Error):
        return f"pid {process.pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    return f"pid {process.pid}"


def settle(before: set[psutil.Process], mark: str, window: float = SETTLE_WINDOW) -> list[str]:
    """Wait for the leftovers; kill those that stay; return their descriptions."""
    leftovers = started_here(mark) - before
    _, alive = psutil.wait_procs(leftovers, timeout=window)
    alive = [process for process in {*alive, *(started_here(mark) - before)} if _lives(process)]
    descriptions = sorted(describe(process) for process in alive)
    for _ in range(10):
        if not alive:
            break
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=window)
        alive = [process for process in started_here(mark) - before if _lives(process)]
    return descriptions


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def pytest_configure() -> None:
    """Adopt orphans from here on, and hand no ignored signal down: CI may run under nohup or behind `&`."""
    become_subreaper()
    for signum in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def leak_guard():
    """Fail the test that leaves a process, a changed environment or another working directory."""
    os.environ[MARK] = mark = uuid.uuid4().hex
    before, environment, folder = started_here(mark), dict(os.environ), os.getcwd()
    yield
    leaked = settle(before, mark)
    changed = {name for name in {*environment, *os.environ} if environment.get(name) != os.environ.get(name)}
    changed -= {"PYTEST_CURRENT_TEST"}
    if os.getcwd() != folder:
        os.chdir(folder)
        pytest.fail(f"the test left another working directory than {folder}")
    assert not leaked, "the test left processes behind:\n" + "\n".join(leaked)
    assert not changed, f"the test changed the environment: {sorted(changed)}"
