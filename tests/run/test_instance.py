"""One life of a service on real processes: anchor, tether, pipes."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from pathlib import Path

import psutil
import pytest

from devrun.config.project import Service, Stdin
from devrun.run import instance as instances
from devrun.run.instance import launch
from devrun.run.loop import Loop
from devrun.system.spawn import SpawnError
from tests.support.processes import wait_gone

DEADLINE = 30.0


class Life:
    """An instance in a loop of its own, with everything it wrote."""

    def __init__(self, command, tmp_path, **options):
        self.loop = Loop()
        self.written = {}
        self.codes = []
        service = Service(name="web", command=command, working_dir=str(tmp_path), **options)
        self.instance = launch(service, {**os.environ, "PWD": str(tmp_path)}, feed=self._feed)
        self.anchor = psutil.Process(self.instance.anchor.pid)
        self.instance.attach(self.loop, on_exit=lambda each: self.codes.append(each.exit_code))

    def _feed(self, stream, chunk):
        self.written[stream] = self.written.get(stream, b"") + chunk

    def until(self, condition):
        limit = self.loop.now() + DEADLINE
        while not condition():
            assert self.loop.now() < limit, self.written
            self.loop.turn(0.5)

    def until_says(self, text, stream="stdout"):
        self.until(lambda: text in self.written.get(stream, b""))

    def main(self):
        return self.anchor.children()[0]

    def close(self):
        for each in (*self.anchor.children(recursive=True), self.anchor):
            each.kill()
        self.anchor.wait()
        self.instance.finish()
        self.loop.close()


@pytest.fixture
def live(tmp_path):
    made = []

    def start(command, **options):
        made.append(Life(command, tmp_path, **options))
        return made[-1]

    yield start
    for each in made:
        if each.anchor.is_running():
            each.close()


def python(code):
    return (sys.executable, "-I", "-c", code)


def test_a_command_gets_default_signals_whatever_devrun_ignores(live):
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)}
    try:
        life = live("grep SigIgn /proc/self/status")
        life.until(lambda: life.codes)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert int(life.written["stdout"].split()[1], 16) == 0


def test_a_command_inherits_nothing_but_its_three_descriptors(live, tmp_path):
    held = os.open(tmp_path / "held", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(held, True)
    try:
        life = live(python("import os; print(sorted(int(each) for each in os.listdir('/proc/self/fd'))[:-1])"))
        life.until(lambda: life.codes)
    finally:
        os.close(held)
    assert life.written["stdout"] == b"[0, 1, 2]\n"  # the last one was the folder being listed


def test_stdin_is_the_controlling_terminal_of_a_session_of_its_own(live):
    life = live(python("import os; print(os.isatty(0), os.tcgetpgrp(0), os.getsid(0))"))
    life.until(lambda: life.codes)
    session = str(life.instance.anchor.pid).encode()
    assert life.written["stdout"].split() == [b"True", session, session]


def test_stdin_null_reads_an_end_of_file_and_keeps_the_tether(live):
    life = live("cat; tty < /dev/tty", stdin=Stdin.NULL)
    life.until(lambda: life.codes)
    assert life.written["stdout"].startswith(b"/dev/")


def test_a_prompt_of_a_service_without_input_is_seen_however_long_nobody_had_the_terminal_open(live, tmp_path):
    os.mkfifo(tmp_path / "gate")
    life = live("echo up; read _ < gate; printf 'password: ' > /dev/tty; read _ < /dev/tty", stdin=Stdin.NULL)
    life.until_says(b"up")
    life.loop.turn(0)
    with open(tmp_path / "gate", "w", encoding="ascii") as gate:
        gate.write("go\n")
    life.until_says(b"password: ", "tty")
    assert not life.codes


def test_closing_the_master_hangs_up_on_a_service_without_input(live):
    life = live("echo up; exec sleep 1000", stdin=Stdin.NULL)
    life.until_says(b"up")
    tree = [life.anchor, *life.anchor.children(recursive=True)]
    life.instance.finish()
    assert wait_gone(tree) == []


@pytest.mark.parametrize("tty", [False, True])
def test_a_paused_service_is_not_read_but_for_a_prompt_on_its_terminal(live, tty):
    life = live("printf 'password: ' > /dev/tty; exec yes", tty=tty)
    life.instance.pause()
    if not tty:
        life.until_says(b"password: ", "tty")
    for _ in range(20):
        life.loop.turn(0.01)
    assert sum(map(len, life.written.values())) == (0 if tty else len(b"password: "))


def test_without_a_pty_the_service_runs_on_dev_null(live, monkeypatch):
    monkeypatch.setattr(instances, "open_tether", lambda _size: None)
    life = live("cat; echo done")
    life.until(lambda: life.codes)
    assert life.codes == [0]
    assert life.written["stdout"] == b"done\n"


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -TERM $$", 143), ("/no/such/program", 127)])
def test_the_status_of_the_main_process_is_told_once(live, command, code):
    life = live(command)
    life.until(lambda: life.codes)
    assert life.codes == [code]


def test_nobody_comments_on_the_end_of_the_command(live):
    life = live("kill -TERM $$")
    life.until(lambda: life.codes)
    life.instance.let_go()
    life.anchor.wait(DEADLINE)
    life.instance.finish()
    assert life.written["stderr"] == b""


def test_the_anchor_stays_until_it_is_let_go(live):
    life = live("true")
    life.until(lambda: life.codes)
    assert life.anchor.is_running()
    life.instance.let_go()
    life.anchor.wait(DEADLINE)
    life.instance.finish()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP])
def test_the_anchor_outlives_what_a_stop_or_a_terminal_sends(live, signum):
    life = live(python("import signal; print('up', flush=True); signal.pause()"))
    life.until_says(b"up")
    life.anchor.send_signal(signum)
    main = life.main()
    main.send_signal(signal.SIGTERM)
    life.until(lambda: life.codes)
    assert life.codes == [143]
    assert life.anchor.is_running()


def test_an_anchor_that_is_killed_counts_as_a_killed_service(live):
    life = live(python("import signal; print('up', flush=True); signal.pause()"))
    life.until_says(b"up")
    os.killpg(life.anchor.pid, signal.SIGKILL)
    life.until(lambda: life.codes)
    assert life.codes == [137]


def test_closing_the_master_hangs_up_the_whole_session(live):
    life = live(f"{sys.executable} -I -c 'import signal; print(1, flush=True); signal.pause()'; true")
    life.until_says(b"1")
    tree = [life.anchor, *life.anchor.children(recursive=True)]
    life.instance.finish()
    assert wait_gone(tree) == []


def test_a_prompt_on_the_terminal_is_seen(live):
    life = live("printf 'password: ' > /dev/tty; read answer < /dev/tty; echo got $answer")
    life.until_says(b"password: ", "tty")
    os.write(life.instance.master, b"secret\n")
    life.until(lambda: life.codes)
    assert life.written["stdout"] == b"got secret\n"


def test_a_service_with_tty_writes_to_a_terminal(live):
    life = live("test -t 1 && test -t 2 && echo yes", tty=True)
    life.until(lambda: life.codes)
    life.until_says(b"yes", "tty")


def test_the_last_line_is_not_lost(live):
    life = live("printf 'last words'")
    life.until(lambda: life.codes)
    life.instance.let_go()
    life.anchor.wait(DEADLINE)
    life.instance.finish()
    assert life.written["stdout"] == b"last words"


@pytest.fixture
def many_descriptors():
    """Let this process open more than FD_SETSIZE files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2048, before[0]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_last_line_is_not_lost_among_hundreds_of_services(live, many_descriptors):
    """Their descriptors have numbers that select(2) cannot take (FD_SETSIZE, 1024)."""
    with contextlib.ExitStack() as stack:
        while (taken := os.open(os.devnull, os.O_RDONLY)) < 1024:
            stack.callback(os.close, taken)
        stack.callback(os.close, taken)
        life = live("printf last")
        life.until(lambda: life.codes)
        life.instance.let_go()
        life.anchor.wait()
        life.instance.finish()
        life.loop.close()
    assert life.written["stdout"] == b"last"


def test_a_folder_that_is_missing_is_said_and_leaves_nothing_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    service = Service(name="web", command="true", working_dir=str(tmp_path / "gone"))
    with pytest.raises(SpawnError) as caught:
        launch(service, {}, feed=lambda _stream, _chunk: None)
    assert caught.value.filename == str(tmp_path / "gone")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def open_descriptors():
    return sorted(os.listdir("/dev/fd"))


def test_a_fork_that_fails_leaves_nothing_open(tmp_path, monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = open_descriptors()
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(BlockingIOError):
        launch(Service(name="web", command="true", working_dir=str(tmp_path)), dict(os.environ), feed=lambda *_: None)
    assert open_descriptors() == before


@pytest.mark.parametrize("word", ["a\0b", "\ud800"])
def test_words_that_no_program_can_be_given_are_said_and_leave_nothing_open(tmp_path, word):
    before = open_descriptors()
    service = Service(name="web", command=("echo", word), working_dir=str(tmp_path))
    with pytest.raises(SpawnError):
        launch(service, dict(os.environ), feed=lambda *_: None)
    assert open_descriptors() == before


def test_a_missing_folder_whose_name_is_no_text_is_said(tmp_path):
    folder = os.path.join(str(tmp_path), os.fsdecode(b"caf\xe9"))
    with pytest.raises(SpawnError) as caught:
        launch(Service(name="web", command="true", working_dir=folder), dict(os.environ), feed=lambda *_: None)
    assert caught.value.filename == folder


def test_a_child_that_cannot_be_identified_is_hung_up_on(tmp_path, monkeypatch):
    def refuse(_pid):
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    before = open_descriptors()
    monkeypatch.setattr(instances, "identify", refuse)
    with pytest.raises(OSError, match=r"(?i)too many open files"):
        launch(Service(name="web", command="cat", working_dir=str(tmp_path)), dict(os.environ), feed=lambda *_: None)
    assert open_descriptors() == before
    for child in psutil.Process().children():
        child.wait(DEADLINE)
