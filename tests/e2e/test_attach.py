"""`attach` is the service's own terminal: what is typed arrives, what is shown comes back, leaving harms nobody."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import termios

import psutil
import pytest

from tests.support.devrun import PROGRAM
from tests.support.processes import lives, wait_until

SIZE = "import os,signal,sys\nsignal.signal(signal.SIGWINCH, lambda *_: print('now', *os.get_terminal_size(0), flush=True))\n"
SIZE += "print('size', *os.get_terminal_size(0), flush=True)\nwhile True: signal.pause()"
ECHO = "import sys\nprint('hello', flush=True)\nfor line in sys.stdin: print('got', line.strip(), flush=True)\nprint('over')"


@pytest.fixture
def attach(session, terminal):
    """Attach at a terminal, and wait until it says so."""

    def start(*words, **options):
        shown = terminal([PROGRAM, "attach", *words], cwd=session.path, **options)
        shown.read_until("attached to")
        return shown

    return start


def python(code, **options):
    return {"command": ["python3", "-u", "-c", code], **options}


def settings(shown):
    return termios.tcgetattr(shown._master)


def test_a_prompt_is_said_shown_on_attaching_and_answered(session, attach, handshake):
    session.services(ask="prompt")
    session.json("up", "-d")
    handshake.wait(1)
    wait_until(lambda: "waits for input" in session("ps").stderr, "the prompt is noticed")
    assert "`ask` waits for input: `devrun attach ask`" in session("logs").stdout
    shown = attach("ask")
    shown.read_until("Password: ")
    shown.type("sesame\r")
    shown.read_until("told sesame")
    shown.type("\x1d")
    assert shown.wait() == 0
    assert "waits for input" not in session("ps").stderr


def test_the_detach_key_is_shown_and_leaves_the_service_alive(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("echo")
    assert "attached to `echo`: Ctrl-] leaves, the service goes on" in shown.text
    shown.type("one\r")
    shown.read_until("got one")
    shown.type("\x1d")
    assert shown.wait() == 0
    assert "left `echo`" in shown.text
    assert session.states() == {"echo": "ready"}


def test_another_detach_key_may_be_chosen(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("echo", "--detach-key", "ctrl-t")
    shown.type("one\x1d\r")
    shown.read_until("got one")
    shown.type("\x14")
    assert shown.wait() == 0


def test_ctrl_c_is_typed_into_the_service(session, attach):
    # Python that is still starting takes SIGINT in ways of its own: it has to have said something.
    session.services(echo=python(ECHO, tty=True, essential=False, ready={"log": "hello"}), other="listener")
    session.json("up", "-d", "--wait")
    shown = attach("echo")
    shown.interrupt()
    shown.read_until("KeyboardInterrupt")
    shown.read_until("`echo` has ended")
    assert shown.wait() == 0
    assert session.states()["other"] == "ready"


def test_the_size_of_the_window_follows(session, attach):
    session.services(size=python(SIZE, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("size", rows=33, columns=99)
    shown.read_until("(now|size) 99 33")
    shown.resize(44, 111)
    shown.read_until("now 111 44")
    shown.type("\x1d")
    assert shown.wait() == 0


@pytest.mark.parametrize("ending", ["key", "term", "service"])
def test_the_terminal_is_as_before_whatever_ends_it(session, attach, terminal, ending):
    session.services(echo=python(ECHO, tty=True), other="listener")
    session.json("up", "-d", "--wait")
    shown = terminal(["sh", "-i"], cwd=session.path, env={**os.environ, "PS1": "$ "})
    shown.read_until(r"\$ ")
    before = settings(shown)
    shown.type(f"{PROGRAM} attach echo; echo left with $?\n")
    shown.read_until("attached to")
    wait_until(lambda: shown.pump() or settings(shown) != before, "raw mode")
    if ending == "key":
        shown.type("\x1d")
    elif ending == "term":
        (client,) = (each for each in shown.process.children() if "attach" in each.cmdline())
        client.terminate()
    else:
        session("stop", "echo")
    shown.read_until(r"left with \d+")
    assert settings(shown)[:4] == before[:4]
    shown.type("exit\n")
    shown.wait()


def test_closing_the_window_leaves_the_service_alive(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("echo")
    pid = session.json("ps")["services"][0]["pid"]
    shown.hang_up()
    assert shown.wait() in {0, 128 + signal.SIGHUP}  # whichever is heard first
    assert lives(psutil.Process(pid))
    assert session.states() == {"echo": "ready"}


def test_a_killed_client_leaves_the_service_alive(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("echo")
    shown.popen.send_signal(signal.SIGKILL)
    shown.wait()
    assert session.states() == {"echo": "ready"}


def test_input_from_a_pipe_is_typed(session):
    session.services(echo=python(ECHO))
    session.json("up", "-d", "--wait")
    done = session("attach", "echo", stdin=None, input="from a pipe\n")
    assert done.returncode == 0
    wait_until(lambda: "got from a pipe" in session("logs").stdout, "the line arrived")


COUNT = """
import hashlib, sys, termios
mode = termios.tcgetattr(0)
mode[3] &= ~termios.ECHO  # what is typed would show in the middle of the answer
termios.tcsetattr(0, termios.TCSANOW, mode)
print('ready', flush=True)
sys.stdin.readline()
found = sys.stdin.read(int(sys.argv[1]))
print('sum', len(found), hashlib.md5(found.encode()).hexdigest(), flush=True)
sys.stdin.read()
"""
PASTE = "".join(f"line {number:07}\n" for number in range(30_000))
SUM = f"sum {len(PASTE)} {hashlib.md5(PASTE.encode(), usedforsecurity=False).hexdigest()}"


def counting():
    settings = python(COUNT, tty=True, ready={"log": "ready"})
    return {**settings, "command": [*settings["command"], str(len(PASTE))]}


def test_a_long_paste_from_a_pipe_arrives_whole(session):
    session.services(count=counting())
    session.json("up", "-d", "--wait")
    done = session("attach", "count", stdin=None, input="go\n" + PASTE)
    assert done.returncode == 0
    wait_until(lambda: SUM in session("logs", "count", "--no-prefix").stdout, "the service has read everything")


def test_a_long_paste_at_a_terminal_arrives_whole(session, attach):
    session.services(count=counting())
    session.json("up", "-d", "--wait")
    shown = attach("count")
    shown.type("go\r")
    shown.paste(PASTE.replace("\n", "\r"))
    shown.read_until(SUM)
    shown.type("\x1d")
    assert shown.wait() == 0


def test_the_detach_key_works_behind_a_paste_that_nobody_reads(session, attach):
    session.services(deaf=python("import time\nprint('deaf', flush=True)\ntime.sleep(3600)", tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("deaf")
    shown.paste("word " * 200_000)
    shown.type("\x1d")
    shown.read_until("left `deaf`, which goes on")
    assert shown.wait() == 0
    assert session.states() == {"deaf": "ready"}


def test_a_reader_that_falls_behind_is_told_that_the_service_goes_on(session):
    session.services(noisy={"command": f"exec yes {'noise' * 20}", "stop": {"timeout": 1}})
    run = session.json("up", "-d", "--wait")["run"]
    attached = session.popen("attach", "noisy", stdin=subprocess.PIPE)
    assert attached.stdout.readline().startswith("noise")
    logs = os.path.join(os.environ["DEVRUN_STATE_DIR"], "runs", run, "logs", "noisy.log")

    def inode():
        return os.stat(logs).st_ino

    for _ in range(2):  # two times the size of a log file were written since, more than is kept for anybody
        before = inode()
        wait_until(lambda before=before: inode() != before, "the log is rotated")
    attached.stdout.read()  # its input is still open: it did not leave
    assert "error: the run hung up; `noisy` goes on\n" in attached.stderr.read()
    attached.communicate()
    assert attached.returncode == 1
    assert session.states() == {"noisy": "ready"}


def test_two_people_see_the_same_terminal(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    one, two = attach("echo"), attach("echo")
    one.type("from one\r")
    two.read_until("got from one")
    two.type("from two\r")
    one.read_until("got from two")
    for each in (one, two):
        each.type("\x1d")
        assert each.wait() == 0


def test_attached_over_a_restart(session, attach):
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    shown = attach("echo")
    session.json("restart", "echo")
    shown.read_until("hello")
    shown.type("again\r")
    shown.read_until("got again")
    shown.type("\x1d")
    assert shown.wait() == 0


def test_a_key_that_cannot_leave_is_a_usage_error(session):
    session.services(echo=python(ECHO))
    assert session("attach", "echo", "--detach-key", "ctrl-c").returncode == 2


def test_a_service_that_is_down_has_no_terminal(session):
    session.services(echo=python(ECHO), other="listener")
    session.json("up", "-d", "--wait")
    session.json("stop", "echo")
    done = session("attach", "echo")
    assert done.returncode == 1
    assert done.stderr == "error: `echo` has no terminal to attach to\nhint: `devrun ps`\n"


IN_THE_BACKGROUND = """
import os, signal, sys
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
os.waitpid(pid, os.WUNTRACED)
for signum in (signal.SIGTERM, signal.SIGCONT): os.kill(pid, signum)
print('it ended:', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_one_in_the_background_of_a_terminal_ends_when_it_is_told_to(session, terminal):
    """As `timeout 5 devrun attach` has it: stopped where it would set the terminal, then TERM and CONT."""
    session.services(echo=python(ECHO, tty=True))
    session.json("up", "-d", "--wait")
    argv = [sys.executable, "-c", IN_THE_BACKGROUND, PROGRAM, "attach", "echo"]
    terminal(argv, cwd=session.path).read_until("it ended: 143")
