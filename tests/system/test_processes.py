"""The contract of the process table: both backends give the same facts about real processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from devrun.errors import DevrunError
from devrun.model import ProcessIdentity
from devrun.system import linux_table, portable_table
from devrun.system import processes as module
from devrun.system.processes import Column, boot_id, has_ended, identify, read_details, read_lineage, read_snapshot
from tests.support.processes import wait_gone, wait_until


def details(pid, columns=Column.ALL):
    return read_details(read_snapshot(), [pid], columns).get(pid)


def test_the_snapshot_knows_this_process(backend):
    snapshot = read_snapshot()
    own = snapshot.get(os.getpid())
    assert snapshot.self_pid == os.getpid()
    assert snapshot.boot_id == boot_id() != ""
    assert (own.ppid, own.pgid, own.sid) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert own.uid == os.geteuid()
    assert own.state == "R"
    assert own.rss > 1_000_000
    assert own.cpu_seconds > 0
    assert 0 < time.time() - own.started_at < 86_400


def test_dear_columns_are_unknown_until_they_are_asked_for(backend):
    own = read_snapshot().get(os.getpid())
    assert (own.argv, own.exe, own.script, own.cwd, own.environment) == (None,) * 5
    assert (own.pid_namespace, own.mount_namespace) == (None, None)


def test_only_the_columns_asked_for_are_read_and_the_others_stay(backend):
    own = details(os.getpid(), Column.CWD)
    assert own.cwd is not None
    assert own.argv is None
    assert own.environment is None
    both = read_details(read_details(read_snapshot(), [own.pid], Column.CWD), [own.pid], Column.ARGV).get(own.pid)
    assert both.cwd == own.cwd
    assert both.argv is not None


def test_the_dear_columns_of_all_own_processes_come_in_one_pass(backend, processes):
    child = processes.python("ready(); rest()")
    snapshot = read_snapshot(columns=Column.CWD | Column.ARGV)
    separate = details(child.pid, Column.CWD | Column.ARGV)
    together = snapshot.get(child.pid)
    assert (together.cwd, together.argv, together.exe) == (separate.cwd, separate.argv, separate.exe)
    assert together.environment is None
    assert all(record.argv is None for record in snapshot if record.uid != os.geteuid())


def test_the_listeners_are_unknown_until_somebody_reads_them(backend):
    assert read_snapshot().listeners is None


def test_children_and_descendants_follow_from_the_parent_links(backend, processes):
    tree = processes.shape("tree")
    snapshot = read_snapshot()
    below = {record.pid for record in snapshot.descendants(os.getpid())}
    assert {each.pid for each in tree.reported} <= below
    assert all(snapshot.find(record.identity) is record for record in snapshot)


@pytest.mark.linux
def test_a_lineage_is_read_without_the_rest_of_the_table(backend, monkeypatch):
    whole = [record.identity for record in read_snapshot().lineage(os.getpid())]
    monkeypatch.setattr(linux_table.os, "listdir", None)
    monkeypatch.setattr(portable_table.psutil, "pids", None)
    assert [record.identity for record in read_lineage(os.getpid())] == whole
    assert len(read_lineage(2**22 + 1)) == 0


def test_both_backends_give_the_same_token():
    assert linux_table.identify(os.getpid()) == portable_table.identify(os.getpid())
    assert linux_table.boot_id() == portable_table.boot_id()


def test_the_token_survives_exec_and_a_change_of_folder(backend, processes):
    replace = "import os; os.chdir('/'); os.execv(sys.executable, [sys.executable, '-c', 'input()'])"
    child = processes.python(f"ready(); sys.stdin.readline(); {replace}", stdin=subprocess.PIPE)
    before = identify(child.pid)
    child.popen.stdin.write(b"\n")
    child.popen.stdin.flush()
    wait_until(lambda: details(child.pid).argv[-1] == "input()", "the exec")
    assert identify(child.pid) == before


def test_identify_knows_nobody_under_a_free_pid(backend, processes):
    child = processes.python("ready(); rest()")
    identity = identify(child.pid)
    child.process.kill()
    child.popen.wait()
    assert identify(child.pid) is None
    assert has_ended(identity)
    assert identify(0) is identify(-1) is None


def test_a_zombie_has_ended_and_still_has_its_identity(backend, processes):
    child = processes.python("ready(); rest()")
    identity = identify(child.pid)
    child.process.kill()
    wait_gone([child.process])
    assert identify(child.pid) == identity
    assert has_ended(identity)
    assert read_snapshot().get(child.pid).is_zombie
    record = details(child.pid)
    assert (record.argv, record.cwd, record.environment) == (None, None, None)


@pytest.mark.linux
def test_a_process_whose_first_thread_ended_is_no_zombie(backend, processes):
    if backend == "portable":
        return  # what psutil calls a zombie is one for the portable table: it is left alone
    child = processes.python(
        "import ctypes, threading\n"
        "def state():\n    return open('/proc/self/stat').read().rsplit(')', 1)[1].split()[0]\n"
        "def other():\n"
        "    while state() != 'Z': os.sched_yield()\n"
        "    ready(); signal.sigwait([signal.SIGUSR1])\n"
        "threading.Thread(target=other).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    identity = wait_until(lambda: identify(child.pid), "an identity")
    assert not read_snapshot().get(child.pid).is_zombie
    assert not has_ended(identity)
    child.popen.kill()
    child.popen.wait()


def test_a_successor_with_the_same_pid_is_not_the_process(backend, processes):
    child = processes.python("ready(); rest()")
    snapshot = read_snapshot()
    record = snapshot.get(child.pid)
    token = record.identity.start_token
    older = type(record)(identity=ProcessIdentity(child.pid, token - 1), state="S")
    stale = type(snapshot)([older, snapshot.get(os.getpid())], self_pid=os.getpid(), boot_id=boot_id())
    filled = read_details(stale, [child.pid, os.getpid()])
    assert filled.get(child.pid) is None
    assert filled.get(os.getpid()).argv is not None
    assert has_ended(older.identity)


def test_a_process_that_ended_loses_its_row_and_nobody_else_does(backend, processes):
    child = processes.python("ready(); rest()")
    snapshot = read_snapshot()
    child.process.kill()
    child.popen.wait()
    filled = read_details(snapshot, [child.pid, 2**22 + 1])
    assert filled.get(child.pid) is None
    assert {record.pid for record in filled} == {record.pid for record in snapshot} - {child.pid}


def test_the_folder_a_process_stands_in_is_known_by_inode(backend, processes, tmp_path):
    child = processes.python("ready(); rest()", cwd=tmp_path)
    found = details(child.pid).cwd
    here = tmp_path.stat()
    assert (found.path, found.deleted) == (os.path.realpath(tmp_path), False)
    assert found.file_id == (here.st_dev, here.st_ino)


@pytest.mark.linux
def test_a_deleted_folder_is_deleted_even_when_it_was_created_again(backend, processes, tmp_path):
    folder = tmp_path / "feature"
    folder.mkdir()
    child = processes.python("ready(); rest()", cwd=folder)
    inode = folder.stat().st_ino
    folder.rmdir()
    assert details(child.pid).cwd.deleted
    folder.mkdir()
    found = details(child.pid).cwd
    assert (found.path, found.deleted) == (os.path.realpath(folder), True)
    assert found.file_id.inode == inode


def test_a_folder_that_was_moved_is_not_deleted(backend, processes, tmp_path):
    (tmp_path / "here").mkdir()
    child = processes.python("ready(); rest()", cwd=tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    found = details(child.pid).cwd
    assert (found.path, found.deleted) == (os.path.realpath(tmp_path / "there"), False)


def test_a_folder_with_a_misleading_name_is_not_deleted(backend, processes, tmp_path):
    folder = tmp_path / "feature (deleted)"
    folder.mkdir()
    child = processes.python("ready(); rest()", cwd=folder)
    found = details(child.pid).cwd
    assert (found.path, found.deleted) == (os.path.realpath(folder), False)


def test_arguments_keep_their_blanks(backend, processes):
    child = processes.python("ready(); rest()", "two words", "", "last")
    record = details(child.pid)
    assert record.argv[-3:] == ("two words", "", "last")
    assert os.path.realpath(record.exe) == os.path.realpath(sys.executable)
    assert record.script is None


def test_a_title_of_one_element_stays_one_element(backend, processes):
    child = processes.popen(["next-server (v16)"], executable=shutil.which("cat"), stdin=subprocess.PIPE)
    assert details(child.pid).argv == ("next-server (v16)",)


@pytest.mark.linux
def test_a_title_written_over_the_arguments_is_one_element(backend, processes):
    child = processes.python(
        "import ctypes\n"
        "count, values = ctypes.c_int(), ctypes.POINTER(ctypes.c_char_p)()\n"
        "raw = open('/proc/self/cmdline', 'rb').read()\n"
        "stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()\n"
        "title = b'next-server (v16)'\n"
        "ctypes.memset(int(stat[45]), 0, len(raw))\n"  # arg_start, field 48 of proc(5)
        "ctypes.memmove(int(stat[45]), title, len(title))\n"
        "ready(); rest()",
        "some",
        "more",
    )
    assert details(child.pid).argv == ("next-server (v16)",)


def test_the_script_behind_a_link_is_found(backend, processes, tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "pkg" / "start.py").write_text("import sys; print(flush=True); sys.stdin.read()\n")
    (tmp_path / "bin" / "mint").symlink_to("../pkg/start.py")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = processes.popen([sys.executable, "-I", "bin/mint", "dev"], cwd=tmp_path, **pipes)
    child.stdout.readline()
    record = details(child.pid)
    assert record.argv[2] == "bin/mint"
    assert record.script == os.path.realpath(tmp_path / "pkg" / "start.py")


def test_of_an_environment_only_the_keys_of_devrun_are_read(backend, processes, tmp_path):
    stamp = {"DEVRUN_RUN": "r1", "DEVRUN_SERVICE": "web", "DEVRUN_WORKTREE": "/w", "DEVRUN_STATE_DIR": "/s"}
    env = {**os.environ, **stamp, "PWD": "/w/app", "INIT_CWD": "/w", "TOKEN": "hunter2"}
    child = processes.python("ready(); rest()", env=env)
    record = details(child.pid)
    assert (record.stamp.run, record.stamp.service, record.stamp.worktree, record.stamp.state_dir) == (
        "r1",
        "web",
        "/w",
        "/s",
    )
    assert (record.environment.pwd, record.environment.init_cwd) == ("/w/app", "/w")
    assert "hunter2" not in repr(record)


def test_a_process_without_stamp_has_an_environment_without_one(backend, processes):
    environment = details(processes.python("ready(); rest()").pid).environment
    assert environment is not None
    assert environment.stamp is None


def test_the_portable_table_hides_the_environment_of_system_shells(monkeypatch, processes):
    monkeypatch.setenv("DEVRUN_PORTABLE", "1")
    child = processes.popen(["/bin/sh", "-c", "read answer; exit"], stdin=subprocess.PIPE)
    assert details(child.pid).environment is None


@pytest.mark.linux
def test_namespaces_are_those_of_this_process(backend):
    own = details(os.getpid())
    assert own.pid_namespace == os.stat("/proc/self/ns/pid").st_ino
    assert own.mount_namespace == os.stat("/proc/self/ns/mnt").st_ino


def test_facts_of_another_user_are_unknown_and_not_empty(backend, as_nobody):
    read_snapshot()  # what is imported lazily is not readable for nobody
    read_details(read_snapshot(), [os.getpid()])
    answer = as_nobody(
        lambda: [(record.cwd, record.environment, record.pid_namespace, record.uid) for record in [details(1)]]
    )
    assert answer == "[(None, None, None, 0)]"


def test_a_process_that_may_not_be_dumped_is_still_its_users(backend, as_nobody):
    read_snapshot()
    uid = as_nobody(lambda: read_snapshot().get(os.getpid()).uid)
    assert uid == str(65534 if os.geteuid() == 0 else os.geteuid())


@pytest.mark.linux
def test_a_name_with_parentheses_and_line_feeds_does_not_shift_the_columns(backend, processes):
    child = processes.python("import ctypes; ctypes.CDLL(None).prctl(15, b') Z 1 (\\n', 0, 0, 0); ready(); rest()")
    record = read_snapshot().get(child.pid)
    assert record.ppid == os.getpid()
    assert record.state in {"R", "S"}
    if backend == "linux":
        assert record.name == ") Z 1 (\n"


@pytest.mark.linux
def test_exhausted_descriptors_raise_instead_of_leaving_holes(as_nobody, monkeypatch):
    def starved():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        return len(read_snapshot())

    read_snapshot()
    assert "Too many open files" in as_nobody(starved)


def test_a_terminal_is_told_by_its_device_number(backend, processes):
    import pty

    master, slave = pty.openpty()
    take = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    child = processes.python(f"{take}; ready(); rest()", stdin=slave, start_new_session=True)
    quiet = processes.python("ready(); rest()", start_new_session=True)
    try:
        snapshot = read_snapshot()
        assert snapshot.get(child.pid).tty == os.fstat(slave).st_rdev
        assert snapshot.get(quiet.pid).tty == 0
        child.process.send_signal(signal.SIGKILL)
        child.popen.wait()
    finally:
        os.close(slave)
        os.close(master)


@pytest.mark.linux
def test_a_proc_of_another_namespace_is_refused_with_a_hint(monkeypatch):
    module._choose_table.cache_clear()
    monkeypatch.setattr(linux_table, "works", lambda: False)
    try:
        with pytest.raises(DevrunError, match="another pid namespace") as refused:
            read_snapshot()
        assert "mount -t proc" in refused.value.hint
    finally:
        module._choose_table.cache_clear()


def test_after_preparing_nothing_is_imported_any_more(backend):
    code = (
        "import sys, os, time\n"
        "from devrun.system import processes\n"
        "processes.prepare()\n"
        "class Missing:\n"
        "    def find_spec(self, name, *_): raise ImportError('too late for ' + name)\n"
        "sys.meta_path[:] = [Missing()]\n"
        "from devrun.system.processes import *\n"
        "from devrun.system.sockets import read_listeners, listeners_on, can_bind\n"
        "from devrun.system.control import SystemControl\n"
        "from devrun.system.execute import drive, execute\n"
        "from devrun.model import *\n"
        "child = os.fork()\n"
        "if child == 0:\n    import signal; signal.pause()\n"
        "rows = read_details(read_snapshot(), [child, os.getpid()])\n"
        "read_listeners(); listeners_on([1]); can_bind(9)\n"
        "step = Classified(rows.get(child), Verdict.STOP, 'test', 'test')\n"
        "plan = KillPlan(steps=(step,))\n"
        "results = drive(execute(plan, SystemControl(), deadline=time.monotonic() + 30, rescan=KillPlan))\n"
        "print(results[0].outcome.value)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("terminated\n", "")
