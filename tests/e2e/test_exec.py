"""`exec` brings up what a command needs and takes down what it started; `run` only lends the environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from devrun.state import open_state
from tests.support.devrun import PROGRAM
from tests.support.processes import DEADLINE, lives, wait_gone, wait_until

FETCH = "import os,urllib.request as r; print(r.urlopen(os.environ['WEB_URL'].replace('localhost','127.0.0.1')).status)"


def gate(session, name):
    path = os.path.join(session.path, name)
    os.mkfifo(path)
    return path


def open_gate(path):
    with open(path, "w", encoding="ascii") as opened:
        opened.write("\n")


class Waiting:
    """An `exec` whose command says that it runs, and waits for a gate."""

    def __init__(self, session, name, *words):
        self.started, self.gate = gate(session, f"{name}-started"), gate(session, f"{name}-gate")
        script = f"echo $$ > {self.started}; read _ < {self.gate}; echo $WEB_PORT"
        self.popen = session.popen("exec", *words, "--", "sh", "-c", script)

    def pid(self):
        with open(self.started, encoding="ascii") as opened:
            return int(opened.read())

    def finish(self):
        open_gate(self.gate)
        return self.popen.communicate(timeout=60)


# ------------------------------------------------------------------------------------------ exec


def test_exec_runs_the_command_against_ready_services_and_leaves_nothing(session):
    session.services(web="listener", api={"shape": "listener", "depends_on": ["web"]})
    done = session("exec", "--", "python3", "-c", FETCH)
    assert (done.returncode, done.stdout) == (0, "200\n")
    assert session.handshake.wait_gone()
    assert session.json("ps")["run"] is None


def test_the_command_has_ports_of_all_and_neither_stamp_nor_port(session):
    session.services(web="listener")
    done = session("exec", "env", env={**os.environ, "PORT": "1", "DEVRUN_RUN": "x", "DEVRUN_SERVICE": "y"})
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {"WEB_PORT", "WEB_URL", "DEVRUN_SLOT", "DEVRUN_OFFSET"} <= names
    assert names.isdisjoint({"PORT", "DEVRUN_RUN", "DEVRUN_SERVICE", "DEVRUN_WORKTREE"})


@pytest.mark.parametrize(
    ("words", "code"),
    [(["sh", "-c", "exit 5"], 5), (["sh", "-c", "kill -TERM $$"], 143), (["sh", "-c", "kill -KILL $$"], 137)],
)
def test_the_code_is_the_commands(session, words, code):
    session.services(web="listener")
    assert session("exec", "--", *words).returncode == code
    assert session.handshake.wait_gone()


def test_a_missing_command_is_127_and_starts_nothing(session):
    session.services(web={"command": "touch started; sleep 1000"})
    done = session("exec", "--", "no-such-command")
    assert done.returncode == 127
    assert "there is no command `no-such-command`" in done.stderr
    assert not os.path.exists(os.path.join(session.path, "started"))


def test_a_file_that_is_no_program_is_126(session):
    session.services(web="listener")
    with open(os.path.join(session.path, "notes"), "w", encoding="ascii"):
        pass
    assert session("exec", "--", "./notes").returncode == 126


def test_narration_is_never_on_stdout_and_options_after_the_command_are_its_own(session):
    session.services(web="listener")
    done = session("exec", "echo", "--json", "-s", "--", "x")
    assert (done.returncode, done.stdout) == (0, "--json -s -- x\n")


def test_only_what_is_named_is_started(session):
    session.services(web="listener", db="listener", other={"command": "touch other; sleep 1000"})
    done = session("exec", "-s", "web", "-s", "db", "--", "true")
    assert done.returncode == 0
    assert not os.path.exists(os.path.join(session.path, "other"))


def test_services_that_do_not_get_ready_are_exit_124_with_their_last_lines(session):
    session.services(web={"command": "echo thinking; sleep 1000", "port": session.base})
    done = session("exec", "--timeout", "1", "--", "touch", "ran")
    assert done.returncode == 124
    assert "  web | thinking" in done.stderr
    assert not os.path.exists(os.path.join(session.path, "ran"))
    assert session.json("ps")["run"] is None


def test_beside_a_live_run_who_is_not_ready_is_named_too(session):
    session.services(web="listener", slow={"command": "echo thinking; sleep 1000", "port": session.base + 400})
    session.json("up", "-d", "--wait", "web")
    for words in (
        ("exec", "-s", "slow", "--timeout", "1", "--", "touch", "ran"),
        ("up", "-d", "--wait", "--timeout", "1"),
    ):
        done = session(*words)
        assert done.returncode == 124
        assert done.stderr.endswith(
            "  slow | thinking\nerror: not ready after 1 s: `slow` (running)\nhint: `devrun logs`\n"
        )
        assert session.states() == {"web": "ready", "slow": "stopped"}
    assert not os.path.exists(os.path.join(session.path, "ran"))


def test_a_service_that_fails_is_the_code_of_exec(session):
    session.services(web={"command": "exit 6", "port": session.base})
    assert session("exec", "--", "true").returncode == 6


# ------------------------------------------------------------------------------ beside a live run


def test_a_server_that_exits_with_0_before_it_is_ready_is_no_success(session):
    session.services(web={"command": "true", "port": session.base})
    for words in (("exec", "--", "echo", "ran"), ("up", "-d", "--wait")):
        done = session(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "`web` exited with code 0, before everything was ready" in done.stderr


def test_the_command_runs_after_services_that_only_had_to_complete(session):
    session.services(migrate={"command": "true"}, seed={"command": "true", "depends_on": {"migrate": "completed"}})
    done = session("exec", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_beside_a_live_run_exec_uses_it_and_leaves_it(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    (web,) = session.handshake.wait(1)
    done = session("exec", "--", "python3", "-c", FETCH)
    assert (done.returncode, done.stdout) == (0, "200\n")
    assert lives(web.process)
    assert session.states() == {"web": "ready"}


def test_beside_a_live_run_only_what_was_missing_is_started_and_stopped(session):
    session.services(web="listener", db={"shape": "listener", "profiles": ["db"]})
    session.json("up", "-d", "--wait")
    waiting = Waiting(session, "a", "-s", "db")
    waiting.pid()
    assert session.states() == {"web": "ready", "db": "ready"}
    waiting.finish()
    assert session.states() == {"web": "ready", "db": "stopped"}


def test_two_execs_share_a_run_and_the_last_one_ends_it(session):
    session.services(web="listener")
    first = Waiting(session, "a")
    first.pid()
    second = Waiting(session, "b")
    second.pid()
    out, _ = first.finish()
    assert first.popen.returncode == 0
    assert session.states() == {"web": "ready"}
    assert second.finish()[0] == out
    assert session.handshake.wait_gone()
    assert session.json("ps")["run"] is None


def test_execs_that_are_called_at_once_share_a_run(session):
    session.services(web="listener")
    crowd = [session.popen("exec", "--", "true") for _ in range(4)]
    assert [(each.communicate()[1], each.returncode) for each in crowd] == [("", 0)] * 4
    assert session.handshake.wait_gone()


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("devrun.commands.exec", ["exec", "--", "echo", "it ran"], "it ran\n"),
        ("devrun.run.bringup", ["up", "-d"], "started in the background: run "),
    ],
)
def test_who_joins_a_run_in_the_moment_it_ends_starts_one_of_its_own(session, module, words, said):
    """Here by hand: the first look at the run does not see yet that it is ending."""
    session.services(web={"shape": "stubborn", "stop": {"timeout": 1}})
    session.json("up", "-d")
    session.handshake.wait_shapes("stubborn")
    down = session.popen("down")
    with open_state(create=False) as state:
        wait_until(lambda: state.runs.all()[0].stopping_at is not None, "the run is ending")
    code = (
        "import importlib, sys\n"
        "from devrun.cli import main\n"
        "from devrun.run.talk.live import find_run\n"
        f"verb = importlib.import_module({module!r})\n"
        "careful = verb.wait_for_ending_run\n"
        "def hasty(state, workspace):\n"
        "    verb.wait_for_ending_run = careful\n"
        "    return find_run(state, workspace.worktree)\n"
        "verb.wait_for_ending_run = hasty\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=session.path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[: len(said)]) == (0, said), done.stderr
    down.communicate(timeout=DEADLINE)
    session("down")
    assert session.handshake.wait_gone()


def test_a_run_of_exec_that_somebody_starts_in_the_background_stays(session):
    session.services(web="listener")
    first = Waiting(session, "a")
    first.pid()
    assert session.json("up", "-d")["status"] == "already_running"
    first.finish()
    assert session.states() == {"web": "ready"}


# -------------------------------------------------------------------------------- ends of all kinds


def test_a_signal_is_passed_on_and_everything_is_stopped(session):
    session.services(web="listener")
    waiting = Waiting(session, "a")
    command = psutil.Process(waiting.pid())
    waiting.popen.send_signal(signal.SIGTERM)
    waiting.popen.communicate(timeout=60)
    assert waiting.popen.returncode == 143
    assert not lives(command)
    assert session.handshake.wait_gone()


def test_interrupted_while_services_start_everything_is_stopped(session):
    session.services(web={"shape": "listener", "ready": {"log": "never"}})
    popen = session.popen("exec", "--", "touch", "ran")
    session.handshake.wait(1)
    popen.send_signal(signal.SIGTERM)
    popen.communicate(timeout=60)
    assert popen.returncode == 143
    assert session.handshake.wait_gone()
    assert session.json("ps")["run"] is None
    assert not os.path.exists(os.path.join(session.path, "ran"))


def test_exec_killed_by_sigkill_leaves_no_service(session):
    session.services(web="listener")
    waiting = Waiting(session, "a")
    command = psutil.Process(waiting.pid())
    waiting.popen.kill()
    waiting.popen.wait(60)
    assert session.handshake.wait_gone()
    command.kill()  # the command itself is the caller's, as with any wrapper
    wait_gone([command])
    waiting.popen.communicate(timeout=60)


def test_exec_killed_while_services_start_leaves_no_service(session):
    session.services(web={"shape": "listener", "ready": {"log": "never"}})
    popen = session.popen("exec", "--", "true")
    session.handshake.wait(1)
    popen.kill()
    popen.communicate(timeout=60)
    assert session.handshake.wait_gone()


def test_exec_killed_before_it_could_hold_what_it_started_leaves_no_service(session, processes):
    """The first service stops it, before it can connect to the run."""
    pidfile = os.path.join(session.path, "pid")
    stops = f"kill -STOP $(cat {pidfile}); exec {session.handshake.text('stubborn')}"
    session.services(web={"command": stops, "stop": {"timeout": 1}})
    starts = f"echo $$ > {pidfile}; exec {PROGRAM} exec -- true"
    popen = processes.popen(["sh", "-c", starts], cwd=session.path)
    session.handshake.wait_shapes("stubborn")
    popen.kill()
    assert session.handshake.wait_gone()


def test_ctrl_c_reaches_the_command_once_and_exec_waits_for_it(session, terminal):
    session.services(web="listener")
    script = "trap 'echo caught; n=1' INT; echo going; while [ -z \"$n\" ]; do sleep 0.05; done; exit 9"
    shown = terminal([PROGRAM, "exec", "--", "sh", "-c", script], cwd=session.path)
    shown.read_until("^going")
    shown.interrupt()
    assert shown.wait() == 9
    assert shown.text.count("caught") == 1
    assert session.handshake.wait_gone()


def test_the_command_reads_the_callers_stdin(session):
    session.services(web="listener")
    done = session("exec", "cat", stdin=None, input="typed\n")
    assert done.stdout == "typed\n"


# ------------------------------------------------------------------------------------------- run


def test_run_becomes_the_command_with_the_environment_and_starts_nothing(session):
    session.services(web="listener")
    done = session("run", "--", "sh", "-c", 'echo "$WEB_PORT ${PORT-none}"; exit 3')
    assert (done.returncode, done.stdout) == (3, f"{session.base} none\n")
    assert session.json("ps")["run"] is None


def test_run_of_a_service_has_its_environment_and_folder(session):
    os.mkdir(os.path.join(session.path, "app"))
    session.services(web={"shape": "listener", "working_dir": "app", "environment": {"MODE": "dev-${worktree.slot}"}})
    done = session("run", "web", "--", "sh", "-c", 'echo "$PORT $MODE ${DEVRUN_RUN-none}"; pwd')
    assert done.stdout == f"{session.base} dev-0 none\n{session.path}/app\n"


def test_run_of_a_missing_command_is_127_and_without_one_a_usage_error(session):
    session.services(web="listener")
    assert session("run", "--", "no-such-command").returncode == 127
    assert session("run", "web", "--").returncode == 2
    assert session("run", "nobody", "--", "true").returncode == 2


def test_a_signal_to_run_is_a_signal_to_the_command(session):
    session.services(web="listener")
    started = gate(session, "started")
    popen = session.popen("run", "--", "sh", "-c", f"echo $$ > {started}; exec sleep 1000")
    with open(started, encoding="ascii") as opened:
        pid = int(opened.read())
    assert pid == popen.pid
    popen.terminate()
    assert popen.wait(30) == -signal.SIGTERM
    popen.communicate(timeout=30)


def test_exec_outside_of_any_project_is_a_usage_error(tmp_path):
    done = subprocess.run([PROGRAM, "exec", "--", "true"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
