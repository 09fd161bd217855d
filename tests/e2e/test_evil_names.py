"""A worktree whose folder has escape sequences and line ends in its name: every command shows, none obeys."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.support.devrun import PROGRAM, devrun
from tests.support.repositories import Repository

NAME = "ev\x1b[31mil\x07\nerror: forged\tx"
SHOWN = r"ev\x1b[31mil\a\nerror: forged\tx"
SERVICES = "services: {web: {command: cat, port: 23821}}\n"
HUMAN = [
    ("ports",),
    ("ports", "--all"),
    ("ps",),
    ("ps", "--all"),
    ("worktree", "list"),
    ("doctor",),
    ("who", "23821"),
    ("history",),
    ("sweep", "--explain", "--dry-run"),
    ("up",),
    ("check",),
]


@pytest.fixture
def evil(tmp_path):
    made = Repository(tmp_path / NAME, {"services.yaml": SERVICES})
    yield made.path
    devrun("down", cwd=made.path)


def seen_at_a_terminal(*words, cwd):
    """Return what a person's terminal gets from a command, with devrun's colours on."""
    master, slave = pty.openpty()
    with subprocess.Popen([PROGRAM, *words], cwd=cwd, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        chunks = []
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux: EIO is the end
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode()


def test_no_command_sends_them_to_a_terminal_or_a_pipe(evil):
    started = devrun("up", "-d", cwd=evil)
    assert started.returncode == 0
    assert SHOWN in started.stderr
    named = set()
    for words in HUMAN:
        done = devrun(*words, cwd=evil)
        text = seen_at_a_terminal(*words, cwd=evil)
        for each in (done.stdout + done.stderr, text):
            assert not re.search(r"\n(?:\x1b\[[0-9;]*m)*error: forged", f"\n{each}"), (words, each)
            assert not re.search(r"ev\x1b|\x07|forged\t", each), (words, each)
            named |= {words[0]} if SHOWN in each else set()
    assert named >= {"ports", "ps", "worktree", "who", "up"}


def test_what_a_shell_evaluates_is_exact(evil):
    script = 'eval "$("$0" env)"; printf %s "$DEVRUN_ENV"'
    done = subprocess.run(["sh", "-c", script, PROGRAM], cwd=evil, capture_output=True, text=True, check=True)
    assert done.stdout == evil


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 only")
def test_a_stranger_in_a_folder_whose_name_is_no_text_is_refused_and_harms_no_run(session, processes, tmp_path):
    session.services(web="listener", api="stubborn")
    session.json("up", "-d", "--wait")
    session.json("stop", "web")
    stranger = Repository(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9")))
    listening = "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); ready(); rest()"
    child = processes.python(listening, str(session.base), cwd=stranger.path)
    done = session("start", "web")
    assert done.returncode == 3
    assert f"pid {child.pid} " in done.stderr
    assert session.states() == {"web": "failed", "api": "ready"}


def test_a_service_that_joins_a_run_gets_variables_that_are_no_text(session):
    show = "import os, sys; print(os.environb[b'ODD'].hex(), flush=True); sys.stdin.read()"
    session.services(web="listener", show={"command": [sys.executable, "-c", show], "ready": {"log": "61"}})
    session.json("up", "-d", "web")
    done = session("up", "-d", "--wait", "show", env={**os.environ, "ODD": os.fsdecode(b"a\xff")})
    assert done.returncode == 0, done.stderr
    assert session("logs", "show").stdout == "show | 61ff\n"
