from __future__ import annotations

import os
import signal

from devrun.model import Liveness
from devrun.system.locks import FileLock, probe

HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from devrun.system.locks import FileLock
lock = FileLock.take(sys.argv[2])
ready()
rest()
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_a_lock_is_held_until_it_is_closed(tmp_path):
    path = str(tmp_path / "lock")
    with FileLock.take(path):
        assert probe(path) is Liveness.LIVE
        assert FileLock.take(path) is None
    assert probe(path) is Liveness.DEAD
    FileLock.take(path).close()


def test_two_probers_do_not_take_each_other_for_a_holder(tmp_path):
    import fcntl

    path = str(tmp_path / "lock")
    FileLock.take(path).close()
    with open(path) as prober:
        fcntl.flock(prober, fcntl.LOCK_SH)
        assert probe(path) is Liveness.DEAD


def test_a_missing_file_or_a_folder_proves_nothing(tmp_path):
    assert probe(str(tmp_path / "nothing")) is Liveness.UNKNOWN
    assert probe(str(tmp_path)) is Liveness.UNKNOWN


def test_a_lock_ends_with_its_holder_even_by_sigkill(tmp_path, processes):
    path = str(tmp_path / "lock")
    child = processes.python(HOLD, ROOT, path)
    assert probe(path) is Liveness.LIVE
    child.process.send_signal(signal.SIGKILL)
    child.process.wait(30)
    assert probe(path) is Liveness.DEAD


def test_a_stopped_holder_still_holds(tmp_path, processes):
    path = str(tmp_path / "lock")
    child = processes.python(HOLD, ROOT, path)
    child.process.send_signal(signal.SIGSTOP)
    assert probe(path) is Liveness.LIVE
    child.process.send_signal(signal.SIGCONT)


def test_a_forked_copy_that_is_closed_frees_nothing(tmp_path):
    path = str(tmp_path / "lock")
    with FileLock.take(path) as lock:
        pid = os.fork()
        if pid == 0:
            lock.close()
            os._exit(0)
        os.waitpid(pid, 0)
        assert probe(path) is Liveness.LIVE


def test_a_lock_is_not_inherited_over_exec(tmp_path):
    with FileLock.take(str(tmp_path / "lock")) as lock:
        assert not os.get_inheritable(lock.fileno())


def test_a_file_that_was_replaced_is_locked_anew(tmp_path):
    path = str(tmp_path / "lock")
    old = FileLock.take(path)
    os.unlink(path)
    with FileLock.take(path) as new:
        assert probe(path) is Liveness.LIVE
        assert os.fstat(new.fileno()).st_ino == os.stat(path).st_ino
    old.close()
