"""The shapes are what they claim to be, and the builders end what they started."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request

import psutil
import pytest

from tests.support.processes import lives, nothing_happens, wait_gone, wait_until
from tests.support.shapes import COUNTS, MATRIX


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in {"exits", "prompt"}])
def test_every_process_of_a_shape_reports_and_lives(processes, name):
    tree = processes.shape(name)
    assert len(tree.reported) == COUNTS[name]
    assert len({each.pid for each in tree.reported}) == COUNTS[name]
    assert all(lives(each.process) for each in tree.reported)


def test_the_matrix_has_its_eleven_shapes():
    assert len(MATRIX) == 11


def test_the_stubborn_shape_ignores_term_and_int(processes):
    tree = processes.shape("stubborn")
    tree.popen.send_signal(signal.SIGTERM)
    tree.popen.send_signal(signal.SIGINT)
    nothing_happens()
    assert lives(tree.reported[0].process)


def test_the_session_shape_has_left_and_the_background_shape_has_not(processes):
    left = processes.shape("session", start_new_session=True)
    assert os.getsid(left.role("left session").pid) != os.getsid(left.role("main").pid)
    stayed = processes.shape("background", start_new_session=True)
    child, main = stayed.role("background").pid, stayed.role("main").pid
    assert os.getsid(child) == os.getsid(main)
    assert os.getpgid(child) != os.getpgid(main)


@pytest.mark.linux
def test_the_daemon_holds_nothing_and_was_adopted(processes):
    tree = processes.shape("daemon")
    daemon = tree.role("daemon").process
    assert wait_until(lambda: daemon.ppid() == os.getpid(), "the daemon is adopted by the subreaper")
    wanted = {os.devnull, os.path.realpath(tree.handshake.alive_path)}
    assert wait_until(lambda: open_files(daemon.pid) == wanted, "it has closed the file it reported to")


def open_files(pid):
    folder = f"/proc/{pid}/fd"
    return {os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)}


@pytest.mark.linux
def test_the_leaf_of_the_deep_shape_was_adopted(processes):
    leaf = processes.shape("deep").role("leaf").process
    # The pipes of those in between are closed a moment before they are gone.
    wait_until(lambda: leaf.ppid() == os.getpid(), "the adoption of the leaf")


def test_the_stopped_shape_stands_still(processes):
    tree = processes.shape("stopped")
    process = tree.role("stopped").process
    assert wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "stopped")


def test_the_respawner_replaces_a_killed_child(processes):
    tree = processes.shape("respawner")
    first = tree.role("child")
    first.process.kill()
    (second,) = tree.handshake.wait(1)
    assert second.role == "child"
    assert second.pid != first.pid


def test_the_reforker_outlives_one_term(processes):
    tree = processes.shape("reforker")
    tree.role("generation 0").process.terminate()
    (next_one,) = tree.handshake.wait(1)
    assert next_one.role == "generation 1"


def test_the_listener_answers_with_where_it_runs(processes, tmp_path):
    tree = processes.shape("listener", cwd=tmp_path)
    port = tree.reported[0].port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        facts = json.load(answer)
    assert facts == {"shape": "listener", "pid": tree.popen.pid, "cwd": str(tmp_path), "port": port}


def test_the_end_of_a_tree_is_seen_without_polling(processes):
    tree = processes.shape("session")
    for each in tree.reported:
        each.process.terminate()
    assert tree.handshake.wait_gone()
    assert tree.handshake.living() == []


def test_a_one_liner_reports_its_facts(processes):
    child = processes.python("ready(answer=42); rest()")
    assert child.facts == {"pid": child.pid, "answer": 42}
    child.process.terminate()
    assert not wait_gone([child.process])


def test_a_terminal_shows_types_and_interrupts(terminal, processes):
    shown = terminal([sys.executable, "-I", "-c", "print(input('name? ')); import signal; signal.pause()"])
    shown.read_until(r"name\? ")
    shown.type("devrun\n")
    shown.read_until(r"^devrun$")
    shown.interrupt()
    assert shown.wait() in {1, -signal.SIGINT, 130}


def test_hanging_up_a_terminal_ends_its_program(terminal):
    shown = terminal([sys.executable, "-I", "-c", "print('here', flush=True); import signal; signal.pause()"])
    shown.read_until("here")
    shown.hang_up()
    assert shown.wait() == -signal.SIGHUP


def test_a_prompt_is_asked_and_answered_on_the_terminal(terminal, handshake):
    shown = terminal(handshake.argv("prompt"))
    handshake.wait(1)
    shown.read_until("Password: ")
    shown.type("secret\n")
    shown.read_until("told secret")


def test_a_repository_has_worktrees(repository):
    linked = repository.worktree("feature-x")
    assert repository.git("worktree", "list", "--porcelain").count("worktree ") == 2
    repository.remove(linked)
    assert not os.path.exists(linked)
