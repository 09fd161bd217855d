"""The guard guards: a test that leaks on purpose fails, and what it leaked is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from tests.support.processes import lives

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

LEAK_A_DAEMON = """
import os, signal
def test_leaks():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open({path!r}, "w").write(str(os.getpid()))
            os.close(reader); os.close(writer)
            signal.pause()
        os._exit(0)
    os.wait()
    os.close(writer)
    os.read(reader, 1)
"""
CLEAN = """
import subprocess, sys
def test_is_clean():
    subprocess.run([sys.executable, "-c", ""], check=True)
"""
CHANGES_ENVIRONMENT = """
import os
def test_sets_a_variable():
    os.environ["LEFT_BEHIND"] = "1"
"""
CHANGES_FOLDER = """
import os
def test_walks_away():
    os.chdir("/")
"""


def run_under_guard(tmp_path, code):
    (tmp_path / "test_inner.py").write_text(code)
    words = ["-m", "pytest", "-q", "-p", "tests.support.leak_guard", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, *words, "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path / "test_inner.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_leaked_daemon_fails_the_test_and_is_killed(tmp_path):
    path = tmp_path / "pid"
    done = run_under_guard(tmp_path, LEAK_A_DAEMON.format(path=str(path)))
    assert done.returncode == 1, done.stdout
    assert "the test left processes behind" in done.stdout
    pid = int(path.read_text())
    assert f"pid {pid}" in done.stdout
    assert not psutil.pid_exists(pid) or not lives(psutil.Process(pid))


@pytest.mark.parametrize(
    ("code", "complaint"),
    [(CHANGES_ENVIRONMENT, "LEFT_BEHIND"), (CHANGES_FOLDER, "another working directory")],
    ids=["environment", "folder"],
)
def test_what_a_test_changes_for_its_successors_fails_it(tmp_path, code, complaint):
    done = run_under_guard(tmp_path, code)
    assert done.returncode == 1, done.stdout
    assert complaint in done.stdout


def test_a_clean_test_passes(tmp_path):
    done = run_under_guard(tmp_path, CLEAN)
    assert done.returncode == 0, done.stdout + done.stderr
