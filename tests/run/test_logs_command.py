"""`devrun logs`: the newest run of this worktree, alive or ended."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time

import pytest

from devrun.cli import main
from devrun.model import RunRecord
from devrun.run.output.logs import LogFolder, Stream
from devrun.state import open_state
from devrun.system.locks import FileLock
from devrun.worktrees.locate import locate

DEADLINE = 30
LIMIT = 60
"""Open files: fewer than the services of these tests have logs."""


class Run:
    """A run as the state folder knows it: a record, a lock that proves it alive, log files."""

    def __init__(self, root, name, *, started_at):
        worktree = locate(str(root))
        with open_state() as state:
            folder = state.runs.make_folder(name)
            names = ("keeper.lock", "supervisor.lock")
            self.locks = [FileLock.take(os.path.join(folder, each)) for each in names]
            state.runs.publish(RunRecord(name, worktree.root, worktree.identity, None, None, "boot", started_at))
        self.logs = LogFolder(os.path.join(folder, "logs"))

    def say(self, service, text, stream=Stream.STDOUT):
        self.logs.file(service).write(stream, text)

    def end(self):
        for lock in self.locks:
            lock.close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def make_run(place):
    made = []

    def make(name="r1", *, root=place, started_at=1.0):
        made.append(Run(root, name, started_at=started_at))
        return made[-1]

    yield make
    for each in made:
        each.logs.close()
        each.end()


def logs(*words):
    return [sys.executable, "-m", "devrun", "logs", *words]


def test_lines_are_shown_with_aligned_names_in_time_order_after_the_run_ended(make_run, capfd):
    run = make_run()
    run.say("web", b"one\n")
    run.say("api", b"two\n", Stream.STDERR)
    run.say("web", b"three")
    run.end()
    assert main(["logs"]) == 0
    assert capfd.readouterr().out == "web | one\napi | two\nweb | three\n"


def test_names_choose_and_a_wrong_one_is_explained(make_run, capfd):
    run = make_run()
    run.say("web", b"one\n")
    run.say("api", b"two\n")
    assert main(["logs", "api", "--no-prefix"]) == 0
    assert capfd.readouterr().out == "two\n"
    assert main(["logs", "wev"]) == 2
    assert "did you mean `web`?" in capfd.readouterr().err


def test_the_name_of_a_formation_means_all_its_instances(make_run, capfd):
    run = make_run()
    for name in ("web.1", "web.2", "api", "web.x"):
        run.say(name, name.encode() + b"\n")
    assert main(["logs", "web", "--no-prefix"]) == 0
    assert capfd.readouterr().out == "web.1\nweb.2\n"


def test_json_is_one_valid_object_a_line_whatever_the_bytes(make_run, capfd):
    run = make_run()
    run.say("web", b'\xff\x00\x1b[31m"\\ \xe2\x82\xac\n')
    run.say("web", b"piece ", Stream.TTY)
    run.say("web", b"end\n", Stream.TTY)
    assert main(["logs", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [set(row) for row in rows] == [{"time", "service", "stream", "text"}] * 2
    assert rows[0]["text"] == '\ufffd\x00\x1b[31m"\\ €'
    assert (rows[1]["service"], rows[1]["stream"], rows[1]["text"]) == ("web", "tty", "piece end")


def test_the_last_lines_and_those_since(make_run, capfd):
    run = make_run()
    run.say("web", b"1\n2\n3\n")
    assert main(["logs", "-n", "2"]) == 0
    assert capfd.readouterr().out == "web | 2\nweb | 3\n"
    assert main(["logs", "--since", "2100-01-01"]) == 0
    assert capfd.readouterr().out == ""
    assert main(["logs", "--since", "1h", "--timestamps"]) == 0
    assert len(capfd.readouterr().out.splitlines()[0]) == len("12:00:00 web | 1")


@pytest.mark.parametrize("words", [["-n", "-1"], ["-n", "x"], ["--since", "soon"]])
def test_nonsense_is_a_usage_error(make_run, words, capfd):
    make_run()
    assert main(["logs", *words]) == 2
    assert "error: " in capfd.readouterr().err


def test_without_a_run_there_is_a_hint_and_nothing_is_made(place, tmp_path, capfd):
    assert main(["logs"]) == 1
    assert "hint: `devrun up`" in capfd.readouterr().err
    assert not (tmp_path / "devrun-state").exists()


def test_the_newest_run_of_this_worktree_counts(make_run, tmp_path, capfd):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_run("r1").say("web", b"old\n")
    make_run("r2", started_at=2.0).say("web", b"new\n")
    make_run("r3", root=elsewhere, started_at=3.0).say("web", b"other\n")
    assert main(["logs"]) == 0
    assert capfd.readouterr().out == "web | new\n"


def test_following_shows_history_then_what_comes_and_ends_with_the_run(make_run, processes):
    run = make_run()
    run.say("web", b"before\n")
    child = processes.popen(logs("-f"), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"web | before\n"
    run.say("web", b"after\n")
    assert child.stdout.readline() == b"web | after\n"
    run.say("late", b"a service that was added\n")
    assert child.stdout.readline() == b"late | a service that was added\n"
    run.say("web", b"the last words\n")
    run.end()
    assert child.stdout.read() == b"web  | the last words\n"
    assert child.wait(DEADLINE) == 0
    child.stdout.close()


def test_following_shows_a_prompt_that_has_no_end_of_line(make_run, processes):
    run = make_run()
    run.say("web", b"start\n")
    child = processes.popen(logs("-f", "--color=always"), stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout.readline().endswith(b"start\n")
    run.say("web", b"Continue? ")
    seen = b""
    while not seen.endswith(b"Continue? "):
        seen += os.read(child.stdout.fileno(), 100)
    run.say("api", b"hello\n")
    run.say("web", b"yes\n")
    run.end()
    rest = child.stdout.read()
    assert child.wait(DEADLINE) == 0
    child.stdout.close()
    plain = [line.split(b"| ")[-1].removeprefix(b"\x1b[0m") for line in (seen + rest).split(b"\n")]
    assert plain == [b"Continue? ", b"hello", b"yes", b""]


def test_following_ends_when_nobody_reads_any_more_even_if_nothing_is_said(make_run, processes):
    run = make_run()
    run.say("web", b"one\n")
    child = processes.popen(logs("-f"), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"web | one\n"
    child.stdout.close()
    assert child.wait(DEADLINE) == 141


@pytest.mark.parametrize("words", [(), ("--json",), ("-f",), ("-f", "--json")], ids=" ".join)
def test_without_a_stdout_there_is_nothing_to_show_or_follow(make_run, processes, words):
    make_run().say("web", b"one\n")
    child = processes.popen(["sh", "-c", 'exec "$@" >&-', "sh", *logs(*words)], stderr=subprocess.PIPE)
    assert child.wait(DEADLINE) == 0
    assert child.stderr.read() == b""


def test_following_an_ended_run_is_reading_it(make_run, capfd):
    run = make_run()
    run.say("web", b"one\n")
    run.end()
    started = time.monotonic()
    assert main(["logs", "-f"]) == 0
    assert capfd.readouterr().out == "web | one\n"
    assert time.monotonic() - started < DEADLINE


def test_no_line_is_lost_or_doubled_while_a_busy_service_rotates(make_run, processes):
    run = make_run()
    run.logs.rotate_at = 200_000
    total = 3000

    def write():
        for number in range(0, total, 10):
            run.say("web", b"".join(b"%d\n" % each for each in range(number, number + 10)))
            threading.Event().wait(0.0005)
        run.end()

    run.say("web", b"first\n")
    child = processes.popen(logs("-f", "--no-prefix"), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"first\n"
    writer = threading.Thread(target=write)
    writer.start()
    seen = child.stdout.read()
    writer.join()
    assert child.wait(DEADLINE) == 0
    child.stdout.close()
    assert seen.split() == [b"%d" % number for number in range(total)]


def test_following_ends_when_the_run_was_pruned(make_run, processes, tmp_path):
    run = make_run()
    run.say("web", b"one\n")
    child = processes.popen(logs("-f"), stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"web | one\n"
    shutil.rmtree(tmp_path / "devrun-state" / "runs" / "r1")
    assert child.stdout.read() == b""
    assert child.wait(DEADLINE) == 0
    child.stdout.close()


@pytest.mark.parametrize("words", [(), ("-n", "500"), ("-f",), ("--json",)])
def test_services_beyond_the_limit_of_open_files_have_their_lines_shown(make_run, words):
    run = make_run()
    for number in range(LIMIT):
        run.say(f"s{number}", b"hello\n")
    run.end()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))}
    shown = subprocess.run(logs(*words), stdout=subprocess.PIPE, text=True, check=True, timeout=DEADLINE, **soft)
    assert shown.stdout.count("hello") == LIMIT


@pytest.mark.parametrize("words", [(), ("-n", "500"), ("-f",)])
def test_lines_that_cannot_be_shown_for_want_of_open_files_are_not_left_out_in_silence(make_run, words):
    run = make_run()
    for number in range(LIMIT):
        run.say(f"s{number}", b"hello\n")
    run.end()
    hard = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))}
    done = subprocess.run(logs(*words), capture_output=True, text=True, check=False, timeout=DEADLINE, **hard)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: too many open files\nhint: `ulimit -n 4096`, and again\n"
