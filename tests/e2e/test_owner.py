"""A background run ends with its owner, however that ends."""

from __future__ import annotations

import os
import signal
import stat
import sys

import psutil
import pytest

from tests.support.devrun import PROGRAM
from tests.support.processes import DEADLINE, wait_gone


def test_the_run_ends_when_its_owner_is_killed(session, processes):
    session.services(web="listener", tree="tree")
    owner = processes.python("ready(); rest()")
    session.json("up", "-d", "--wait", "--owner-pid", str(owner.pid))
    session.handshake.wait_shapes("listener", "tree")
    shown = session.json("ps")["run"]
    assert shown["owner"] == owner.pid
    assert f"ends with pid {owner.pid} `python" in session("ps").stdout
    run = [psutil.Process(shown["pid"]), psutil.Process(shown["supervisor"])]
    owner.process.send_signal(signal.SIGKILL)
    assert session.handshake.wait_gone()
    assert wait_gone(run) == []
    assert f"process {owner.pid}, which started this run or owns it, has ended" in session("logs").stdout
    assert session.json("ps")["run"] is None


@pytest.mark.parametrize("pid", ["1", "0", "-5", "4194303999"])
def test_an_owner_that_does_not_live_is_a_usage_error_and_nothing_is_started(session, pid):
    session.services(web={"command": "touch started; sleep 1000"})
    done = session("up", "-d", f"--owner-pid={pid}")
    assert done.returncode == 2
    assert "is no living process" in done.stderr
    assert not os.path.exists(os.path.join(session.path, "started"))
    assert session.json("ps")["run"] is None


def test_an_owner_that_is_dead_already_is_a_usage_error(session, processes):
    session.services(web="listener")
    owner = processes.python("ready()")
    owner.popen.wait()
    assert session("up", "-d", "--owner-pid", str(owner.pid)).returncode == 2


def test_owner_auto_is_the_agent_above(session, processes, tmp_path):
    """An agent starts servers through a shell, and is killed: nothing it started stays."""
    session.services(web="listener")
    agent = tmp_path / "claude"
    code = f"import os, signal\nos.system('{PROGRAM} up -d --wait --owner auto; :')\nprint('up', flush=True)\nsignal.pause()\n"
    agent.write_text(f"#!{sys.executable}\n{code}")
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    popen = processes.popen([agent], cwd=session.path, stdin=-1, stdout=-1)
    for line in popen.stdout:
        if line == b"up\n":
            break
    assert session.json("ps")["run"]["owner"] == popen.pid
    popen.kill()
    assert session.handshake.wait_gone()
    assert session.json("ps")["run"] is None


def test_owner_auto_says_when_there_is_nobody(session):
    session.services(web="listener")
    done = session("up", "-d", "--owner", "auto")
    assert done.returncode == 0
    owner = session.json("ps")["run"]["owner"]
    assert (owner is None) == ("no owner found" in done.stderr)


def test_a_launcher_that_is_killed_while_devrun_starts_leaves_nothing(session, processes, tmp_path):
    """A module that devrun needs is slow to load, until the launcher is dead."""
    slow = tmp_path / "slow"
    slow.mkdir()
    os.mkfifo(slow / "gate")
    (slow / "yaml.py").write_text(
        "import os, sys\n"
        "here = os.path.dirname(__file__)\n"
        "with open(os.path.join(here, 'gate')) as gate: gate.read()\n"
        "sys.path.remove(here)\n"
        "del sys.modules['yaml']\n"
        "import yaml\n"
    )
    session.services(web="listener")
    reader, writer = os.pipe()
    starts = ["sh", "-c", f"{PROGRAM} up; true"]
    environment = {**os.environ, "PYTHONPATH": str(slow)}
    launcher = processes.popen(starts, cwd=session.path, env=environment, stdout=writer, stderr=writer)
    os.close(writer)
    with open(slow / "gate", "w", encoding="ascii"):  # opens when devrun reads it
        launcher.kill()
        launcher.wait(DEADLINE)
    with open(reader, encoding="utf-8") as output:
        assert "error: the process that started this command has ended" in output.read()
    assert session.json("ps")["run"] is None


def test_a_foreground_run_may_have_an_owner_too(session, up, processes):
    session.services(web="listener")
    owner = processes.python("ready(); rest()")
    run = up("--owner-pid", str(owner.pid), cwd=session.path)
    session.handshake.wait(1)
    owner.process.kill()
    assert run.wait() == 129
    assert f"process {owner.pid}, which started this run or owns it, has ended" in run.output


def test_without_an_owner_a_background_run_is_nobodys(session):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    assert session.json("ps")["run"]["owner"] is None


def test_a_run_that_is_there_keeps_its_owner_and_that_is_said(session, processes):
    session.services(web="listener")
    session.json("up", "-d", "--wait")
    owner = processes.python("ready(); rest()")
    done = session("up", "-d", "--owner-pid", str(owner.pid))
    assert done.returncode == 0
    assert "the run was started before and keeps its owner" in done.stderr
    assert session.json("ps")["run"]["owner"] is None
