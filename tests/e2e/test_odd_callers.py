"""Whoever calls devrun may leave it a process in a strange shape: no reason to hang, to fall over or to misread."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.support.devrun import PROGRAM

DEAF = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])"
"""Ignores SIGCHLD, which survives exec: the kernel then reaps children itself and throws their codes away."""
CROWDED = (
    "import os, resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
    "for number in range(3, 1100): os.dup2(0, number)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Leaves more descriptors open than select(2) can look at."""


def call(caller, *words, cwd):
    argv = [sys.executable, "-c", caller, PROGRAM, *words]
    return subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


def test_exec_has_the_code_of_its_command_where_the_end_of_children_is_ignored(session):
    session.services(web="listener")
    done = call(DEAF, "exec", "--", "sh", "-c", "exit 7", cwd=session.path)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize("words", [["up", "-d"], ["up", "-d", "--wait"], ["exec", "--", "true"]])
def test_a_caller_with_a_thousand_open_descriptors_is_served(session, words):
    session.services(web="listener")
    done = call(CROWDED, *words, cwd=session.path)
    assert done.returncode == 0, done.stderr


def test_attach_looks_at_its_descriptors_whatever_their_numbers(session):
    session.services(web={"command": "while read line; do echo got $line; done"})
    session.json("up", "-d")
    argv = [sys.executable, "-c", CROWDED, PROGRAM, "attach", "web"]
    with subprocess.Popen(argv, cwd=session.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attached:
        attached.stdin.write(b"hello\n")
        attached.stdin.flush()
        assert any(b"got hello" in line for line in attached.stdout)
        attached.stdin.close()
        assert attached.wait(60) == 0


def test_attach_to_what_writes_without_room_for_it_is_told_so(session):
    session.services(web={"command": "exec yes"})
    session.json("up", "-d")
    reader, writer = os.pipe()  # nothing is typed, and nothing ends
    with open("/dev/full", "wb") as full, os.fdopen(reader), os.fdopen(writer):
        done = session("attach", "web", stdin=reader, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: no space left on device\n")


def test_a_reader_who_is_slow_but_reads_gets_the_end_of_a_run_that_was_asked_to_end(session, up):
    """The keeper knows that what it waits for then is a queue of megabytes, and no supervisor that hangs."""
    command = "trap '' TERM; exec yes 01234567890123456789012345678901234567890123456789012345678901234567890123456789"
    session.services(web={"command": command, "stop": {"timeout": 0.5}})
    run = up(cwd=session.path, stderr=subprocess.DEVNULL)
    run.read_until("web | ")
    run.send(signal.SIGTERM)
    while os.read(run.popen.stdout.fileno(), 65536):
        select.select([], [], [], 0.03)  # 2 MB a second, of 8 MB
    assert run.wait() == 128 + signal.SIGTERM


def test_a_system_without_dev_null_is_told_so(session, tmp_path):
    """As in a chroot that somebody made by hand."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text("import os\nos.devnull = '/dev/nothing'\n")
    done = session("ports", env={**os.environ, "PYTHONPATH": str(without)})
    message = "error: `/dev/nothing` cannot be opened: no such file or directory\nhint: `ls -l /dev/nothing`\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
